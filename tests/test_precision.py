# SPDX-License-Identifier: BSD-3-Clause
"""``matmul_precision``: how exact each is, and that whatever else holds of a fit holds with each.

On a CPU without matrix units, 'medium' is run in AVX-512 BF16 where there is that, by pinning it.
In a build with FASTBP_EMULATE_AMX=1, all three run in AMX tiles, slowly: problems here are small.
"""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from problems import flat, make_problem
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from fastbp import BackpropClassifier, BackpropRegressor, _core, _reference_net

PRECISIONS = _core.names()["precisions"]
ISAS = _core.available_isas()
#: Error of a product's operands, with room for what a few layers make of it.
TOLERANCES = {"highest": 2e-5, "high": 2e-4, "medium": 4e-2}
#: The families that split products here, beside the precisions at which they do.
SPLIT = [("amx", precision) for precision in PRECISIONS if "amx" in ISAS]
SPLIT += [("avx512bf16", "medium")] if "avx512bf16" in ISAS else []

split_families = pytest.mark.parametrize(("isa", "precision"), SPLIT)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def plain_isa() -> str:
    """The fastest family that splits nothing."""
    return _core.default_isa("highest", "float64")


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pin a family, as FASTBP_ISA would."""
    return lambda isa: monkeypatch.setattr(_core, "_pinned_isa", isa)


def trained(p: Any, isa: str, precision: str, **options: Any) -> Any:
    net = p.net(_core.Net, solver="adam", max_rows=64, isa=isa, precision=precision, **options)
    for _ in range(2):
        net.train(p.X, p.y, None, 64, sample_weight=p.sample_weight, learning_rate=0.01)
    return flat(net.get_weights())


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


# The core's nets


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("layout", ["dense", "strided", "csr32"])
def test_gradient_is_as_exact_as_asked(precision: str, layout: str) -> None:
    p = make_problem((60, 70, 50, 4), "tanh", n=45, dtype="float32", layout=layout, weighted=True)
    loss, gradient = p.net(_core.Net, max_rows=45, precision=precision).loss_gradient(
        p.parameters(), p.X, p.y, sample_weight=p.sample_weight, alpha=0.1
    )
    expected_loss, expected = p.net(_reference_net.Net, max_rows=45).loss_gradient(
        p.parameters(), p.X, p.y, sample_weight=p.sample_weight, alpha=0.1
    )
    assert abs(loss - expected_loss) <= TOLERANCES[precision] * expected_loss
    assert relative_error(gradient, expected) <= TOLERANCES[precision]


@split_families
def test_split_products_are_used_and_as_exact(isa: str, precision: str) -> None:
    p = make_problem((60, 70, 50, 4), "relu", "log_loss", n=45, dtype="float32")
    result = p.net(_core.Net, isa=isa, precision=precision).predict(p.X)
    plain = p.net(_core.Net, isa=plain_isa(), precision=precision).predict(p.X)
    assert result.tobytes() != plain.tobytes()
    assert relative_error(result, plain) <= TOLERANCES[precision]


@split_families
def test_bits_do_not_depend_on_threads_or_layout(isa: str, precision: str) -> None:
    p = make_problem((60, 70, 50, 4), "relu", n=150, dtype="float32", weighted=True)
    expected = trained(p, isa, precision)
    for n_threads in (2, 3):
        assert np.array_equal(trained(p, isa, precision, n_threads=n_threads), expected)
    wide = np.full((150, 80), np.nan, np.float32)
    wide[:, 3:63] = p.X
    assert np.array_equal(trained(p.with_x(wide[:, 3:63]), isa, precision), expected)
    assert np.array_equal(trained(p.with_x(p.X.astype("f8")), isa, precision), expected)


@split_families
def test_a_row_is_predicted_alike_alone_and_among_others(isa: str, precision: str) -> None:
    p = make_problem((60, 70, 50, 4), "logistic", n=300, dtype="float32")
    net = p.net(_core.Net, isa=isa, precision=precision, n_threads=2)
    together = net.predict(p.X)
    for start, stop in [(0, 1), (299, 300), (100, 101), (7, 40), (31, 32), (0, 17)]:
        assert np.array_equal(net.predict(p.X[start:stop]), together[start:stop])


@split_families
def test_float64_and_thin_layers_are_not_split(isa: str, precision: str) -> None:
    for units, dtype in [((8, 100, 3), "float32"), ((60, 70, 4), "float64")]:
        p = make_problem(units, n=40, dtype=dtype)
        plain = trained(p, plain_isa(), precision)
        assert np.array_equal(trained(p, isa, precision), plain)


@split_families
def test_training_goes_on_with_the_solvers_state(isa: str, precision: str) -> None:
    p = make_problem((60, 70, 4), n=64, dtype="float32")
    whole = p.net(_core.Net, solver="adam", max_rows=32, isa=isa, precision=precision)
    for _ in range(4):
        whole.train(p.X, p.y, None, 32)
    first, second = (
        p.net(_core.Net, solver="adam", max_rows=32, isa=isa, precision=precision) for _ in range(2)
    )
    for _ in range(2):
        first.train(p.X, p.y, None, 32)
    second.set_weights(*first.get_weights())
    second.set_solver_state(first.get_solver_state(), 0.9, 0.999)
    for _ in range(2):
        second.train(p.X, p.y, None, 32)
    assert np.array_equal(flat(second.get_weights()), flat(whole.get_weights()))


@split_families
def test_what_is_not_finite_stays_so(isa: str, precision: str) -> None:
    p = make_problem((60, 70, 4), "identity", n=5, dtype="float32")
    p.X[2, 7] = np.inf
    result = p.net(_core.Net, isa=isa, precision=precision).predict(p.X)
    assert not np.isfinite(result[2]).any()
    assert np.isfinite(result[[0, 1, 3, 4]]).all()


def test_a_family_without_the_precision_is_the_plain_one() -> None:
    p = make_problem((60, 70, 4), n=40, dtype="float32")
    for precision in PRECISIONS:
        expected = trained(p, plain_isa(), "highest")
        assert np.array_equal(trained(p, plain_isa(), precision), expected)
        if "avx512bf16" in ISAS and precision != "medium":
            assert np.array_equal(trained(p, "avx512bf16", precision), expected)


def test_default_families() -> None:
    assert all(_core.default_isa(precision) in ISAS for precision in PRECISIONS)
    if "amx" in ISAS:
        assert {_core.default_isa(precision) for precision in PRECISIONS} == {"amx"}
    for precision in PRECISIONS:
        assert _core.default_isa(precision, "float64") not in ("amx", "avx512bf16")
        net = _core.Net([40, 40], [], "squared_error", dtype="float32", precision=precision)
        assert (net.isa, net.precision) == (_core.default_isa(precision), precision)


# The estimators


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_precision_is_a_parameter_like_others(estimator: type, pinned: Any) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), rng.integers(2, size=60)
    model = estimator(max_iter=2, random_state=0, matmul_precision="medium")
    assert clone(model).get_params()["matmul_precision"] == "medium"
    assert estimator().matmul_precision == "highest"
    for isa in {isa for isa, _ in SPLIT} | {plain_isa()}:
        pinned(isa)
        predictions = clone(model).fit(X, y).predict(X)
        again = pickle.loads(pickle.dumps(clone(model).fit(X, y)))
        assert np.array_equal(again.predict(X), predictions)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_first_prediction_of_a_process_is_like_later_ones(
    precision: str, pinned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(0).normal(size=(40, 64)).astype("f4")
    model = BackpropRegressor(
        hidden_layer_sizes=64, max_iter=2, random_state=0, matmul_precision=precision
    ).fit(X, X)
    monkeypatch.delenv("FASTBP_ISA", raising=False)
    pinned(None)  # not read yet
    first = model.predict(X)
    assert np.array_equal(model.predict(X), first)


def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return scale(X).astype("f4")[:600], y[:600]


@split_families
def test_digits_are_learnt_as_well(isa: str, precision: str, pinned: Any) -> None:
    X, y = digits()
    epochs = 4 if isa == "amx" else 40  # tiles may be emulated
    model = BackpropClassifier(64, max_iter=epochs, learning_rate_init=0.01, random_state=0)
    pinned(plain_isa())
    plain = clone(model).fit(X[:400], y[:400])
    pinned(isa)
    split = model.set_params(matmul_precision=precision).fit(X[:400], y[:400])
    assert split.score(X[400:], y[400:]) >= plain.score(X[400:], y[400:]) - 0.03
    tolerance = {"highest": 1e-4, "high": 1e-3, "medium": 0.1}[precision]
    assert split.loss_curve_ == pytest.approx(plain.loss_curve_, rel=tolerance)
    assert split.loss_curve_ != plain.loss_curve_


@split_families
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "lbfgs", "dtype": "float32", "max_iter": 3},
        {"early_stopping": True, "max_iter": 3},
        {"solver": "sgd", "batch_size": 17, "max_iter": 2},
        {"warm_start": True, "max_iter": 2},
        {"hidden_layer_sizes": (40, 1, 40), "max_iter": 2},
    ],
    ids=str,
)
def test_every_way_to_fit(isa: str, precision: str, params: Any, pinned: Any) -> None:
    X, y = digits()
    X, y = X[:120], y[:120]
    pinned(isa)
    weight = np.random.default_rng(0).uniform(0, 2, len(X))
    results = []
    for n_jobs in (1, 2):
        model = BackpropClassifier(48, random_state=0, matmul_precision=precision, n_jobs=n_jobs)
        model.set_params(**params).fit(X, y, weight)
        if "solver" not in params and "early_stopping" not in params:
            model.partial_fit(X[:33], y[:33])
        if params.get("warm_start"):
            model.fit(X, y)
        results.append(model.predict_proba(X))
        # A few rows are predicted as among many, though by another way where nothing is split.
        assert np.array_equal(model.predict_proba(X[:3]), results[-1][:3])
        assert np.array_equal(model.predict_proba(X[7:8]), results[-1][7:8])
    assert np.isfinite(results[0]).all()
    assert np.array_equal(*results)


@split_families
def test_a_diverging_fit_is_caught(isa: str, precision: str, pinned: Any) -> None:
    X, y = digits()
    pinned(isa)
    model = BackpropRegressor(
        hidden_layer_sizes=(48, 48),
        solver="sgd",
        learning_rate_init=1e6,
        max_iter=5,
        matmul_precision=precision,
    )
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"[Dd]iverge|finite|scale"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:100], y[:100])
    assert not hasattr(model, "coefs_")
