# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core's manners: stopping, signals, bad arguments, names."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import scipy.sparse as sp
from problems import ACTIVATIONS, LOSSES, flat, make_problem

from fastbp import _core


@pytest.fixture
def problem():
    return make_problem((20, 40, 3), "tanh", n=1000, weighted=True)


def long_order(n=1000, repeats=20_000):
    """Enough work for many seconds, so that a call which does not stop is noticed."""
    return np.tile(np.arange(n, dtype=np.int64), repeats)


def assert_whole_updates(p, net, order):
    """The net's weights are those after just the updates that its progress counts."""
    done = net.progress
    assert 0 < done.n_rows < len(order)
    assert done.n_rows == 50 * done.n_steps
    again = p.net(_core.Net, solver="adam", max_rows=50)
    expected = again.train(p.X, p.y, order[: done.n_rows], 50, sample_weight=p.sample_weight)
    assert done == expected
    assert flat(net.get_weights()).tobytes() == flat(again.get_weights()).tobytes()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_poll_stops_after_a_whole_update(problem, n_threads):
    p, order, calls = problem, long_order(), []

    def poll():
        calls.append(threading.get_ident())
        return len(calls) == 3

    net = p.net(_core.Net, solver="adam", max_rows=50, n_threads=n_threads)
    result = net.train(p.X, p.y, order, 50, sample_weight=p.sample_weight, poll=poll)
    assert calls == [threading.get_ident()] * 3
    assert result == net.progress
    assert_whole_updates(p, net, order)


def test_exception_of_poll_is_raised(problem):
    p, order = problem, long_order()

    def poll():
        raise ZeroDivisionError("from poll")

    net = p.net(_core.Net, solver="adam", max_rows=50, n_threads=2)
    with pytest.raises(ZeroDivisionError, match="from poll"):
        net.train(p.X, p.y, order, 50, sample_weight=p.sample_weight, poll=poll)
    assert_whole_updates(p, net, order)


def test_poll_is_asked_about_every_20_ms(problem):
    p, times = problem, [time.monotonic()]

    def poll():
        times.append(time.monotonic())
        return times[-1] - times[0] > 0.5

    net = p.net(_core.Net, solver="adam", max_rows=1000)
    net.train(p.X, p.y, long_order(), 1000, poll=poll)
    gaps = np.diff(times)
    assert 5 < len(gaps) < 60
    assert np.median(gaps) < 0.1


@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt_is_raised_after_a_whole_update(problem, n_threads):
    p, order = problem, long_order()
    net = p.net(_core.Net, solver="adam", max_rows=50, n_threads=n_threads)
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        net.train(p.X, p.y, order, 50, sample_weight=p.sample_weight)
    timer.join()
    assert_whole_updates(p, net, order)
    net.train(p.X, p.y, order[:100], 50)  # and it can go on
    assert net.progress.n_rows == 100


