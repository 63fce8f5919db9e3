# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tools at work on fastbp's estimators, on real data, by what comes out of them."""

from __future__ import annotations

import itertools
import pickle
import re
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.stats
import sklearn
from models import ESTIMATORS
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import brier_score_loss, get_scorer, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.fixes import parse_version

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

Data = tuple[np.ndarray, np.ndarray]
VERSION = parse_version(sklearn.__version__)


@pytest.fixture(scope="module")
def cancer() -> Data:
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def diabetes() -> Data:
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def classifier(**params: Any) -> BackpropClassifier:
    defaults = {"hidden_layer_sizes": 16, "solver": "lbfgs", "max_iter": 30, "random_state": 0}
    return BackpropClassifier(**{**defaults, **params})


def regressor(**params: Any) -> BackpropRegressor:
    defaults = {"hidden_layer_sizes": 16, "solver": "lbfgs", "max_iter": 60, "random_state": 0}
    return BackpropRegressor(**{**defaults, **params})


# Copies


@pytest.mark.parametrize("way", ["clone", "pickle", "joblib", "memory map"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_copy_learns_and_predicts_the_same(
    estimator: type, way: str, cancer: Data, tmp_path: Path
) -> None:
    X, y = cancer
    model = estimator(hidden_layer_sizes=(20, 10), max_iter=3, random_state=0).fit(X, y)
    if way == "clone":
        copy = clone(model).fit(X, y)
    elif way == "pickle":
        copy = pickle.loads(pickle.dumps(model))
    else:
        joblib.dump(model, tmp_path / "model.joblib")
        mode = "r" if way == "memory map" else None
        copy = joblib.load(tmp_path / "model.joblib", mmap_mode=mode)
        assert isinstance(copy.coefs_[0], np.memmap) == (mode is not None)
    assert copy.get_params() == model.get_params()
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    for trained in (copy, model):
        trained.partial_fit(X, y)
    assert copy.loss_curve_ == model.loss_curve_
    np.testing.assert_array_equal(copy.coefs_[0], model.coefs_[0])


# Searches and curves


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search_with_weights(routing: bool, cancer: Data) -> None:
    """Its scores are those of fits by hand, with the weights of the same rows."""
    X, y = cancer
    weight = np.random.default_rng(0).uniform(0.1, 2, len(y))
    grid = {"alpha": [1e-4, 1e3], "hidden_layer_sizes": [(), 8]}
    folds = KFold(3)
    with config_context(enable_metadata_routing=routing):
        model = classifier()
        if routing:
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, grid, cv=folds).fit(X, y, sample_weight=weight)
    scores_weigh = routing or VERSION >= parse_version("1.7")  # 1.6 weighs them if routed only
    expected = [
        [
            classifier(alpha=alpha, hidden_layer_sizes=sizes)
            .fit(X[train], y[train], weight[train])
            .score(X[test], y[test], weight[test] if scores_weigh else None)
            for train, test in folds.split(X)
        ]
        for alpha, sizes in itertools.product(*grid.values())
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], np.mean(expected, axis=1))
    assert search.best_params_["alpha"] == 1e-4
    assert search.best_score_ > 0.95


def test_randomized_search_in_processes(cancer: Data) -> None:
    X, y = cancer
    space = {"alpha": scipy.stats.loguniform(1e-5, 1e5), "activation": ["relu", "tanh"]}
    search = RandomizedSearchCV(classifier(), space, n_iter=6, cv=3, random_state=1, n_jobs=2)
    search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ == scores.max() > 0.95
    assert scores.min() < 0.9  # an alpha that is far too large
    again = clone(search.best_estimator_).fit(X, y)
    np.testing.assert_array_equal(again.coefs_[0], search.best_estimator_.coefs_[0])


