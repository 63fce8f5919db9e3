# SPDX-License-Identifier: BSD-3-Clause
"""Networks for sparse X: the bits of dense X in planned memory, and the arrays of X left as is."""

import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from problems import PAIRS, SOLVERS, flat, make_problem, messy_csr

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference_net as twin
from fastbp._data import SparseSizes, core_rows, sparse_sizes

DTYPES = ("float32", "float64")
INDEX_TYPES = {"int32": np.int32, "int64": np.int64}


def draw_dense(n, n_cols, kind, rng):
    """A dense matrix with the zeros that a kind of sparse one has."""
    X = rng.normal(size=(n, n_cols))
    X[rng.random(X.shape) > 0.1] = 0
    if kind == "empty rows and columns":
        X[::3] = 0
        X[:, 1::2] = 0
        X[:, -1] = 0
    elif kind == "zero":
        X[:] = 0
    elif kind == "dense row":
        X[n // 2] = rng.normal(size=n_cols)
    elif kind == "dense column":
        X[:, n_cols // 2] = rng.normal(size=n)
    return X


KINDS = ("random", "empty rows and columns", "zero", "dense row", "dense column")


def as_csr(X, form, index_type=np.int32):
    """X as CSR: tidy, or unsorted with duplicates, or with zeros stored."""
    if form == "messy":
        return messy_csr(X, index_type, np.random.default_rng(0))
    csr = sp.csr_array(X)
    if form == "explicit zeros":
        csr.data[::3] = 0
    csr.indices, csr.indptr = csr.indices.astype(index_type), csr.indptr.astype(index_type)
    return csr


FORMS = ("tidy", "messy", "explicit zeros")


def sizes(X, order, batch_rows):
    """The arguments of a net for just these rows of X."""
    counts = np.diff(X.indptr)
    order = np.arange(X.shape[0]) if order is None else order
    batches = [order[i : i + batch_rows] for i in range(0, len(order), batch_rows)]
    chunks = [b[i : i + 4096] for b in batches for i in range(0, len(b), 4096)]
    return {
        "max_row_nonzeros": max(1, int(counts.max())),
        "max_batch_nonzeros": max(int(counts[chunk].sum()) for chunk in chunks),
    }


def results(p, X, solver, batch_rows, order=None, *, n_threads=1, isa=None, **sparse):
    """The bytes of all that training and predicting give."""
    options: dict[str, Any] = {"n_threads": n_threads, "isa": isa, **sparse}
    net = p.net(_core.Net, solver=solver, max_rows=batch_rows, **options)
    step = {"learning_rate": 0.01, "momentum": 0.9, "alpha": 0.1}
    done = [
        net.train(X, p.y, order, batch_rows, sample_weight=p.sample_weight, **step)
        for _ in range(2)
    ]
    weights, predicted = flat(net.get_weights()), net.predict(X)
    assert np.isfinite(weights).all()
    moments = [flat(moment).tobytes() for moment in net.get_solver_state()["moments"]]
    return [done, weights.tobytes(), predicted.tobytes(), *moments]


def problem(units, X, dtype="float64", **kwargs):
    """A problem of which only X is another."""
    p = make_problem((X.shape[1], *units), n=X.shape[0], dtype=dtype, **kwargs)
    return p


# The same bits as from dense X


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index_type", INDEX_TYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_dense(kind, form, index_type, dtype, x_dtype):
    X = draw_dense(90, 70, kind, np.random.default_rng(1)).astype(x_dtype)
    X = as_csr(X, form, INDEX_TYPES[index_type])
    p = problem((20, 3), X, dtype, activation="tanh", weighted=True)
    order = np.random.default_rng(2).integers(90, size=200)  # rows repeat
    expected = results(p, X.toarray(), "adam", 33, order)
    assert results(p, X, "adam", 33, order) == expected  # made dense
    assert results(p, X, "adam", 33, order, **sizes(X, order, 33)) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("units", [(50, 33, 2), (17, 1), (1, 3), (130, 2), (5,), (1,)], ids=str)
def test_bits_of_every_family_and_number_of_threads(units, solver, dtype):
    X = as_csr(draw_dense(150, 101, "random", np.random.default_rng(3)), "messy")
    p = problem(units, X, dtype, weighted=True)
    for isa in _core.available_isas():
        expected = results(p, X.toarray(), solver, 64, isa=isa)
        for n_threads in (1, 2, 3, 8) if isa != "ref" else (2,):
            options = {"n_threads": n_threads, "isa": isa, **sizes(X, None, 64)}
            assert results(p, X, solver, 64, **options) == expected, (isa, n_threads)


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_bits_of_every_activation_and_loss(activation, loss):
    X = as_csr(draw_dense(60, 40, "random", np.random.default_rng(4)), "tidy")
    for units in [(19, 2), (2,)]:
        p = problem(units, X, "float32", activation=activation, loss=loss)
        for isa in _core.available_isas():
            expected = results(p, X.toarray(), "sgd", 16, isa=isa)
            assert results(p, X, "sgd", 16, isa=isa, **sizes(X, None, 16)) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("units", [(9, 2), (3,), (1,)], ids=str)
def test_batches_beyond_a_chunk(units, solver, dtype):
    X = as_csr(draw_dense(9001, 34, "dense row", np.random.default_rng(5)), "tidy")
    p = problem(units, X, dtype, weighted=True)
    for batch_rows in (4096, 4097, 9000):
        expected = results(p, X.toarray(), solver, batch_rows)
        for n_threads in (1, 3):
            options = {"n_threads": n_threads, **sizes(X, None, batch_rows)}
            assert results(p, X, solver, batch_rows, **options) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [(12, 2), (2,), (1,)], ids=str)
@pytest.mark.parametrize("n", [50, 5000])
def test_loss_gradient(n, units, dtype):
    X = as_csr(draw_dense(n, 45, "random", np.random.default_rng(6)), "messy")
    p = problem(units, X, dtype, weighted=True)
    options = {"sample_weight": p.sample_weight, "alpha": 0.3}
    loss, gradient = p.net(_core.Net, max_rows=n).loss_gradient(
        p.parameters(), X.toarray(), p.y, **options
    )
    for n_threads in (1, 2, 8):
        net = p.net(_core.Net, max_rows=n, n_threads=n_threads, **sizes(X, None, n))
        actual = net.loss_gradient(p.parameters(), X, p.y, **options)
        assert actual[0] == loss
        assert actual[1].tobytes() == gradient.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [(3, 2), (1,)], ids=str)
