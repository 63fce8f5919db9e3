# SPDX-License-Identifier: BSD-3-Clause
"""States cut short, edited, or written by another version; weights that a user replaced."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from models import ESTIMATORS, SOLVERS, digest, draw, fitted

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp._state import STATE_VERSION

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Smaller(BackpropClassifier):
    """A subclass with a constructor, and attributes, of its own."""

    def __init__(self, units: int = 3) -> None:
        super().__init__((units,), max_iter=2, random_state=0)
        self.units = units
        self.note = "mine"


def reload(model: Any, state: Any) -> Any:
    """Load a state as unpickling does."""
    other = object.__new__(type(model))
    other.__setstate__(state)
    return other


# Ways out and back


def by_joblib(model: Any, folder: Path) -> Any:
    joblib.dump(model, folder / "model")
    return joblib.load(folder / "model", mmap_mode="r")


def by_skops(model: Any, folder: Path) -> Any:
    skops_io = pytest.importorskip("skops.io")
    file = io.BytesIO(skops_io.dumps(model))
    return skops_io.load(file, trusted=skops_io.get_untrusted_types(file=file))


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "old pickle": lambda model, folder: pickle.loads(pickle.dumps(model, 2)),
    "copy": lambda model, folder: copy.copy(model),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "joblib, mapped": by_joblib,
    "skops": by_skops,
}


def models() -> list[Any]:
    """Return models of all kinds, that have little in common beyond their class."""
    X, y = draw()
    several = np.c_[y, 1 - y, y]
    return [
        *(fitted(estimator, solver=solver) for estimator in ESTIMATORS for solver in SOLVERS),
        BackpropClassifier(),
        BackpropRegressor(
            momentum=True, n_iter_no_change=np.inf, hidden_layer_sizes=[2, np.int8(3)]
        ),
        fitted(BackpropClassifier, early_stopping=True, solver="sgd", learning_rate="adaptive"),
        BackpropClassifier(class_weight={}),
        BackpropClassifier(class_weight={False: 1, True: 2}, max_iter=2).fit(X, y == 1),
        BackpropClassifier(class_weight={np.True_: 2.5, np.False_: 1, "a": np.float32(0)}),
        BackpropClassifier(max_iter=2).fit(X, several),
        BackpropClassifier(max_iter=2).fit(X, np.array(["a", "b", "c"], object)[several[:, 0] * 2]),
        BackpropClassifier(max_iter=2).fit(X, np.zeros(len(y))),
        BackpropClassifier(max_iter=2).fit(X, np.arange(len(y)) % 4),
        BackpropRegressor("quantile", quantile=[0.9, 0.1], max_iter=2).fit(X, y),
        BackpropRegressor("quantile", max_iter=2).fit(X, several),
        BackpropRegressor("poisson", (), max_iter=2).fit(X, y),
        BackpropRegressor("gamma", (2, 3), ["tanh", "gelu"], max_iter=2).partial_fit(X, y + 1),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_leads_back(way: str, tmp_path: Path) -> None:
    X, _ = draw()
    for model in models():
        twin = WAYS[way](model, tmp_path)
        if "mapped" not in way:  # whose arrays are of a class of their own
            assert digest(twin) == digest(model)
        assert set(vars(twin)) == set(vars(model))
        if hasattr(model, "coefs_"):
            np.testing.assert_array_equal(twin.predict(X), model.predict(X))


def test_subclasses_come_back() -> None:
    model = Smaller(4).fit(*draw())
    twin = pickle.loads(pickle.dumps(model))
    assert (twin.units, twin.note, digest(twin)) == (4, "mine", digest(model))


def test_an_edited_model_comes_back() -> None:
    """As it is, since predictions use it; but a solver that saw other layers cannot go on."""
    X, y = draw()
    model = fitted(BackpropRegressor, hidden_layer_sizes=(5,))
    model.coefs_ = [model.coefs_[0][:, :3], model.coefs_[1][:3]]
    model.intercepts_[0] = model.intercepts_[0][:3]
    twin = pickle.loads(pickle.dumps(model)).set_params(hidden_layer_sizes=(3,))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="coefs_ has other layers than when the solver last saw"):
        twin.partial_fit(X, y)


def minus_error_of_a_copy(model: Any, X: Any, y: Any) -> float:
    twin = copy.deepcopy(model)
    return -float(np.mean((twin.predict(X) - y) ** 2))


def test_a_scorer_may_copy_the_model_that_it_is_given() -> None:
    params = {"early_stopping": True, "scoring": minus_error_of_a_copy}
    model = BackpropRegressor(max_iter=2, random_state=0, **params)
    X, y = draw()
    model.fit(X, y)
    model.set_params(warm_start=True).fit(X, y)


# States that are refused


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def with_(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {**state, **changes}


def optimizer(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {**state, "_optimizer": {**state["_optimizer"], **changes}}


def moments(change: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda state: optimizer(moments=change(state["_optimizer"]["moments"]))(state)


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no dict": (lambda state: None, "no dict"),
    "a list": (lambda state: list(state), "no dict"),
    "names that are none": (lambda state: {1: 2}, "no dict"),
    "empty": (lambda state: {}, "_state_version is None"),
    "no version": (without("_state_version"), "_state_version is None"),
    "version 0": (with_(_state_version=0), "_state_version is 0"),
    "version of words": (with_(_state_version="one"), "_state_version is 'one'"),
    "newer": (with_(_state_version=STATE_VERSION + 1), "newer fastbp wrote it: upgrade"),
    "no parameter": (without("alpha"), "lacks the parameters alpha"),
    "class weights of words": (
        with_(_class_weight_items="words"),
        "_class_weight_items is 'words'",
    ),
    "class weight missing": (with_(_class_weight_items=[[0, 1], [2]]), "_class_weight_items is"),
    "class of a list": (with_(_class_weight_items=[[[0]], [2]]), "_class_weight_items is"),
    "no weights": (without("coefs_"), "but not coefs_"),
    "no biases": (without("intercepts_"), "lacks intercepts_"),
    "no classes": (without("classes_"), "lacks classes_"),
    "no curve": (without("loss_curve_"), "lacks loss_curve_"),
    "no activations": (without("_hidden_activations"), "lacks _hidden_activations"),
    "hidden method": (with_(predict="mine"), "predict is no attribute to be set"),
    "hidden constraints": (with_(_parameter_constraints={}), "_parameter_constraints"),
    "weights missing": (with_(coefs_=None), "coefs_ must be a list"),
    "weights of words": (with_(coefs_=["a", "b"]), r"coefs_\[0\]"),
    "weights of objects": (with_(coefs_=[np.array([[None]])] * 2), r"coefs_\[0\]"),
    "weights of NaN": (with_(coefs_=[np.full((4, 100), np.nan)] * 2), r"coefs_\[0\].*NaN"),
    "biases of another shape": (with_(intercepts_=[np.zeros(9)] * 2), r"intercepts_\[0\]"),
    "no inputs": (with_(n_features_in_=0), "n_features_in_ is 0"),
    "other inputs": (with_(n_features_in_=5), r"coefs_\[0\] must be of shape"),
    "huge": (with_(n_outputs_=2**70), "n_outputs_ is"),
    "outputs of floats": (with_(n_outputs_=1.0), "n_outputs_ is 1.0"),
    "unknown loss": (with_(_core_loss="hinge"), "_core_loss is 'hinge'"),
    "loss of another kind": (with_(_core_loss="squared_error"), "out_activation_"),
    "other link": (with_(out_activation_="softmax"), "out_activation_ is 'softmax'"),
    "unknown activation": (with_(_hidden_activations=("sine",)), "_hidden_activations"),
    "list of activations": (with_(_hidden_activations=["relu"]), "_hidden_activations"),
    "two activations": (with_(_hidden_activations=("relu", "tanh")), "1 hidden layers"),
    "classes unsorted": (with_(classes_=np.array([1, 0])), "classes_ .* not sorted"),
    "classes that do not compare": (with_(classes_=np.array([1, "a"], object)), "classes_"),
    "three classes": (with_(classes_=np.arange(3)), "classes_ has 3 labels"),
    "no array of classes": (with_(classes_=[0, 1]), r"classes_ is \[0, 1\]"),
    "multilabel": (with_(_multilabel=True), "classes_ has 2 labels"),
    "names of others": (with_(feature_names_in_=np.array(["a"], object)), "4 names"),
    "curve of words": (with_(loss_curve_=["low"]), "loss_curve_"),
    "negative count": (with_(t_=-1), "t_ is -1"),
    "no solver": (with_(_optimizer=None), "what the solver remembers: it is no dict"),
    "solver's part": (with_(_optimizer={"solver": "adam"}), "what the solver remembers: it is no"),
    "unknown solver": (optimizer(solver="newton"), "solver is 'newton'"),
    "list as solver": (optimizer(solver=["adam"]), r"solver is \['adam'\]"),
    "unknown schedule": (optimizer(schedule="never"), "'never'"),
    "NaN": (optimizer(beta_1=np.nan), "beta_1 is nan"),
    "infinite rate": (optimizer(learning_rate=np.inf), "learning_rate is inf"),
    "endless": (optimizer(step_count=2**63), "step_count is"),
    "half a step": (optimizer(step_count=1.5), "step_count is 1.5"),
    "moments missing": (optimizer(moments=[]), "adam has 2 moments, got 0"),
    "moments of none": (optimizer(moments=None), "moments must be"),
    "one moment": (moments(lambda m: m[:1]), "adam has 2 moments, got 1"),
    "moment without biases": (moments(lambda m: [m[0], m[1][:1]]), "moments must be"),
    "moment without a layer": (moments(lambda m: [m[0], [m[1][0][:1], m[1][1]]]), "length"),
    "negative squares": (
        moments(lambda m: [m[0], [[-1 - a for a in m[1][0]], m[1][1]]]),
        "negative number",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_states(name: str) -> None:
    model = fitted(BackpropClassifier)
    change, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"no state of a BackpropClassifier.*{message}"):
        reload(model, change(model.__getstate__()))


def test_states_of_regressors_that_are_refused() -> None:
    X, y = draw()
    model = BackpropRegressor("quantile", quantile=[0.1, 0.9], max_iter=2).fit(X, y)
    state = model.__getstate__()
    for levels in (None, np.array([0.1]), np.array([0.1, 1.0]), [0.1, 0.9], np.zeros((1, 2))):
        with pytest.raises(ValueError, match="_levels"):
            reload(model, {**state, "_levels": levels})
    with pytest.raises(ValueError, match="_core_loss is 'binary_log_loss'"):
        reload(model, {**state, "_core_loss": "binary_log_loss", "out_activation_": "logistic"})


def test_moments_as_lists_go_on() -> None:
    model = fitted(BackpropRegressor)
    state = moments(lambda m: [[[a.tolist() for a in part] for part in pair] for pair in m])
    twin = reload(model, state(model.__getstate__()))
    np.testing.assert_array_equal(
        twin.partial_fit(X, Y).coefs_[0], model.partial_fit(X, Y).coefs_[0]
    )


def test_what_is_refused_leaves_the_estimator_alone() -> None:
    model = fitted(BackpropRegressor)
    before = digest(model)
    with pytest.raises(ValueError, match="no state"):
        model.__setstate__({**model.__getstate__(), "coefs_": None})
    assert digest(model) == before


def test_a_state_is_not_changed_by_loading_it() -> None:
    model = fitted(BackpropRegressor)
    state = model.__getstate__()
    before = joblib.hash(state)
    reload(model, state).partial_fit(*draw())
    assert joblib.hash(state) == before


# What a user put in the place of weights

X, Y = draw()
UNUSABLE: dict[str, Any] = {
    "None": lambda a: None,
    "words": lambda a: "weights",
    "NaN": lambda a: np.full_like(a, np.nan),
    "infinity": lambda a: np.full_like(a, np.inf),
    "wrong shape": lambda a: np.zeros((7, 7))[: a.ndim * 3],
    "no axes": lambda a: a.flat[0],
    "an axis more": lambda a: a[None],
    "integers": lambda a: np.zeros(a.shape, int),
    "complex": lambda a: a * 1j,
    "objects": lambda a: a.astype(object),
    "masked": lambda a: np.ma.masked_array(a, a > 0),
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "beyond float64": lambda a: np.full(a.shape, np.longdouble("1e4000")),
}
USABLE: dict[str, Any] = {
    "Fortran order": np.asfortranarray,
    "list": lambda a: a.tolist(),
    "float16": lambda a: a.astype(np.float16).astype(np.float32).astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "broadcast": lambda a: np.broadcast_to(a.flat[0], a.shape),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "predict": lambda model: model.predict(X),
    "predict one": lambda model: model.predict(X[:1]),
    "transform": lambda model: model.transform(X),
    "names": lambda model: model.get_feature_names_out(),
    "loss_gradient": lambda model: model.loss_gradient(X, Y),
    "score": lambda model: model.score(X, Y),
    "partial_fit": lambda model: model.partial_fit(X, Y),
    "warm fit": lambda model: model.set_params(warm_start=True).fit(X, Y),
    "warmest fit": lambda model: model.set_params(warm_start="optimizer").fit(X, Y),
    "copy": copy.deepcopy,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unusable_weights_are_named(estimator: type, call: str) -> None:
    if X.dtype.itemsize == np.dtype(np.longdouble).itemsize:
        pytest.skip("no long double")
    for how, change in UNUSABLE.items():
        for name in ("coefs_", "intercepts_"):
            model = fitted(estimator, hidden_layer_sizes=(3,))
            getattr(model, name)[1] = change(getattr(model, name)[1])
            kept = dict(vars(model))
            with pytest.raises(ValueError, match=rf"{name}\[1\]"):
                CALLS[call](model)
            for key in ("coefs_", "intercepts_", "loss_", "_optimizer"):
                assert vars(model)[key] is kept[key], how
    for whole in (None, 5, np.zeros(3), [], {}, model.coefs_[:1]):
        model = fitted(estimator, hidden_layer_sizes=(3,))
        model.coefs_ = whole
        with pytest.raises(ValueError, match="coefs_"):
            CALLS[call](model)


@pytest.mark.parametrize("change", USABLE)
def test_usable_weights_are_used(change: str, tmp_path: Path) -> None:
    def changed(model: Any, change: Callable[[Any], Any]) -> Any:
        model.coefs_ = [change(a) for a in model.coefs_]
        model.intercepts_ = tuple(change(a) for a in model.intercepts_)
        return model

    for call in ("predict", "predict one", "transform", "loss_gradient", "partial_fit", "warm fit"):
        model = changed(fitted(BackpropRegressor, hidden_layer_sizes=(3,)), USABLE[change])
        plain = changed(
            fitted(BackpropRegressor, hidden_layer_sizes=(3,)),
            lambda a: np.array(USABLE[change](a), np.float32, order="C"),
        )
        found, expected = CALLS[call](model), CALLS[call](plain)
        if "fit" in call:
            found, expected = found.predict(X), expected.predict(X)
        if call == "loss_gradient":
            found, expected = found.X, expected.X
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_mapped_and_read_only_weights(tmp_path: Path) -> None:
    model = fitted(BackpropClassifier)
    expected = model.predict_proba(X)
    for i, coef in enumerate(model.coefs_):
        np.save(tmp_path / f"{i}.npy", coef)
        model.coefs_[i] = np.load(tmp_path / f"{i}.npy", mmap_mode="r")
        model.intercepts_[i].setflags(write=False)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    model.partial_fit(X, Y)
    np.testing.assert_array_equal(np.load(tmp_path / "0.npy").shape, model.coefs_[0].shape)


def test_weights_beyond_float32_are_named_where_training_goes_on_in_it() -> None:
    model = fitted(BackpropRegressor)
    model.coefs_[1] = np.full(model.coefs_[1].shape, 1e39)
    model.predict(X)  # in float64
    with pytest.raises(ValueError, match=r"coefs_\[1\] holds a number beyond the range of float32"):
        model.partial_fit(X, Y)
