# SPDX-License-Identifier: BSD-3-Clause
"""The regressor: losses, one and many outputs, what its first parameter is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_linnerud
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from fastbp import BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DTYPES = ("float32", "float64")


@pytest.fixture(scope="module")
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_learns_diabetes(diabetes: Any, solver: str, dtype: str) -> None:
    X, y = diabetes
    model = BackpropRegressor(
        hidden_layer_sizes=16, solver=solver, max_iter=60, alpha=1, dtype=dtype, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.4
    assert model.predict(X).shape == y.shape


def test_no_hidden_layer_is_ridge_regression(diabetes: Any) -> None:
    X, y = diabetes
    model = BackpropRegressor(
        hidden_layer_sizes=(), solver="lbfgs", alpha=5, tol=1e-9, max_iter=1000, random_state=0
    ).fit(X, y)
    ridge = Ridge(alpha=5).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], ridge.coef_, atol=1e-4)
    np.testing.assert_allclose(model.predict(X), ridge.predict(X), atol=1e-4)


def test_poisson_without_hidden_layer_is_a_glm() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 2))
    y = rng.poisson(np.exp(X @ [1.0, -2.0] + 1))
    model = BackpropRegressor(
        "poisson", (), solver="lbfgs", alpha=0, tol=1e-8, max_iter=500, random_state=0
    ).fit(X, y)
    glm = PoissonRegressor(alpha=0, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.predict(X), glm.predict(X), rtol=1e-4)
    assert model.out_activation_ == "exp"


def test_poisson_refuses_negative_targets() -> None:
    with pytest.raises(ValueError, match="requires y >= 0"):
        BackpropRegressor("poisson").fit(np.eye(3), [1, 0, -1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_many_outputs(loss: str, dtype: str) -> None:
    X, Y = load_linnerud(return_X_y=True)
    X, Y = StandardScaler().fit_transform(X), Y / Y.mean(axis=0)
    model = BackpropRegressor(loss, 10, solver="lbfgs", dtype=dtype, random_state=0).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.n_outputs_ == 3
    assert model.score(X, Y) > 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_are_float64_unless_x_is_float32(diabetes: Any, dtype: str) -> None:
    X, y = diabetes
    model = BackpropRegressor(max_iter=3, dtype=dtype, random_state=0).fit(X, y)
    assert {coef.dtype for coef in model.coefs_} == {np.dtype(dtype)}
    assert model.predict(X).dtype == np.float64
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert model.predict(X.astype(np.float16)).dtype == np.float64


def test_type_of_the_weights_by_default(diabetes: Any) -> None:
    X, y = diabetes
    for solver, expected in (("adam", np.float32), ("sgd", np.float32), ("lbfgs", np.float64)):
        model = BackpropRegressor(solver=solver, max_iter=2, random_state=0).fit(X, y)
        assert model.coefs_[0].dtype == model.intercepts_[0].dtype == expected


def test_first_parameter_is_the_loss() -> None:
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(50,\)"):
        BackpropRegressor((50,)).fit(np.eye(3), np.arange(3.0))
    with pytest.raises(ValueError, match="'loss' parameter of BackpropRegressor must be a str"):
        BackpropRegressor("huber?").fit(np.eye(3), np.arange(3.0))


@pytest.mark.parametrize("y", [["a", "b", "c"], [1j, 2j, 3j], [np.nan, 1, 2], [np.inf, 1, 2]])
def test_targets_must_be_finite_numbers(y: Any) -> None:
    with pytest.raises(ValueError):
        BackpropRegressor().fit(np.eye(3), y)


def test_sparse_targets_raise() -> None:
    with pytest.raises(ValueError, match="Sparse y is not supported"):
        BackpropRegressor().fit(np.eye(3), sp.csr_matrix(np.eye(3)))


@pytest.mark.parametrize("kind", [int, bool, np.float32, object])
def test_targets_of_any_numeric_type(diabetes: Any, kind: type) -> None:
    X, y = diabetes
    y = y > 0
    options = {"max_iter": 3, "random_state": 0, "dtype": "float64"}
    as_kind = BackpropRegressor(**options).fit(X, y.astype(kind))
    as_float = BackpropRegressor(**options).fit(X, y.astype(float))
    np.testing.assert_array_equal(as_kind.coefs_[0], as_float.coefs_[0])


def test_column_of_targets_warns(diabetes: Any) -> None:
    X, y = diabetes
    with pytest.warns(DataConversionWarning):
        model = BackpropRegressor(max_iter=2, random_state=0).fit(X, y[:, None])
    assert model.predict(X).shape == y.shape


def test_warm_start_with_another_number_of_outputs_raises(diabetes: Any) -> None:
    X, y = diabetes
    model = BackpropRegressor(warm_start=True, max_iter=2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="2 outputs, but the model to go on from has 1"):
        model.fit(X, np.stack([y, y], axis=1))


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_score_is_r2(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    Y = np.column_stack([rng.normal(size=(40, 2)), np.full(40, 3.0), np.full(40, 2.0)])
    outputs = Y + 0.3 * rng.normal(size=Y.shape)
    outputs[:, 3] = 2.0
    weight = rng.uniform(0, 2, 40) if weighted else None
    model = BackpropRegressor()
    score = model._make_scorer(make_validation(Y, weight))
    assert score(outputs) == pytest.approx(r2_score(Y, outputs, sample_weight=weight), rel=1e-12)
    outputs[3, 0] = np.inf
    assert np.isnan(score(outputs))


def make_validation(Y: np.ndarray, weight: np.ndarray | None) -> Any:
    from fastbp._data import Samples

    return Samples(np.zeros((len(Y), 1)), Y, weight)


def test_tags() -> None:
    tags = get_tags(BackpropRegressor())
    assert tags.target_tags.multi_output
    assert tags.input_tags.sparse
    assert not tags.target_tags.positive_only
    assert get_tags(BackpropRegressor("poisson")).target_tags.positive_only


def test_in_a_transformed_target_regressor(diabetes: Any) -> None:
    X, _ = diabetes
    y = load_diabetes(return_X_y=True)[1]
    model = TransformedTargetRegressor(
        BackpropRegressor(hidden_layer_sizes=16, max_iter=60, alpha=1, random_state=0),
        transformer=StandardScaler(),
    )
    assert model.fit(X, y).score(X, y) > 0.4
