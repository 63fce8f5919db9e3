# SPDX-License-Identifier: BSD-3-Clause
"""transform: the last hidden layer as features, and scikit-learn's rules for transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, draw, fitted
from problems import make_problem
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference_net as twin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ACTIVATIONS = _core.names()["activations"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("units", [(6, 9, 1), (40, 70, 33, 2), (5, 1, 1)], ids=str)
def test_hidden_activations_are_the_twins(units: Any, activation: str, dtype: str) -> None:
    for layout in ("dense", "csr64"):
        p = make_problem(units, activation, n=300, dtype=dtype, layout=layout)
        expected = p.net(twin.Net).predict(p.X, hidden=True, dtype="float64")
        sizes = {"max_row_nonzeros": 2 * units[0]} if layout == "csr64" else {}
        for isa in _core.available_isas():
            for options in ({}, sizes):
                results = {
                    p.net(_core.Net, isa=isa, n_threads=n_threads, **options)
                    .predict(p.X, hidden=True)
                    .tobytes()
                    for n_threads in (1, 3)
                }
                assert len(results) == 1
                actual = np.frombuffer(results.pop(), dtype).reshape(300, units[-2])
                tolerance = 1e-12 if dtype == "float64" else 2e-5
                np.testing.assert_allclose(actual, expected, tolerance, tolerance)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_hidden_activations_of_split_products(precision: str) -> None:
    p = make_problem((64, 96, 80, 3), "tanh", n=200, dtype="float32")
    actual = p.net(_core.Net, precision=precision).predict(p.X, hidden=True)
    expected = p.net(twin.Net).predict(p.X, hidden=True)
    tolerance = {"highest": 1e-4, "high": 1e-3, "medium": 0.1}[precision]
    np.testing.assert_allclose(actual, expected, atol=tolerance)


@pytest.mark.parametrize("net_class", [_core.Net, twin.Net])
def test_a_net_without_hidden_layers_has_none(net_class: Any) -> None:
    p = make_problem((5, 2))
    with pytest.raises(ValueError, match="no hidden layers"):
        p.net(net_class).predict(p.X, hidden=True)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_output_layer_on_the_features_is_the_prediction(estimator: type, solver: str) -> None:
    X, y = draw()
    model = estimator((8, 3), solver=solver, max_iter=5) if estimator is BackpropClassifier else (
        estimator(hidden_layer_sizes=(8, 3), solver=solver, max_iter=5)
    )  # fmt: skip
    model.fit(X, y)
    features = model.transform(X)
    assert features.shape == (60, 3)
    assert features.dtype == np.float64
    z = (features @ model.coefs_[-1] + model.intercepts_[-1]).ravel()
    if estimator is BackpropClassifier:
        np.testing.assert_array_equal(model.predict(X), z > 0)
    else:
        np.testing.assert_allclose(model.predict(X), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_types_layouts_and_edits(dtype: str) -> None:
    X, y = draw(100)
    model = BackpropRegressor(hidden_layer_sizes=5, dtype=dtype, max_iter=3).fit(X, y)
    expected = model.transform(X)
    for other in (np.asfortranarray(X), sp.csr_matrix(X), sp.csc_array(X), X.tolist()):
        out = model.transform(other)
        assert out.dtype == np.float64
        np.testing.assert_array_equal(out, expected)
    assert model.transform(X.astype(np.float32)).dtype == np.float32
    model.coefs_[-1][:] = 7  # of no consequence
    np.testing.assert_array_equal(model.transform(X), expected)
    model.intercepts_[0][:] = -100
    assert not model.transform(X).any()


def test_wide_sparse_rows() -> None:
    X = sp.random(3000, 500, density=0.01, random_state=0, format="csr")
    y = np.arange(3000) % 2
    model = BackpropClassifier(40, max_iter=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.transform(X), model.transform(X.toarray()))
    assert model.set_params(n_jobs=1).transform(X).tobytes() == model.transform(X).tobytes()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_errors(estimator: type) -> None:
    X, _ = draw()
    for call in (lambda m: m.transform(X), lambda m: m.get_feature_names_out()):
        with pytest.raises(NotFittedError):
            call(estimator())
        with pytest.raises(ValueError, match="no hidden layers; set hidden_layer_sizes"):
            call(fitted(estimator, hidden_layer_sizes=()))
    model = fitted(estimator)
    for bad, message in [(X[:, :2], "features"), (np.where(X > 2, np.nan, X), "NaN"),
                         (1e300 * X, "float32"), (X[0], "1D")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            model.transform(bad)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_feature_names_and_output_containers(estimator: type) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = draw()
    model = fitted(estimator, hidden_layer_sizes=3)
    names = [f"{estimator.__name__.lower()}{i}" for i in range(3)]
    assert model.get_feature_names_out().tolist() == names
    expected = model.transform(X)
    frame = pandas.DataFrame(X, index=range(100, 160))
    out = model.set_output(transform="pandas").transform(frame)
    assert out.columns.tolist() == names
    assert out.index.tolist() == frame.index.tolist()
    np.testing.assert_array_equal(out, expected)
    assert isinstance(model.predict(X), np.ndarray)
    fresh = clone(model).set_output(transform="default")
    with config_context(transform_output="pandas"):
        assert isinstance(clone(model).fit_transform(X, y), pandas.DataFrame)
    np.testing.assert_array_equal(fresh.fit_transform(X, y), fresh.transform(X))


def test_polars_output() -> None:
    polars = pytest.importorskip("polars")
    X, _ = draw()
    model = fitted(BackpropRegressor, hidden_layer_sizes=3).set_output(transform="polars")
    assert isinstance(model.transform(X), polars.DataFrame)
    assert model.transform(X).columns == [f"backpropregressor{i}" for i in range(3)]


def test_what_kind_of_estimators_they_are() -> None:
    classifier, regressor = BackpropClassifier(), BackpropRegressor()
    assert is_classifier(classifier) and not is_regressor(classifier)
    assert is_regressor(regressor) and not is_classifier(regressor)
    assert is_classifier(make_pipeline(StandardScaler(), classifier))
    assert is_regressor(make_pipeline(StandardScaler(), regressor))
    for estimator in (classifier, regressor):
        tags = get_tags(estimator)
        assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
        assert tags.target_tags.required
        assert tags.input_tags.sparse
    with pytest.raises(TypeError):  # as of other transformers that learn from y
        regressor.fit_transform(np.ones((4, 2)))


def test_fit_transform_takes_weights() -> None:
    X, y = draw()
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    model = BackpropClassifier(5, max_iter=3, random_state=0)
    features = model.fit_transform(X, y, sample_weight=weight)
    again = clone(model).fit(X, y, weight)
    np.testing.assert_array_equal(features, again.transform(X))


def test_features_that_it_learns_help_a_simpler_model() -> None:
    """Eight units, taught by the classes, tell most digits apart."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    network = BackpropClassifier((64, 8), max_iter=30, random_state=0, activation="tanh")
    neighbours = cross_val_score(make_pipeline(network, KNeighborsClassifier()), X, y, cv=3)
    assert neighbours.mean() > 0.88
    both = make_pipeline(make_union(network, "passthrough"), LogisticRegression(max_iter=2000)).fit(
        X[:1200], y[:1200]
    )
    assert both.score(X[1200:], y[1200:]) > 0.88
