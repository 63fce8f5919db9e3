# SPDX-License-Identifier: BSD-3-Clause
"""Small fitted estimators, and a fingerprint of what they hold."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.utils.fixes import parse_version

from fastbp import BackpropClassifier, BackpropRegressor

ESTIMATORS = (BackpropClassifier, BackpropRegressor)
SOLVERS = ("adam", "sgd", "lbfgs")


def since_scikit_learn(version: str, why: str) -> pytest.MarkDecorator:
    """Mark tests that an older scikit-learn cannot run; ``why`` tells what it lacks."""
    is_older = parse_version(sklearn.__version__) < parse_version(version)
    return pytest.mark.skipif(is_older, reason=f"scikit-learn before {version} {why}")


def draw(n: int = 60, n_features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Draw X and a y that both estimators take."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n_features))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(int)


def digest(estimator: Any) -> str:
    """Return a fingerprint of all that an estimator holds."""
    return str(joblib.hash(estimator.__getstate__()))


def fitted(estimator: type, **params: Any) -> Any:
    """Return a model after three epochs or iterations."""
    return estimator(max_iter=3, random_state=0, **params).fit(*draw())