def test_predictions_of_rows_fuller_than_a_block(units, dtype):
    """Prediction gathers as many rows as its scratch holds: here one, many, one."""
    rng = np.random.default_rng(7)
    X = sp.random(300, 70_000, 0.001, format="lil", random_state=7)
    X[[0, 150, 299]] = rng.normal(size=(3, 70_000))
    X = X.tocsr()
    p = problem(units, X, dtype)
    expected = p.net(_core.Net).predict(X)
    sizes_ = {"max_row_nonzeros": 70_000}
    net = p.net(_core.Net, n_threads=2, **sizes_)
    assert net.predict(X).tobytes() == expected.tobytes()
    assert net.predict(X, raw=True).tobytes() == p.net(_core.Net).predict(X, raw=True).tobytes()
    for row in (0, 1, 150, 299):
        assert net.predict(X[row]).tobytes() == expected[row].tobytes()


# Stopping


@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt_leaves_whole_updates(n_threads):
    X = as_csr(draw_dense(1000, 200, "random", np.random.default_rng(8)), "tidy")
    p = problem((40, 3), X)
    order = np.tile(np.arange(1000), 5000)
    net = p.net(_core.Net, solver="adam", max_rows=50, n_threads=n_threads, **sizes(X, None, 50))
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        net.train(X, p.y, order, 50)
    timer.join()
    done = net.progress
    assert 0 <= done.n_rows == 50 * done.n_steps < len(order)
    again = p.net(_core.Net, solver="adam", max_rows=50)
    assert again.train(X.toarray(), p.y, order[: done.n_rows], 50) == done
    assert flat(net.get_weights()).tobytes() == flat(again.get_weights()).tobytes()


# What a net for sparse X refuses


def refused_calls(p, X, **options):
    return {
        "train": lambda net: net.train(X, p.y, None, 50),
        "loss_gradient": lambda net: net.loss_gradient(p.parameters(), X, p.y),
        "predict": lambda net: net.predict(X),
    }


