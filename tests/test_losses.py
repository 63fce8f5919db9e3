# SPDX-License-Identifier: BSD-3-Clause
"""The core's losses: their values and slopes, label smoothing, and what they refuse."""

import numpy as np
import pytest
import scipy.special
from problems import LOSSES, flat, make_problem
from sklearn import metrics

from fastbp import _core
from fastbp import _reference_net as twin

DTYPES = ("float64", "float32")
SMOOTHED = [loss for loss in LOSSES if _core.loss_parameter(loss) == "smoothing"]
OF_DISTANCE = [
    loss for loss in LOSSES if _core.loss_link(loss) == "identity" and loss != "squared_error"
]
LEVELS = np.array([0.1, 0.5, 0.975])


def outputs_as_given(loss, n_out, *, dtype="float64", loss_parameters=None, **options):
    """A net that predicts its own n_out inputs, but for the link."""
    net = _core.Net(
        [n_out, n_out], [], loss, dtype=dtype, max_rows=100, loss_parameters=loss_parameters,
        **options,
    )  # fmt: skip
    net.set_weights([np.eye(n_out, dtype=dtype)], [np.zeros(n_out, dtype=dtype)])
    return net


def slopes(net, z, y, **options):
    """dL/dz of each row alone: the intercepts' gradient."""
    parameters = flat(net.get_weights())
    rows = zip(z, y, strict=True)
    gradients = [net.loss_gradient(parameters, a[None], b[None], **options)[1] for a, b in rows]
    return np.array(gradients)[:, -z.shape[1] :]


