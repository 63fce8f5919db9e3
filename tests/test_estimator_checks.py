# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own checks of what an estimator must do."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [
    estimator(dtype=dtype)
    for estimator in (BackpropClassifier, BackpropRegressor)
    for dtype in ("float64", "float32")
]


WEIGHT_CHECKS = (
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)


def expected_failures(estimator: Any) -> dict[str, str]:
    """Return the checks that ask for more digits after training than float32 has."""
    if estimator.dtype == "float64":
        return {}
    return dict.fromkeys(WEIGHT_CHECKS, "asks for a relative tolerance of 1e-7")


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_check(estimator: Any, check: Any) -> None:
    check(estimator)
