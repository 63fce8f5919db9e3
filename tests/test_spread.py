# SPDX-License-Identifier: BSD-3-Clause
"""Columns that lose their spread when they are rounded: which are warned of, and how."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import digest, draw, fitted
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp._spread import MOST_ROWS, lost_columns

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HOUR = 1.7e9 + np.random.default_rng(0).random(200) * 3600  # 28 of float32's steps
DAY = 1.7e9 + np.random.default_rng(0).random(200) * 86400 * 30


def warnings_of(call: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in seen if "cannot tell" in str(w.message)]


def columns() -> tuple[np.ndarray, list[int]]:
    """Return columns of all kinds, and which of them float32 loses."""
    n = len(HOUR)
    rng = np.random.default_rng(1)
    kinds = [
        (HOUR, True),
        (DAY, False),
        (10**9 + np.arange(n) % 50, True),  # ids
        (-HOUR, True),
        (np.full(n, 1e9), False),  # constant: there is no spread
        (np.full(n, 0.1), False),
        (np.zeros(n), False),
        (rng.normal(size=n), False),
        (16_000_000 + np.arange(n) % 50, False),  # float32 holds these
        (np.where(np.arange(n) == 77, 0, HOUR), False),  # one far away
        (1 + 1e-9 * rng.random(n), True),
        (1e-30 * (1 + 1e-9 * rng.random(n)), True),
        (np.where(np.arange(n) % 2, 1e300, -1e300), False),
    ]
    return np.column_stack([kind for kind, _ in kinds]), [
        i for i, (_, lost) in enumerate(kinds) if lost
    ]


@pytest.mark.parametrize(
    "container", [np.asarray, np.asfortranarray, sp.csr_matrix, sp.csr_array, sp.csc_array]
)
def test_which_columns_are_lost(container: Any) -> None:
    X, lost = columns()
    assert lost_columns(container(X), "float32") == lost
    assert lost_columns(X, "float64") == []
    assert lost_columns(X[:1], "float32") == lost_columns(X[:0], "float32") == []
    for kind in (np.float32, np.float16, np.int16, bool, np.uint8):
        assert lost_columns(np.ones((9, 2), kind), "float32") == []


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_integers_beyond_float64(kind: type) -> None:
    ids = (2**60 + np.arange(100)).astype(kind).reshape(-1, 1)
    assert lost_columns(ids, "float32") == lost_columns(ids, "float64") == [0]
    assert warnings_of(
        lambda: BackpropRegressor(dtype="float64", max_iter=1).fit(ids, ids[:, 0] % 7)
    )


def test_long_tables_are_read_to_the_end() -> None:
    X = 1e9 + np.random.default_rng(0).random((2 * MOST_ROWS + 5, 2))
    assert lost_columns(X, "float32") == [0, 1]
    X[-2, 1] = 0
    assert lost_columns(X, "float32") == [0]


def test_one_warning_names_the_columns_and_the_way_out() -> None:
    X, y = columns()[0][:, :9], draw(len(HOUR))[1]
    models = BackpropClassifier(max_iter=2, learning_rate_init=1e-9), BackpropRegressor()
    for call in (models[0].fit, models[1].partial_fit):
        (message,) = warnings_of(lambda call=call: call(X, y))
        assert "float32 cannot tell the values of X[:, 0], X[:, 2], X[:, 3]" in message
        assert "StandardScaler" in message
        assert "dtype='float64'" in message
    (message,) = warnings_of(lambda: BackpropRegressor(max_iter=1).fit(X[:, :1], HOUR))
    assert "X[:, 0], y apart" in message
    (message,) = warnings_of(
        lambda: BackpropRegressor(max_iter=1).fit(y[:, None], np.c_[DAY, HOUR])
    )
    assert "values of y[:, 1] apart" in message
    many = np.repeat(X[:, :1], 9, axis=1)
    assert "and 4 more" in warnings_of(lambda: BackpropRegressor(max_iter=1).fit(many, y))[0]


def test_names_of_a_data_frame() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"size": DAY % 100, "seen at": HOUR})
    model = BackpropRegressor(max_iter=1)
    assert "X['seen at'] apart" in warnings_of(lambda: model.fit(frame, DAY % 7))[0]


def test_no_warning_where_nothing_is_lost() -> None:
    y = draw(len(HOUR))[1]
    X = np.c_[HOUR, DAY]
    for model in (
        BackpropRegressor(max_iter=1, dtype="float64"),
        BackpropClassifier(max_iter=1, solver="lbfgs"),
        make_pipeline(StandardScaler(), BackpropRegressor(max_iter=1)),
    ):
        assert not warnings_of(lambda model=model: model.fit(X, y))
    model = fitted(BackpropRegressor)
    assert not warnings_of(lambda: model.predict(np.repeat(X, 2, axis=1)))
    labels = BackpropClassifier(max_iter=1)  # labels are no numbers to be rounded
    assert not warnings_of(lambda: labels.fit(X[:, 1:], 10**9 + y))


def test_turned_into_an_error_it_changes_nothing() -> None:
    model = fitted(BackpropRegressor)
    before = digest(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match="cannot tell"):
            model.fit(HOUR[:, None], draw(len(HOUR))[1])
    assert digest(model) == before


def test_what_float32_loses_and_scaling_saves() -> None:
    """The example of README: 16 of float32's steps."""
    u = np.random.default_rng(0).random(2000)
    X, y = 2.0**31 + 4096 * u[:, None], np.sin(8 * np.pi * u)
    scores = []
    for kind in (np.float32, np.float64):
        scaled = StandardScaler().fit_transform(X.astype(kind).astype(float))
        model = BackpropRegressor(hidden_layer_sizes=(30, 30), activation="tanh", solver="lbfgs")
        scores.append(
            model.set_params(max_iter=400, random_state=0).fit(scaled, y).score(scaled, y)
        )
    assert scores[0] < 0.9 < 0.99 < scores[1]
