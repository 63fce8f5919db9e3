# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn pipeline behind `python -m fastbp train`: made, scored, saved and loaded.

    columns   numbers: median where missing (and a column that says so), scaled
              categories: one-hot; rare ones share a column, as do those never seen in training
    model     BackpropClassifier, or BackpropRegressor on the scaled target

A saved pipeline is a skops file. Loading one runs no code of the file's: only types that skops
itself trusts, and those in `TRUSTED_TYPES`, are ever made.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, recall_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ._classifier import BackpropClassifier
from ._regressor import BackpropRegressor
from ._table import TableError, import_extra, one_line, quoted

#: What a model file may hold beyond skops's own list. A constant: never what a file asks for.
TRUSTED_TYPES = ("fastbp.BackpropClassifier", "fastbp.BackpropRegressor", "numpy.dtype")

#: Older releases could be made to run code of a file's (CVE-2025-54412, CVE-2025-54413).
MIN_SKOPS = (0, 12)

#: From this many rows on, a tenth of them decides when to stop. Fewer rows are too few to spare:
#: there a strong penalty keeps the network from learning them by heart.
EARLY_STOPPING_ROWS = 2000
SMALL_TABLE_ALPHA = 1.0

HIDDEN_LAYER_SIZES = (128, 64)

MIN_CATEGORY_ROWS = 5
MAX_CATEGORIES = 100


def balanced_accuracy(y_true: Any, y_pred: Any) -> float:
    """Return the mean over the classes in y_true of the share predicted right."""
    labels = np.unique(y_true)
    return float(recall_score(y_true, y_pred, labels=labels, average="macro"))


METRICS: dict[str, dict[str, Callable[[Any, Any], float]]] = {
    "classification": {"accuracy": accuracy_score, "balanced accuracy": balanced_accuracy},
    "regression": {"R²": r2_score, "mean absolute error": mean_absolute_error},
}


def build_pipeline(
    task: str,
    numbers: Sequence[str],
    categories: Sequence[str],
    *,
    n_rows: int,
    hidden_layer_sizes: Sequence[int] = HIDDEN_LAYER_SIZES,
    max_iter: int = 200,
    seed: int = 0,
) -> Pipeline:
    """Return the unfitted pipeline for a table with these columns.

    Parameters
    ----------
    task : "classification" or "regression"
    numbers, categories : sequence of str
        Column names.
    n_rows : int
        Rows that it will be fitted on.
    hidden_layer_sizes, max_iter
        The estimator's parameters.
    seed : int
        The estimator's random_state.

    Returns
    -------
    sklearn.pipeline.Pipeline
    """
    steps: list[tuple[str, Any, list[str]]] = []
    if numbers:
        impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
        steps.append(("numbers", make_pipeline(impute, StandardScaler()), list(numbers)))
    if categories:
        encoder = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=MIN_CATEGORY_ROWS,
            max_categories=MAX_CATEGORIES,
        )
        steps.append(("categories", encoder, list(categories)))
    columns = ColumnTransformer(steps)
    if columns.get_params(deep=False).get("force_int_remainder_cols") is True:
        # scikit-learn 1.6: or the file would hold a private type, which is not trusted.
        columns.set_params(force_int_remainder_cols=False)
    options: dict[str, Any] = {
        "hidden_layer_sizes": tuple(hidden_layer_sizes),
        "max_iter": max_iter,
        "random_state": seed,
    }
    if n_rows >= EARLY_STOPPING_ROWS:
        options["early_stopping"] = True
    else:
        options["alpha"] = SMALL_TABLE_ALPHA
    model: Any
    if task == "classification":
        model = BackpropClassifier(**options)
    else:
        regressor = BackpropRegressor(**options)
        model = TransformedTargetRegressor(regressor, transformer=StandardScaler())
    return Pipeline([("columns", columns), ("model", model)])


def network(pipeline: Pipeline) -> Any:
    """Return the fitted BackpropClassifier or BackpropRegressor inside a fitted pipeline."""
    model = pipeline["model"]
    return getattr(model, "regressor_", model)


@dataclass
class Fold:
    """One fold of a cross-validation: scores by metric, of the pipeline and of the dummy."""

    scores: dict[str, float]
    dummy_scores: dict[str, float]
    n_iter: int
    seconds: float