def test_halving_search_over_epochs(cancer: Data) -> None:
    X, y = cancer
    search = HalvingGridSearchCV(
        classifier(solver="adam"),
        {"learning_rate_init": [1e-5, 1e-4, 1e-3, 1e-2]},
        resource="max_iter",
        min_resources=5,
        max_resources=20,
        factor=2,
        cv=3,
        random_state=0,
    ).fit(X, y)
    assert search.n_resources_ == [5, 10, 20]
    assert search.n_candidates_ == [4, 2, 1]
    assert search.best_params_["learning_rate_init"] == 1e-2
    assert search.best_estimator_.n_iter_ == 20
    assert search.best_score_ > 0.95


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validate_with_weights(routing: bool, cancer: Data) -> None:
    X, y = cancer
    weight = np.where(y == 0, 5.0, 1.0)
    folds = StratifiedKFold(3)
    with config_context(enable_metadata_routing=routing):
        model, options = classifier(alpha=100), {"params": {"sample_weight": weight}}
        if routing:
            model.set_fit_request(sample_weight=True)
        scoring = {name: get_scorer(name) for name in ("accuracy", "neg_log_loss", "roc_auc")}
        if routing:
            for scorer in scoring.values():
                scorer.set_score_request(sample_weight=False)
        options["return_estimator"] = True
        found = cross_validate(model, X, y, scoring=scoring, cv=folds, **options)
    plain = cross_validate(classifier(alpha=100), X, y, cv=folds, scoring="recall")
    assert found["test_roc_auc"].min() > 0.98
    recalls = []
    for i, (train, test) in enumerate(folds.split(X, y)):
        mine = classifier(alpha=100).fit(X[train], y[train], weight[train])
        fold = found["estimator"][i]
        np.testing.assert_array_equal(fold.coefs_[0], mine.coefs_[0])
        assert found["test_accuracy"][i] == mine.score(X[test], y[test])
        loss = log_loss(y[test], mine.predict_proba(X[test]))
        assert found["test_neg_log_loss"][i] == pytest.approx(-loss)
        recalls.append(mine.predict(X[test])[y[test] == 1].mean())
    assert np.mean(recalls) < plain["test_score"].mean()  # the other class was heavier


def test_learning_curve() -> None:
    X, y = load_digits(return_X_y=True)
    model = BackpropClassifier(hidden_layer_sizes=32, learning_rate_init=0.01, random_state=0)
    options = {"train_sizes": [50, 200, 800], "cv": 2, "shuffle": True, "random_state": 0}
    model.max_iter = 20
    sizes, _, scores = learning_curve(model, X / 16, y, **options)
    assert list(sizes) == [50, 200, 800]
    assert (np.diff(scores.mean(axis=1)) > 0).all()
    assert scores[-1].mean() > 0.9
    # and by partial_fit, which sees each row once
    _, _, scores = learning_curve(model, X / 16, y, exploit_incremental_learning=True, **options)
    assert scores[-1].mean() > scores[0].mean()


def test_validation_curve(diabetes: Data) -> None:
    X, y = diabetes
    alphas = [1e-2, 1e2, 1e6]
    train, test = validation_curve(regressor(), X, y, param_name="alpha", param_range=alphas, cv=3)
    assert (np.diff(train.mean(axis=1)) < 0).all()
    assert test.mean(axis=1).argmax() == 1
    assert test[1].mean() > 0.3


# Compositions


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("routing", [False, True])
def test_columns_of_a_table(library: str, routing: bool) -> None:
    """Numbers scaled, text encoded: named columns in, the classifier's own labels out."""
    frames = pytest.importorskip(library)
    X, y = load_wine(return_X_y=True)
    names = load_wine().feature_names
    labels = np.array(["barolo", "grignolino", "barbera"])[y]
    columns = {name: X[:, i] for i, name in enumerate(names[:5])}
    columns["shade"] = np.where(X[:, 9] > 5, "dark", "light")
    table = frames.DataFrame(columns)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    with config_context(enable_metadata_routing=routing):
        scaler = StandardScaler()
        encode = ColumnTransformer(
            [
                ("number", scaler, names[:5]),
                ("text", OneHotEncoder(sparse_output=False), ["shade"]),
            ]
        ).set_output(transform=library)
        model = classifier()
        key = "model__sample_weight"
        if routing:
            scaler.set_fit_request(sample_weight=False)
            model.set_fit_request(sample_weight=True)
            key = "sample_weight"
        pipeline = Pipeline([("encode", encode), ("model", model)])
        pipeline.fit(table, labels, **{key: weight})
    own = [*(f"number__{name}" for name in names[:5]), "text__shade_dark", "text__shade_light"]
    assert list(pipeline[-1].feature_names_in_) == own
    assert pipeline.score(table, labels) > 0.9
    inputs = np.asarray(pipeline[0].transform(table), dtype=float)
    alone = classifier().fit(inputs, labels, weight)
    np.testing.assert_array_equal(pipeline.predict_proba(table), alone.predict_proba(inputs))
    with pytest.raises(ValueError, match="feature names should match"):
        pipeline[-1].predict(pipeline[0].transform(table)[own[::-1]])


