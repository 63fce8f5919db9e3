# SPDX-License-Identifier: BSD-3-Clause
"""Inputs to be tried first, each with what must come of it: a result equal to another, or an error.

What is accepted gives no warning but that of training cut short. What is refused names the culprit,
and leaves the estimator as it was. Weights replaced by the user are in test_pickles.py, sizes whose
products pass 2³¹ and 2³² also in c/test_sizes.c and test_large.py, callbacks in test_callbacks.py.
"""

from __future__ import annotations

import re
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, SOLVERS, digest, draw, fitted
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastbp import BackpropClassifier, BackpropRegressor

#: All that a refusal may be; InvalidParameterError is both of the first two.
REFUSALS = (ValueError, TypeError, MemoryError, NotFittedError)

X, Y = draw()
INTEGERS = np.rint(3 * X)


class Given(NamedTuple):
    """What a call gets."""

    X: Any
    y: Any
    sample_weight: Any = None


class Same(NamedTuple):
    """Accepted, with the bits of what these give."""

    given: Given


class Refused(NamedTuple):
    """An error, of a type, whose message says so."""

    error: type[Exception]
    says: str


def with_(value: float, kind: Any = np.float64) -> np.ndarray:
    """Return X with one number replaced."""
    changed = X.astype(kind)
    changed[7, 2] = value
    return changed


def weights(**at: float) -> np.ndarray:
    """Return weights of one, but for those named, such as _3=0."""
    changed = np.ones(len(Y))
    for name, value in at.items():
        changed[int(name[1:])] = value
    return changed


def misaligned(values: np.ndarray) -> np.ndarray:
    raw = np.zeros(values.nbytes + 1, np.uint8)
    changed = raw[1:].view(values.dtype).reshape(values.shape)
    changed[...] = values
    return changed


