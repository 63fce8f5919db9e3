# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's callbacks: what they are shown and when, what they may do, what they leave."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections import Counter
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from models import ESTIMATORS, SOLVERS, draw, fitted
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor

sklearn_callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and newer")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """Notes every hook that is called, and what it is shown."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any, dict[str, Any]]] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.note("setup", estimator, context)

    def teardown(self, estimator: Any, context: Any) -> None:
        self.note("teardown", estimator, context)

    def on_fit_task_begin(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any
    ) -> None:
        self.note("begin", estimator, context, X=X, y=y, metadata=metadata)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> Any:
        self.note("end", estimator, context, X=X, y=y, metadata=metadata, fitted=fitted_estimator)
        return False

    def note(self, hook: str, estimator: Any, context: Any, **shown: Any) -> None:
        self.calls.append((hook, estimator, context, shown))

    def counts(self) -> Counter[str]:
        return Counter(call[0] for call in self.calls)

    def models(self) -> list[Any]:
        """The estimators shown at the ends: of the epochs, then of the fit."""
        return [shown["fitted"] for hook, _, _, shown in self.calls if hook == "end"]


class Stop(Recorder):
    """Stops a training at the end of an epoch."""

    def __init__(self, n_iter: int) -> None:
        super().__init__()
        self.n_iter = n_iter

    def on_fit_task_end(self, estimator: Any, context: Any, **shown: Any) -> bool:  # type: ignore[override]
        self.note("end", estimator, context)
        return context.parent is not None and context.task_id + 1 == self.n_iter


class Failing(Recorder):
    """Raises in the call with this number of a hook."""

    def __init__(self, hook: str, number: int = 1, error: type[BaseException] = ValueError) -> None:
        super().__init__()
        self.hook, self.number, self.error = hook, number, error

    def note(self, hook: str, estimator: Any, context: Any, **shown: Any) -> None:
        super().note(hook, estimator, context)
        if hook == self.hook and self.counts()[hook] == self.number:
            raise self.error("fails")


def learnt(model: Any) -> str:
    """Return a fingerprint of what a fit found."""
    return str(joblib.hash(model._fitted_attributes()))


