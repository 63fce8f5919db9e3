# SPDX-License-Identifier: BSD-3-Clause
"""The docs against the registry and the sources they speak of."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

from fastbp import (
    BackpropClassifier,
    BackpropRegressor,
    LossCurveDisplay,
    WeightsDisplay,
    _core,
)

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
CORE_README = (CSRC / "README.md").read_text("utf-8")
NAMES = _core.names()
FILES = r"(?<![>*/\w])[a-z][\w/]*\.(?:c|h|def)\b"


def documented_options(estimator: type, parameter: str) -> set[str]:
    """Return the choices that a docstring names, as in ``loss : {'a', 'b'}``."""
    found = re.search(rf"^ *{parameter} : \{{(.*?)\}}", estimator.__doc__ or "", re.M | re.S)
    assert found, f"{estimator.__name__} documents no choices of {parameter}"
    return set(re.findall(r"""["'](\w+)["']""", found[1]))


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_docstrings_have_the_registrys_activations(estimator: type) -> None:
    assert documented_options(estimator, "activation") == set(NAMES["activations"])


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_docstrings_have_the_registrys_precisions(estimator: type) -> None:
    assert documented_options(estimator, "matmul_precision") == set(NAMES["precisions"])


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_docstrings_have_the_solvers(estimator: type) -> None:
    # nesterov is sgd with nesterovs_momentum, plain_sgd without momentum; gradient serves lbfgs.
    solvers = (set(NAMES["solvers"]) - {"nesterov", "plain_sgd", "gradient"}) | {"lbfgs"}
    assert documented_options(estimator, "solver") == solvers


def test_docstrings_have_the_registrys_losses() -> None:
    # The classifier's two losses follow from its target.
    losses = set(NAMES["losses"]) - {"log_loss", "binary_log_loss"}
    assert documented_options(BackpropRegressor, "loss") == losses


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_examples_of_docstrings(estimator: Any, capsys: pytest.CaptureFixture[str]) -> None:
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    methods = [estimator.transform, estimator.loss_gradient]
    for each in (estimator, *methods):
        (test,) = finder.find(each, each.__name__, globs={})
        assert test.examples
        runner.run(test)
    assert runner.failures == 0, capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("display", [LossCurveDisplay, WeightsDisplay])
def test_examples_of_the_displays(
    display: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(display, display.__name__):
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(re.findall(FILES, CORE_README))))
def test_the_files_that_the_cores_readme_names_exist(name: str) -> None:
    assert (CSRC / name).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bfbp_\w+", CORE_README))))
def test_the_functions_that_the_cores_readme_names_exist(name: str) -> None:
    sources = [path.read_text("utf-8") for path in CSRC.rglob("*.[ch]")]
    assert any(re.search(rf"\b{name}\b", source) for source in sources)


def test_the_cores_readme_has_a_row_for_every_family() -> None:
    table = CORE_README.partition("| family |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(NAMES["isas"])


# The recipes under "How to add" tell where a name's functions are.


def defined(file: str) -> str:
    return (CSRC / file).read_text("utf-8")


@pytest.mark.parametrize("name", NAMES["activations"])
def test_recipe_of_an_activation(name: str) -> None:
    text = defined("kernels/act_tmpl.c")
    stored = re.search(rf"^FBP_ACTIVATION\(\w+, {name}, STORED\)", defined("registry.def"), re.M)
    second = "slope" if stored else "backward"
    assert re.search(rf"\b{name}_forward\(", text) and re.search(rf"\b{name}_{second}\(", text)


@pytest.mark.parametrize("name", NAMES["solvers"])
def test_recipe_of_a_solver(name: str) -> None:
    assert re.search(rf"\b{name}_step\(", defined("kernels/solver_tmpl.c"))


@pytest.mark.parametrize("name", NAMES["losses"])
def test_recipe_of_a_loss(name: str) -> None:
    # A softmax over class codes has a function of its own, in a file of its own.
    forms = rf"\b{name}_terms\(|KERNEL\(loss_{name}\)\("
    assert re.search(forms, defined("kernels/loss_tmpl.c") + defined("kernels/softmax_tmpl.c"))


@pytest.mark.parametrize("name", NAMES["isas"])
def test_recipe_of_an_instruction_set(name: str) -> None:
    splits = re.search(rf"^FBP_SPLIT_ISA\(\w+, {name},", defined("registry.def"), re.M)
    reals = ("f32",) if splits else ("f32", "f64")
    files = [CSRC / "isa" / f"{name}_{real}.{kind}" for real in reals for kind in "ch"]
    assert [file.name for file in files if not file.exists()] == []
    assert re.search(rf"\bhas_{name}\(", defined("dispatch.c"))
