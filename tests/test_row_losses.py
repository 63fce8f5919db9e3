# SPDX-License-Identifier: BSD-3-Clause
"""The loss of each row, without a step: against the twin, against training, and its manners."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import LAYOUTS, LOSSES, flat, make_problem

from fastbp import _core
from fastbp import _reference_net as twin

DTYPES = ("float64", "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_out", [1, 2, 50])
@pytest.mark.parametrize("loss", LOSSES)
def test_row_losses_are_the_twins(loss, n_out, dtype):
    n_out = max(n_out, 2) if loss == "log_loss" else n_out
    p = make_problem((9, 14, n_out), "tanh", loss, n=70, dtype=dtype)
    order = np.random.default_rng(0).integers(70, size=101)
    expected = p.net(twin.Net, max_rows=1).row_losses(p.X, p.y)
    for isa in _core.available_isas():
        net = p.net(_core.Net, max_rows=1, solver="adam", isa=isa, n_threads=2)
        losses = net.row_losses(p.X, p.y)
        assert losses.dtype == np.float64
        np.testing.assert_allclose(losses, expected, rtol=1e-12 if dtype == "float64" else 2e-4)
        assert np.array_equal(net.row_losses(p.X, p.y, order=order), losses[order])
        assert np.array_equal(flat(net.get_weights()), p.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_row_losses_depend_on_neither_threads_nor_family(loss, dtype):
    p = make_problem((23, 50, 33, 5), "relu", loss, n=401, dtype=dtype)
    results = {
        p.net(_core.Net, max_rows=1, n_threads=n, isa=isa).row_losses(p.X, p.y).tobytes()
        for isa in _core.fused_isas(dtype)
        for n in (1, 3)
    }
    assert len(results) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_row_losses_read_every_layout(layout):
    p = make_problem((40, 9, 3), "relu", "log_loss", layout=layout)
    expected = p.net(twin.Net, max_rows=1).row_losses(p.X, p.y)
    np.testing.assert_allclose(p.net(_core.Net, max_rows=1).row_losses(p.X, p.y), expected)
    if sp.issparse(p.X):
        options = {"max_rows": 1, "max_row_nonzeros": 80, "max_batch_nonzeros": 80}
        sparse = p.net(_core.Net, **options).row_losses(p.X, p.y)
        np.testing.assert_allclose(sparse, expected)


def test_row_losses_are_those_of_training():
    """One batch that changes nothing, since its learning rate is zero."""
    p = make_problem((6, 8, 3), "tanh", "log_loss", n=60)
    net = p.net(_core.Net, max_rows=60, solver="sgd")
    done = net.train(p.X, p.y, None, 60, learning_rate=0.0)
    assert done.loss_sum / 60 == pytest.approx(net.row_losses(p.X, p.y).mean(), rel=1e-15)


def test_what_row_losses_refuse():
    p = make_problem((6, 8, 3), loss="log_loss")
    with pytest.raises(ValueError, match="max_rows"):
        p.net(_core.Net).row_losses(p.X, p.y)
    net = p.net(_core.Net, max_rows=10)
    for X, y, order, words in (
        (p.X[:, 1:], p.y, None, "columns"),
        (p.X, p.y[1:], None, "y"),
        (p.X, p.y.astype(float), None, "y"),
        (p.X, np.full_like(p.y, 3), None, "codes"),
        (p.X, p.y, np.array([0, 50]), "order"),
        (p.X, p.y, np.array([0.0]), "order"),
    ):
        with pytest.raises(ValueError, match=words):
            net.row_losses(X, y, order=order)
    assert net.row_losses(p.X[:0], p.y[:0]).shape == (0,)
    assert net.row_losses(p.X, p.y, order=np.arange(0)).shape == (0,)


def test_poll_ends_row_losses():
    p = make_problem((200, 300, 300, 2), "tanh", n=1000)
    X, y = np.tile(p.X, (40, 1)), np.zeros((40_000, 2))
    net = p.net(_core.Net, max_rows=1, isa="ref")
    with pytest.raises(InterruptedError):
        net.row_losses(X, y, poll=lambda: True)
    with pytest.raises(ZeroDivisionError):
        net.row_losses(X, y, poll=lambda: 1 / 0)
