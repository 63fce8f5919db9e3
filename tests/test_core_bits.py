# SPDX-License-Identifier: BSD-3-Clause
"""Same bits: whatever the threads, the layout of X, the rows beside a row, or the kernel family.

Fused families (multiply and add in one rounding) give the bits of ref; any other gives its own.
"""

import numpy as np
import pytest
from problems import PAIRS, SOLVERS, flat, make_problem

from fastbp import _core

DTYPES = ("float64", "float32")
#: A net whose blocks of rows stay in a core's cache, one too wide for it, and one without layers.
NETS = {"narrow": (20, 50, 33, 5), "wide": (300, 700, 650, 3), "linear": (37, 1)}


def isas_by_bits(dtype):
    """The available families, those with the same bits together."""
    fused = _core.fused_isas(dtype)
    return [fused, *([isa] for isa in _core.available_isas() if isa not in fused)]


def bits(array):
    """The bytes of an array, with -0 told from 0 and nan equal to itself."""
    return np.ascontiguousarray(array).tobytes()


def trained_bits(p, solver, batch_rows, *, epochs=2, n_threads=1, isa=None):
    net = p.net(_core.Net, solver=solver, max_rows=batch_rows, n_threads=n_threads, isa=isa)
    step = {"learning_rate": 0.01, "momentum": 0.9, "alpha": 0.1}
    results = [
        net.train(p.X, p.y, None, batch_rows, sample_weight=p.sample_weight, **step)
        for _ in range(epochs)
    ]
    assert np.isfinite(flat(net.get_weights())).all()
    state = [flat(moment) for moment in net.get_solver_state()["moments"]]
    return [bits(flat(net.get_weights())), *map(bits, state), results]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", NETS)
def test_train_does_not_depend_on_threads(shape, solver, dtype):
    p = make_problem(NETS[shape], "tanh", n=301, dtype=dtype, weighted=True)
    for isa in (isas[-1] for isas in isas_by_bits(dtype)):
        expected = trained_bits(p, solver, 128, isa=isa)
        for n_threads in (2, 3, 4):
            actual = trained_bits(p, solver, 128, isa=isa, n_threads=n_threads)
            assert actual == expected, (isa, n_threads)


