# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own tests of its MLP, run on ours.

The installed scikit-learn brings the file. It is loaded once for each type of arithmetic, while
``sklearn.neural_network`` has our classes under its names, and its tests are collected here.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import sklearn.neural_network

from fastbp import BackpropClassifier, BackpropRegressor

FILE = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"
if not FILE.exists():  # some distributions leave a package's tests out
    pytest.skip(f"this scikit-learn has no {FILE}", allow_module_level=True)

LEFT_OUT = {
    "float64": {
        # They set and call scikit-learn's own internals.
        "test_fit",
        "test_gradient",
        # Weights have the type of X there, here that of the parameter `dtype`.
        "test_mlp_param_dtypes",
    }
}
# And one that asks for 1e-7 after 100 epochs.
LEFT_OUT["float32"] = LEFT_OUT["float64"] | {"test_partial_fit_regression"}


def load(dtype: str) -> ModuleType:
    """Return scikit-learn's tests with our classes in the place of its own."""
    ours = {}
    for name, estimator in (
        ("MLPClassifier", BackpropClassifier),
        ("MLPRegressor", BackpropRegressor),
    ):
        ours[name] = partial(estimator, dtype=dtype)
        ours[name].__name__ = estimator.__name__  # for the ids of parametrized tests
    spec = importlib.util.spec_from_file_location(f"test_mlp_{dtype}", FILE)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.multiple(sklearn.neural_network, **ours):
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def global_random_seed() -> int:
    """Stand in for the fixture of scikit-learn's own configuration."""
    return 42


def collect(dtype: str) -> type:
    """Return a class whose methods are scikit-learn's tests."""
    tests = {name: test for name, test in vars(load(dtype)).items() if name.startswith("test_")}
    assert tests.keys() > LEFT_OUT[dtype]
    kept = {name: staticmethod(test) for name, test in tests.items() if name not in LEFT_OUT[dtype]}
    return type(f"Test{dtype.capitalize()}", (), kept)


TestFloat64 = collect("float64")
TestFloat32 = collect("float32")