@pytest.mark.parametrize("call", ["loss_gradient", "predict"])
def test_interrupt_ends_gradient_and_predict(call):
    """An interrupted call leaves most of its work undone, by CPU time beside a whole one."""
    p = make_problem((200, 300, 300, 2), "tanh", n=1000)
    X = np.tile(p.X, (6, 1))
    y = np.zeros((len(X), 2))
    net = p.net(_core.Net, max_rows=len(X), isa="ref")  # the slow one
    work = {
        "loss_gradient": lambda: net.loss_gradient(p.parameters(), X, y),
        "predict": lambda: net.predict(X),
    }[call]
    begin = time.process_time()
    work()
    whole = time.process_time() - begin

    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.process_time()
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        work()
    assert time.process_time() - begin < 0.7 * whole
    timer.join()
    assert np.isfinite(net.predict(p.X[:10])).all()


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_dismantling_gives_what_the_net_held(solver, dtype, isa):
    p = make_problem((50, 120, 90, 3), n=40, dtype=dtype)
    nets = [p.net(_core.Net, max_rows=20, solver=solver, isa=isa) for _ in range(2)]
    for net in nets:
        net.train(p.X, p.y, None, 20)
    kept, weightless = nets
    weights, state = kept.get_weights(), kept.get_solver_state()
    for net, expected in ((kept, weights), (weightless, None)):
        got, got_state = net.dismantle(with_weights=net is kept)
        assert (got is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(flat(got), flat(expected))
        assert (got_state["solver"], got_state["step_count"]) == (solver, 2)
        assert len(got_state["moments"]) == len(state["moments"]) > 0
        for moment, expected_moment in zip(got_state["moments"], state["moments"], strict=True):
            np.testing.assert_array_equal(flat(moment), flat(expected_moment))
        for call in (net.get_weights, net.get_solver_state, net.dismantle):
            with pytest.raises(RuntimeError, match="dismantled"):
                call()
        with pytest.raises(RuntimeError, match="dismantled"):
            net.predict(p.X)
        with pytest.raises(RuntimeError, match="dismantled"):
            net.train(p.X, p.y, None, 20)
        with pytest.raises(RuntimeError, match="dismantled"):
            net.set_weights(*weights)


def test_net_at_work_refuses_other_calls():
    """What a poll function asks of its own net would see or make torn weights."""
    p = make_problem((50, 60, 3), n=2000)
    net = p.net(_core.Net, max_rows=50, solver="adam", isa="ref")
    refused = []

    def poll():
        for call in (
            net.get_weights,
            net.get_solver_state,
            net.dismantle,
            lambda: net.predict(p.X),
        ):
            with pytest.raises(RuntimeError, match="at work"):
                call()
        with pytest.raises(RuntimeError, match="at work"):
            net.set_weights(p.coefs, p.intercepts)
        refused.append(True)
        return True

    while not refused:
        net.train(p.X, p.y, None, 50, poll=poll)
    net.get_weights()


def test_poll_ends_gradient_and_predict():
    p = make_problem((200, 300, 300, 2), "tanh", n=1000)
    X = np.tile(p.X, (40, 1))
    net = p.net(_core.Net, max_rows=len(X), isa="ref")
    with pytest.raises(InterruptedError):
        net.predict(X, poll=lambda: True)
    with pytest.raises(InterruptedError):
        net.loss_gradient(p.parameters(), X, np.zeros((len(X), 2)), poll=lambda: True)
    with pytest.raises(ZeroDivisionError):
        net.predict(X, poll=lambda: 1 / 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"units": [5]}, "units"),
        ({"units": []}, "units"),
        ({"units": [5, 0, 3]}, "units"),
        ({"units": [-5, 4, 3]}, "units"),
        ({"activations": []}, "activations"),
        ({"activations": ["tanh", "tanh"]}, "activations"),
        ({"activations": ["swish"]}, "swish"),
        ({"loss": "hinge"}, "hinge"),
        ({"loss": "log_loss", "units": [5, 4, 1]}, "log_loss"),
        ({"solver": "newton"}, "newton"),
        ({"dtype": "float16"}, "float16"),
        ({"max_rows": -1}, "max_rows"),
        ({"n_threads": 0}, "n_threads"),
        ({"isa": "mmx"}, "ref"),
        ({"precision": "low"}, "highest, high, medium"),
    ],
    ids=str,
)
def test_bad_nets(change, words):
    arguments = {"units": [5, 4, 3], "activations": ["tanh"], "loss": "squared_error"}
    arguments |= {"dtype": "float64", "solver": "adam", "max_rows": 10} | change
    with pytest.raises(ValueError, match=words):
        _core.Net(
            arguments.pop("units"), arguments.pop("activations"), arguments.pop("loss"), **arguments
        )


@pytest.mark.parametrize(
    ("units", "max_rows"),
    [
        ((10**7, 10**7), 1),
        ((2**62, 4), 1),
        ((2**32, 2**32), 1),
        ((2**33, 2**33, 2), 0),
        ((3, 2**61, 3), 0),
        ((3, 2**63 - 1, 3), 0),
    ],
    ids=str,
)
def test_nets_beyond_memory(units, max_rows):
    with pytest.raises(MemoryError):
        _core.Net(
            units, ["tanh"] * (len(units) - 2), "squared_error", dtype="float32", solver="adam",
            max_rows=max_rows,
        )  # fmt: skip


def big_endian(a):
    return a.astype(a.dtype.newbyteorder())


def misaligned(a):
    raw = np.zeros(a.nbytes + 1, dtype=np.uint8)
    out = raw[1:].view(a.dtype).reshape(a.shape)
    out[:] = a
    return out


def broken_csr(X, part, position, value):
    csr = sp.csr_array(X)
    getattr(csr, part)[position] = value
    return csr


