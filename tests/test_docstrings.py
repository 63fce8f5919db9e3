# SPDX-License-Identifier: BSD-3-Clause
"""Docstrings against what they describe: signatures, defaults, fitted attributes; and types."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import draw

import fastbp
from fastbp import BackpropClassifier, BackpropRegressor, LossCurveDisplay, WeightsDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [BackpropClassifier, BackpropRegressor]
CLASSES = [*ESTIMATORS, LossCurveDisplay, WeightsDisplay]


def public_methods() -> Iterator[Any]:
    """Yield every public method that the package writes itself, once for each class."""
    for owner in CLASSES:
        for name in dir(owner):
            method = getattr(owner, name, None)
            module = getattr(inspect.unwrap(method), "__module__", "") if callable(method) else ""
            if not name.startswith("_") and (module or "").startswith("fastbp"):
                yield pytest.param(method, id=f"{owner.__name__}.{name}")


def section(doc: str, title: str) -> str:
    """Return one section of a numpydoc docstring, without its title."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", doc, re.M | re.S)
    return found[1] if found else ""


def described(doc: str, title: str) -> dict[str, str]:
    """Return what a section says of each name, from ``name : type``; types may be continued."""
    joined = re.sub(r"\\\n\s+|\\\n", " ", section(doc, title))
    return dict(re.findall(r"^(\w+) : (.+)$", joined, re.M))


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    return {name: value for name, value in found.items() if name not in ("self", "cls")}


def assert_defaults_agree(types: dict[str, str], function: Callable[..., Any]) -> None:
    signature = parameters(function)
    assert list(types) == list(signature)
    for name, text in types.items():
        written = re.search(r"default=(.+)$", text)
        default = signature[name].default
        if default is inspect.Parameter.empty:
            assert written is None, name
        else:
            assert written is not None, name
            assert ast.literal_eval(written[1]) == default, name


@pytest.mark.parametrize("owner", CLASSES)
def test_parameters_and_defaults_of_classes(owner: type) -> None:
    doc = inspect.cleandoc(owner.__doc__ or "")
    assert_defaults_agree(described(doc, "Parameters"), owner)
    for title in ("Parameters", "Attributes", "See Also", "Examples"):
        assert section(doc, title), title


@pytest.mark.parametrize("method", [*public_methods()])
def test_docstrings_of_methods(method: Any) -> None:
    doc = inspect.cleandoc(method.__doc__ or "")
    summary = doc.partition("\n")[0]
    assert summary and summary.endswith("."), "one line that sums it up"
    assert_defaults_agree(described(doc, "Parameters"), method)
    assert section(doc, "Returns"), "all public methods return something"


def fitted_attributes(estimator: type) -> set[str]:
    """Return the public attributes that any fit sets."""
    X, y = draw()
    found = set()
    for params in ({"solver": "lbfgs"}, {"early_stopping": True}):
        import pandas as pd

        frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
        model = estimator(max_iter=3, **params).fit(frame, y)
        found |= {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    return found


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_attributes_are_those_that_a_fit_sets(estimator: type) -> None:
    doc = inspect.cleandoc(estimator.__doc__ or "")
    assert set(described(doc, "Attributes")) == fitted_attributes(estimator)


def test_attributes_of_displays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    model = BackpropClassifier(max_iter=3, early_stopping=True).fit(*draw())
    for display in (LossCurveDisplay, WeightsDisplay):
        drawn = display.from_estimator(model)
        doc = inspect.cleandoc(display.__doc__ or "")
        assert set(described(doc, "Attributes")) == {n for n in vars(drawn) if n.endswith("_")}
        assert set(described(doc, "Parameters")) == {n for n in vars(drawn) if n[-1] != "_"}
    pyplot.close("all")


def test_a_wrong_default_is_noticed() -> None:
    def function(a: int, b: float = 0.5, c: object = np.inf) -> None:
        """Do nothing."""

    right = {"a": "int", "b": "float, default=0.5", "c": "float or None, default=None"}
    for wrong in (right, {"a": "int"}, right | {"b": "float, default=0.4"}, right | {"b": "float"}):
        with pytest.raises(AssertionError):
            assert_defaults_agree(wrong, function)


# Types

USES = """
import fastbp
from fastbp import BackpropClassifier, BackpropRegressor, LossCurveDisplay, WeightsDisplay

X, y = [[0.0], [1.0]], [0, 1]
model = BackpropClassifier((5,), alpha=1e-3, early_stopping=False)
reveal_type(model.fit(X, y))
reveal_type(model.partial_fit(X, y, classes=[0, 1]))
reveal_type(model.predict_proba(X))
reveal_type(model.loss_curve_)
reveal_type(model.loss_gradient(X, y).loss)
reveal_type(BackpropRegressor(quantile=[0.1, 0.9]).fit(X, y).coefs_)
reveal_type(LossCurveDisplay.from_estimator(model))
reveal_type(WeightsDisplay.from_estimator(model).coef)
reveal_type(fastbp.show_versions())
model.fit(X)
BackpropClassifier(quantile=0.5)
"""


def mypy(*arguments: str, cwd: Path) -> str:
    if shutil.which("mypy", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("mypy is not installed: it is of the extra dev")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *arguments]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False).stdout


def test_users_tools_see_the_types(tmp_path: Path) -> None:
    (tmp_path / "uses.py").write_text(USES, "utf-8")
    # The package as it is installed, or in its own tree.
    config = (
        f"[mypy]\nmypy_path = {Path(fastbp.__file__).parents[1]}\nignore_missing_imports = true\n"
    )
    (tmp_path / "mypy.ini").write_text(config, "utf-8")
    lines = mypy("--config-file=mypy.ini", "uses.py", cwd=tmp_path).splitlines()
    told = [line.partition('Revealed type is "')[2][:-1] for line in lines if "Revealed" in line]
    ours = "fastbp._classifier.BackpropClassifier"
    assert told[:2] == [ours, ours]
    assert "ndarray" in told[2] and "list[" in told[3]
    assert told[4].endswith("float") and "ndarray" in told[5]
    assert told[6] == "fastbp._loss_curve_display.LossCurveDisplay"
    assert "ndarray" in told[7] and told[8] == "None"
    errors = [line for line in lines if ": error: " in line]
    assert len(errors) == 2
    assert 'Missing positional argument "y"' in errors[0]
    assert 'Unexpected keyword argument "quantile"' in errors[1]


def test_the_package_says_that_it_has_types() -> None:
    assert (Path(fastbp.__file__).parent / "py.typed").read_text("utf-8") == ""
