# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core within a process: a family pinned from outside, nets in several threads."""

import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from problems import flat, make_problem

from fastbp import _core

PROGRAM = """
from fastbp import _core
print(_core.default_isa(), _core.Net([2, 1], [], "squared_error", dtype="float32").isa)
"""


def run_pinned(isa):
    environment = {**os.environ, "FASTBP_ISA": isa}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("isa", _core.available_isas())
def test_environment_pins_the_family(isa):
    assert run_pinned(isa).stdout.split() == [isa, isa]


def test_environment_with_an_unknown_family():
    done = run_pinned("mmx")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError")
    assert "mmx" in last
    assert all(isa in last for isa in _core.available_isas())


@pytest.mark.parametrize("n_threads", [1, 2])
def test_nets_trained_side_by_side(n_threads):
    """Teams share the machine's threads; which ones each gets changes no bit."""
    p = make_problem((30, 60, 40, 3), "relu", "log_loss", n=500, dtype="float32")

    def train(_):
        net = p.net(_core.Net, solver="adam", max_rows=100, n_threads=n_threads)
        for _ in range(20):
            net.train(p.X, p.y, None, 100)
        return flat(net.get_weights()).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(train, range(8)))) == 1


def test_a_net_at_work_refuses_a_second_caller():
    p = make_problem((20, 40, 3), n=1000)
    net = p.net(_core.Net, solver="adam", max_rows=50)
    order = np.tile(np.arange(1000), 20_000)
    at_work, done = threading.Event(), threading.Event()

    def poll():
        at_work.set()
        return done.is_set()

    thread = threading.Thread(target=net.train, args=(p.X, p.y, order, 50), kwargs={"poll": poll})
    thread.start()
    try:
        assert at_work.wait(10)
        with pytest.raises(RuntimeError, match="at work"):
            net.predict(p.X)
        with pytest.raises(RuntimeError, match="at work"):
            net.train(p.X, p.y, None, 50)
    finally:
        done.set()
        thread.join()
    assert np.isfinite(net.predict(p.X)).all()


def test_threads_of_openmp_are_told():
    assert _core.max_threads() >= 1


@pytest.mark.parametrize("layout", ["csr32", "csr64"])
def test_arrays_of_a_sparse_matrix_live_as_long_as_they_are_read(layout):
    p = make_problem((200, 40, 3), n=400, dtype="float32", layout=layout)

    order = np.tile(np.arange(400), 200)  # long enough to be polled
    arrays = p.X.data, p.X.indices, p.X.indptr
    replaced = []

    def replace():
        p.X.data, p.X.indices, p.X.indptr = (np.zeros_like(array) for array in arrays)
        replaced.append([np.full_like(array, 77) for array in arrays])  # where the others were
        return False

    def train(poll):
        p.X.data, p.X.indices, p.X.indptr = (array.copy() for array in arrays)
        net = p.net(_core.Net, solver="adam", max_rows=50)
        net.train(p.X, p.y, order, 50, poll=poll)
        return flat(net.get_weights()).tobytes()

    assert train(replace) == train(None)
    assert replaced


def test_a_net_lets_one_thread_in_at_a_time():
    """Also where no GIL keeps two from entering at once."""
    p = make_problem((20, 40, 3), n=100)
    net = p.net(_core.Net, solver="adam", max_rows=50)
    before = net.get_weights()
    barrier = threading.Barrier(4)

    def enter(worker):
        n_refused = 0
        for _ in range(200):
            barrier.wait()
            try:
                if worker % 2:
                    assert np.isfinite(net.predict(p.X)).all()
                else:
                    net.set_weights(*before)
            except RuntimeError as error:
                assert "at work" in str(error), error
                n_refused += 1
        return n_refused

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(enter, range(4))) < 4 * 200
    assert flat(net.get_weights()).tobytes() == flat(before).tobytes()


REFUSE_TILES = """
import ctypes, errno, struct, warnings

warnings.simplefilter("error")
libc = ctypes.CDLL(None, use_errno=True)
ARCH_PRCTL, GET_SUPPORTED, REQUEST = 158, 0x1021, 0x1023
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
program = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in [
        (0x20, 0, 0, 0),  # the call's number
        (0x15, 0, 4, ARCH_PRCTL),
        (0x20, 0, 0, 16),  # its first argument
        (0x15, 1, 0, GET_SUPPORTED),
        (0x15, 0, 1, REQUEST),
        (0x06, 0, 0, ERRNO | errno.EPERM),
        (0x06, 0, 0, ALLOW),
    ]
)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(Program(len(program) // 8, program))) == 0
for code in (GET_SUPPORTED, REQUEST):
    assert libc.syscall(ARCH_PRCTL, code, 0) == -1
    assert ctypes.get_errno() == errno.EPERM

import numpy as np
from fastbp import BackpropRegressor, _core

X = np.random.default_rng(0).normal(size=(50, 64)).astype("f4")
for precision in _core.names()["precisions"]:
    model = BackpropRegressor(hidden_layer_sizes=64, matmul_precision=precision)
    assert np.isfinite(model.partial_fit(X, X[:, 0]).predict(X)).all()
print(_core.default_isa(), *_core.available_isas())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="tiles are x86-64's"
)
def test_tiles_that_the_system_refuses_are_done_without():
    """A seccomp filter, as containers have them, refuses what asks for AMX."""

    def run(**variables):
        environment = {k: v for k, v in os.environ.items() if k != "FASTBP_ISA"}
        return subprocess.run(
            [sys.executable, "-c", REFUSE_TILES],
            env={**environment, **variables},
            capture_output=True,
            text=True,
        )

    done = run()
    assert done.returncode == 0, done.stderr
    best, *isas = done.stdout.split()
    assert "amx" not in isas
    assert best in isas
    assert done.stderr == ""
    last = run(FASTBP_ISA="amx").stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: Kernel family 'amx'")
    assert ", ".join(isas) in last