@pytest.mark.parametrize("container", ["Int64", "Float64", "string", "boolean", "category"])
def test_targets_of_pandas_types(container: str, cancer: Data) -> None:
    pd = pytest.importorskip("pandas")
    X, y = cancer
    values = y.astype(str) if container in ("string", "category") else y
    target = pd.Series(values).astype(container)
    model = classifier().fit(pd.DataFrame(X).astype("Float64").rename(columns=str), target)
    theirs = MLPClassifier(hidden_layer_sizes=2, max_iter=2).fit(X, target)
    np.testing.assert_array_equal(model.classes_, theirs.classes_, strict=True)
    predicted = model.predict(pd.DataFrame(X).rename(columns=str))
    assert predicted.dtype == model.classes_.dtype
    expected = classifier().fit(X, values).predict(X)
    assert np.mean(predicted == expected.astype(predicted.dtype)) == 1
    assert np.mean(expected == values) > 0.95


def test_targets_of_nullable_numbers_and_polars(diabetes: Data) -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = diabetes
    expected = regressor().fit(X, y).predict(X)
    for target in (pd.Series(y, dtype="Float64"), pd.Series(y).astype("Int64"), pl.Series(y)):
        np.testing.assert_array_equal(regressor().fit(X, target).predict(X), expected)
    missing = pd.Series(y, dtype="Float64")
    missing[3] = pd.NA
    with pytest.raises(ValueError, match=r"NaN|NAType"):
        regressor().fit(X, missing)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method: str) -> None:
    """A net that was trained far too long is surer than it is right; calibration mends that."""
    X, y = load_digits(return_X_y=True)
    y = y % 2 ^ (np.random.default_rng(0).random(len(y)) < 0.2)  # a fifth of the labels is wrong
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    model = classifier(max_iter=200, alpha=0).fit(X_train, y_train)
    calibrated = CalibratedClassifierCV(classifier(max_iter=200, alpha=0), method=method, cv=3)
    calibrated.fit(X_train, y_train)
    briers = [
        brier_score_loss(y_test, each.predict_proba(X_test)[:, 1]) for each in (calibrated, model)
    ]
    assert briers[0] < 0.8 * briers[1]


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("batch_size", ["auto", 4])
def test_bagging(batch_size: int | str, routing: bool, cancer: Data) -> None:
    """Rows are drawn by weights of 0 and more: with batches of 4, whole batches weigh nothing."""
    X, y = cancer
    with config_context(enable_metadata_routing=routing):
        model = BackpropClassifier(hidden_layer_sizes=8, batch_size=batch_size, max_iter=20)
        if routing:
            model.set_fit_request(sample_weight=True)
        bag = BaggingClassifier(model, n_estimators=15, oob_score=True, random_state=0).fit(X, y)
    if batch_size == 4:
        n_batches = 20 * -(-len(y) // 4)
        steps = [member._optimizer.step_count for member in bag.estimators_]
        assert max(steps) < n_batches
        assert min(steps) > 0.9 * n_batches
        assert bag.oob_score_ > 0.95
    assert bag.score(X, y) > 0.9
    mean = np.mean([member.predict_proba(X) for member in bag.estimators_], axis=0)
    np.testing.assert_allclose(bag.predict_proba(X), mean)


@pytest.mark.parametrize("routing", [False, True])
def test_stacking_with_weights(routing: bool, cancer: Data) -> None:
    X, y = cancer
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    with config_context(enable_metadata_routing=routing):
        models = [classifier(), classifier(activation="tanh", hidden_layer_sizes=4)]
        final = LogisticRegression()
        if routing:
            for model in (*models, final):
                model.set_fit_request(sample_weight=True)
        members = [("wide", models[0]), ("narrow", models[1])]
        stack = StackingClassifier(members, final, cv=3).fit(X, y, sample_weight=weight)
        # what the final estimator has learnt from, by hand
        columns = []
        for model in models:
            key = {"params": {"sample_weight": weight}}
            columns.append(
                cross_val_predict(clone(model), X, y, cv=3, method="predict_proba", **key)[:, 1]
            )
    by_hand = LogisticRegression().fit(np.column_stack(columns), y, sample_weight=weight)
    np.testing.assert_allclose(stack.final_estimator_.coef_, by_hand.coef_)
    assert stack.score(X, y) > 0.95


def test_transformed_targets(diabetes: Data) -> None:
    X, y = diabetes
    model = TransformedTargetRegressor(regressor(), transformer=StandardScaler()).fit(X, y)
    scaled = regressor().fit(X, (y - y.mean()) / y.std()).predict(X)
    np.testing.assert_allclose(model.predict(X), scaled * y.std() + y.mean())
    logs = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp).fit(X, y)
    assert logs.predict(X).min() > 0
    assert logs.score(X, y) > 0.4


