# SPDX-License-Identifier: BSD-3-Clause
"""Parameters that do not go together: the error names both, and the estimator stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, digest, draw, fitted

from fastbp._conflicts import TAKEN_BY_LBFGS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

REFUSED_BY_LBFGS: dict[str, Any] = {
    "scoring": "loss",
    "dropout": 0.5,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "warmup": 2,
    "warm_start": "optimizer",
}


def test_each_parameter_has_its_case() -> None:
    assert [*REFUSED_BY_LBFGS] == [*TAKEN_BY_LBFGS]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", REFUSED_BY_LBFGS)
def test_lbfgs_refuses(estimator: type, name: str) -> None:
    value = REFUSED_BY_LBFGS[name]
    model = fitted(estimator, solver="lbfgs")
    model.set_params(**{name: value})
    state = digest(model)
    with pytest.raises(ValueError, match=rf"^{name}=.*solver='lbfgs'.*Set {name}="):
        model.fit(*draw())
    assert digest(model) == state
    for taken in TAKEN_BY_LBFGS[name]:
        assert model.set_params(**{name: taken}).fit(*draw()).n_iter_ == 3


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_precision_is_for_float32(estimator: type, precision: str) -> None:
    X, y = draw()
    for params in ({"dtype": "float64"}, {"solver": "lbfgs"}):
        model = estimator(matmul_precision=precision, max_iter=2, **params)
        with pytest.raises(
            ValueError, match=rf"matmul_precision='{precision}'.*dtype='{model.dtype}'.*Set"
        ):
            model.fit(X, y)
        assert not hasattr(model, "coefs_")
        model.set_params(matmul_precision="highest").fit(X, y)
        model.set_params(matmul_precision=precision, dtype="float32").fit(X, y)
        assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_lbfgs_refuses_validation_data(estimator: type) -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=r"X_val and y_val need .*solver='lbfgs'"):
        estimator(solver="lbfgs").fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scoring_needs_validation_data(estimator: type) -> None:
    X, y = draw()
    model = estimator(scoring="loss", max_iter=2)
    with pytest.raises(ValueError, match=r"scoring='loss' needs .*early_stopping=True.*X_val"):
        model.fit(X, y)
    model.fit(X, y, X_val=X, y_val=y)
    with pytest.raises(ValueError, match=r"scoring='loss' needs .* Set scoring=None\.$"):
        model.partial_fit(X, y)
    model.set_params(scoring=None).partial_fit(X, y)
