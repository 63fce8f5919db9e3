# SPDX-License-Identifier: BSD-3-Clause
"""The classifier: labels of every kind, probabilities, classes over several calls."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS
from sklearn import config_context
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import get_tags

from fastbp import BackpropClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DTYPES = ("float32", "float64")


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_learns_digits(solver: str, dtype: str) -> None:
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = BackpropClassifier(
        64,
        solver=solver,
        learning_rate_init=0.05 if solver == "sgd" else 0.01,
        max_iter=30,
        dtype=dtype,
        random_state=0,
    )
    assert model.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.9


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["setosa", "versicolor", "virginica"]),
        np.array(["setosa", "versicolor", "virginica"], dtype=object),
        np.array([-1.0, 0.0, 2.0]),
        np.array([7, 3, 200], dtype=np.uint8),
        np.array([2**40, 3, -1]),
    ],
    ids=["str", "object", "float", "uint8", "int64"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_of_any_type(iris: Any, labels: np.ndarray, n_classes: int) -> None:
    X, y = iris
    rows = y < n_classes
    names = labels[y[rows]]
    model = BackpropClassifier(max_iter=60, learning_rate_init=0.01, random_state=0)
    predicted = model.fit(X[rows], names).predict(X[rows])
    np.testing.assert_array_equal(model.classes_, np.unique(labels[:n_classes]))
    assert np.mean(predicted == names) > 0.9
    assert predicted.dtype == model.classes_.dtype


def test_bool_labels(iris: Any) -> None:
    X, y = iris
    model = BackpropClassifier(solver="lbfgs", random_state=0).fit(X, y == 0)
    assert model.predict(X).dtype == bool
    assert model.score(X, y == 0) == 1


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csc_array, sp.lil_matrix])
@pytest.mark.parametrize("dtype", DTYPES)
def test_multilabel(container: Any, dtype: str) -> None:
    X, Y = make_multilabel_classification(n_samples=80, n_classes=4, random_state=0)
    model = BackpropClassifier(solver="lbfgs", dtype=dtype, random_state=0).fit(X, container(Y))
    predicted = model.predict(X)
    assert sp.issparse(predicted) == sp.issparse(container(Y))
    predicted = predicted.toarray() if sp.issparse(predicted) else predicted
    assert predicted.shape == Y.shape
    assert np.mean(predicted == Y) > 0.95
    probabilities = model.predict_proba(X)
    assert probabilities.shape == Y.shape
    np.testing.assert_array_equal(probabilities > 0.5, predicted)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probabilities, 1e-5, 1e-12)
    assert model.out_activation_ == "logistic"
    assert get_tags(model).classifier_tags.multi_label


def test_multilabel_takes_zeros_and_ones_only() -> None:
    X, Y = make_multilabel_classification(n_samples=20, random_state=0)
    with pytest.raises(ValueError, match="0 and 1 only"):
        BackpropClassifier().fit(X, np.where(Y, 1, -1))


@pytest.mark.parametrize(
    "columns",
    [[[0, 1, 2], [2, 0, 1]], [["a", "b", "a"], ["c", "c", "d"]], [[0.5, 1, 2], [1, 0, 1]]],
)
def test_columns_of_classes_raise(columns: Any) -> None:
    X, y = np.eye(3), np.column_stack(columns)
    model = BackpropClassifier(max_iter=1)
    message = r"^Multioutput target data is not supported: y has 2 columns.*MultiOutputClassifier"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"X_val.*Multioutput target data"):
        model.fit(X, [0, 1, 1], X_val=X, y_val=y)
    with pytest.raises(ValueError, match=message):
        model.fit(X, [0, 1, 1]).partial_fit(X, y)


def test_sparse_labels_of_one_column_raise() -> None:
    with pytest.raises(ValueError, match="y"):
        BackpropClassifier().fit(np.eye(3), sp.csr_matrix([[1], [0], [1]]))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_one_class(early_stopping: bool, solver: str) -> None:
    X = np.random.default_rng(0).normal(size=(30, 3))
    model = BackpropClassifier(
        solver=solver, early_stopping=early_stopping, max_iter=5, random_state=0
    ).fit(X, ["only"] * 30)
    assert list(model.predict(X)) == ["only"] * 30
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((30, 1)))
    np.testing.assert_array_equal(model.predict_log_proba(X), np.zeros((30, 1)))
    if early_stopping and solver == "adam":
        assert model.validation_scores_ == [1.0] * model.n_iter_


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities(iris: Any, n_classes: int, dtype: str) -> None:
    X, y = iris
    rows = y < n_classes
    model = BackpropClassifier(max_iter=50, dtype=dtype, random_state=0).fit(X[rows], y[rows])
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), model.predict(X))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probabilities, 1e-5)
    for method in (model.predict_proba, model.predict_log_proba):
        assert method(X).dtype == np.float64
        assert method(X.astype(np.float32)).dtype == np.float32
        assert method(X.round().astype(int)).dtype == np.float64


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_probabilities_stay_finite(iris: Any, n_classes: int) -> None:
    X, y = iris
    rows = y < n_classes
    model = BackpropClassifier(solver="lbfgs", random_state=0).fit(X[rows], y[rows])
    far = 1e4 * X
    assert (model.predict_proba(far) == 0).any()
    log_p = model.predict_log_proba(far)
    assert np.isfinite(log_p).all()
    assert (log_p <= 0).all()
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1)


def test_partial_fit_needs_classes_once() -> None:
    X = np.arange(6.0).reshape(-1, 1)
    model = BackpropClassifier(random_state=0)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, list("aabbcc"))
    model.partial_fit(X[:2], ["a", "a"], classes=list("cab"))
    np.testing.assert_array_equal(model.classes_, list("abc"))
    model.partial_fit(X[2:], list("bbcc"))
    assert model.predict_proba(X).shape == (6, 3)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, list("aabbcc"), classes=["a", "b"])
    with pytest.raises(ValueError, match=r"`y` has classes not in `self\.classes_`"):
        model.partial_fit(X, list("aabbcz"))
    with pytest.raises(ValueError, match=r"has \[1 2 3\]. 'y' has \['1' '2' '3'\]"):
        BackpropClassifier().partial_fit(X, list("112233"), classes=[1, 2, 3])


def test_partial_fit_positional_order(iris: Any) -> None:
    X, y = iris
    weight = np.linspace(0.1, 1, len(y))
    named = BackpropClassifier(random_state=0).partial_fit(
        X, y, sample_weight=weight, classes=[0, 1, 2]
    )
    placed = BackpropClassifier(random_state=0).partial_fit(X, y, weight, [0, 1, 2])
    np.testing.assert_array_equal(named.coefs_[0], placed.coefs_[0])


def test_multilabel_partial_fit() -> None:
    X, Y = make_multilabel_classification(n_samples=60, n_classes=3, random_state=0)
    model = BackpropClassifier(solver="sgd", learning_rate_init=0.1, random_state=0)
    with pytest.raises(ValueError, match="3 columns of labels, but there are 2 classes"):
        model.partial_fit(X, Y, classes=[0, 1])
    for _ in range(50):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    assert np.mean(model.predict(X) == Y) > 0.7
    with pytest.raises(ValueError, match="y is not multilabel"):
        model.partial_fit(X, Y[:, 0])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_partial_fit_is_absent_for_lbfgs(estimator: type) -> None:
    model = estimator(solver="lbfgs")
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as caught:
        model.partial_fit([[0.0], [1.0]], [0, 1])
    assert "only available for stochastic optimizers. lbfgs is" in str(caught.value.__cause__)
    assert hasattr(model.set_params(solver="sgd"), "partial_fit")


def test_warm_start_asks_for_the_same_classes(iris: Any) -> None:
    X, y = iris
    model = BackpropClassifier(warm_start=True, max_iter=3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same"):
        model.fit(X, np.minimum(y, 1))
    model.set_params(warm_start=False).fit(X, np.minimum(y, 1))
    np.testing.assert_array_equal(model.classes_, [0, 1])


def test_continuous_targets_raise() -> None:
    with pytest.raises(ValueError, match="Unknown label type"):
        BackpropClassifier().fit(np.eye(4), [0.1, 0.2, 0.3, 0.4])


def test_column_of_labels_warns(iris: Any) -> None:
    X, y = iris
    with pytest.warns(DataConversionWarning):
        model = BackpropClassifier(max_iter=2, random_state=0).fit(X, y[:, None])
    assert model.predict(X).shape == (150,)


def test_early_stopping_needs_two_of_each_of_two_classes() -> None:
    # The first is what scikit-learn says since 1.8.
    with pytest.raises(ValueError, match=r"too few members are: \['True'\]|only 1 member"):
        BackpropClassifier(early_stopping=True).fit(np.eye(4), [0, 0, 0, 1])


def test_early_stopping_restores_the_best_epoch(iris: Any) -> None:
    X, y = iris
    model = BackpropClassifier(
        early_stopping=True, learning_rate_init=0.01, max_iter=100, random_state=1
    ).fit(X, y)
    scores = model.validation_scores_
    assert scores is not None
    assert model.best_validation_score_ == max(scores)
    assert model.best_n_iter_ == 1 + scores.index(max(scores))
    again = BackpropClassifier(
        early_stopping=True, learning_rate_init=0.01, max_iter=model.best_n_iter_, random_state=1
    ).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    assert (model.best_loss_, again.best_loss_) == (None, None)


def test_pipeline_and_grid_search(iris: Any) -> None:
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), BackpropClassifier(solver="lbfgs", random_state=0))
    assert cross_val_score(model, X, y, cv=3).mean() > 0.8
    grid = {"backpropclassifier__hidden_layer_sizes": [(), (16, 8)]}
    search = GridSearchCV(model, grid, cv=3, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_weights_are_routed_through_a_pipeline(iris: Any) -> None:
    X, y = iris
    weight = (y != 2).astype(float)
    with config_context(enable_metadata_routing=True):
        model = BackpropClassifier(solver="lbfgs", random_state=0)
        pipeline = make_pipeline(MinMaxScaler(), model.set_fit_request(sample_weight=True))
        predicted = pipeline.fit(X, y, sample_weight=weight).predict(X)
    assert 2 not in predicted


def test_lbfgs_prints_its_iterations(iris: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = BackpropClassifier(solver="lbfgs", max_iter=3, verbose=True, random_state=0)
    model.fit(*iris)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"Iteration {i}" for i in (1, 2, 3)]
    assert f"loss = {model.loss_:.8f}" in lines[-1]


def test_maximum_iterations_warn(iris: Any) -> None:
    X, y = iris
    for solver in ("adam", "lbfgs"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            with pytest.raises(ConvergenceWarning):
                BackpropClassifier(solver=solver, max_iter=2, random_state=0).fit(X, y)