# What they are shown


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_tree_of_tasks(estimator: type, solver: str) -> None:
    X, y = draw()
    weight = np.linspace(1, 2, len(y))
    recorder = Recorder()
    model = estimator(solver=solver, max_iter=4, random_state=0).set_callbacks(recorder)
    assert model.fit(X, y, weight) is model
    hooks = [call[0] for call in recorder.calls]
    assert hooks == ["setup", "begin", *["begin", "end"] * 4, "end", "teardown"]
    root = recorder.calls[0][2]
    assert (root.task_name, root.max_subtasks, root.parent) == ("fit", 4, None)
    for hook, shown_to, context, shown in recorder.calls:
        assert shown_to is model
        if hook in ("begin", "end"):
            assert shown["X"] is X
            assert shown["y"] is y
            assert shown["metadata"] == {"sample_weight": weight}
            assert shown["metadata"]["sample_weight"] is weight
        if context is not root:
            assert (context.task_name, context.max_subtasks) == ("epoch", 0)
            assert context.parent is root
    ids = [context.task_id for hook, _, context, _ in recorder.calls[2:-2] if hook == "end"]
    assert ids == [0, 1, 2, 3]
    model.fit(X, y)
    assert recorder.calls[-2][3]["metadata"] is None
    left = {name for name in vars(model) if "callback" in name}
    assert left == {"_skl_callbacks"}


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_epoch_that_is_not_run_is_no_task(solver: str) -> None:
    X, y = load_diabetes(return_X_y=True)
    recorder = Recorder()
    model = BackpropRegressor(
        hidden_layer_sizes=5, solver=solver, tol=1e6, n_iter_no_change=2, random_state=0
    )
    model.set_callbacks(recorder).fit(X, y)
    assert model.n_iter_ < model.max_iter
    assert recorder.counts()["end"] == model.n_iter_ + 1
    assert recorder.counts()["begin"] == model.n_iter_ + 1


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam"},
        {"solver": "sgd", "learning_rate": "adaptive"},
        {"solver": "adam", "early_stopping": True, "learning_rate_init": 0.05},
        {"solver": "adam", "early_stopping": True, "scoring": "loss"},
        {"solver": "sgd", "warm_start": True},
        {"solver": "lbfgs"},
        {"solver": "lbfgs", "dtype": "float32"},
    ],
    ids=lambda params: "-".join(str(value) for value in params.values()),
)
def test_the_estimator_shown_is_that_of_a_fit_that_ends_there(params: dict[str, Any]) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16, y[:300]
    recorder = Recorder()
    model = BackpropClassifier((20, 10), max_iter=5, random_state=0, **params)
    model.set_callbacks(recorder).fit(X, y)
    shown = recorder.models()
    assert len(shown) == 6
    for n_iter, other in enumerate(shown[:5], 1):
        expected = clone(model).set_callbacks().set_params(max_iter=n_iter).fit(X, y)
        assert learnt(other) == learnt(expected)
        np.testing.assert_array_equal(other.predict_proba(X), expected.predict_proba(X))
    assert learnt(shown[5]) == learnt(model)
    if model.solver != "lbfgs" and not model.early_stopping:  # with the solver's state of then
        expected = clone(model).set_callbacks().set_params(max_iter=3).fit(X, y)
        assert learnt(shown[2].partial_fit(X, y)) == learnt(expected.partial_fit(X, y))


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_are_shown_too(task: str) -> None:
    X, y = draw()
    Y = np.stack([y, 1 - y, X[:, 1] > 0], axis=1).astype(float)
    recorder = Recorder()
    model = (BackpropRegressor if task == "regression" else BackpropClassifier)(max_iter=2)
    model.set_callbacks(recorder).fit(X, Y if task == "regression" else Y.astype(int))
    np.testing.assert_array_equal(recorder.models()[1].predict(X), model.predict(X))


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_no_array_is_shared(params: dict[str, Any]) -> None:
    class Vandal(Recorder):
        def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:  # type: ignore[override]
            if context.parent is None:
                return  # the estimator itself
            for arrays in (fitted_estimator.coefs_, fitted_estimator.intercepts_):
                for array in arrays:
                    array[...] = np.nan
            fitted_estimator.classes_[...] = 7
            fitted_estimator.feature_names_in_[...] = "gone"
            if hasattr(fitted_estimator, "loss_curve_"):
                fitted_estimator.loss_curve_.clear()

    X, y = draw()
    X = pd.DataFrame(X, columns=list("abcd"))
    model = BackpropClassifier(4, max_iter=6, random_state=0, **params)
    expected = clone(model).fit(X, y)
    assert learnt(model.set_callbacks(Vandal()).fit(X, y)) == learnt(expected)


def test_what_an_earlier_fit_left_is_not_shown() -> None:
    X, y = draw()
    frame = pd.DataFrame(X, columns=list("abcd"))
    recorder = Recorder()
    model = BackpropClassifier(4, max_iter=2, random_state=0).fit(frame, y)
    model.set_params(solver="lbfgs").set_callbacks(recorder).fit(X, y)
    first = recorder.models()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.predict(X)
    assert first.loss_curve_ is None
    assert first.feature_names_in_ is None
    assert not hasattr(model, "feature_names_in_")


def test_partial_fit_calls_none() -> None:
    recorder = Recorder()
    BackpropRegressor().set_callbacks(recorder).partial_fit(*draw())
    assert recorder.calls == []


def test_a_fit_without_callbacks_makes_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(sklearn_callback.CallbackContext, "subcontext", refuse)
    for solver in SOLVERS:
        fitted(BackpropRegressor, solver=solver)


# What they may do


