# SPDX-License-Identifier: BSD-3-Clause
"""loss_gradient: finite differences of what the fitted models say their loss is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, digest, draw, fitted
from problems import make_problem
from sklearn.datasets import load_digits
from sklearn.exceptions import DataConversionWarning, NotFittedError

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference_net as twin
from fastbp._weights import Weights, pack, unpack

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ACTIVATIONS = _core.names()["activations"]
#: The classifier's two losses follow from its targets.
REGRESSION_LOSSES = sorted(set(_core.names()["losses"]) - {"log_loss", "binary_log_loss"})


def model_with(task: str, activation: str, X: np.ndarray) -> tuple[Any, np.ndarray]:
    """Fit a small model in float64; return it with its targets."""
    rng = np.random.default_rng(1)
    n = len(X)
    common = {"activation": activation, "hidden_layer_sizes": (7, 5), "dtype": "float64"}
    common |= {"max_iter": 3, "random_state": 0, "learning_rate_init": 0.01, "alpha": 5.0}
    if task == "binary":
        return BackpropClassifier(**common), rng.integers(2, size=n)
    if task == "classes":
        return BackpropClassifier(**common), np.array(["a", "b", "c"])[rng.integers(3, size=n)]
    if task == "labels":
        return BackpropClassifier(**common), rng.integers(2, size=(n, 3))
    y = rng.gamma(2.0, size=n) if task != "squared_error" else rng.normal(size=n)
    return BackpropRegressor(task, **common), y + (0.1 if task != "squared_error" else 0)


def loss_at(model: Any, weights: Weights, X: Any, y: Any, weight: Any) -> float:
    """Return the loss with other weights in the model's place."""
    kept = model.coefs_, model.intercepts_
    model.coefs_, model.intercepts_ = weights
    try:
        return float(model.loss_gradient(X, y, weight).loss)
    finally:
        model.coefs_, model.intercepts_ = kept


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", ["binary", "classes", "labels", *REGRESSION_LOSSES])
def test_finite_differences(task: str, activation: str, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 4))
    model, y = model_with(task, activation, X)
    weight = rng.uniform(0.2, 2, size=12) if weighted else None
    model.fit(X, y)
    gradient = model.loss_gradient(X, y, weight)
    weights = Weights(model.coefs_, model.intercepts_)
    flat = pack(Weights(gradient.coefs, gradient.intercepts))
    step = 1e-6
    for _ in range(3):
        direction = rng.normal(size=len(flat))
        ends = [
            loss_at(model, unpack(pack(weights) + h * direction, weights.units), X, y, weight)
            for h in (step, -step)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(flat @ direction, rel=1e-5, abs=1e-8)
    for at in [(0, 0), (5, 3), (11, 1)]:
        moved = [X.copy(), X.copy()]
        moved[0][at] += step
        moved[1][at] -= step
        ends = [model.loss_gradient(each, y, weight).loss for each in moved]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(gradient.X[at], rel=1e-5, abs=1e-8)


def test_the_loss_is_the_datas_alone() -> None:
    """No penalty, and no smoothing: the metric that scikit-learn computes from the predictions."""
    X, y = draw()
    model = BackpropRegressor(alpha=1e3, max_iter=3, random_state=0).fit(X, y)
    expected = ((y - model.predict(X)) ** 2).mean() / 2
    assert model.loss_gradient(X, y).loss == pytest.approx(expected, rel=1e-5)
    assert model.loss_ > 10 * expected
    classifier = fitted(BackpropClassifier)
    p = classifier.predict_proba(X)[np.arange(len(y)), y]
    assert classifier.loss_gradient(X, y).loss == pytest.approx(-np.log(p).mean(), rel=1e-5)


def test_squared_error_of_several_outputs() -> None:
    """The loss is the outputs' mean, the gradient that of their sum, as in training."""
    X, y = draw()
    Y = np.c_[y, 2.0 * y, 1.0 - y]
    model = BackpropRegressor(hidden_layer_sizes=(), dtype="float64", max_iter=2).fit(X, Y)
    residual = model.predict(X) - Y
    gradient = model.loss_gradient(X, Y)
    assert gradient.loss == pytest.approx((residual**2).mean() / 2)
    np.testing.assert_allclose(gradient.coefs[0], X.T @ residual / len(X), rtol=1e-10)
    np.testing.assert_allclose(gradient.intercepts[0], residual.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(gradient.X, residual @ model.coefs_[0].T / len(X), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("hidden", [(), (6,), (9, 1)], ids=str)
@pytest.mark.parametrize("n_features", [5, 200])  # the latter is taken sparse
def test_sparse_is_dense(n_features: int, hidden: tuple[int, ...], dtype: str) -> None:
    X = sp.random(40, n_features, density=0.05, random_state=0, format="csr")
    y = np.arange(40) % 2
    for estimator in ESTIMATORS:
        model = estimator(hidden_layer_sizes=hidden, dtype=dtype, max_iter=2, random_state=0)
        model.fit(X, y)
        results = [
            model.loss_gradient(x, y) for x in (X, X.toarray(), X.tocsc(), X.astype(np.float32))
        ]
        for result in results[:3]:
            assert result.X.shape == (40, n_features)
            assert isinstance(result.X, np.ndarray)
            assert all(a.dtype == dtype for a in (*result.coefs, *result.intercepts, result.X))
            assert result.loss == results[0].loss
            np.testing.assert_allclose(result.X, results[0].X, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(results[3].coefs[0], results[0].coefs[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("layout", ["dense", "csr32"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("units", [(6, 9, 1), (40, 70, 33, 2), (40, 1)], ids=str)
def test_delta_is_the_twins(units: tuple[int, ...], dtype: str, layout: str) -> None:
    p = make_problem(units, "tanh", n=4500, dtype=dtype, weighted=True, layout=layout)
    deltas = []
    options = {"sample_weight": p.sample_weight, "alpha": 0.4}
    for net_class, n_threads in ((twin.Net, 1), (_core.Net, 1), (_core.Net, 3)):
        net = p.net(net_class, max_rows=4500, n_threads=n_threads)
        deltas.append(np.full((4500, units[1]), np.nan, dtype))
        net.loss_gradient(p.parameters(), p.X, p.y, delta=deltas[-1], **options)
    assert deltas[1].tobytes() == deltas[2].tobytes()
    rtol = 1e-11 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(deltas[1], deltas[0], rtol, rtol * np.abs(deltas[0]).max())
    for bad in (deltas[0][:-1], deltas[0].astype("f2"), np.asfortranarray(deltas[0][:, ::-1])):
        with pytest.raises(ValueError, match="delta"):
            net.loss_gradient(p.parameters(), p.X, p.y, delta=bad[:, 1:] if units[1] == 1 else bad)
    deltas[0].flags.writeable = False
    with pytest.raises(ValueError, match="delta"):
        p.net(_core.Net, max_rows=4500).loss_gradient(p.parameters(), p.X, p.y, delta=deltas[0])


def test_many_rows_are_the_average_of_parts() -> None:
    X, y = draw(9000)
    model = BackpropRegressor(dtype="float64", max_iter=2, random_state=0).fit(X, y)
    whole = model.loss_gradient(X, y)
    parts = [model.loss_gradient(X[rows], y[rows]) for rows in (slice(0, 4500), slice(4500, 9000))]
    assert whole.loss == pytest.approx((parts[0].loss + parts[1].loss) / 2, rel=1e-12)
    np.testing.assert_allclose(
        whole.coefs[0], (parts[0].coefs[0] + parts[1].coefs[0]) / 2, rtol=1e-9, atol=1e-14
    )
    np.testing.assert_allclose(whole.X, np.r_[parts[0].X, parts[1].X] / 2, rtol=1e-12)


def test_follows_edited_weights_and_the_loss_of_the_fit() -> None:
    X, y = draw()
    model = BackpropRegressor("poisson", max_iter=2, random_state=0, dtype="float64").fit(X, y)
    expected = model.loss_gradient(X, y)
    model.set_params(loss="squared_error", activation="tanh", warm_start=True)
    assert model.loss_gradient(X, y).loss == expected.loss
    with pytest.raises(ValueError, match="negative"):
        model.loss_gradient(X, -y - 1.0)
    model.coefs_[1][:] = 0
    assert not model.loss_gradient(X, y).coefs[0].any()
    model.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="coefs_"):
        model.loss_gradient(X, y)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_errors_and_state(estimator: type) -> None:
    X, y = draw()
    with pytest.raises(NotFittedError):
        estimator().loss_gradient(X, y)
    model = fitted(estimator, warm_start=True)
    state = digest(model)
    for bad, message in [
        ((X[:, :2], y), "features"),
        ((np.where(X > 2, np.nan, X), y), "NaN"),
        ((X, y[:-1]), "inconsistent"),
        ((X[:0], y[:0]), "0 sample"),
        ((X, y, -np.ones(len(y))), "Negative"),
        ((X, y, np.zeros(len(y))), "non-zero"),
        ((X, np.c_[y, y, y]), "outputs|multilabel"),
        ((np.ma.masked_array(X, X > 1), y), "masked"),
        ((1e300 * X, y), "float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.loss_gradient(*bad)
    model.loss_gradient(X[:3], y[:3])  # some classes may be missing
    with pytest.warns(DataConversionWarning):
        model.loss_gradient(X, y[:, None])
    assert digest(model) == state


def test_unknown_labels_raise() -> None:
    X, y = draw()
    with pytest.raises(ValueError, match="class"):
        fitted(BackpropClassifier).loss_gradient(X, y + 7)


def test_threads_do_not_matter() -> None:
    X, y = draw(3000)
    model = BackpropClassifier((300, 200), max_iter=1, random_state=0).fit(X, y)
    results = [model.set_params(n_jobs=n).loss_gradient(X, y) for n in (1, 2)]
    assert results[0].loss == results[1].loss
    assert results[0].X.tobytes() == results[1].X.tobytes()


def test_saliency_finds_what_matters() -> None:
    """The label hangs on the first feature alone."""
    X, y = draw(400, n_features=6)
    model = BackpropClassifier(16, max_iter=60, learning_rate_init=0.01, random_state=0).fit(X, y)
    saliency = np.abs(model.loss_gradient(X, y).X).mean(axis=0)
    assert saliency[0] > 2 * saliency[1:].max()


def test_steps_against_the_gradient_by_x_lower_the_loss_on_digits() -> None:
    X, y = load_digits(return_X_y=True)
    X = X / 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = BackpropClassifier(32, max_iter=15, random_state=0, dtype="float64").fit(X, y)
    gradient = model.loss_gradient(X, y)
    lower = model.loss_gradient(X - gradient.X, y).loss
    assert gradient.loss - lower == pytest.approx((gradient.X**2).sum(), rel=0.05)
