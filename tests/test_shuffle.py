# SPDX-License-Identifier: BSD-3-Clause
"""The order of an epoch's rows: NumPy's own, of whatever generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastbp._core import shuffle


def shuffled_twice(n: int, generator: np.random.RandomState, ours: bool) -> tuple[Any, int]:
    """Return an order of n rows after two shuffles, and what the generator gives next."""
    order = np.arange(n, dtype=np.int64)
    for _ in range(2):
        if ours:
            shuffle(order, generator)
        else:
            generator.shuffle(order)
    return order.tolist(), generator.randint(2**31)


# The last two are shuffled in pieces.
@pytest.mark.parametrize("n", [*range(70), 1797, 65536, 65537, 2**19 + 1, 1_200_000])
def test_order_and_generator_are_those_of_numpy(n: int) -> None:
    expected = shuffled_twice(n, np.random.RandomState(n), ours=False)
    assert shuffled_twice(n, np.random.RandomState(n), ours=True) == expected


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.Philox, np.random.SFC64])
def test_generators_of_other_bits(bits: Any) -> None:
    expected = shuffled_twice(1000, np.random.RandomState(bits(3)), ours=False)
    assert shuffled_twice(1000, np.random.RandomState(bits(3)), ours=True) == expected


def test_a_class_that_shuffles_otherwise_is_asked() -> None:
    class Reversing(np.random.RandomState):
        def shuffle(self, x: Any) -> None:
            x[:] = x[::-1].copy()

    order = np.arange(5, dtype=np.int64)
    shuffle(order, Reversing(0))
    assert order.tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "order", [np.arange(5.0), np.arange(10)[::2], np.arange(4).reshape(2, 2), [1, 2, 3]]
)
def test_what_is_no_order_is_refused(order: Any) -> None:
    generator = np.random.RandomState(0)
    with pytest.raises((ValueError, TypeError), match="order must"):
        shuffle(order, generator)
    assert generator.randint(2**31) == np.random.RandomState(0).randint(2**31)
