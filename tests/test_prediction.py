# SPDX-License-Identifier: BSD-3-Clause
"""Prediction: a row's bits alone and among others, and the short way for well-formed arrays.

The short way (`_core.predict_plain`) must never be told from the general one but by the clock.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn
from models import digest, draw, fitted
from problems import LOSSES, PAIRS, make_problem
from scipy.special import softmax
from sklearn.metrics import log_loss

from fastbp import BackpropClassifier, BackpropRegressor, _base, _core
from fastbp._data import COPIED_BYTES, core_blocks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DTYPES = ("float32", "float64")
#: About the kernels' vectors and tiles, and about the number of rows that decides on packing.
SHAPES = (
    (1, 2),
    (5, 3, 2),
    (64, 100, 10),
    (20, 129, 33, 16),
    (37, 8, 271, 3),
    (9, 1),
    (70, 31, 1),
)
ROWS = (1, 2, 7, 8, 9, 31, 32, 33, 45)


def predict_plain(p: Any, X: Any, **changes: Any) -> Any:
    """Call the short way for a problem."""
    arguments = {
        "coefs": p.coefs,
        "intercepts": p.intercepts,
        "n_in": p.units[0],
        "n_out": p.units[-1],
        "activations": p.activations,
        "loss": p.loss,
        "precision": "highest",
        "raw": False,
        "as_computed": False,
        "thread_limit": lambda: 2,
    }
    return _core.predict_plain(X, *{**arguments, **changes}.values())


# Bits


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("units", SHAPES, ids=str)
def test_rows_in_place_have_the_bits_of_packed_ones(
    units: tuple[int, ...], loss: str, dtype: str
) -> None:
    if loss == "log_loss" and units[-1] == 1:
        units = (*units[:-1], 2)
    for activation in [name for name, with_loss in PAIRS if with_loss == loss]:
        for x_dtype in DTYPES:
            p = make_problem(units, activation, loss, n=max(ROWS), dtype=dtype, x_dtype=x_dtype)
            for raw in (False, True):
                together = p.net(_core.Net, n_threads=2).predict(p.X, raw=raw, dtype=x_dtype)
                for n in ROWS:
                    some = predict_plain(p, p.X[:n], raw=raw)
                    assert some.dtype == x_dtype
                    assert some.tobytes() == together[:n].tobytes(), (activation, x_dtype, n)
            widest = predict_plain(p, p.X[:1], as_computed=True)
            assert widest.dtype == max(dtype, x_dtype)


@pytest.mark.parametrize("n_classes", [2, 3, 40])
@pytest.mark.parametrize("n_rows", [3, 500])
def test_probabilities_add_up_in_their_own_type(n_rows: int, n_classes: int) -> None:
    """float32 weights, but a float64 result: scikit-learn's log_loss looks at the 16th digit."""
    X, _ = draw(max(n_rows, n_classes))
    y = np.arange(len(X)) % n_classes
    model = BackpropClassifier(max_iter=2, random_state=0).fit(X, y)
    assert model.coefs_[0].dtype == np.float32
    probabilities = model.predict_proba(X[:n_rows])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(
        model.classes_[probabilities.argmax(axis=1)], model.predict(X[:n_rows])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_loss(y[:n_rows], probabilities, labels=model.classes_)
    if n_classes > 2:
        z = model._outputs(X[:n_rows], raw=True)
        np.testing.assert_allclose(probabilities, softmax(z, axis=1), rtol=1e-13)


def test_small_probabilities_are_as_small_as_their_type_can_tell() -> None:
    X, y = draw(60)
    model = BackpropClassifier(solver="lbfgs", dtype="float32", max_iter=20, random_state=0)
    model.fit(X, np.c_[y, 1 - y, y])
    model.intercepts_[-1][:] = -200, 200, 0
    probabilities = model.predict_proba(X)
    assert (probabilities[:, 0] > 0).all()
    assert (probabilities[:, 0] < 1e-45).any()  # float32 has no such number
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(probabilities))
    assert (model.predict_proba(X.astype(np.float32))[:, 0] == 0).any()
    assert np.isfinite(model.predict_log_proba(X.astype(np.float32))).all()


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_less_probable_of_two_classes(dtype: str, x_dtype: str) -> None:
    """Where the other's probability rounds to 1, its own is no 0."""
    X, y = draw(60)
    X = X.astype(x_dtype)
    model = BackpropClassifier(max_iter=2, dtype=dtype, random_state=0).fit(X, y)
    for sign in (1, -1):
        model.intercepts_[-1][0] = 40 * sign
        z = model._outputs(X, raw=True)[:, 0] * sign
        probabilities = model.predict_proba(X)[:, ::-sign]
        assert probabilities.dtype == x_dtype
        np.testing.assert_allclose(probabilities[:, 1], np.exp(-z), rtol=1e-5)
        np.testing.assert_array_equal(probabilities[:, 0], 1)
        log_p = model.predict_log_proba(X)[:, ::-sign]
        np.testing.assert_allclose(log_p[:, 1], -z, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_alone_is_as_among_all(dtype: str) -> None:
    X, y = draw(200)
    targets = {"a": y, "b": X[:, 0], "c": np.c_[y, 1 - y, y], "d": np.digitize(X[:, 1], [-1, 0, 1])}
    for estimator, names in ((BackpropClassifier, "acd"), (BackpropRegressor, "abc")):
        for name in names:
            model = estimator(hidden_layer_sizes=(30, 20), max_iter=2, dtype=dtype, random_state=0)
            model.fit(X, targets[name])
            for method in ("predict", "predict_proba", "predict_log_proba"):
                if not hasattr(model, method):
                    continue
                together = getattr(model, method)(X)
                for i in range(0, 200, 7):
                    alone = getattr(model, method)(X[i : i + 1])
                    assert alone.tobytes() == together[i : i + 1].tobytes(), (name, method, i)


@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_layers_in_place(dtype: str) -> None:
    """Scratch beyond what the stack holds, and work beyond what is done under the GIL."""
    p = make_problem((300, 5000, 3), "tanh", n=9, dtype=dtype)
    together = p.net(_core.Net).predict(p.X)
    for n in (1, 9):
        assert predict_plain(p, p.X[:n]).tobytes() == together[:n].tobytes()


# The short way is taken for plain arrays, and only for them


def test_plain_arrays_need_no_general_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _ = draw(60)
    model, regressor = fitted(BackpropClassifier), fitted(BackpropRegressor)
    expected = model.predict_proba(X)

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("the general way was taken")

    monkeypatch.setattr(_base, "validate_data", refuse)
    strided = np.repeat(X, 2, axis=0)[::2]
    padded = np.pad(X, ((0, 0), (1, 2)))[:, 1:-2]
    read_only = X.copy()
    read_only.setflags(write=False)
    for form in (X, strided, padded, read_only):
        for n in (1, 60):
            np.testing.assert_array_equal(model.predict_proba(form[:n]), expected[:n])
            assert model.predict(form[:n]).shape == regressor.predict(form[:n]).shape == (n,)
    assert model.predict_proba(X[:1].astype(np.float32)).dtype == np.float32
    with pytest.raises(AssertionError, match="general"):
        model.predict_proba(X.tolist())


def subclass(X: np.ndarray) -> np.ndarray:
    return X.view(type("Mine", (np.ndarray,), {}))


def misaligned(X: np.ndarray) -> np.ndarray:
    raw = np.zeros(X.nbytes + 1, dtype=np.uint8)
    out = raw[1:].view(X.dtype).reshape(X.shape)
    out[...] = X
    return out


UNUSUAL: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda X: X.tolist(),
    "subclass": subclass,
    "memory map": lambda X: X.view(np.memmap),
    "Fortran order": np.asfortranarray,
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "rows reversed": lambda X: X[::-1].copy()[::-1],
    "rows all the same": lambda X: np.broadcast_to(X[0], X.shape),
    "big-endian": lambda X: X.astype(">f8"),
    "misaligned": misaligned,
    "half": lambda X: X.astype(np.float16),
    "long double": lambda X: X.astype(np.longdouble),
    "integers": lambda X: np.rint(X).astype(int),
    "booleans": lambda X: X > 0,
    "objects": lambda X: X.astype(object),
    "masked": lambda X: np.ma.masked_array(X, X > 1),
    "matrix": lambda X: X.view(np.matrix),
    "no rows": lambda X: X[:0],
    "no columns": lambda X: X[:, :0],
    "a column less": lambda X: X[:, 1:],
    "a column more": lambda X: np.c_[X, X[:, 0]],
    "one axis": lambda X: X[0],
    "three axes": lambda X: X[None],
    "scalar": lambda X: X[0, 0],
    "nan": lambda X: np.where(X == X[0, 0], np.nan, X),
    "inf": lambda X: np.where(X == X[0, 0], np.inf, X),
    "minus inf in the last row": lambda X: np.where(X == X[-1, -1], -np.inf, X),
    "beyond float32": lambda X: np.where(X == X[0, 1], 1e39, X),
    "float32 nan": lambda X: np.where(X == X[0, 0], np.nan, X).astype(np.float32),
    "complex": lambda X: X + 1j,
    "strings": lambda X: X.astype(str),
    "None": lambda X: None,
}


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """Return all that a caller sees of a call: values, or an error; and warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            return type(error), str(error), [str(w.message) for w in seen]
    return result.dtype, result.shape, result.tobytes(), [str(w.message) for w in seen]


@pytest.mark.parametrize("n_rows", [3, 40])
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_input_is_treated_as_ever(
    name: str, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _ = draw(n_rows)
    model, regressor = fitted(BackpropClassifier), fitted(BackpropRegressor)
    calls = [model.predict, model.predict_proba, model.predict_log_proba, regressor.predict]
    seen = [outcome(lambda call=call: call(UNUSUAL[name](X))) for call in calls]
    monkeypatch.setattr(_core, "predict_plain", lambda *args: None)
    assert seen == [outcome(lambda call=call: call(UNUSUAL[name](X))) for call in calls]


def test_feature_names_are_asked_for() -> None:
    pd = pytest.importorskip("pandas")
    X, y = draw()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = BackpropRegressor(max_iter=2, random_state=0).fit(frame, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        alone = model.predict(X[:1])
    assert alone == model.predict(frame[:1])
    with pytest.warns(UserWarning, match="X has feature names"):
        fitted(BackpropRegressor).predict(frame[:1])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n_rows", [1, 60])
def test_assume_finite(n_rows: int, order: Any) -> None:
    X = np.array(draw(n_rows)[0], order=order)
    expected = fitted(BackpropRegressor).predict(X)
    X[0, 0] = np.nan
    model = fitted(BackpropRegressor)
    with pytest.raises(ValueError, match="NaN"):
        model.predict(X)
    with sklearn.config_context(assume_finite=True):
        predicted = model.predict(X)
    assert np.isnan(predicted[0])
    np.testing.assert_array_equal(predicted[1:], expected[1:])


# Rows that the core does not read in place


@pytest.mark.parametrize("dtype", DTYPES)
def test_fortran_order_is_converted_in_blocks(dtype: str) -> None:
    X = np.random.default_rng(0).normal(size=(COPIED_BYTES // 12 + 99, 3))
    blocks = list(core_blocks(np.asfortranarray(X), dtype))
    assert len(blocks) > 1
    assert max(block.nbytes for block in blocks) <= COPIED_BYTES
    np.testing.assert_array_equal(np.concatenate(blocks), X.astype(dtype))
    assert next(core_blocks(X, dtype)) is X
    model = BackpropRegressor(hidden_layer_sizes=3, max_iter=1, dtype=dtype, random_state=0)
    model.fit(X[:50], X[:50, 0])
    np.testing.assert_array_equal(model.predict(np.asfortranarray(X)), model.predict(X))


# The weights as they are


@pytest.mark.parametrize("n_rows", [1, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_edits_are_seen_at_once(dtype: str, n_rows: int) -> None:
    X, _ = draw(n_rows)
    model = fitted(BackpropRegressor, hidden_layer_sizes=(3,), activation="identity", dtype=dtype)
    first = model.predict(X)
    model.intercepts_[1][0] += 1  # within an array
    np.testing.assert_allclose(model.predict(X), first + 1, rtol=1e-6)
    model.coefs_[1] = np.zeros((3, 1), dtype)  # within a list
    np.testing.assert_array_equal(model.predict(X), np.full(n_rows, model.intercepts_[1][0]))
    model.intercepts_ = [np.zeros(3), np.full(1, 7.0)]  # float64 beside float32
    np.testing.assert_array_equal(model.predict(X), np.full(n_rows, 7.0))
    model.coefs_ = tuple(np.asfortranarray(coef) for coef in model.coefs_)
    np.testing.assert_array_equal(model.predict(X), np.full(n_rows, 7.0))


@pytest.mark.parametrize("n_rows", [1, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_parameter_is_checked(dtype: str, n_rows: int) -> None:
    X, _ = draw(n_rows)
    model = fitted(BackpropClassifier, hidden_layer_sizes=(19, 5), dtype=dtype)
    state = digest(model)
    for name in ("coefs_", "intercepts_"):
        for i, array in enumerate(getattr(model, name)):
            for at in (0, array.size // 2, array.size - 1):
                kept = array.flat[at]
                for bad in (np.nan, np.inf, -np.inf):
                    array.flat[at] = bad
                    with pytest.raises(ValueError, match=rf"{name}\[{i}\] holds infinity or NaN"):
                        model.predict_proba(X)
                array.flat[at] = kept
    model.predict_proba(X)
    assert digest(model) == state  # and a prediction leaves nothing behind


@pytest.mark.parametrize(
    "changes",
    [
        {"coefs": None},
        {"coefs": []},
        {"coefs": [np.zeros((4, 3), np.float32)]},
        {"coefs": [np.zeros((4, 3)), np.zeros((3, 2), np.float32)]},
        {"coefs": [np.zeros((4, 3), np.int32), np.zeros((3, 2), np.int32)]},
        {"coefs": [np.zeros((4, 4), np.float32), np.zeros((3, 2), np.float32)]},
        {"coefs": [np.zeros((4, 3), np.float32).T.copy().T, np.zeros((3, 2), np.float32)]},
        {"coefs": [None, None]},
        {"coefs": [np.zeros(12, np.float32), np.zeros((3, 2), np.float32)]},
        {"intercepts": [np.zeros(3, np.float32), np.zeros(1, np.float32)]},
        {"intercepts": [np.zeros((3, 1), np.float32), np.zeros(2, np.float32)]},
        {"n_in": 3},
        {"n_in": 4.0},
        {"n_in": None},
        {"n_out": 3},
        {"n_out": np.int64(2)},
        {"activations": ()},
        {"activations": ["tanh"]},
        {"coefs": [np.eye(4, dtype=np.float32)] * 33, "intercepts": [np.ones(4, np.float32)] * 33},
    ],
)
def test_what_asks_for_a_closer_look(changes: dict[str, Any]) -> None:
    p = make_problem((4, 3, 2), dtype="float32")
    assert predict_plain(p, p.X) is not None
    for n in (1, 50):
        assert predict_plain(p, p.X[:n], **changes) is None


def test_many_layers() -> None:
    X, y = draw()
    model = BackpropRegressor(hidden_layer_sizes=(2,) * 40, max_iter=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X)[:1], model.predict(X[:1]))


# Threads


def test_many_threads_predict_alike() -> None:
    X, _ = draw(64)
    model = fitted(BackpropClassifier, hidden_layer_sizes=(60, 300))
    expected = model.predict_proba(X)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(300):
            first, n = int(rng.integers(30)), int(rng.integers(1, 35))
            seen = model.predict_proba(X[first : first + n])
            if seen.tobytes() != expected[first : first + n].tobytes():
                wrong.append(first)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_arrays_replaced_meanwhile_live_as_long_as_they_are_read() -> None:
    X, _ = draw(2, 4)
    model = fitted(BackpropRegressor, hidden_layer_sizes=(2000, 400))
    expected = model.predict(X)
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            for arrays in (model.coefs_, model.intercepts_):
                for i, array in enumerate(arrays):
                    arrays[i] = array.copy()

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(200):
            np.testing.assert_array_equal(model.predict(X), expected)
    finally:
        stop.set()
        thread.join()


# The look at X before a fit


@pytest.mark.parametrize("dtype", DTYPES)
def test_are_within(dtype: str) -> None:
    X = np.ones((3000, 500), dtype)  # for threads to share
    for compute in DTYPES:
        for n_threads in (1, 2, 3):
            assert _core.are_within(X, compute, n_threads)
            assert _core.are_within(X[::2, :77], compute, n_threads)
    limit = float(np.finfo(np.float32).max)
    for value, held in [(limit, True), (2 * limit, False), (-np.inf, False), (np.nan, False)]:
        with np.errstate(over="ignore"):
            X[-1, -1] = value
        assert _core.are_within(X, "float32", 2) == held
    assert _core.are_within(X[:-1], "float32", 2)


def test_are_within_leaves_what_is_not_plain() -> None:
    X = np.ones((4, 6))
    others = [X.T, X.astype(">f8"), X.astype(int), X[0], X[:0], X.tolist(), np.ma.masked_array(X)]
    assert [_core.are_within(other, "float32", 1) for other in others] == [False] * len(others)
