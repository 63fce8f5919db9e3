# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own checks of what an estimator must do."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any
from unittest import SkipTest

import pytest
import sklearn
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OLD = parse_version(sklearn.__version__) < parse_version("1.7")

#: Each type with a thread and with two, and sgd. Whatever the number of threads a
#: net is made for, it takes fewer where they are quicker; the bits are the same.
PARAMETERS = [
    *({"dtype": dtype, "n_jobs": n_jobs} for dtype in ("float64", "float32") for n_jobs in (1, 2)),
    {"dtype": "float64", "solver": "sgd"},
]
ESTIMATORS = [
    estimator(**parameters)
    for estimator in (BackpropClassifier, BackpropRegressor)
    for parameters in PARAMETERS
]

WEIGHT_CHECKS = (
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)
MAY_SKIP = (
    "check_array_api_input",  # wants SCIPY_ARRAY_API=1, see below
    "check_classifiers_multilabel_output_format_decision_function",  # there is none
)


def expected_failures(estimator: Any) -> dict[str, str]:
    """Return the checks that ask for more digits after training than float32 has."""
    if estimator.dtype == "float64":
        return {}
    return dict.fromkeys(WEIGHT_CHECKS, "asks for a relative tolerance of 1e-7")


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_check(estimator: Any, check: Any) -> None:
    try:
        check(estimator)
    except SkipTest:
        assert name_of(check) in MAY_SKIP
        raise


def name_of(check: Any) -> str:
    while isinstance(check, partial):
        check = check.func
    return str(check.__name__)


ARRAY_API = """
import sys
import warnings
from sklearn.utils.estimator_checks import estimator_checks_generator
from fastbp import BackpropClassifier, BackpropRegressor

warnings.simplefilter("ignore")
estimator = {cls.__name__: cls for cls in (BackpropClassifier, BackpropRegressor)}[sys.argv[1]]
for estimator, check in estimator_checks_generator(estimator(dtype=sys.argv[2])):
    if check.func.__name__ == "check_array_api_input":
        check(estimator)
        print("passed")
"""


@pytest.mark.skipif(OLD, reason="scikit-learn checks it only since 1.7 whatever the tags say")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_array_api_check(estimator: type, dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ARRAY_API, estimator.__name__, dtype],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("passed\n", 0), done.stderr
