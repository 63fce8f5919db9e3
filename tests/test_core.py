# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core's arithmetic against its NumPy twin."""

import numpy as np
import pytest
from problems import ACTIVATIONS, LAYOUTS, LOSSES, PAIRS, SOLVERS, flat, make_problem

from fastbp import _core
from fastbp import _reference_net as twin

#: Sizes about the kernels' tiles: one unit, one less and one more than vectors and panels.
SHAPES = (
    (1, 1),
    (5, 3),
    (3, 1, 2),
    (7, 16, 1),
    (17, 15, 33, 2),
    (31, 32, 9, 17, 3),
    (64, 49, 31, 10),
    (13, 130, 97, 1),
)


def outputs_for(loss, units):
    """Give softmax the two outputs that it needs at least."""
    return (*units[:-1], max(units[-1], 2)) if loss == "log_loss" else units


def assert_close(actual, expected, dtype, scale=1.0):
    """Equal to rounding: relative to each value and to the largest one."""
    rtol = (1e-12 if dtype == "float64" else 2e-5) * scale
    largest = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * largest)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
@pytest.mark.parametrize("units", SHAPES, ids=str)
def test_predict(units, activation, loss, raw, dtype):
    p = make_problem(outputs_for(loss, units), activation, loss, n=37, dtype=dtype)
    actual = p.net(_core.Net, n_threads=2).predict(p.X, raw=raw)
    assert actual.dtype == np.dtype(dtype)
    assert actual.any()
    assert_close(actual, p.net(twin.Net).predict(p.X, raw=raw, dtype="float64"), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 100, 500])
def test_predict_in_an_order(layout, n):
    p = make_problem((23, 19, 5), loss="log_loss", n=200, layout=layout)
    order = np.random.default_rng(0).integers(0, 200, n)
    net = p.net(_core.Net, n_threads=2)
    actual = net.predict(p.X, order=order)
    np.testing.assert_array_equal(actual, net.predict(p.X)[order])
    assert_close(actual, p.net(twin.Net).predict(p.X, order=order), "float64")
    with pytest.raises(ValueError, match="row numbers"):
        p.net(_core.Net).predict(p.X, order=order + 200)
    assert p.net(_core.Net).predict(p.X, order=order[:0]).shape == (0, 5)