@pytest.mark.parametrize("make", [_core.Net, twin.Net], ids=["core", "twin"])
@pytest.mark.parametrize("call", ["train", "loss_gradient", "predict"])
def test_dense_x_is_refused(call, make):
    X = as_csr(draw_dense(100, 30, "random", np.random.default_rng(9)), "tidy")
    p = problem((4, 2), X)
    solver = "adam" if call == "train" else "gradient"
    net = p.net(make, solver=solver, max_rows=100, **sizes(X, None, 100))
    refused_calls(p, X)[call](net)
    before = flat(net.get_weights())
    with pytest.raises(TypeError, match="sparse"):
        refused_calls(p, X.toarray())[call](net)
    assert np.array_equal(flat(net.get_weights()), before)


@pytest.mark.parametrize("call", ["train", "loss_gradient", "predict"])
def test_more_nonzeros_than_planned_are_refused(call):
    X = as_csr(draw_dense(100, 30, "dense row", np.random.default_rng(10)), "tidy")
    p = problem((4, 2), X)
    solver = "adam" if call == "train" else "gradient"
    rows = 50 if call == "train" else 100
    planned = sizes(X, None, rows)
    refused_calls(p, X)[call](p.net(_core.Net, solver=solver, max_rows=100, **planned))
    name = "max_row_nonzeros" if call == "predict" else "max_batch_nonzeros"
    planned[name] -= 1
    net = p.net(_core.Net, solver=solver, max_rows=100, **planned)
    before = flat(net.get_weights())
    with pytest.raises(ValueError, match="nonzeros"):
        refused_calls(p, X)[call](net)
    assert np.array_equal(flat(net.get_weights()), before)


@pytest.mark.parametrize(
    ("part", "position", "value"),
    [("indices", 5, 30), ("indices", 5, -1), ("indptr", 5, 10**6), ("indptr", 0, -3)],
    ids=str,
)
def test_broken_csr_is_refused(part, position, value):
    X = as_csr(draw_dense(100, 30, "random", np.random.default_rng(11)), "tidy")
    p = problem((4, 2), X)
    net = p.net(_core.Net, solver="adam", max_rows=50, **sizes(X, None, 50))
    getattr(X, part)[position] = value
    for call in ("train", "predict"):
        with pytest.raises(ValueError):
            refused_calls(p, X)[call](net)
    assert np.array_equal(flat(net.get_weights()), p.parameters())


@pytest.mark.parametrize("make", [_core.Net, twin.Net], ids=["core", "twin"])
@pytest.mark.parametrize("name", ["max_row_nonzeros", "max_batch_nonzeros"])
def test_negative_sizes_are_refused(name, make):
    with pytest.raises(ValueError, match=name):
        make([5, 2], [], "squared_error", dtype="float32", **{name: -1})


@pytest.mark.parametrize(
    ("units", "planned"),
    [
        ((2**31, 1), {"max_row_nonzeros": 5}),
        ((10, 2), {"max_row_nonzeros": 2**62}),
        ((10, 2), {"max_row_nonzeros": 5, "max_batch_nonzeros": 2**62}),
        ((10, 2), {"max_row_nonzeros": 2**39}),
    ],
    ids=str,
)
def test_sizes_beyond_memory(units, planned):
    with pytest.raises(MemoryError):
        _core.Net(units, [], "squared_error", dtype="float64", max_rows=10, **planned)


# The estimators


def draw_sparse(n=400, n_cols=300, share=0.05, seed=0):
    X = sp.random(n, n_cols, share, format="csr", random_state=seed)
    y = (X @ np.random.default_rng(seed).normal(size=n_cols) > 0).astype(int)
    return X, y


def shuffled(X):
    """X with its entries in another order within each row."""
    rng = np.random.default_rng(0)
    X = X.copy()
    for begin, end in pairwise(X.indptr):
        order = begin + rng.permutation(end - begin)
        X.indices[begin:end], X.data[begin:end] = X.indices[order], X.data[order]
    X.has_sorted_indices = False
    return X


def with_index_type(X, indices, indptr):
    X = X.copy()
    X.indices, X.indptr = X.indices.astype(indices), X.indptr.astype(indptr)
    return X


CONTAINERS = {
    "csr_matrix": sp.csr_matrix,
    "csr_array": sp.csr_array,
    "csc_matrix": sp.csc_matrix,
    "csc_array": sp.csc_array,
    "coo_matrix": sp.coo_matrix,
    "float32": lambda X: X.astype(np.float32),
    "unsorted": shuffled,
    "int64": lambda X: with_index_type(X, np.int64, np.int64),
    "mixed": lambda X: with_index_type(X, np.int32, np.int64),
}