def cross_validate(
    pipeline: Pipeline, task: str, X: Any, y: Any, *, n_folds: int, seed: int
) -> Iterator[Fold]:
    """Fit and score a pipeline on each fold, beside a model that ignores the features.

    Raises
    ------
    TableError
        There are too few rows for so many folds.
    """
    # R² needs two rows in each.
    if len(y) < (n_folds if task == "classification" else 2 * n_folds):
        raise TableError(f"{len(y)} rows are too few for {n_folds} folds")
    splitter: KFold | StratifiedKFold
    dummy: DummyClassifier | DummyRegressor
    if task == "classification":
        if np.unique(y, return_counts=True)[1].max() < n_folds:
            raise TableError(
                f"no class has as many as {n_folds} rows: fewer folds, or another task"
            )
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        dummy = DummyClassifier(strategy="most_frequent")
    else:
        splitter = KFold(n_folds, shuffle=True, random_state=seed)
        dummy = DummyRegressor(strategy="mean")
    with warnings.catch_warnings():
        # Classes with fewer rows than folds: told once, by the command, with their names.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(splitter.split(X, y))
    for train, test in splits:
        start = time.perf_counter()
        fitted = fit(clone(pipeline), X.iloc[train], y[train])
        seconds = time.perf_counter() - start
        guess = dummy.fit(X.iloc[train], y[train]).predict(X.iloc[test])
        predicted = fitted.predict(X.iloc[test])
        metrics = METRICS[task].items()
        yield Fold(
            {name: metric(y[test], predicted) for name, metric in metrics},
            {name: metric(y[test], guess) for name, metric in metrics},
            network(fitted).n_iter_,
            seconds,
        )


def fit(pipeline: Pipeline, X: Any, y: Any) -> Pipeline:
    """Fit a pipeline; what it finds wrong with the data is a TableError."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the command counts epochs itself
        try:
            return pipeline.fit(X, y)
        except (ValueError, MemoryError) as error:
            raise TableError(f"training failed: {one_line(error)}") from error


def import_skops() -> Any:
    """Import skops.io, in a release that is safe to load strangers' files with."""
    skops = import_extra("skops")
    if tuple(int(part) for part in skops.__version__.split(".")[:2]) < MIN_SKOPS:
        raise TableError(
            f"skops {skops.__version__} is too old to be safe: pip install -U 'fastbp[table]'"
        )
    return import_extra("skops.io")


def save_model(pipeline: Pipeline, path: str) -> None:
    """Write a fitted pipeline with skops; an existing file is replaced as a whole or not at all."""
    skops_io = import_skops()
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(skops_io.dumps(pipeline, compression=ZIP_DEFLATED))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise TableError(f"cannot write {path}: {one_line(error)}") from error


def load_model(path: str) -> Pipeline:
    """Load a pipeline that `save_model` wrote.

    Raises
    ------
    TableError
        The file cannot be read, holds a type that is not trusted, or another kind of model.
    """
    skops_io = import_skops()
    exceptions = import_extra("skops.io.exceptions")
    if not Path(path).exists():
        raise TableError(f"{path}: no such file")
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions of scikit-learn
            model = skops_io.load(file, trusted=list(TRUSTED_TYPES))
    except exceptions.UntrustedTypesFoundException:
        types = set(skops_io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
        raise TableError(
            f"{path} is not loaded: it holds types that are not trusted, {quoted(sorted(types))}"
        ) from None
    except Exception as error:  # a stranger's file can be wrong in any way
        reason = one_line(error)
        if not isinstance(error, OSError):
            reason = f"not a skops file, or damaged ({reason})"
        raise TableError(f"cannot load {path}: {reason}") from error
    if not _has_our_form(model):
        raise TableError(f"{path} holds something else than a model of 'python -m fastbp train'")
    return model


def _has_our_form(model: Any) -> bool:
    """Tell whether a loaded object is built like `build_pipeline`'s, type by type."""
    try:
        columns, last = (step for _, step in model.steps)
        parts = [step for _, step, names in columns.transformers_ if names]
        inner = [[type(step) for _, step in getattr(part, "steps", [])] for part in parts]
        allowed = {Pipeline: [SimpleImputer, StandardScaler], OneHotEncoder: []}
        if type(last) is TransformedTargetRegressor:
            last = last.regressor_ if type(last.transformer_) is StandardScaler else None
        return (
            type(model) is Pipeline
            and type(columns) is ColumnTransformer
            and all(type(part) in allowed for part in parts)
            and all(allowed[type(p)] == types for p, types in zip(parts, inner, strict=True))
            and type(last) in (BackpropClassifier, BackpropRegressor)
        )
    except (AttributeError, TypeError, ValueError):
        return False


def feature_columns(pipeline: Pipeline) -> tuple[list[str], list[str]]:
    """Return the names of the numeric and of the categorical columns a pipeline was fitted on."""
    names = {name: list(columns) for name, _, columns in pipeline["columns"].transformers}
    return names.get("numbers", []), names.get("categories", [])