@pytest.mark.parametrize("out", ["float64", "float32"])
@pytest.mark.parametrize("x_dtype", ["float64", "float32"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_predict_reads_every_layout_and_writes_either_type(layout, dtype, x_dtype, out):
    p = make_problem((23, 19, 5), loss="log_loss", layout=layout, dtype=dtype, x_dtype=x_dtype)
    actual = p.net(_core.Net).predict(p.X, dtype=out)
    assert actual.dtype == np.dtype(out)
    lowest = "float32" if "float32" in (dtype, out) else "float64"
    assert_close(actual, p.net(twin.Net).predict(p.X, dtype="float64"), lowest)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
@pytest.mark.parametrize("units", SHAPES, ids=str)
def test_loss_gradient(units, activation, loss, alpha, weighted):
    p = make_problem(outputs_for(loss, units), activation, loss, n=61, weighted=weighted)
    options = {"sample_weight": p.sample_weight, "alpha": alpha}
    actual_loss, actual = p.net(_core.Net, max_rows=61, n_threads=2).loss_gradient(
        p.parameters(), p.X, p.y, **options
    )
    expected_loss, expected = p.net(twin.Net, max_rows=61).loss_gradient(
        p.parameters(), p.X, p.y, **options
    )
    assert actual_loss == pytest.approx(expected_loss, rel=1e-12)
    assert_close(actual, expected, "float64")


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_loss_gradient_in_float32(activation, loss):
    p = make_problem((31, 33, 18, 2), activation, loss, n=100, dtype="float32", weighted=True)
    options = {"sample_weight": p.sample_weight, "alpha": 0.3}
    actual_loss, actual = p.net(_core.Net, max_rows=100).loss_gradient(
        p.parameters(), p.X, p.y, **options
    )
    expected_loss, expected = p.net(twin.Net, max_rows=100).loss_gradient(
        p.parameters(), p.X, p.y, **options
    )
    assert actual.dtype == np.float32
    assert actual_loss == pytest.approx(expected_loss, rel=1e-6)
    assert_close(actual, expected, "float32")


@pytest.mark.parametrize("layout", ["dense", "csr32"])
def test_loss_gradient_of_many_rows(layout):
    """Rows beyond what is held at once are gone through in chunks."""
    p = make_problem((9, 21, 4), "tanh", "log_loss", n=9001, weighted=True, layout=layout)
    options = {"sample_weight": p.sample_weight, "alpha": 0.3}
    actual = p.net(_core.Net, max_rows=9001).loss_gradient(p.parameters(), p.X, p.y, **options)
    expected = p.net(twin.Net, max_rows=9001).loss_gradient(p.parameters(), p.X, p.y, **options)
    assert actual[0] == pytest.approx(expected[0], rel=1e-12)
    assert_close(actual[1], expected[1], "float64")


def test_saturated_losses():
    """Probabilities that round to 0 and 1 cost what the clipped ones do, and the delta is exact."""
    for loss in ("binary_log_loss", "log_loss"):
        p = make_problem((2, 2), loss=loss, n=40)
        p.X[:] = np.sign(p.X)  # no z between 20 and 36, where 1 - p has few bits and losses differ
        p.coefs[0] = np.array([[900.0, -3.0], [-50.0, 70.0]])
        actual = p.net(_core.Net, max_rows=40).loss_gradient(p.parameters(), p.X, p.y)
        expected = p.net(twin.Net, max_rows=40).loss_gradient(p.parameters(), p.X, p.y)
        assert actual[0] == pytest.approx(expected[0], rel=1e-12)
        assert_close(actual[1], expected[1], "float64")


def compare_training(p, solver, batch_rows, *, order=None, epochs=3, n_threads=1, isa=None, **step):
    """Train both nets alike and compare curve, weights and the solver's memory."""
    rows = len(p.y) if order is None else len(order)
    step = {"learning_rate": 0.01, "momentum": 0.9, "sample_weight": p.sample_weight, **step}
    tolerance = 100.0 if p.dtype == "float64" else 10.0
    core = p.net(_core.Net, solver=solver, max_rows=batch_rows, n_threads=n_threads, isa=isa)
    slow = p.net(twin.Net, solver=solver, max_rows=batch_rows)
    for _ in range(epochs):
        actual = core.train(p.X, p.y, order, batch_rows, **step)
        expected = slow.train(p.X, p.y, order, batch_rows, **step)
        assert core.progress == actual
        assert actual[1:] == expected[1:] == (rows, expected.n_steps)
        assert_close([actual.loss_sum], [expected.loss_sum], p.dtype, tolerance)
    weights = flat(core.get_weights())
    assert weights.dtype == np.dtype(p.dtype)
    assert not np.array_equal(weights, p.parameters())
    assert_close(weights, flat(slow.get_weights()), p.dtype, tolerance)
    actual, expected = core.get_solver_state(), slow.get_solver_state()
    assert actual["solver"] == solver
    assert actual["step_count"] == expected["step_count"]
    for moment, slow_moment in zip(actual["moments"], expected["moments"], strict=True):
        assert_close(flat(moment), flat(slow_moment), p.dtype, 10 * tolerance)


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_train(solver, activation, loss):
    p = make_problem((17, 33, 9, 2), activation, loss, n=75, weighted=True)
    compare_training(p, solver, 32, alpha=0.2)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("units", SHAPES, ids=str)
def test_train_shapes(units, solver):
    compare_training(make_problem(units, "tanh", n=50), solver, 17, alpha=0.1, n_threads=2)


@pytest.mark.parametrize("x_dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_train_reads_every_layout_in_any_order(layout, weighted, x_dtype):
    options = {"layout": layout, "weighted": weighted, "x_dtype": x_dtype}
    p = make_problem((20, 9, 3), "relu", "log_loss", **options)
    order = np.random.default_rng(1).permutation(50)[:41]
    compare_training(p, "adam", 16, order=order)


@pytest.mark.parametrize("batch_rows", [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 200])
def test_train_batch_sizes(batch_rows):
    p = make_problem((11, 18, 2), n=200, weighted=True)
    compare_training(p, "nesterov", batch_rows, n_threads=2)


@pytest.mark.parametrize("layout", ["dense", "csr64"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("batch_rows", [4096, 4097, 8192, 10000])
def test_train_batches_beyond_a_chunk(batch_rows, solver, layout):
    p = make_problem((5, 19, 2), n=10000, weighted=True, layout=layout)
    compare_training(p, solver, batch_rows, alpha=0.1, epochs=2, n_threads=2)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_train_in_float32(loss, solver):
    p = make_problem((17, 33, 9, 2), "tanh", loss, n=75, weighted=True, dtype="float32")
    compare_training(p, solver, 32, alpha=0.2, epsilon=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_families_with_bits_of_their_own(activation, loss, dtype):
    """What is not the bits of ref is still the twin's numbers, to rounding."""
    p = make_problem((17, 33, 9, 2), activation, loss, n=75, weighted=True, dtype=dtype)
    slow = p.net(twin.Net)
    for isa in set(_core.available_isas()) - set(_core.fused_isas(dtype)):
        actual = p.net(_core.Net, isa=isa).predict(p.X)
        assert_close(actual, slow.predict(p.X, dtype="float64"), dtype)
        for solver in SOLVERS:
            compare_training(p, solver, 32, isa=isa, n_threads=2, alpha=0.2, epsilon=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("solver", ["sgd", "nesterov"])
def test_train_momentum(solver, momentum):
    compare_training(make_problem((6, 8, 1), n=60), solver, 20, momentum=momentum)


def test_adam_hyper_parameters_and_many_steps():
    p = make_problem((6, 8, 1), n=60)
    compare_training(p, "adam", 1, epochs=20, beta_1=0.8, beta_2=0.95, epsilon=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_batches_without_weight_are_passed_over(solver):
    p = make_problem((6, 8, 3), "relu", "log_loss", n=50, weighted=True)
    p.sample_weight[10:20] = 0
    p.sample_weight[40:] = 0
    compare_training(p, solver, 10, alpha=0.1)
    net = p.net(_core.Net, solver=solver, max_rows=10)
    done = net.train(p.X, p.y, None, 10, sample_weight=p.sample_weight)
    assert done[1:] == (50, 3)

    before = flat(net.get_weights())
    nothing = np.zeros_like(p.sample_weight)
    assert net.train(p.X, p.y, None, 10, sample_weight=nothing) == (0.0, 50, 0)
    assert np.array_equal(flat(net.get_weights()), before)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_without_weight_do_not_count(dtype):
    p = make_problem((6, 8, 3), "tanh", n=64, dtype=dtype)
    p.sample_weight = np.ones(64, dtype=dtype)
    p.sample_weight[::2] = 0
    p.y[::2] = 1e6
    options = {"sample_weight": p.sample_weight}
    net = p.net(_core.Net, max_rows=64)
    loss, gradient = net.loss_gradient(p.parameters(), p.X, p.y, **options)
    expected_loss, expected = net.loss_gradient(
        p.parameters(), p.X[1::2], np.ascontiguousarray(p.y[1::2])
    )
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert_close(gradient, expected, dtype)


def test_nan_reaches_the_loss_and_the_predictions():
    """A failed computation is visible: no activation turns nan into a number."""
    for activation in ACTIVATIONS:
        for loss in LOSSES:
            p = make_problem((4, 9, 5, 2), activation, loss, n=20)
            p.X[3, 2] = np.nan
            out = p.net(_core.Net).predict(p.X)
            assert np.isnan(out[3]).all(), (activation, loss)
            assert np.isfinite(np.delete(out, 3, axis=0)).all()
            result, _ = p.net(_core.Net, max_rows=20).loss_gradient(p.parameters(), p.X, p.y)
            assert np.isnan(result), (activation, loss)