@pytest.mark.parametrize("solver", SOLVERS)
def test_stop(solver: str, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = draw()
    model = BackpropClassifier(5, solver=solver, tol=0, random_state=0, verbose=True)
    model.set_callbacks(Stop(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.n_iter_ == 3
    assert not model.interrupted_
    assert capsys.readouterr().out.splitlines()[-1] == "A callback stopped the training."
    assert [call[0] for call in model._skl_callbacks[0].calls][-3:] == ["end", "end", "teardown"]
    expected = clone(model).set_callbacks().set_params(max_iter=3).fit(X, y)
    assert learnt(model) == learnt(expected)


def test_stop_with_early_stopping_restores_the_best() -> None:
    X, y = draw(200)
    model = BackpropClassifier(early_stopping=True, learning_rate_init=0.1, random_state=0)
    model.set_callbacks(Stop(6)).fit(X, y)
    assert (model.n_iter_, len(model.validation_scores_)) == (6, 6)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert best < 6
    assert model.best_n_iter_ == best
    expected = clone(model).set_callbacks().set_params(max_iter=best).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])


def test_stop_by_what_a_callback_sees() -> None:
    class GoodEnough(Recorder):
        def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:  # type: ignore[override]
            self.score = fitted_estimator.score(X_test, y_test)
            return self.score > 0.9

    X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    callback = GoodEnough()
    model = BackpropClassifier(random_state=0).set_callbacks(callback).fit(X, y)
    assert 1 < model.n_iter_ < 20
    assert model.score(X_test, y_test) == callback.score > 0.9


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callbacks_interrupt_is_the_users(solver: str) -> None:
    X, y = draw()
    model = BackpropRegressor(hidden_layer_sizes=5, solver=solver, random_state=0)
    model.set_callbacks(Failing("end", 3, KeyboardInterrupt))
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert (model.n_iter_, model.interrupted_) == (3, True)
    hooks = [call[0] for call in model._skl_callbacks[0].calls]
    assert hooks[-3:] == ["end", "end", "teardown"]  # of the epoch, and of the fit
    model.set_callbacks(Failing("begin", 2, KeyboardInterrupt))
    before = learnt(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert learnt(model) == before


# What they leave


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("hook", "number"),
    [("setup", 1), ("begin", 1), ("begin", 3), ("end", 2), ("end", 4), ("teardown", 1)],
)
@pytest.mark.parametrize("error", [ValueError, StopIteration])
def test_a_callback_that_fails_changes_nothing(
    error: type[Exception], hook: str, number: int, solver: str
) -> None:
    X, y = draw()
    for model in (BackpropClassifier(), fitted(BackpropClassifier, solver="adam")):
        callback = Failing(hook, number, error)
        model.set_params(solver=solver, max_iter=3).set_callbacks(callback)
        before = vars(model).copy()
        with pytest.raises((error, RuntimeError)):
            model.fit(X, y)
        after = vars(model)
        assert after.keys() == before.keys()
        assert all(after[name] is value for name, value in before.items())
        assert callback.counts()["teardown"] == 1
        assert model.set_callbacks().fit(X, y).n_iter_ == 3


def test_divergence_shows_the_best() -> None:
    X, y = draw(100)
    params = {"solver": "sgd", "learning_rate_init": 30, "early_stopping": True}
    recorder = Recorder()
    model = BackpropRegressor(random_state=0, **params).set_callbacks(recorder)
    with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(100 * X, y)
    assert np.isnan(model.validation_scores_[-1])
    for shown in recorder.models():
        assert np.isfinite(shown.predict(X)).all()
    np.testing.assert_array_equal(recorder.models()[-2].coefs_[0], model.coefs_[0])
    model.set_params(learning_rate_init=1e200)
    before, n_calls = learnt(model), len(recorder.calls)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite"):
        model.fit(X, y)
    assert learnt(model) == before
    assert [call[0] for call in recorder.calls[n_calls:]] == ["setup", "begin", "begin", "teardown"]


def test_clones_copies_and_pickles_have_the_callbacks() -> None:
    X, y = draw()
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    model = BackpropClassifier(max_iter=3, random_state=0).set_callbacks(monitor).fit(X, y)
    assert clone(model)._skl_callbacks == copy.copy(model)._skl_callbacks == [monitor]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    again.fit(X, y)
    assert len(again._skl_callbacks[0].get_logs(select="all")) == 2
    assert len(monitor.get_logs(select="all")) == 1
    assert not hasattr(model.set_callbacks(), "_skl_callbacks")


# scikit-learn's own


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_scoring_monitor(solver: str, weighted: bool) -> None:
    X, y = load_diabetes(return_X_y=True)
    weight = np.linspace(0, 2, len(y)) if weighted else None
    monitor = sklearn_callback.ScoringMonitor(scoring="r2")
    model = BackpropRegressor(hidden_layer_sizes=5, solver=solver, max_iter=6, random_state=0)
    model.set_callbacks(monitor).fit(X, y, weight)
    log = monitor.get_logs().data
    assert [row["task_id_path"] for row in log] == [(0,), *((0, i) for i in range(6))]
    assert {row["estimator_name"] for row in log} == {"BackpropRegressor"}
    assert log[0]["r2"] == log[-1]["r2"] == model.score(X, y, weight)
    third = clone(model).set_callbacks().set_params(max_iter=3).fit(X, y, weight)
    assert log[3]["r2"] == third.score(X, y, weight)


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = load_digits(return_X_y=True)
    bar = sklearn_callback.ProgressBar()
    model = BackpropClassifier(max_iter=20, random_state=0).set_callbacks(bar)
    model.fit(X / 16, y)
    printed = capsys.readouterr().out
    assert "BackpropClassifier - fit" in printed
    assert "100%" in printed


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_propagation_through_search_and_pipeline(
    n_jobs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    network = BackpropClassifier((8,), max_iter=3, random_state=0).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), network)
    search = GridSearchCV(pipeline, {"backpropclassifier__alpha": [1e-4, 1.0]}, n_jobs=n_jobs, cv=2)
    search.set_callbacks(sklearn_callback.ProgressBar(max_propagation_depth=2)).fit(X, y)
    printed = capsys.readouterr().out
    assert "GridSearchCV - fit" in printed
    assert "BackpropClassifier - fit" in printed
    assert "100%" in printed
    # Two candidates × two folds, then the refit: each a root and three epochs, in one run.
    (log,) = monitor.get_logs(select="all")
    assert log.estimator_name == "GridSearchCV"
    assert len(log.data) == 5 * 4
    depth = {len(row["task_id_path"]) for row in log.data if row["task_name"] == "epoch"}
    best = search.best_estimator_[-1]
    assert min(depth) > 2
    assert best._skl_callbacks == [monitor]  # the bar is gone again
    assert "_parent_callback_ctx" not in vars(best)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_below_functions_that_know_no_callbacks(backend: str) -> None:
    X, y = draw(120)
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    model = BackpropClassifier(max_iter=3, random_state=0).set_callbacks(monitor)
    with joblib.parallel_backend(backend):
        cross_val_score(model, X, y, cv=3, n_jobs=2)
    logs = monitor.get_logs(select="all")
    assert sum(len(log.data) for log in logs) == 3 * 4


def test_without_the_api() -> None:
    program = """
    import sys
    import sklearn.callback, sklearn.model_selection, sklearn.neural_network, sklearn.preprocessing
    api, sys.modules["sklearn.callback"] = sklearn.callback, None
    from fastbp import BackpropClassifier, BackpropRegressor
    sys.modules["sklearn.callback"] = api
    X, y = [[0.0], [1.0], [2.0]], [0, 1, 1]
    for estimator in (BackpropClassifier, BackpropRegressor):
        for solver in ("adam", "lbfgs"):
            model = estimator(solver=solver, max_iter=2).fit(X, y)
            assert len(model.predict(X)) == 3
        assert not hasattr(model, "set_callbacks")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    subprocess.run(command, check=True)