@pytest.mark.parametrize("dtype", DTYPES)
def test_train_in_chunks_does_not_depend_on_threads(dtype):
    p = make_problem((6, 40, 3), "relu", "log_loss", n=9000, dtype=dtype, weighted=True)
    for isa in (isas[-1] for isas in isas_by_bits(dtype)):
        expected = trained_bits(p, "adam", 8999, isa=isa)
        for n_threads in (2, 3, 4):
            actual = trained_bits(p, "adam", 8999, isa=isa, n_threads=n_threads)
            assert actual == expected, (isa, n_threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_train_does_not_depend_on_the_family(activation, loss, dtype):
    for units in [(23, 50, 33, 5), (11, 17, 2)]:
        p = make_problem(units, activation, loss, n=67, dtype=dtype, weighted=True)
        for solver in SOLVERS:
            expected = trained_bits(p, solver, 50, isa="ref")
            for isa in _core.fused_isas(dtype):
                assert trained_bits(p, solver, 50, isa=isa, n_threads=2) == expected, isa


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [(40, 1), (23, 50, 1), (1, 1, 2), (130, 7, 129, 3)], ids=str)
def test_gradient_depends_on_neither_threads_nor_family(units, dtype):
    p = make_problem(units, "tanh", n=4500, dtype=dtype, weighted=True)
    for isas in isas_by_bits(dtype):
        results = set()
        for isa in isas:
            for n_threads in (1, 3) if isa != "ref" else (2,):
                net = p.net(_core.Net, max_rows=4500, n_threads=n_threads, isa=isa)
                options = {"sample_weight": p.sample_weight, "alpha": 0.2}
                loss, gradient = net.loss_gradient(p.parameters(), p.X, p.y, **options)
                results.add((loss, bits(gradient)))
        assert len(results) == 1, isas


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_predict_depends_on_neither_threads_nor_family_nor_layout(loss, activation, dtype):
    layouts = ("csr32", "csr64")
    problems = [
        make_problem((19, 35, 2), activation, loss, n=333, dtype=dtype, layout=layout)
        for layout in layouts
    ]
    dense = problems[0].X.toarray()
    strided = np.full((333, 40), np.nan, dtype=dtype)
    strided[:, 4:23] = dense
    forms = [problems[0].X, problems[1].X, dense, strided[:, 4:23]]
    for isas in isas_by_bits(dtype):
        results = set()
        for isa in isas:
            for n_threads in (1, 3):
                net = problems[0].net(_core.Net, isa=isa, n_threads=n_threads)
                results.update(bits(net.predict(form)) for form in forms)
        assert len(results) == 1, isas


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [(3, 5, 2), (3, 17, 1)], ids=str)
def test_a_row_is_predicted_alike_alone_and_in_a_million(units, dtype):
    p = make_problem(units, "logistic", n=1_000_000 // 2, dtype=dtype)
    net = p.net(_core.Net, n_threads=2)
    together = net.predict(p.X)
    rows = np.random.default_rng(0).choice(len(p.X), 300, replace=False)
    rows[-3:] = 0, 1, len(p.X) - 1
    for row in rows:
        assert bits(net.predict(p.X[row : row + 1])) == bits(together[row : row + 1])
    for start, stop in [(0, 100), (77, 78 + 4096), (12_345, 12_345 + 9999)]:
        assert bits(net.predict(p.X[start:stop])) == bits(together[start:stop])


@pytest.mark.parametrize("units", [(3, 5, 7, 1), (3, 5, 7, 2)], ids=str)
@pytest.mark.parametrize("loss", ["squared_error", "binary_log_loss"])
def test_overflow_is_alike_in_every_family(loss, units):
    """Units that become infinite give what they must, not what a vector's padding makes of them."""
    p = make_problem(units, "relu", loss, n=50, dtype="float32")
    p.coefs = [p.coefs[0] * np.float32(1e38), *map(np.abs, p.coefs[1:])]
    p.X *= 10
    expected = np.inf if loss == "squared_error" else 1
    results = [p.net(_core.Net, isa=isa).predict(p.X) for isa in _core.fused_isas("float32")]
    assert (results[0] == expected).mean() > 0.5
    for result in results[1:]:
        assert np.array_equal(result, results[0], equal_nan=True)
    # A product that is rounded by itself may overflow, and inf - inf is nan: here nothing cancels.
    p.coefs[0] = np.abs(p.coefs[0])
    p.X = np.abs(p.X) + 10
    for isa in _core.available_isas():
        assert (p.net(_core.Net, isa=isa).predict(p.X) == expected).all(), isa


def test_wide_nets_predict_alike_alone_and_together():
    p = make_problem(NETS["wide"], "relu", n=70, dtype="float32")
    net = p.net(_core.Net, n_threads=2)
    together = net.predict(p.X)
    for row in range(0, 70, 7):
        assert bits(net.predict(p.X[row : row + 1])) == bits(together[row : row + 1])


def test_order_is_the_same_as_gathered_rows():
    p = make_problem((20, 50, 5), "tanh", "log_loss", n=200, weighted=True)
    order = np.random.default_rng(3).permutation(200)[:150]
    nets = [p.net(_core.Net, solver="adam", max_rows=64) for _ in range(2)]
    first = nets[0].train(p.X, p.y, order, 64, sample_weight=p.sample_weight)
    second = nets[1].train(p.X[order], p.y[order], None, 64, sample_weight=p.sample_weight[order])
    assert first == second
    assert bits(flat(nets[0].get_weights())) == bits(flat(nets[1].get_weights()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_state_carries_training_on(solver, dtype):
    """Half an epoch, then a new net with the old one's weights and memory: as if uninterrupted."""
    p = make_problem((12, 20, 3), n=128, dtype=dtype)
    betas = {"beta_1": 0.8, "beta_2": 0.99}
    whole = p.net(_core.Net, solver=solver, max_rows=16)
    whole.train(p.X, p.y, None, 16, momentum=0.9, **betas)

    first = p.net(_core.Net, solver=solver, max_rows=16)
    first.train(p.X, p.y, np.arange(64), 16, momentum=0.9, **betas)
    second = p.net(_core.Net, solver=solver, max_rows=16)
    second.set_weights(*first.get_weights())
    second.set_solver_state(first.get_solver_state(), **betas)
    second.train(p.X, p.y, np.arange(64, 128), 16, momentum=0.9, **betas)

    assert bits(flat(second.get_weights())) == bits(flat(whole.get_weights()))
    states = [net.get_solver_state() for net in (second, whole)]
    assert states[0]["step_count"] == states[1]["step_count"] == 8
    for moment, expected in zip(states[0]["moments"], states[1]["moments"], strict=True):
        assert bits(flat(moment)) == bits(flat(expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [(1, 1), (17, 33, 1), (5, 31, 32, 2)], ids=str)
def test_weights_come_out_as_they_went_in(units, dtype):
    p = make_problem(units, dtype=dtype)
    for isa in _core.available_isas():
        net = p.net(_core.Net, isa=isa, max_rows=3, solver="adam")
        coefs, intercepts = net.get_weights()
        for out, into in zip((*coefs, *intercepts), (*p.coefs, *p.intercepts), strict=True):
            assert out.dtype == into.dtype
            assert np.array_equal(out, into)
        coefs[0][:] = 0  # a copy: the net's own stay
        assert np.array_equal(flat(net.get_weights()), p.parameters())

        state = net.get_solver_state()
        assert all(not flat(moment).any() for moment in state["moments"])
        state = {
            "solver": "adam",
            "step_count": 7,
            "moments": [(p.coefs, p.intercepts), ([-c for c in p.coefs], p.intercepts)],
        }
        net.set_solver_state(state, 0.9, 0.999)
        out = net.get_solver_state()
        assert out["step_count"] == 7
        for moment, expected in zip(out["moments"], state["moments"], strict=True):
            assert np.array_equal(flat(moment), flat(expected))