def test_rows_of_the_new_losses_are_scikit_learns_metrics():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    columns = list(zip(y.T, z.T, strict=True))
    for loss, parameters, expected in (
        ("absolute_error", None, [metrics.mean_absolute_error(t, o) for t, o in columns]),
        (
            "quantile",
            LEVELS,
            [
                metrics.mean_pinball_loss(t, o, alpha=level)
                for (t, o), level in zip(columns, LEVELS, strict=True)
            ],
        ),
        (
            "gamma",
            None,
            [metrics.mean_gamma_deviance(np.exp(t), np.exp(o)) / 2 for t, o in columns],
        ),
    ):
        net = outputs_as_given(loss, 3, loss_parameters=parameters)
        target = np.exp(y) if loss == "gamma" else y
        assert net.row_losses(z, target).mean() == pytest.approx(sum(expected), rel=1e-13), loss


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", OF_DISTANCE)
def test_on_the_target_loss_and_slope_are_zero(loss, dtype, isa):
    p = make_problem((3, 3), loss=loss)
    net = outputs_as_given(loss, 3, dtype=dtype, isa=isa, loss_parameters=p.loss_parameters())
    z = np.array([[0, 1.5, -1e30], [2e-30, -7, 1e30]], dtype=dtype)
    assert not net.row_losses(z, z).any()
    assert not slopes(net, z, z).any()


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", OF_DISTANCE)
def test_far_from_the_target_slopes_are_bounded(loss, dtype, isa):
    """Where the square of the distance is beyond float32, none of these is."""
    parameters = make_problem((2, 2), loss=loss).loss_parameters()
    net = outputs_as_given(loss, 2, dtype=dtype, isa=isa, loss_parameters=parameters)
    z = np.array([[1e30, -1e30], [-1e30, 1e30], [1e5, 3e37]], dtype=dtype)
    y = np.zeros_like(z)
    low, high = {
        "absolute_error": lambda: (-1.0, 1.0),
        "quantile": lambda: (-parameters, 1 - parameters),
        "huber": lambda: (-parameters, parameters),
    }[loss]()
    expected = np.where(z > 0, high, low)
    np.testing.assert_array_equal(slopes(net, z, y), expected)
    losses = net.row_losses(z, y)
    np.testing.assert_allclose(losses, (np.abs(z) * np.abs(expected)).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", DTYPES)
def test_gamma_stays_a_number_where_the_prediction_overflows(dtype, isa):
    net = outputs_as_given("gamma", 1, dtype=dtype, isa=isa)
    z = np.array([[80], [800], [1e5], [1e30]], dtype=dtype)
    y = np.full_like(z, 2)
    np.testing.assert_allclose(
        net.row_losses(z, y), (z[:, 0].astype(float) - np.log(2) - 1), rtol=1e-6
    )
    np.testing.assert_allclose(slopes(net, z, y), 1, rtol=1e-12)
    losses = net.row_losses(-z, y)
    assert (losses > 1e30).all()
    assert not np.isnan(slopes(net, -z, y)).any()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_the_loss(loss, weighted):
    """Central differences of the core's own loss, in every parameter."""
    n_out = 3
    p = make_problem((4, 5, n_out), "tanh", loss, n=30, weighted=weighted)
    options = {"sample_weight": p.sample_weight}
    if loss in SMOOTHED:
        options["label_smoothing"] = 0.3
    net, step = p.net(_core.Net, max_rows=30), 1e-6
    _, gradient = net.loss_gradient(p.parameters(), p.X, p.y, **options)

    def loss_at(parameters):
        return net.loss_gradient(parameters, p.X, p.y, **options)[0]

    expected = [
        (loss_at(p.parameters() + step * unit) - loss_at(p.parameters() - step * unit)) / (2 * step)
        for unit in np.eye(len(gradient))
    ]
    factor = n_out if loss == "squared_error" else 1  # which reports the mean over outputs
    np.testing.assert_allclose(gradient, factor * np.array(expected), rtol=1e-6, atol=1e-8)


# Label smoothing


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_out", [1, 2, 3, 17, 40])
@pytest.mark.parametrize("loss", SMOOTHED)
def test_smoothed_labels_are_the_twins(loss, n_out, weighted, dtype):
    p = make_problem(
        (6, 9, max(n_out, 2 if loss == "log_loss" else 1)), "tanh", loss,
        n=70, weighted=weighted, dtype=dtype,
    )  # fmt: skip
    options = {"sample_weight": p.sample_weight, "alpha": 0.1, "label_smoothing": 0.2}
    expected = p.net(twin.Net, max_rows=70).loss_gradient(p.parameters(), p.X, p.y, **options)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    results = {}
    for isa in _core.available_isas():
        net = p.net(_core.Net, max_rows=70, n_threads=2, isa=isa)
        actual = net.loss_gradient(p.parameters(), p.X, p.y, **options)
        assert actual[0] == pytest.approx(expected[0], rel=rtol)
        largest = np.abs(expected[1]).max()
        np.testing.assert_allclose(actual[1], expected[1], rtol=rtol, atol=rtol * largest)
        results[isa] = (actual[0], actual[1].tobytes())
    assert len({results[isa] for isa in _core.fused_isas(dtype)}) == 1


@pytest.mark.parametrize("loss", SMOOTHED)
def test_smoothed_loss_is_the_cross_entropy_of_smoothed_labels(loss):
    p = make_problem((5, 4), loss=loss, n=60)
    net = p.net(_core.Net, max_rows=60)
    o, smoothing = net.predict(p.X), 0.3
    actual, _ = net.loss_gradient(p.parameters(), p.X, p.y, label_smoothing=smoothing)
    if loss == "log_loss":
        t = np.eye(4)[p.y] * (1 - smoothing) + smoothing / 4
        expected = -scipy.special.xlogy(t, o).sum(axis=1).mean()
    else:
        t = p.y * (1 - smoothing) + smoothing / 2
        expected = -(scipy.special.xlogy(t, o) + scipy.special.xlogy(1 - t, 1 - o)).sum(1).mean()
    assert actual == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", SMOOTHED)
def test_no_smoothing_changes_no_bit(loss, dtype):
    p = make_problem((6, 9, 10), "relu", loss, n=200, weighted=True, dtype=dtype)
    for isa in _core.available_isas():
        nets = [p.net(_core.Net, max_rows=32, solver="adam", isa=isa) for _ in range(2)]
        for net, options in zip(nets, ({}, {"label_smoothing": 0.0}), strict=True):
            net.train(p.X, p.y, None, 32, sample_weight=p.sample_weight, **options)
        assert flat(nets[0].get_weights()).tobytes() == flat(nets[1].get_weights()).tobytes()


@pytest.mark.parametrize("loss", SMOOTHED)
def test_smoothing_is_for_training_only(loss):
    p = make_problem((6, 9, 3), loss=loss, n=64)
    net = p.net(_core.Net, max_rows=64, solver="sgd")
    rows = net.row_losses(p.X, p.y)
    done = net.train(p.X, p.y, None, 64, learning_rate=0.0, label_smoothing=0.5)
    assert np.array_equal(net.row_losses(p.X, p.y), rows)
    assert abs(done.loss_sum / 64 - rows.mean()) > 1e-4


# What is refused


@pytest.mark.parametrize("net_class", [_core.Net, twin.Net])
def test_bad_numbers_for_losses(net_class):
    def net(loss, **options):
        return net_class([2, 3], [], loss, dtype="float64", **options)

    for loss in LOSSES:
        if _core.loss_parameter(loss) in ("level", "positive"):
            net(loss)  # to predict, none is needed
            for parameters in (None, [], [0.5] * 2, [[0.5] * 3], [0.5, 0.5, 0], [0.5, np.nan, 0.5]):
                with pytest.raises(ValueError, match="loss_parameters"):
                    net(loss, max_rows=1, loss_parameters=parameters)
        else:
            with pytest.raises(ValueError, match="loss_parameters"):
                net(loss, max_rows=1, loss_parameters=[0.5] * 3)
    for level in (1, 1.5, np.inf, -0.1):
        with pytest.raises(ValueError, match="loss_parameters"):
            net("quantile", max_rows=1, loss_parameters=[0.5, level, 0.5])

    y = {"log_loss": np.zeros(2, np.int32)}
    for loss in LOSSES:
        parameters = make_problem((2, 3), loss=loss).loss_parameters()
        trained = net(loss, max_rows=2, solver="sgd", loss_parameters=parameters)
        for smoothing in (-0.1, 1, np.nan, *([] if loss in SMOOTHED else [0.1])):
            with pytest.raises(ValueError, match="label_smoothing"):
                trained.train(
                    np.zeros((2, 2)), y.get(loss, np.ones((2, 3))), None, 1,
                    label_smoothing=smoothing,
                )  # fmt: skip


def test_numbers_that_float32_rounds_away():
    for level in (1 - 1e-9, 1e-40):
        with pytest.raises(ValueError, match="float32"):
            outputs_as_given("quantile", 1, dtype="float32", loss_parameters=[level])
        outputs_as_given("quantile", 1, dtype="float64", loss_parameters=[level])
    p = make_problem((2, 3), loss="log_loss", n=5, dtype="float32")
    with pytest.raises(ValueError, match="label_smoothing"):
        p.net(_core.Net, max_rows=5, solver="sgd").train(
            p.X, p.y, None, 5, label_smoothing=1 - 1e-9
        )
