# SPDX-License-Identifier: BSD-3-Clause
"""The layering of the Python side."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastbp"
MODULES = sorted(PACKAGE.glob("*.py"))
CYTHON = sorted([*PACKAGE.glob("*.pyx"), *PACKAGE.glob("*.px[di]")])

# From the bottom up. A module imports from the layers below and, but for the estimators, its own.
LAYERS = [
    {"_core", "_reference", "_reference_dropout", "_reference_net"},
    {"_activations", "_cgroups", "_data", "_dropout", "_fpenv", "_interrupts", "_one_fit"}
    | {"_schedules", "_spread", "_threads", "_time_limit", "_weights"},
    {"_callbacks", "_checks", "_class_weight", "_conflicts", "_constraints", "_labels", "_lbfgs"}
    | {"_features", "_gradients", "_losses", "_optimizer", "_progress", "_scoring", "_stochastic"}
    | {"_representation", "_state", "_validation"},
    {"_base"},
    {"_classifier", "_regressor"},
    {"_displays"},
    {"_loss_curve_display", "_weights_display"},
    {"_show_versions", "_table"},
    {"_demo", "_pipeline"},
    {"_commands"},
]
LAYER = {stem: number for number, layer in enumerate(LAYERS) for stem in layer}
# The estimators with their parts, and what the command line fits and compares.
SCIKIT_LEARN = {"_base", "_classifier", "_regressor", "_data", "_labels", "_lbfgs", "_stochastic"}
SCIKIT_LEARN |= {"_callbacks", "_class_weight", "_constraints", "_demo", "_pipeline", "_time_limit"}
SCIKIT_LEARN |= {"_checks", "_losses", "_scoring", "_validation", "_features", "_gradients"}
SCIKIT_LEARN |= {"_displays"}


def imported(module: Path) -> set[str]:
    """Return every module that a module imports when it runs, wherever in its text."""
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(module.read_text("utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, ["fastbp" if node.level else "", node.module]))
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
        nodes.extend(ast.iter_child_nodes(node))
    return names


def own(module: Path) -> set[str]:
    """Return the package's own modules that a module imports."""
    parts = [name.split(".") for name in imported(module)]
    return {part[1] for part in parts if part[0] == "fastbp" and len(part) > 1} & LAYER.keys()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_scikit_learn_is_imported_by_estimators_and_command_line(module: Path) -> None:
    if module.stem not in SCIKIT_LEARN:
        assert not {name for name in imported(module) if name.split(".")[0] == "sklearn"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_layers(module: Path) -> None:
    if module.stem in {"__init__", "__main__"}:
        return
    assert module.stem in LAYER, "a new module gets its place in LAYERS"
    assert all(LAYER[name] <= LAYER[module.stem] for name in own(module))


def test_what_importing_the_package_loads() -> None:
    assert own(PACKAGE / "__init__.py") == {
        "_classifier",
        "_loss_curve_display",
        "_regressor",
        "_show_versions",
        "_weights_display",
    }
    assert "_regressor" not in own(PACKAGE / "_classifier.py")
    assert "_classifier" not in own(PACKAGE / "_regressor.py")


def test_the_core_knows_nothing_of_the_estimators() -> None:
    text = "\n".join(part.read_text("utf-8") for part in CYTHON)
    lines = re.findall(r"^\s*(?:from|import|cimport)\s+([\w.]+)", text, re.M)
    own_parts = {line for line in lines if line.startswith(("fastbp", "."))}
    assert own_parts == {"fastbp._fbp"}
    assert not {line for line in lines if line.startswith("sklearn")}


@pytest.mark.parametrize("part", CYTHON, ids=lambda path: path.name)
def test_no_list_comprehension_makes_objects(part: Path) -> None:
    # Cython 3.3.1 frees such an object twice when the list cannot grow.
    found = re.findall(r"\[([^\[\]\n]+) for \w", part.read_text("utf-8"))
    assert all(element.isidentifier() for element in found), found


@pytest.mark.parametrize("module", [*MODULES, *CYTHON], ids=lambda path: path.name)
def test_licence_line(module: Path) -> None:
    assert module.read_text("utf-8").startswith("# SPDX-License-Identifier: BSD-3-Clause\n")