BAD_X = {
    "not an array": lambda X: X.tolist(),
    "one axis": lambda X: X[0],
    "three axes": lambda X: X[None],
    "a column less": lambda X: X[:, 1:],
    "integers": lambda X: X.astype(np.int64),
    "half precision": lambda X: X.astype(np.float16),
    "complex": lambda X: X.astype(complex),
    "objects": lambda X: X.astype(object),
    "big-endian": big_endian,
    "misaligned": misaligned,
    "Fortran order": np.asfortranarray,
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "CSC": sp.csc_array,
    "COO": sp.coo_array,
    "column too large": lambda X: broken_csr(X, "indices", 5, X.shape[1]),
    "column negative": lambda X: broken_csr(X, "indices", 5, -1),
    "indptr falls": lambda X: broken_csr(X, "indptr", 5, 10**6),
    "indptr negative": lambda X: broken_csr(X, "indptr", 0, -3),
    "indptr too large": lambda X: broken_csr(X, "indptr", -1, 10**6),
}


@pytest.mark.parametrize("call", ["train", "loss_gradient", "predict"])
@pytest.mark.parametrize("name", BAD_X)
def test_bad_x(problem, name, call):
    p, X = problem, BAD_X[name](problem.X)
    solver = "adam" if call == "train" else "gradient"
    net = p.net(_core.Net, max_rows=1000, solver=solver)
    with pytest.raises((ValueError, TypeError)):
        if call == "train":
            net.train(X, p.y, None, 50)
        elif call == "predict":
            net.predict(X)
        else:
            net.loss_gradient(p.parameters(), X, p.y)
    assert np.array_equal(flat(net.get_weights()), p.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_rows": 0}, "batch_rows"),
        ({"batch_rows": -1}, "batch_rows"),
        ({"batch_rows": 51}, "batch_rows"),
        ({"order": np.array([0, -1])}, "order"),
        ({"order": np.array([0, 1000])}, "order"),
        ({"order": np.array([0, 1], dtype=np.int32)}, "order"),
        ({"order": np.array([[0, 1]])}, "order"),
        ({"order": np.arange(20)[::2]}, "order"),
        ({"y": np.zeros((1000, 2))}, "y"),
        ({"y": np.zeros((999, 3))}, "y"),
        ({"y": np.zeros((1000, 3), dtype=np.float32)}, "y"),
        ({"y": np.zeros((1000, 3), dtype=np.int32)}, "y"),
        ({"y": np.zeros((3, 1000)).T}, "y"),
        ({"sample_weight": np.ones(999)}, "sample_weight"),
        ({"sample_weight": np.ones((1000, 1))}, "sample_weight"),
        ({"sample_weight": np.ones(1000, dtype=np.float32)}, "sample_weight"),
        ({"sample_weight": np.ones(2000)[::2]}, "sample_weight"),
    ],
    ids=str,
)
def test_bad_training(problem, change, words):
    p = problem
    net = p.net(_core.Net, max_rows=50, solver="adam")
    arguments = {"X": p.X, "y": p.y, "order": None, "batch_rows": 50} | change
    with pytest.raises((ValueError, TypeError), match=words):
        net.train(**arguments)
    assert np.array_equal(flat(net.get_weights()), p.parameters())


@pytest.mark.parametrize("code", [-1, 3, 2**31 - 1, -(2**31)])
def test_bad_class_codes(code):
    p = make_problem((4, 5, 3), loss="log_loss")
    p.y[17] = code
    with pytest.raises(ValueError, match="y"):
        p.net(_core.Net, max_rows=50, solver="adam").train(p.X, p.y, None, 50)
    with pytest.raises(ValueError, match="y"):
        p.net(_core.Net, max_rows=50).loss_gradient(p.parameters(), p.X, p.y)


def test_calls_that_the_solver_or_size_rules_out(problem):
    p = problem
    with pytest.raises(ValueError, match="gradient"):
        p.net(_core.Net, max_rows=50).train(p.X, p.y, None, 50)
    with pytest.raises(ValueError, match="gradient"):
        p.net(_core.Net, max_rows=1000, solver="adam").loss_gradient(p.parameters(), p.X, p.y)
    with pytest.raises(ValueError, match="rows"):
        p.net(_core.Net, max_rows=999).loss_gradient(p.parameters(), p.X, p.y)
    with pytest.raises(ValueError, match="rows"):
        p.net(_core.Net, max_rows=0).loss_gradient(p.parameters(), p.X, p.y)
    with pytest.raises(ValueError, match="rows"):
        p.net(_core.Net, max_rows=0, solver="adam").train(p.X, p.y, None, 50)
    with pytest.raises(ValueError, match="weight"):
        p.net(_core.Net, max_rows=1000).loss_gradient(
            p.parameters(), p.X, p.y, sample_weight=np.zeros(1000)
        )