# Inspection


def test_permutation_importance(diabetes: Data) -> None:
    X, y = diabetes
    noise = np.random.default_rng(0).normal(size=len(X))
    X = np.c_[X[:, [0, 1, 2, 3, 8]], noise]  # age, sex, bmi, blood pressure, s5
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = regressor(alpha=100).fit(X_train, y_train)
    linear = Ridge(100).fit(X_train, y_train)
    found, expected = (
        permutation_importance(each, X_test, y_test, n_repeats=10, random_state=0, n_jobs=2)
        for each in (model, linear)
    )
    best = np.argsort(found.importances_mean)[-2:]
    assert set(best) == set(np.argsort(expected.importances_mean)[-2:]) == {2, 4}
    assert abs(found.importances_mean[-1]) < 0.1 * found.importances_mean.max()


def test_partial_dependence(diabetes: Data) -> None:
    X, y = diabetes
    model = regressor(hidden_layer_sizes=(), alpha=1).fit(X, y)
    found = partial_dependence(model, X, features=[2], grid_resolution=5)
    key = "grid_values" if "grid_values" in found else "values"
    slopes = np.diff(found["average"][0]) / np.diff(found[key][0])
    np.testing.assert_allclose(slopes, model.coefs_[0][2, 0], rtol=1e-6)
    sure = classifier().fit(X, y > np.median(y))
    both = partial_dependence(sure, X, features=[2, 8], grid_resolution=4, kind="both")
    assert both["individual"].shape == (1, len(X), 4, 4)
    corners = both["average"][0][[0, -1], [0, -1]]
    assert 0 < corners[0] < 0.5 < corners[1] < 1


# Tags, representations


def test_tags() -> None:
    tags = get_tags(BackpropClassifier())
    assert tags.estimator_type == "classifier"
    assert tags.classifier_tags.multi_class and tags.classifier_tags.multi_label
    assert tags.input_tags.sparse and tags.target_tags.required
    assert not tags.input_tags.allow_nan and not tags.non_deterministic
    tags = get_tags(BackpropRegressor())
    assert tags.estimator_type == "regressor"
    assert tags.target_tags.multi_output and tags.target_tags.required


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_representation_links_to_documentation_where_there_is_one(
    estimator: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "https://docs.example/{estimator_module}.{estimator_name}.html"
    monkeypatch.setattr(estimator, "_doc_link_template", template)
    page = f"https://docs.example/fastbp.{estimator.__name__}.html"
    shown = estimator()._repr_html_()
    assert f'href="{page}"' in shown
    if VERSION >= parse_version("1.8"):
        assert f'href="{page}#:~:text=alpha' in shown


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_representation_in_a_notebook(estimator: type, cancer: Data) -> None:
    model = estimator(alpha=0.25, max_iter=2, random_state=0).fit(*cancer)
    page = model._repr_html_()
    assert estimator.__name__ in page and "alpha=0.25" in page
    assert "href=" not in page  # the documentation has no address of its own
    assert "fitted" in make_pipeline(StandardScaler(), model)._repr_html_()
    if VERSION >= parse_version("1.8"):  # which tells of each parameter what its docstring does
        for name in model.get_params():
            said = re.search(rf"^ +{name} : .*\n +(.*)$", estimator.__doc__ or "", re.M)
            assert said and f"{name}: " in page
            words = re.escape(said[1].strip()[:30]).replace("`", ".")
            assert re.search(words.replace("'", ".{1,6}"), page), name


def test_only_changed_parameters_are_shown() -> None:
    assert repr(BackpropClassifier()) == "BackpropClassifier()"
    assert repr(BackpropRegressor(alpha=1, n_jobs=2)) == "BackpropRegressor(alpha=1, n_jobs=2)"
    with config_context(print_changed_only=False):
        assert "momentum=0.9" in repr(BackpropRegressor())