def read_only(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed.setflags(write=False)
    return changed


def mapped(values: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        values.tofile(file)
        return np.memmap(file, values.dtype, "r", shape=values.shape)


ONES = np.ones(X.shape)
NAN, INF = "Input X contains NaN", "Input X contains infinity"
NON_FINITE = "non-finite parameter weights|beyond the range of float32"

#: What `fit` and `partial_fit` get.
DATA: dict[str, tuple[Given, Same | Refused]] = {
    "NaN in X": (Given(with_(np.nan), Y), Refused(ValueError, NAN)),
    "NaN in float32 X": (Given(with_(np.nan, np.float32), Y), Refused(ValueError, NAN)),
    "infinity in X": (Given(with_(np.inf), Y), Refused(ValueError, INF)),
    "NaN in columns": (Given(np.asfortranarray(with_(np.nan)), Y), Refused(ValueError, NAN)),
    "infinity in columns": (
        Given(np.asfortranarray(with_(np.inf, np.float32)), Y),
        Refused(ValueError, INF),
    ),
    "1e300 in columns": (
        Given(np.asfortranarray(with_(1e300)), Y),
        Refused(ValueError, r"X\[7, 2\] = 1e\+300 .*float64"),
    ),
    "minus infinity in X": (Given(with_(-np.inf, np.float32), Y), Refused(ValueError, INF)),
    "NaN in sparse X": (Given(sp.csr_array(with_(np.nan)), Y), Refused(ValueError, NAN)),
    "NaN in y": (Given(X, np.where(Y > 0, np.nan, 0)), Refused(ValueError, "NaN")),
    "infinity in y": (Given(X, np.where(Y > 0, np.inf, 0)), Refused(ValueError, "infinity")),
    "NaN in weights": (Given(X, Y, weights(_3=np.nan)), Refused(ValueError, "sample_weight.*NaN")),
    "infinity in weights": (
        Given(X, Y, weights(_3=np.inf)),
        Refused(ValueError, "sample_weight.*infinity"),
    ),
    "1e300": (Given(with_(1e300), Y), Refused(ValueError, r"X\[7, 2\] = 1e\+300 .*float64")),
    "all 1e300": (Given(1e300 * X, Y), Refused(ValueError, r"X\[0, 0\] = .*float64")),
    "1e38 in float32": (Given(1e38 * ONES.astype("f4"), Y), Refused(ValueError, NON_FINITE)),
    "weights of zero": (Given(X, Y, 0 * Y), Refused(ValueError, "Sample weights must .*non-zero")),
    "a negative weight": (
        Given(X, Y, weights(_3=-1)),
        Refused(ValueError, "Negative.*sample_weig"),
    ),
    "weights of 1e308": (
        Given(X, Y, 1e308 * ONES[:, 0]),
        Refused(ValueError, r"sample_weight\[0\]"),
    ),
    "weights of words": (Given(X, Y, ["heavy"] * len(Y)), Refused(ValueError, "heavy")),
    "weights of another length": (Given(X, Y, weights()[1:]), Refused(ValueError, "sample_weight")),
    "integers": (Given(INTEGERS.astype(int), Y), Same(Given(INTEGERS, Y))),
    "bytes": (Given(INTEGERS.astype(np.int8), Y), Same(Given(INTEGERS, Y))),
    "booleans": (Given(X > 0, Y), Same(Given((X > 0) * 1.0, Y))),
    "objects": (Given(X.astype(object), Y), Same(Given(X, Y))),
    "numbers as strings": (Given(X.astype(str).astype(object), Y), Same(Given(X, Y))),
    "words": (Given(np.full(X.shape, "a"), Y), Refused(ValueError, "could not convert string")),
    "objects that are none": (
        Given(np.full(X.shape, object()), Y),
        Refused(TypeError, "must be a string or a real number"),
    ),
    "complex": (Given(X + 1j, Y), Refused(ValueError, "Complex data not supported")),
    "dates": (Given(INTEGERS.astype("M8[s]"), Y), Same(Given(INTEGERS, Y))),  # as scikit-learn
    "no date": (Given(np.full(X.shape, "NaT", "M8[s]"), Y), Refused(ValueError, "X contains NaT")),
    "records": (Given(np.zeros(60, "f8,f8"), Y), Refused(TypeError, "float|void|convert|numeric")),
    "big-endian": (Given(X.astype(">f8"), Y), Same(Given(X, Y))),
    "big-endian float32": (
        Given(INTEGERS.astype(">f4"), Y),
        Same(Given(INTEGERS.astype(np.float32), Y)),
    ),
    "misaligned by a byte": (Given(misaligned(X), Y), Same(Given(X, Y))),
    "negative strides": (Given(X[::-1, ::-1].copy()[::-1, ::-1], Y), Same(Given(X, Y))),
    "zero strides of rows": (
        Given(np.broadcast_to(X[0], X.shape), Y),
        Same(Given(np.tile(X[0], (len(X), 1)), Y)),
    ),
    "zero strides of columns": (
        Given(np.broadcast_to(X[:, :1], X.shape), Y),
        Same(Given(np.tile(X[:, :1], 4), Y)),
    ),
    "Fortran order": (Given(np.asfortranarray(X), Y), Same(Given(X, Y))),
    "slices": (Given(np.pad(X, ((2, 1), (1, 3)))[2:-1, 1:-3], Y), Same(Given(X, Y))),
    "every third": (Given(np.repeat(np.repeat(X, 3, 0), 3, 1)[::3, ::3], Y), Same(Given(X, Y))),
    "read-only": (Given(read_only(X), read_only(Y), read_only(weights())), Same(Given(X, Y))),
    "a memory map": (Given(mapped(X), Y), Same(Given(X, Y))),
    "a matrix": (Given(X.view(np.matrix), Y), Refused(TypeError, "np.matrix is not supported")),
    "masked X": (
        Given(np.ma.masked_array(X, X > 1), Y),
        Refused(ValueError, "X is a masked array"),
    ),
    "masked y": (
        Given(X, np.ma.masked_array(Y, Y > 0)),
        Refused(ValueError, "y is a masked array"),
    ),
    "masked weights": (
        Given(X, Y, np.ma.masked_array(weights(), Y > 0)),
        Refused(ValueError, "sample_weight is a masked array"),
    ),
    "0 rows": (Given(X[:0], Y[:0]), Refused(ValueError, r"0 sample\(s\)")),
    "0 columns": (Given(X[:, :0], Y), Refused(ValueError, r"0 feature\(s\)")),
    "1 row": (Given(X[:1], Y[:1]), Same(Given(np.array(X[:1]), [Y[0]]))),
    "1 feature": (Given(X[:, :1], Y), Same(Given(X[:, :1].copy(), Y))),
    "1 class": (Given(X, 0 * Y), Same(Given(X.copy(), 0 * Y))),
    "constant X": (Given(ONES, Y), Same(Given(np.full(X.shape, 1), Y))),
    "X of one axis": (Given(X[:, 0], Y), Refused(ValueError, "Expected 2D array, got 1D")),
    "X of three axes": (Given(X[None], Y), Refused(ValueError, "dim 3")),
    "a number": (Given(5.0, Y), Refused(ValueError, "Expected 2D array, got scalar")),
    "nothing": (Given(None, Y), Refused(ValueError, "got array None|Expected 2D array|NaN")),
    "no y": (Given(X, None), Refused(ValueError, "requires y to be passed")),
    "y of another length": (
        Given(X, Y[1:]),
        Refused(ValueError, "inconsistent numbers of samples"),
    ),
    "complex y": (Given(X, Y + 1j), Refused(ValueError, "[Cc]omplex")),
    "sparse of complex": (
        Given(sp.csr_array(X + 1j), Y),
        Refused(ValueError, "[Cc]omplex|real"),
    ),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", DATA)
def test_data(name: str, estimator: type, method: str) -> None:
    given, outcome = DATA[name]

    def model() -> Any:
        return estimator(max_iter=2, random_state=0)

    def call(of: Any, what: Given) -> Any:
        options = {}
        if method == "partial_fit" and estimator is BackpropClassifier:
            options = {"classes": np.unique(what.y)}
        return getattr(of, method)(what.X, what.y, what.sample_weight, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        if isinstance(outcome, Same):
            found, expected = call(model(), given), call(model(), outcome.given)
            assert digest(found) == digest(expected)
            return
        for before in (model(), fitted(estimator)):
            state = digest(before)
            options = {}
            if method == "partial_fit" and estimator is BackpropClassifier:
                options = {"classes": [0, 1]}
            with pytest.raises(outcome.error, match=outcome.says) as caught:
                getattr(before, method)(given.X, given.y, given.sample_weight, **options)
            assert isinstance(caught.value, REFUSALS)
            assert digest(before) == state


# What `predict` gets: of what it accepts, a row has the bits that it has in plain arrays.


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", DATA)
def test_data_to_predict_for(name: str, estimator: type) -> None:
    given, outcome = DATA[name]
    if given.X is X:
        return  # the row is about y or weights
    model = fitted(estimator)
    state = digest(model)
    calls = [model.predict, model.transform, *([model.predict_proba] if Y is None else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in calls:
            if name == "1e38 in float32":
                assert call(given.X).shape[0] == len(X)  # float32 holds that, and the result
            elif name == "1 feature":
                with pytest.raises(ValueError, match=r"1 features, but .* is expecting 4"):
                    call(given.X)
            elif isinstance(outcome, Same):
                np.testing.assert_array_equal(call(given.X), call(outcome.given.X))
            else:
                with pytest.raises(outcome.error, match=outcome.says.replace("non-finite", "")):
                    call(given.X)
    assert digest(model) == state


# Parameters

SIZES = "hidden_layer_sizes"
PARAMETERS: list[tuple[dict[str, Any], Same | Refused | str]] = [
    ({SIZES: 0}, Refused(ValueError, SIZES)),
    ({SIZES: -1}, Refused(ValueError, SIZES)),
    ({SIZES: 3.5}, Refused(ValueError, SIZES)),
    ({SIZES: True}, Refused(ValueError, SIZES)),
    ({SIZES: (3, True)}, Refused(ValueError, SIZES)),
    ({SIZES: "a"}, Refused(ValueError, SIZES)),
    ({SIZES: (3, "a")}, Refused(ValueError, SIZES)),
    ({SIZES: (3, None)}, Refused(ValueError, SIZES)),
    ({SIZES: (3, 0)}, Refused(ValueError, SIZES)),
    ({SIZES: (3, 2.0)}, Refused(ValueError, SIZES)),
    ({SIZES: ((3, 2), 2)}, Refused(ValueError, SIZES)),
    ({SIZES: None}, Refused(ValueError, SIZES)),
    ({SIZES: {3, 2}}, Refused(ValueError, SIZES)),
    ({SIZES: np.array([3, 2])}, {SIZES: (3, 2)}),
    ({SIZES: np.int8(3)}, {SIZES: (3,)}),
    ({SIZES: []}, {SIZES: ()}),
    ({SIZES: (10**7, 10**7)}, Refused(MemoryError, SIZES)),
    ({SIZES: 2**62}, Refused(MemoryError, SIZES)),
    ({SIZES: 2**63}, Refused(MemoryError, SIZES)),
    ({SIZES: (2**31, 2**31)}, Refused(MemoryError, SIZES)),  # products beyond 2³² and 2⁶³
    ({SIZES: (2**32, 2**32)}, Refused(MemoryError, SIZES)),
    ({SIZES: (2**16, 2**48)}, Refused(MemoryError, SIZES)),
    ({"learning_rate_init": np.nan}, Refused(ValueError, "learning_rate_init")),
    ({"learning_rate_init": np.inf}, Refused(ValueError, "learning_rate_init")),
    ({"learning_rate_init": 0}, Refused(ValueError, "learning_rate_init")),
    ({"learning_rate_init": 10**400}, Refused(ValueError, "learning_rate_init")),
    ({"learning_rate_init": 1e308, "solver": "sgd"}, Refused(ValueError, NON_FINITE)),
    ({"alpha": np.nan}, Refused(ValueError, "alpha")),
    ({"alpha": np.inf}, Refused(ValueError, "alpha")),
    ({"alpha": 10**400}, Refused(ValueError, "alpha")),
    ({"alpha": 1e308}, Refused(ValueError, NON_FINITE)),
    ({"alpha": "a"}, Refused(ValueError, "alpha")),
    ({"tol": np.nan}, Refused(ValueError, "tol")),
    ({"momentum": np.nan}, Refused(ValueError, "momentum")),
    ({"beta_1": 1.0}, Refused(ValueError, "beta_1")),
    ({"beta_2": np.nan}, Refused(ValueError, "beta_2")),
    ({"epsilon": np.inf}, Refused(ValueError, "epsilon")),
    ({"epsilon": 1e-400}, Refused(ValueError, "epsilon")),  # 0
    ({"power_t": 1e300, "solver": "sgd", "learning_rate": "invscaling"}, "finite"),
    ({"weight_decay": np.inf}, Refused(ValueError, "weight_decay")),
    ({"weight_decay": 1e308}, Refused(ValueError, NON_FINITE)),
    ({"max_grad_norm": np.nan}, Refused(ValueError, "max_grad_norm")),
    ({"max_grad_norm": 5e-324}, "finite"),
    ({"warmup": np.inf}, Refused(ValueError, "warmup")),
    ({"warmup": 1e308}, "finite"),
    ({"dropout": np.nan}, Refused(ValueError, "dropout")),
    ({"dropout": 1}, Refused(ValueError, "dropout")),
    ({"dropout": np.nextafter(1, 0)}, "finite"),
    ({"dropout": [0.5, "a"], SIZES: (3, 2)}, Refused(ValueError, "dropout")),
    ({"validation_fraction": np.nan}, Refused(ValueError, "validation_fraction")),
    ({"max_time": np.nan}, Refused(ValueError, "max_time")),
    ({"max_time": -1}, Refused(ValueError, "max_time")),
    ({"max_iter": 0}, Refused(ValueError, "max_iter")),
    ({"max_iter": 2.5}, Refused(ValueError, "max_iter")),
    ({"max_fun": 0, "solver": "lbfgs"}, Refused(ValueError, "max_fun")),
    ({"max_fun": 10**30, "solver": "lbfgs"}, "finite"),
    ({"n_iter_no_change": np.nan}, Refused(ValueError, "n_iter_no_change")),
    ({"n_iter_no_change": 10**30}, "finite"),
    ({"n_jobs": 0}, Refused(ValueError, "n_jobs")),
    ({"n_jobs": 10**30}, {"n_jobs": 1}),
    ({"n_jobs": -(10**30)}, {"n_jobs": 1}),
    ({"random_state": -1}, Refused(ValueError, "random_state|seed|RandomState")),
    ({"random_state": 2**32}, Refused(ValueError, "random_state|[Ss]eed")),
    ({"random_state": "a"}, Refused(ValueError, "random_state")),
    ({"batch_size": 0}, Refused(ValueError, "batch_size")),
    ({"batch_size": np.nan}, Refused(ValueError, "batch_size")),
    ({"activation": "sine"}, Refused(ValueError, "activation")),
    ({"activation": [None]}, Refused(ValueError, "activation")),
    ({"activation": 5}, Refused(ValueError, "activation")),
    ({"solver": None}, Refused(ValueError, "solver")),
    ({"dtype": "float16"}, Refused(ValueError, "dtype")),
    ({"dtype": np.float32}, Refused(ValueError, "dtype")),
    ({"matmul_precision": []}, Refused(ValueError, "matmul_precision")),
    ({"scoring": "no such"}, Refused(ValueError, "scoring")),
    ({"warm_start": "a"}, Refused(ValueError, "warm_start")),
    ({"early_stopping": "a"}, Refused(ValueError, "early_stopping")),
    ({"verbose": -1}, Refused(ValueError, "verbose")),
    ({"shuffle": 2}, Refused(ValueError, "shuffle")),
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("params", "outcome"), PARAMETERS, ids=lambda value: str(value)[:60])
def test_parameters(params: dict[str, Any], outcome: Any, estimator: type) -> None:
    def model(**others: Any) -> Any:
        return estimator(**{"max_iter": 2, "random_state": 0, **others})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        if isinstance(outcome, dict):
            found, expected = model(**params).fit(X, Y), model(**outcome).fit(X, Y)
            for mine, other in zip(found.coefs_, expected.coefs_, strict=True):
                np.testing.assert_array_equal(mine, other)
        elif outcome == "finite":
            assert np.isfinite(model(**params).fit(X, Y).predict(X)).all()
        else:
            for before in (model(**params), fitted(estimator).set_params(**params)):
                state = digest(before)
                with pytest.raises(outcome.error, match=outcome.says) as caught:
                    before.fit(X, Y)
                assert isinstance(caught.value, REFUSALS)
                assert digest(before) == state


def test_as_many_layers_as_one_likes() -> None:
    """100,000 layers of one unit each: a model, if a useless one."""
    sizes = (1,) * 100_000
    model = BackpropClassifier(sizes, "identity", max_iter=1, n_jobs=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:20], Y[:20])
        assert len(model.coefs_) == 100_001
        assert model.predict(X[:2]).tobytes() == model.predict(X[:40])[:2].tobytes()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_numbers_that_float64_holds_and_training_does_not(estimator: type, solver: str) -> None:
    """Either all that comes out is finite, or the fit is refused, and nothing changes."""
    for value in (1e300, 1e160, 1e308):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fitted(estimator, solver=solver).set_params(dtype="float64")
            state = digest(model)
            try:
                model.fit(value * np.sign(X), Y)
            except ValueError as error:
                assert re.search(NON_FINITE, str(error))
                assert digest(model) == state
            else:
                assert all(np.isfinite(array).all() for array in (*model.coefs_, model.loss_))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_batch_larger_than_the_table_is_clipped(estimator: type) -> None:
    params = {"max_iter": 2, "random_state": 0}
    with pytest.warns(UserWarning, match="`batch_size` .* larger than sample size"):
        clipped = estimator(batch_size=10**12, **params).fit(X, Y)
    expected = estimator(batch_size=len(X), **params).fit(X, Y)
    np.testing.assert_array_equal(clipped.coefs_[0], expected.coefs_[0])


# Classes, and calls one after the other


def test_a_class_with_one_member_cannot_be_split() -> None:
    model = BackpropClassifier(early_stopping=True, max_iter=2, random_state=0)
    with pytest.raises(ValueError, match=r"least populated class.*only 1 member"):
        model.fit(X, np.arange(len(Y)) == 5)
    assert not hasattr(model, "coefs_")
    model.fit(X, np.where(np.arange(len(Y)) == 5, 2, Y))  # of three: not stratified
    assert list(model.classes_) == [0, 1, 2]


def test_partial_fit_of_classes() -> None:
    model = BackpropClassifier(random_state=0)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, Y)
    assert not hasattr(model, "classes_")
    model.partial_fit(X, Y, classes=[0, 1])
    state = digest(model)
    for call, says in (
        (lambda: model.partial_fit(X, Y + 1), "`y` has classes not in `self.classes_`"),
        (lambda: model.partial_fit(X, Y, classes=[0, 1, 2]), "classes=.* is not the same"),
        (lambda: model.partial_fit(X[:, :3], Y), "X has 3 features, but .* is expecting 4"),
        (lambda: model.partial_fit(np.c_[X, X], Y), "X has 8 features, but .* is expecting 4"),
        (lambda: model.partial_fit(X, np.c_[Y, Y]), "y is multilabel, unlike that of the first"),
        (lambda: model.predict(X[:, :3]), "X has 3 features, but .* is expecting 4"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
        assert digest(model) == state


def test_partial_fit_of_other_outputs() -> None:
    model = BackpropRegressor(random_state=0).partial_fit(X, Y)
    state = digest(model)
    with pytest.raises(ValueError, match="y has 2 outputs, but the model to go on from has 1"):
        model.partial_fit(X, np.c_[Y, Y])
    assert digest(model) == state


# X changed by another thread during a fit


def while_changing(change: Callable[[int], None], call: Callable[[], Any]) -> Any:
    """Call while another thread changes something again and again."""
    stop = threading.Event()

    def work() -> None:
        for i in range(10**9):
            if stop.is_set():
                return
            change(i)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        return call()
    finally:
        stop.set()
        thread.join()


def test_dense_x_changed_during_a_fit() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(2000, 30)).astype(np.float32)
    y = shared[:, 0].copy()

    def change(i: int) -> None:
        shared[i % 2000, i % 30] = (np.nan, np.inf, 1e30, 0)[i % 4]

    for _ in range(5):
        model = BackpropRegressor(max_iter=20, random_state=0)
        try:
            while_changing(change, lambda model=model: model.fit(shared, y))
            assert np.isfinite(model.predict(rng.normal(size=(5, 30)))).all()
        except ValueError as error:
            assert "non-finite" in str(error) or "Input X contains" in str(error)
        shared[...] = rng.normal(size=shared.shape)


@pytest.mark.parametrize("n_features", [40, 400])  # made dense, and sparse throughout
@pytest.mark.parametrize("bits", [np.int32, np.int64])
def test_sparse_x_changed_during_a_fit(bits: type, n_features: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=2000)
    original = sp.random(2000, n_features, 0.02, "csr", rng=rng)
    shared = original.copy()
    shared.indices, shared.indptr = shared.indices.astype(bits), shared.indptr.astype(bits)

    def change(i: int) -> None:
        shared.indices[i % shared.nnz] = (2**31 - 1, -1, -(2**31), 0)[i % 4]
        shared.indptr[i % 2001] = (2**31 - 1, -1, 0, 5)[i // 7 % 4]
        if i % 1000 == 0:  # the arrays themselves go
            shared.data = original.data.copy()
            shared.indices = original.indices.astype(bits)
            shared.indptr = original.indptr.astype(bits)

    outcomes = set()
    for _ in range(20):
        model = BackpropRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0)
        for call in (
            lambda model=model: model.fit(shared, y),
            lambda model=model: model.predict(shared),
        ):
            try:
                while_changing(change, call)
                outcomes.add("fitted")
            except (ValueError, NotFittedError) as error:
                outcomes.add(type(error).__name__)
    assert outcomes <= {"fitted", "ValueError", "NotFittedError"}


@pytest.mark.parametrize("n_features", [40, 400])
def test_sparse_x_changed_by_a_signal_handler(n_features: int) -> None:
    """In the midst of an epoch, whose column numbers had been looked at before it."""
    rng = np.random.default_rng(0)
    shared = sp.random(20_000, n_features, 8 / n_features, "csr", rng=rng)
    right, held, y = shared.indices.copy(), shared.indices, rng.normal(size=20_000)

    def spoil(*_: Any) -> None:
        held[:] = right if held[0] != right[0] else 2**31 - 1
        shared.indices, shared.data = right.copy(), shared.data.copy()

    model = BackpropRegressor(hidden_layer_sizes=(50,), max_iter=6, batch_size=50, random_state=0)
    before = signal.signal(signal.SIGALRM, spoil)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
        model.fit(shared, y)
    except ValueError as error:
        assert "column indices" in str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Signal handlers and callbacks that raise


class OwnError(Exception):
    """An error that fastbp does not know."""


class Raising:
    """A scorer that raises."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __call__(self, *_: Any) -> float:
        raise self.error


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_signal_handler_that_raises(solver: str) -> None:
    def raise_own(*_: Any) -> None:
        raise OwnError

    model = fitted(BackpropRegressor, solver=solver)
    model.set_params(max_iter=10**6, tol=0, n_iter_no_change=np.inf, hidden_layer_sizes=(300,))
    state = digest(model)
    before = signal.signal(signal.SIGALRM, raise_own)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(OwnError):
            model.fit(np.tile(X, (100, 1)), np.tile(np.sin(9 * X[:, 0]), 100))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert digest(model) == state


@pytest.mark.parametrize("error", [OwnError, StopIteration, SystemExit, RuntimeError])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_scorer_that_raises(estimator: type, error: type[BaseException]) -> None:
    model = fitted(estimator)
    model.set_params(scoring=Raising(error), early_stopping=True)
    state = digest(model)
    with pytest.raises(error):
        model.fit(X, Y)
    assert digest(model) == state


# Warnings turned into errors


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "hasn't converged yet"),
        ({"solver": "lbfgs"}, "lbfgs failed to converge"),
        ({"batch_size": 10**12}, "batch_size"),
        ({"max_time": 0.05, "max_iter": 10**8, "tol": 0, "n_iter_no_change": np.inf}, "max_time"),
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_warnings_turned_into_errors(estimator: type, params: dict[str, Any], says: str) -> None:
    model = fitted(estimator)
    model.set_params(**params)
    state = digest(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Warning, match=says):
            model.fit(X, Y)
    assert digest(model) == state