def arrays_of(X):
    return [X.row, X.col, X.data] if X.format == "coo" else [X.indices, X.indptr, X.data]


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_fit_of_sparse_and_dense_is_the_same(name, solver):
    X, y = draw_sparse()
    X = CONTAINERS[name](X)
    before = [array.copy() for array in arrays_of(X)]
    for array in arrays_of(X):
        array.flags.writeable = False
    assert sparse_sizes(X.tocsr(), 200).row > 0
    options = {"solver": solver, "max_iter": 5, "random_state": 0, "hidden_layer_sizes": (20,)}
    with pytest.warns(match="converge"):
        model = BackpropClassifier(**options).fit(X, y)
        expected = BackpropClassifier(**options).fit(X.toarray(), y)
    assert model.loss_ == expected.loss_
    for actual, dense in zip(model.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(actual, dense)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X.toarray()))
    for array, kept in zip(arrays_of(X), before, strict=True):
        np.testing.assert_array_equal(array, kept)
        assert array.dtype == kept.dtype


@pytest.mark.parametrize("hidden", [(), (30, 10)], ids=str)
def test_early_stopping_and_partial_fit(hidden):
    X, y = draw_sparse()
    X = sp.vstack([X[:399], np.ones((1, 300))], format="csr")  # one full row, in either part
    options = {"random_state": 0, "hidden_layer_sizes": hidden, "early_stopping": True}
    model = BackpropRegressor(**options, max_iter=30, batch_size=37).fit(X, y)
    expected = BackpropRegressor(**options, max_iter=30, batch_size=37).fit(X.toarray(), y)
    assert model.validation_scores_ == expected.validation_scores_
    model.set_params(early_stopping=False).partial_fit(X, y)
    expected.set_params(early_stopping=False).partial_fit(X.toarray(), y)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])


# Planning


def test_sizes_are_those_of_the_fullest_rows():
    X = sp.lil_array((6000, 1000))
    X[17, :] = 1.0
    X[1000:3000, :3] = 1.0
    X[3000:, 5] = 1.0
    X = X.tocsr()
    before = X.indptr.copy()
    assert sparse_sizes(X, 0) == (1000, 0)
    assert sparse_sizes(X, 1) == (1000, 1000)
    assert sparse_sizes(X, 101) == (1000, 1000 + 100 * 3)
    assert sparse_sizes(X, 2002) == (1000, 1000 + 2000 * 3 + 1)
    assert sparse_sizes(X, 6000) == (1000, 1000 + 2000 * 3 + _core.CHUNK_ROWS - 2001)
    np.testing.assert_array_equal(X.indptr, before)


def test_rows_that_are_hardly_sparse_become_dense():
    assert sparse_sizes(np.zeros((5, 1000)), 5) == (0, 0)
    assert sparse_sizes(sp.csr_array((100, 1000)), 5) == (1, 0)
    assert sparse_sizes(sp.csr_array((100, 100)), 5) == (0, 0)
    assert sparse_sizes(sp.random(100, 1000, 0.3, format="csr"), 5) == SparseSizes(0, 0)
    assert sparse_sizes(sp.random(100, 1000, 0.1, format="csr"), 5).row > 0


def test_csc_is_converted_and_csr_is_not():
    X, _ = draw_sparse()
    for index_type in (np.int32, np.int64):
        csr = with_index_type(X, index_type, index_type)
        for given in (csr, with_index_type(shuffled(csr), index_type, index_type)):
            rows = core_rows(given, "float32")
            assert rows.data is given.data
            assert rows.indices is given.indices
            assert rows.indptr.dtype == index_type
    assert core_rows(X.tocsc(), "float32").format == "csr"


MEMORY_PROGRAM = """
import resource, sys
import numpy as np, scipy.sparse as sp
from fastbp import BackpropClassifier

X = sp.random(9000, 20_000, 0.001, format="lil", random_state=0)
X[5] = 1.0
X, y = X.tocsr(), np.arange(9000) % 2
options = {"hidden_layer_sizes": (8,), "batch_size": 4096, "max_iter": 2, "solver": sys.argv[1]}
BackpropClassifier(**options).fit(X[:50], y[:50])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = BackpropClassifier(**options).fit(X, y)
model.predict(X)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_memory_stays_near_the_plan(solver):
    """A batch's dense rows would take 328 MB; its values, by rows and by strips, take 2."""
    command = [sys.executable, "-W", "ignore", "-c", MEMORY_PROGRAM, solver]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000
