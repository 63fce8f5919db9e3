# SPDX-License-Identifier: BSD-3-Clause
"""Parameters: scikit-learn's, documented, and checked."""

from __future__ import annotations

import inspect
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from models import draw, since_scikit_learn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp._losses import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


BAD_PARAMETERS: dict[str, list[Any]] = {
    "hidden_layer_sizes": [0, -1, 3.5, "a", (3.5,), (2, 0), [[3]], None, (10**7, 10**7), 2**63],
    "activation": ["gelu?", None, 1, {"relu"}, ["gelu?"], [None], [["relu"]], ["relu"] * 2, ()],
    "solver": ["newton"],
    "alpha": [-1, np.nan, "a"],
    "batch_size": [0, -5, 2.5, "all"],
    "learning_rate": ["cosine?"],
    "learning_rate_init": [0, -1, np.nan],
    "power_t": [-1],
    "max_iter": [0, 1.5],
    "shuffle": ["yes"],
    "random_state": ["seed", -1],
    "tol": [-1],
    "momentum": [-0.1, 1.1],
    "nesterovs_momentum": ["no"],
    "warm_start": ["solver", 2],
    "early_stopping": ["no"],
    "validation_fraction": [-0.1, 1],
    "beta_1": [1, -0.1],
    "beta_2": [1],
    "epsilon": [0],
    "n_iter_no_change": [0, 2.5],
    "max_fun": [0],
    "scoring": ["best", 1, ["r2"], {"r2": "r2"}],
    "dropout": [-0.1, 1, 1.5, np.nan, True, "a", None, (0.5, 0.5), (1.0,), ("a",), (), [[0.5]]],
    "weight_decay": [-1e-3, np.nan, None, "a"],
    "max_grad_norm": [0, -1.0, np.nan, "a"],
    "warmup": [-1, -0.5, np.nan, "auto", None],
    "max_time": [0, -1, np.nan, "1s"],
    "dtype": ["float16", np.float32, None],
    "matmul_precision": ["low", "HIGH", None, 3],
    "n_jobs": [0, 1.5, "all"],
}
CLASSIFIER_ONLY = {"class_weight": ["even", [1, 2], 1.0], "label_smoothing": [-0.1, 1, None]}
REGRESSOR_ONLY = {"quantile": [0, 1.5, None, [0.1, 0.1]], "huber_delta": [0, -1, np.inf]}


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        *product([BackpropClassifier, BackpropRegressor], BAD_PARAMETERS),
        *product([BackpropClassifier], CLASSIFIER_ONLY),
        *product([BackpropRegressor], REGRESSOR_ONLY),
    ],
)
def test_bad_parameters_raise(estimator: type, name: str) -> None:
    X, _ = draw(10)
    for value in (BAD_PARAMETERS | CLASSIFIER_ONLY | REGRESSOR_ONLY)[name]:
        with pytest.raises((ValueError, MemoryError)) as error:
            estimator(**{name: value}).fit(X, np.arange(10) % 2)
        if name != "random_state":
            assert name in str(error.value)


@since_scikit_learn("1.9", "has other parameters")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(BackpropClassifier, MLPClassifier), (BackpropRegressor, MLPRegressor)],
)
def test_parameters_are_those_of_scikit_learn(ours: type, theirs: type) -> None:
    mine = inspect.signature(ours).parameters
    other = inspect.signature(theirs).parameters
    assert [*mine][: len(other)] == [*other]
    own = ["scoring", "dropout", "weight_decay", "max_grad_norm", "warmup", "max_time"]
    own += ["dtype", "matmul_precision", "n_jobs"]
    of_task = {
        BackpropClassifier: ["class_weight", "label_smoothing"],
        BackpropRegressor: ["quantile", "huber_delta"],
    }
    own += of_task[ours]
    assert {name: p.default for name, p in mine.items() if name not in own} == {
        name: p.default for name, p in other.items()
    }
    assert [mine[name].kind for name in other] == [p.kind for p in other.values()]
    assert [*mine][len(other) :] == own
    assert all(mine[name].kind is inspect.Parameter.KEYWORD_ONLY for name in own)
    for method in ("fit", "partial_fit", "predict", "score"):
        expected = [*inspect.signature(getattr(theirs, method)).parameters]
        if method == "fit":
            expected += ["X_val", "y_val", "sample_weight_val"]
        assert [*inspect.signature(getattr(ours, method)).parameters] == expected
    assert documented_parameters(ours.__doc__ or "") == [*mine]


def documented_parameters(doc: str) -> list[str]:
    """Return the parameters that a docstring describes, in order."""
    lines = inspect.cleandoc(doc).partition("Parameters\n")[2].partition("Attributes\n")[0]
    return re.findall(r"^(\w+) : ", lines, re.MULTILINE)


def test_names_of_the_registry_are_documented() -> None:
    for estimator in (BackpropClassifier, BackpropRegressor):
        for kind in ("activations", "precisions"):
            for name in _core.names()[kind]:
                assert f"'{name}'" in estimator.__doc__
    for name in LOSSES:
        assert f"- '{name}': " in BackpropRegressor.__doc__


def test_a_parameter_of_another_solver_is_accepted() -> None:
    X, y = draw()
    BackpropRegressor(solver="lbfgs", max_iter=2, early_stopping=True, batch_size=7).fit(X, y)
    BackpropRegressor(solver="adam", max_iter=2, momentum=0.3, max_fun=1).fit(X, y)