@pytest.mark.parametrize(
    "parameters",
    [np.zeros(3), np.zeros((20 * 40 + 40 * 3 + 43, 1)), np.zeros(963, np.float32), [0.0] * 963],
    ids=["short", "two axes", "type", "list"],
)
def test_bad_parameters(problem, parameters):
    p = problem
    assert p.parameters().size == 963
    net = p.net(_core.Net, max_rows=1000)
    with pytest.raises((ValueError, TypeError), match="parameters"):
        net.loss_gradient(parameters, p.X, p.y)
    assert np.array_equal(flat(net.get_weights()), p.parameters())


def test_bad_weights(problem):
    p = problem
    net = p.net(_core.Net)
    bad = [
        (p.coefs[:1], p.intercepts),
        (p.coefs, p.intercepts[:1]),
        ([p.coefs[0].T, p.coefs[1]], p.intercepts),
        ([p.coefs[0], p.coefs[1].astype(np.float32)], p.intercepts),
        ([np.asfortranarray(p.coefs[0]), p.coefs[1]], p.intercepts),
        ([p.coefs[0], None], p.intercepts),
        (p.coefs, [p.intercepts[0], p.intercepts[1][:, None]]),
        (p.coefs, [p.intercepts[0][1:], p.intercepts[1]]),
    ]
    for coefs, intercepts in bad:
        with pytest.raises((ValueError, TypeError)):
            net.set_weights([2 * c if c is not None else c for c in coefs], intercepts)
        assert np.array_equal(flat(net.get_weights()), p.parameters())


def test_bad_solver_state(problem):
    p = problem
    net = p.net(_core.Net, solver="adam", max_rows=10)
    good = net.get_solver_state()
    moment = good["moments"][0]
    for change in [
        {"solver": "sgd"},
        {"step_count": -1},
        {"moments": [moment]},
        {"moments": [moment, moment, moment]},
        {"moments": [moment, (moment[0][:1], moment[1])]},
        {"moments": [moment, ([c.T for c in moment[0]], moment[1])]},
        {"moments": [moment, ([c.astype(np.float32) for c in moment[0]], moment[1])]},
    ]:
        with pytest.raises((ValueError, TypeError)):
            net.set_solver_state({**good, **change}, 0.9, 0.999)


def test_bad_prediction_types(problem):
    net = problem.net(_core.Net)
    for dtype in ("int32", "float16", "complex128"):
        with pytest.raises((ValueError, TypeError)):
            net.predict(problem.X, dtype=dtype)


def test_no_rows(problem):
    net = problem.net(_core.Net)
    for X in (problem.X[:0], sp.csr_array((0, 20))):
        assert net.predict(X).shape == (0, 3)


def test_x_is_only_read(problem):
    p = problem
    for array in (p.X, p.y, p.sample_weight):
        array.flags.writeable = False
    net = p.net(_core.Net, solver="adam", max_rows=50)
    net.train(p.X, p.y, None, 50, sample_weight=p.sample_weight)
    net.predict(p.X)
    p.net(_core.Net, max_rows=1000).loss_gradient(p.parameters(), p.X, p.y)


def test_names():
    names = _core.names()
    assert set(names["activations"]) >= set(ACTIVATIONS)
    assert set(names["losses"]) >= set(LOSSES)
    assert set(names["solvers"]) >= {"gradient", "sgd", "nesterov", "adam"}
    assert names["precisions"] == ("highest", "high", "medium")
    available = _core.available_isas()
    assert "ref" in available
    assert set(available) <= set(names["isas"])
    for dtype in ("float32", "float64"):
        assert "ref" in _core.fused_isas(dtype)
        assert set(_core.fused_isas(dtype)) <= set(available) - {"sse2"}
    with pytest.raises(ValueError, match="dtype"):
        _core.fused_isas("float16")
    assert _core.default_isa() in available
    net = _core.Net([2, 1], [], "squared_error", dtype="float32", n_threads=3)
    assert net.isa == _core.default_isa()
    assert net.n_threads == 3
    assert all(isinstance(value, str) for value in _core.build_info().values())
