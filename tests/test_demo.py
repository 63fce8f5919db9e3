# SPDX-License-Identifier: BSD-3-Clause
"""`python -m fastbp`: the first thing that a newcomer sees."""

import re

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fastbp import BackpropClassifier, BackpropRegressor, _demo
from fastbp.__main__ import main


@pytest.fixture(scope="module")
def contests() -> dict[str, tuple[_demo.Problem, list[_demo.Side]]]:
    """Return both comparisons, of one round each."""
    # One thread: on a busy machine scikit-learn's BLAS loses minutes waiting for its second one.
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(_demo, "ROUNDS", 1)
        problems = {"digits": _demo.digits(), "diabetes": _demo.diabetes()}
        return {name: (problem, _demo.compare(problem)) for name, problem in problems.items()}


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_both_reach_the_same_curve(
    contests: dict[str, tuple[_demo.Problem, list[_demo.Side]]], name: str
) -> None:
    reference, exact, default = contests[name][1]
    assert reference.model.n_iter_ == exact.model.n_iter_
    assert _demo.curve_deviation(exact, reference) < 1e-9
    assert _demo.curve_deviation(default, reference) < 1e-2
    assert all(len(side.seconds) == 1 for side in (reference, exact, default))


def test_scores_are_worth_showing(
    contests: dict[str, tuple[_demo.Problem, list[_demo.Side]]],
) -> None:
    for name, least in (("digits", 0.95), ("diabetes", 0.35)):
        problem, sides = contests[name]
        scores = [side.model.score(problem.X_test, problem.y_test) for side in sides]
        assert min(scores) > least
        assert np.ptp(scores) < 0.01


def test_every_side_gets_the_same_parameters(
    contests: dict[str, tuple[_demo.Problem, list[_demo.Side]]],
) -> None:
    for problem, sides in contests.values():
        reference = sides[0].model.get_params()
        for side in sides[1:]:
            assert type(side.model) in (BackpropClassifier, BackpropRegressor)
            ours = side.model.get_params()
            assert reference.items() <= ours.items()
        assert [side.model.dtype for side in sides[1:]] == ["float64", "auto"]
        assert problem.parameters.items() <= reference.items()


def test_what_is_printed(
    contests: dict[str, tuple[_demo.Problem, list[_demo.Side]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_demo, "compare", lambda problem: contests[problem.title.split(":")[0]][1])
    assert main([]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 100
    assert re.findall(r"^(?:CPU|kernels|threads)  +\S", out, re.M)
    for word in ("loss", "accuracy", "R²", "seconds", "speed-up", "loss after epoch"):
        assert word in out
    for name in ("MLPClassifier", "BackpropClassifier", "MLPRegressor", "BackpropRegressor"):
        # One line in the table of results, one in the curves', for each side.
        count = 4 if name.startswith("Backprop") else 2
        assert len(re.findall(rf"^{name}\b.*\d", out, re.M)) == count
    assert len(re.findall(r"^Backprop.* \d+\.\d ×$", out, re.M)) == 4


def test_a_slow_machine_does_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = _demo.diabetes()
    problem.parameters = {"max_iter": 2, "random_state": 0}
    monkeypatch.setattr(_demo, "MAX_SECONDS", 0.0)
    assert [len(side.seconds) for side in _demo.compare(problem)] == [1, 1, 1]
