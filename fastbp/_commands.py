# SPDX-License-Identifier: BSD-3-Clause
"""`python -m fastbp train` and `predict`: what they do, and what they print."""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ._pipeline import (
    EARLY_STOPPING_ROWS,
    METRICS,
    SMALL_TABLE_ALPHA,
    Fold,
    build_pipeline,
    cross_validate,
    feature_columns,
    fit,
    import_skops,
    load_model,
    network,
    save_model,
)
from ._table import (
    TableError,
    count,
    import_extra,
    one_line,
    parse_target,
    quoted,
    read_features,
    read_training_table,
)

INTERVAL = 26  # characters for a mean and its spread
LABEL = 24


def train(args: argparse.Namespace) -> None:
    """Cross-validate a pipeline on a table; with --output fit it on all rows and save it."""
    if args.output:
        import_skops()
        _check_writable(args.output)
    table = read_training_table(
        args.file, args.target, drop=args.drop, categorical=args.categorical
    )
    task, y = parse_target(table.target, args.target, args.task)
    guessed = args.task is None and y.dtype.kind in "if"
    n_rows = len(y)
    notes = table.notes
    if task == "classification":
        notes += _rare_classes(y, args.folds)
    pipeline = build_pipeline(
        task,
        table.numbers,
        table.categories,
        n_rows=n_rows,
        hidden_layer_sizes=args.hidden_layer_sizes,
        max_iter=args.max_iter,
        seed=args.seed,
    )
    told = f"  (told from its values; --task {_other(task)} if not)" if guessed else ""
    print(f"table    {args.file}: {count(n_rows, 'row')}, {_count_columns(table)}")
    print(f"target   {args.target}, {_describe_target(task, y)}")
    print(f"task     {task}{told}")
    print(f"network  {_describe_network(args, n_rows)}")
    for note in notes:
        print(f"note     {note}")
    print()
    _print_cross_validation(pipeline, task, table.X, y, args)
    if args.output:
        start = time.perf_counter()
        fit(pipeline, table.X, y)
        seconds = time.perf_counter() - start
        save_model(pipeline, args.output)
        epochs = count(network(pipeline).n_iter_, "epoch")
        print(f"\nsaved    {args.output}: trained on all rows, {epochs}, {seconds:.1f} s")
    else:
        print("\nNothing was saved: --output MODEL trains on all rows and keeps the model.")


def predict(args: argparse.Namespace) -> None:
    """Write what a saved model says of the rows of a table."""
    pandas = import_extra("pandas")
    model = load_model(args.model)
    if args.probabilities and not hasattr(model, "predict_proba"):
        raise TableError(f"{args.model} is a regression: it has no probabilities")
    if args.output:
        _check_writable(args.output)
    X = read_features(args.file, *feature_columns(model))
    try:
        columns = {"prediction": model.predict(X)}
        if args.probabilities:
            for label, column in zip(model.classes_, model.predict_proba(X).T, strict=True):
                columns[f"probability_{label}"] = column
        output = pandas.DataFrame(columns)
    except Exception as error:  # a stranger's file may pass for a model and not be one
        raise TableError(f"{args.model} cannot predict: {one_line(error)}") from error
    if isinstance(sys.stdout, io.TextIOWrapper):  # CSV is the same bytes wherever it is written
        sys.stdout.reconfigure(encoding="utf-8", errors="strict", newline="")
    try:
        output.to_csv(args.output or sys.stdout, index=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TableError(f"cannot write {args.output}: {one_line(error)}") from error


def _check_writable(path: str) -> None:
    """Raise before the work rather than after it."""
    folder = Path(path).parent
    if Path(path).is_dir():
        raise TableError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise TableError(f"cannot write {path}: there is no folder {folder}")


def _other(task: str) -> str:
    return "regression" if task == "classification" else "classification"


def _count_columns(table: Any) -> str:
    parts = [(len(table.numbers), "numeric"), (len(table.categories), "categorical")]
    return " and ".join(count(n, f"{kind} column") for n, kind in parts if n)


def _describe_target(task: str, y: np.ndarray[Any, Any]) -> str:
    if task == "regression":
        return f"{_number(y.min())} to {_number(y.max())}, mean {_number(y.mean())}"
    classes, counts = np.unique(y, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    shares = [f"{classes[i]} ({counts[i] / len(y):.1%})" for i in order]
    more = [f"{len(classes) - 4} more"] if len(classes) > 4 else []
    return f"{len(classes)} classes: " + ", ".join(shares + more)


def _describe_network(args: argparse.Namespace, n_rows: int) -> str:
    sizes = ", ".join(str(size) for size in args.hidden_layer_sizes)
    text = f"hidden layers of {sizes} units, at most {args.max_iter} epochs"
    if n_rows >= EARLY_STOPPING_ROWS:
        text += ", stopped early by a tenth of the rows"
    else:
        text += f", alpha={SMALL_TABLE_ALPHA:g} as the table is small"
    return text


def _rare_classes(y: np.ndarray[Any, Any], n_folds: int) -> list[str]:
    classes, counts = np.unique(y, return_counts=True)
    rare = classes[counts < n_folds]
    if len(rare) == 0:
        return []
    return [f"classes with fewer rows than the {n_folds} folds: {quoted(rare, 4)}"]


def _print_cross_validation(
    pipeline: Any, task: str, X: Any, y: np.ndarray[Any, Any], args: argparse.Namespace
) -> None:
    names = list(METRICS[task])
    header = "".join(f"{name:<{INTERVAL}}" for name in names)
    print(f"{f'{args.folds}-fold cross-validation':<{LABEL}}  {header}epochs  seconds")
    folds: list[Fold] = []
    start = time.perf_counter()
    for fold in cross_validate(pipeline, task, X, y, n_folds=args.folds, seed=args.seed):
        folds.append(fold)
        row = "".join(f"{_number(fold.scores[name]):<{INTERVAL}}" for name in names)
        print(
            f"{f'  fold {len(folds)}':<{LABEL}}  {row}{fold.n_iter:>6}  {fold.seconds:>7.1f}",
            flush=True,
        )
    seconds = time.perf_counter() - start
    rows = {
        "network, mean ± sd": [fold.scores for fold in folds],
        f"dummy, {_dummy(task)}": [fold.dummy_scores for fold in folds],
    }
    for label, scores in rows.items():
        cells = "".join(f"{_spread(scores, name):<{INTERVAL}}" for name in names)
        print(f"{label:<{LABEL}}  {cells}".rstrip())
    full = sum(fold.n_iter >= args.max_iter for fold in folds)
    if full:
        print(f"\n{full} of {len(folds)} folds used all {args.max_iter} epochs: see --max-iter")
    print(f"\ntook {seconds:.1f} s in all")


def _dummy(task: str) -> str:
    return "commonest class" if task == "classification" else "mean"


def _spread(scores: list[dict[str, float]], name: str) -> str:
    values = np.array([score[name] for score in scores])
    mean = values.mean()
    return f"{_number(mean)} ± {_number(values.std(ddof=1), scale=mean)}"


def _number(value: float, scale: float | None = None) -> str:
    """Write a number with the decimals that suit its size, or that of `scale`."""
    size = abs(value if scale is None else scale)
    decimals = 4 if size < 10 else 2 if size < 1000 else 0
    return f"{value:,.{decimals}f}"
