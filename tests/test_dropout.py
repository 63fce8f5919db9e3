# SPDX-License-Identifier: BSD-3-Clause
"""Dropout: its masks, training with them in the core and its twin, the estimators' parameter."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, draw
from problems import ACTIVATIONS, SOLVERS, flat, make_problem
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import scale

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference as twin
from fastbp._reference_dropout import layer_key, mask, philox, random_numbers
from fastbp._reference_net import Net as TwinNet
from fastbp._weights import draw_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEED = 0x123456789ABCDEF0
STEP = {"learning_rate": 0.01, "momentum": 0.9, "alpha": 0.1, "dropout_seed": SEED}


# Masks


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A),
        ),
    ],
)
def test_philox_gives_its_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    drawn = philox([np.array([word], np.uint64) for word in counter], key)
    assert tuple(int(word[0]) for word in drawn) == words


@pytest.mark.parametrize("rate", [1e-9, 0.1, 0.5, 0.9, 1 - 1e-9])
def test_masks_are_one_on_average(rate: float) -> None:
    drawn = mask(SEED, 3, 1, rate, 3000, 200)
    dropped = min(65535, max(1, round(rate * 65536))) / 65536
    assert set(np.unique(drawn)) <= {0.0, 1 / (1 - dropped)}
    deviation = np.sqrt(dropped * (1 - dropped) / drawn.size)
    assert abs((drawn == 0).mean() - dropped) < 4 * deviation
    assert abs(drawn.mean() - 1) < 4 * deviation / (1 - dropped)


def test_masks_depend_on_seed_step_layer_row_and_unit() -> None:
    keys = {
        layer_key(seed, step, layer)
        for seed in (0, 1, 2**32, 2**63)
        for step in (0, 1, 2**32)
        for layer in (0, 1, 2)
    }
    assert len(keys) == 4 * 3 * 3
    numbers = random_numbers((1, 2), 500, 130)
    few = random_numbers((1, 2), 7, 65)
    np.testing.assert_array_equal(few, numbers[:7, :65])  # a number belongs to its place
    for other in (numbers[1:, :], numbers[:, 1:]):
        same = numbers[: other.shape[0], : other.shape[1]] == other
        assert same.mean() < 1e-3  # 1/65536 are


# The core, and its twin


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("units", "rates"),
    [((7, 30, 3), (0.5,)), ((5, 100, 17, 1), (0.2, 0.6)), ((6, 9, 130, 20, 2), (0.3, 0.0, 0.1))],
    ids=str,
)
def test_core_trains_as_its_twin(
    units: tuple[int, ...], rates: tuple[float, ...], activation: str, dtype: str
) -> None:
    solver = SOLVERS[len(units) % 3]
    p = make_problem(units, activation, n=90, dtype=dtype, weighted=True)
    nets = [
        p.net(net_class, solver=solver, max_rows=32, dropout=rates)
        for net_class in (_core.Net, TwinNet)
    ]
    for _ in range(2):
        core, expected = (
            net.train(p.X, p.y, None, 32, sample_weight=p.sample_weight, **STEP) for net in nets
        )
        tolerance = 1e-11 if dtype == "float64" else 1e-4
        assert core.loss_sum == pytest.approx(expected.loss_sum, rel=tolerance)
    weights, expected = (flat(net.get_weights()) for net in nets)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=tolerance * abs(expected).max())
    none = p.net(TwinNet, solver=solver, max_rows=32)
    none.train(p.X, p.y, None, 32, sample_weight=p.sample_weight, **STEP)
    assert abs(flat(none.get_weights()) - expected).max() > 1e-3


@pytest.mark.parametrize("activation", ["identity", "tanh", "gelu"])
def test_gradient_under_a_mask_is_the_losss_slope(activation: str) -> None:
    """The step of plain sgd against central differences of the loss under the same masks."""
    p = make_problem((4, 6, 5, 1), activation, n=20)
    net = p.net(TwinNet, solver="sgd", max_rows=20, dropout=(0.4, 0.25))
    masks = net._masks(SEED, 20)
    assert all((m == 0).any() and (m > 0).any() for m in masks)
    net.train(p.X, p.y, None, 20, learning_rate=1.0, alpha=0.3, dropout_seed=SEED)
    gradient = p.parameters() - flat(net.get_weights())

    def loss_at(parameters: np.ndarray) -> float:
        arrays = [*p.coefs, *p.intercepts]
        parts = np.split(parameters, np.cumsum([a.size for a in arrays])[:-1])
        parts = [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]
        weights, biases = parts[: len(p.coefs)], parts[len(p.coefs) :]
        _, _, z = twin.forward(p.X, weights, biases, p.activations, masks)
        return float(twin.batch_loss(p.y, z, np.ones(20), weights, 0.3, "squared_error"))

    step = 1e-5
    differences = [
        (loss_at(p.parameters() + step * unit) - loss_at(p.parameters() - step * unit)) / (2 * step)
        for unit in np.eye(len(gradient))
    ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-9)


def test_outputs_are_the_same_on_average() -> None:
    p = make_problem((5, 40, 2), "relu", n=10)
    masks = [mask(SEED, step, 0, 0.5, 10, 40) for step in range(4000)]
    _, _, z = twin.forward(p.X, p.coefs, p.intercepts, p.activations)
    a = twin.relu(p.X @ p.coefs[0] + p.intercepts[0])
    dropped = [a * m @ p.coefs[1] + p.intercepts[1] for m in masks]
    deviation = np.sqrt((a**2 @ p.coefs[1] ** 2) / len(masks))  # of the mean, at a rate of 1/2
    assert (abs(np.mean(dropped, axis=0) - z) < 4.5 * deviation).all()
    assert np.std(dropped, axis=0).min() > 10 * deviation.min()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("units", "rows"), [((6, 40, 3), 9000), ((130, 400, 300, 2), 20), ((20, 50, 1), 64)], ids=str
)
def test_weights_do_not_depend_on_threads(units: tuple[int, ...], rows: int, dtype: str) -> None:
    """In chunks of a large batch, in the form by layers, and with one output."""
    p = make_problem(units, "relu", n=rows + 7, dtype=dtype)
    results = set()
    for n_threads in (1, 2, 3):
        rates = (0.5,) * (len(units) - 2)
        options = {"solver": "adam", "max_rows": rows, "dropout": rates, "n_threads": n_threads}
        net = p.net(_core.Net, **options)
        progress = net.train(p.X, p.y, None, rows, **STEP)
        results.add((flat(net.get_weights()).tobytes(), progress))
    assert len(results) == 1


def test_predictions_and_losses_drop_nothing() -> None:
    p = make_problem((9, 60, 3), "tanh", n=70)
    trains = p.net(_core.Net, solver="adam", max_rows=32, dropout=(0.5,))
    trains.train(p.X, p.y, None, 32, **STEP)
    p.coefs, p.intercepts = trains.get_weights()
    plain = p.net(_core.Net, max_rows=70)
    np.testing.assert_array_equal(trains.predict(p.X), plain.predict(p.X))
    np.testing.assert_array_equal(trains.row_losses(p.X, p.y), plain.row_losses(p.X, p.y))


@pytest.mark.parametrize("net_class", [_core.Net, TwinNet])
def test_nets_refuse_what_is_no_rate(net_class: type) -> None:
    p = make_problem((3, 4, 5, 2))
    for rates in [(0.5,), (0.5, 1.0), (-0.1, 0.0), (0.0, np.nan), (0.1, 0.1, 0.1)]:
        with pytest.raises(ValueError, match="dropout must hold a rate"):
            p.net(net_class, solver="sgd", max_rows=5, dropout=rates)
    with pytest.raises(ValueError, match="gradient"):
        p.net(net_class, max_rows=5, dropout=(0.0, 0.5))
    assert p.net(net_class, max_rows=5, dropout=(0.0, 0.0)).predict(p.X).any()


# The estimators


def by_hand(model: Any, X: np.ndarray, y: np.ndarray, random_state: Any, calls: int = 1) -> Any:
    """Train as an estimator does that does not shuffle: weights, then a seed for each call."""
    units = [X.shape[1], *model.hidden_layer_sizes, 1]
    weights = draw_weights(units, [6.0] * (len(units) - 1), random_state, "float64")
    net = _core.Net(
        units,
        ["relu"] * (len(units) - 2),
        "squared_error",
        dtype="float64",
        solver="adam",
        max_rows=20,
        dropout=model.dropout,
    )
    net.set_weights(*weights)
    for _ in range(calls):
        seed = int(random_state.randint(0, 2**64, dtype=np.uint64))
        for _ in range(model.max_iter if calls == 1 else 1):
            net.train(X, y[:, None], None, 20, alpha=model.alpha, dropout_seed=seed)
    return net.get_weights(), net.progress.loss_sum / len(X)


@pytest.mark.parametrize("calls", [1, 3])
def test_seeds_are_drawn_after_the_weights_and_steps_go_on(calls: int) -> None:
    """Each call of partial_fit draws a seed; the step count goes on from call to call."""
    X, y = draw(60)
    y = y.astype(float)
    model = BackpropRegressor(
        hidden_layer_sizes=(30, 20),
        dropout=[0.5, 0.2],
        batch_size=20,
        max_iter=4,
        shuffle=False,
        dtype="float64",
        random_state=np.random.RandomState(5),
    )
    expected, loss = by_hand(model, X, y, np.random.RandomState(5), calls)
    if calls == 1:
        model.fit(X, y)
    for _ in range(calls if calls > 1 else 0):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(flat((model.coefs_, model.intercepts_)), flat(expected))
    assert model.loss_curve_[-1] == loss  # that of the network with units dropped


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_dropout_nothing_is_drawn(estimator: type) -> None:
    X, y = draw()
    states = []
    for params in [{}, {"dropout": 0.0}, {"dropout": 0}, {"dropout": [0.0, 0.0]}]:
        random_state = np.random.RandomState(0)
        model = estimator(
            hidden_layer_sizes=(8, 5), max_iter=3, random_state=random_state, **params
        ).fit(X, y)
        weights = flat((model.coefs_, model.intercepts_)).tobytes()
        states.append((weights, random_state.randint(2**31)))
    assert len(set(states)) == 1
    with_it = estimator(hidden_layer_sizes=(8, 5), max_iter=3, random_state=0, dropout=0.5).fit(
        X, y
    )
    assert flat((with_it.coefs_, with_it.intercepts_)).tobytes() != states[0][0]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fits_do_not_depend_on_threads(estimator: type) -> None:
    X, y = draw(300)
    models = [
        estimator(
            hidden_layer_sizes=(64, 32), dropout=0.3, max_iter=3, random_state=0, n_jobs=n
        ).fit(X, y)
        for n in (1, 2, 3)
    ]
    assert len({flat((m.coefs_, m.intercepts_)).tobytes() for m in models}) == 1
    assert models[0].loss_curve_ == models[2].loss_curve_


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_validation_and_predictions_are_of_the_whole_network(estimator: type) -> None:
    X, y = draw(200)
    model = estimator(
        hidden_layer_sizes=(50,), dropout=0.5, early_stopping=True, max_iter=1, random_state=3
    )
    model.fit(X, y)
    whole = pickle.loads(pickle.dumps(model)).set_params(dropout=0.0)
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))
    # The split that the fit drew: after the weights, before the seed.
    random_state = np.random.RandomState(3)
    draw_weights([4, 50, 1], [6.0, 6.0], random_state, "float32")
    stratify = y if estimator is BackpropClassifier else None
    _, X_val, _, y_val = train_test_split(
        X, y, test_size=0.1, random_state=random_state, stratify=stratify
    )
    assert model.validation_scores_ == [pytest.approx(model.score(X_val, y_val), abs=1e-6)]


def test_a_rate_for_each_layer() -> None:
    X, y = draw()
    same = [0.5, (0.5, 0.5), np.array([0.5, 0.5], np.float32)]
    weights = [
        BackpropRegressor(hidden_layer_sizes=(8, 5), dropout=dropout, max_iter=3, random_state=0)
        .fit(X, y)
        .coefs_
        for dropout in [*same, (0.5, 0.0), (0.0, 0.5)]
    ]
    bits = [np.concatenate([w.ravel() for w in ws]).tobytes() for ws in weights]
    assert bits[0] == bits[1] == bits[2]
    assert len(set(bits)) == 3


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dropout": 0.5, "hidden_layer_sizes": ()}, r"hidden_layer_sizes=\(\) has none"),
        ({"dropout": [0.5], "hidden_layer_sizes": ()}, "holds 1 rates.* has 0 hidden layers"),
        ({"dropout": [0.5], "hidden_layer_sizes": (3, 4)}, "holds 1 rates.* has 2 hidden layers"),
        ({"dropout": [0.5, 1.0], "hidden_layer_sizes": (3, 4)}, r"numbers in \[0, 1\), got 1.0"),
        ({"dropout": [True, 0.5], "hidden_layer_sizes": (3, 4)}, r"numbers in \[0, 1\), got True"),
        ({"dropout": 0.5, "solver": "lbfgs"}, "solver='lbfgs'. Set dropout=0.0"),
        ({"dropout": [0.5], "solver": "lbfgs"}, "solver='lbfgs'. Set dropout=0.0"),
    ],
)
def test_errors_say_what_to_change(estimator: type, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"dropout=.*{message}"):
        estimator(**params).fit(*draw())


def test_no_hidden_layers_and_no_dropout() -> None:
    X, y = draw()
    for dropout in (0.0, []):
        model = BackpropRegressor(hidden_layer_sizes=(), dropout=dropout, max_iter=2).fit(X, y)
        assert len(model.coefs_) == 1


def test_sparse_rows_have_the_bits_of_dense_ones() -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(150, 200)) * (rng.random((150, 200)) < 0.05)
    y = rng.normal(size=150)
    weights = []
    for X in (dense, sp.csr_matrix(dense)):
        model = BackpropRegressor(
            hidden_layer_sizes=(40, 10), dropout=0.4, max_iter=3, random_state=0
        ).fit(X, y)
        weights.append(flat((model.coefs_, model.intercepts_)))
    np.testing.assert_array_equal(*weights)


def test_a_model_with_dropout_is_cloned_pickled_and_searched() -> None:
    X, y = draw()
    model = BackpropClassifier(
        hidden_layer_sizes=(8, 5), dropout=[0.5, 0.1], max_iter=3, random_state=0
    ).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.coefs_[0], model.coefs_[0])
    search = GridSearchCV(clone(model), {"dropout": [0.0, 0.3, [0.1, 0.6]]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_dropout_helps_where_samples_are_few() -> None:
    """221 patients and a network that learns them by heart: R² of the other 221."""
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    scores: dict[float, list[float]] = {0.0: [], 0.5: []}
    for seed in range(5):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=seed)
        for rate, of_rate in scores.items():
            model = BackpropRegressor(
                hidden_layer_sizes=(64, 64),
                dropout=rate,
                max_iter=150,
                n_iter_no_change=150,
                batch_size=32,
                learning_rate_init=0.003,
                random_state=seed,
            )
            of_rate.append(model.fit(X_train, y_train).score(X_test, y_test))
    assert np.median(scores[0.5]) > np.median(scores[0.0]) + 0.2, scores
