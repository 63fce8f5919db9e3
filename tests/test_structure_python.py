# SPDX-License-Identifier: BSD-3-Clause
"""The layering of the Python side, and the docs against the registry."""

import ast
import re
from pathlib import Path

import pytest

from fastbp import BackpropClassifier, BackpropRegressor, _core

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastbp"
MODULES = sorted(PACKAGE.glob("*.py"))
ESTIMATORS = {"_base", "_classifier", "_regressor"}
COMMAND_LINE = {"__main__", "_commands", "_demo", "_pipeline", "_show_versions", "_table"}


def imported(module: Path) -> set[str]:
    """Return every module that a module imports, wherever in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, ["fastbp" if node.level else "", node.module]))
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return names


def own(module: Path) -> set[str]:
    """Return the package's own modules that a module imports."""
    stems = {path.stem for path in MODULES} | {"_core"}
    parts = [name.split(".") for name in imported(module)]
    return {part[1] for part in parts if part[0] == "fastbp" and len(part) > 1} & stems


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_scikit_learn_is_imported_by_estimators_and_command_line(module: Path) -> None:
    if module.stem not in ESTIMATORS | COMMAND_LINE:
        assert not {name for name in imported(module) if name.split(".")[0] == "sklearn"}


def test_layers() -> None:
    modules = {module.stem: own(module) for module in MODULES}
    assert modules["_reference"] == set()
    assert "_core" in modules["_base"]
    assert not modules["_base"] & {"_classifier", "_regressor"}
    assert "_base" in modules["_classifier"] and "_regressor" not in modules["_classifier"]
    assert "_base" in modules["_regressor"] and "_classifier" not in modules["_regressor"]
    for estimator in ESTIMATORS:
        assert not modules[estimator] & COMMAND_LINE


def test_the_core_knows_nothing_of_the_estimators() -> None:
    text = (PACKAGE / "_core.pyx").read_text("utf-8")
    lines = re.findall(r"^\s*(?:from|import|cimport)\s+([\w.]+)", text, re.M)
    assert not {line for line in lines if line.startswith(("sklearn", "fastbp._base"))}


@pytest.mark.parametrize("module", [*MODULES, PACKAGE / "_core.pyx"], ids=lambda path: path.name)
def test_licence_line(module: Path) -> None:
    assert module.read_text("utf-8").startswith("# SPDX-License-Identifier: BSD-3-Clause\n")


def documented_options(estimator: type, parameter: str) -> set[str]:
    """Return the choices that a docstring names, as in ``loss : {'a', 'b'}``."""
    found = re.search(rf"^ *{parameter} : \{{(.*?)\}}", estimator.__doc__ or "", re.M | re.S)
    assert found, f"{estimator.__name__} documents no choices of {parameter}"
    return set(re.findall(r"""["'](\w+)["']""", found[1]))


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_docstrings_have_the_registrys_activations(estimator: type) -> None:
    assert documented_options(estimator, "activation") == set(_core.names()["activations"])


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_docstrings_have_the_solvers(estimator: type) -> None:
    # nesterov is sgd with nesterovs_momentum; gradient serves lbfgs.
    solvers = (set(_core.names()["solvers"]) - {"nesterov", "gradient"}) | {"lbfgs"}
    assert documented_options(estimator, "solver") == solvers


def test_docstrings_have_the_registrys_losses() -> None:
    # The classifier's two losses follow from its target.
    losses = set(_core.names()["losses"]) - {"log_loss", "binary_log_loss"}
    assert documented_options(BackpropRegressor, "loss") == losses


def test_the_cores_readme_names_the_whole_registry() -> None:
    text = (ROOT / "csrc" / "README.md").read_text("utf-8")
    names = [name for names in _core.names().values() for name in names]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
