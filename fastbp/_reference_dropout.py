# SPDX-License-Identifier: BSD-3-Clause
"""The twin's dropout: the core's own masks, from the same counter-based random numbers.

In training, each unit of a hidden layer is dropped in a row with the layer's rate r: its output
counts as 0. The others are multiplied by 1 / (1 - r), so that what the next layer gets is the same
on average, and prediction needs no correction (inverted dropout). For the backward pass an output
times a mask is one more factor: the derivative is multiplied by the same mask.

A mask must be found again by any thread, so it comes from a generator without a state: Philox turns
a place (row, unit) into a random number under a key, which says seed, step and layer. It is ten
lines of multiplications and exclusive ors on 32-bit words (Salmon, Moraes, Dror and Shaw, 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # of 32 bits each; 64 hold a product

ROUNDS = 7
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(counter: Sequence[Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Turn each counter of four words into four random ones: Philox4x32."""
    x0, x1, x2, x3 = counter
    for round_ in range(ROUNDS):
        k0 = np.uint64((key[0] + round_ * 0x9E3779B9) & 0xFFFFFFFF)
        k1 = np.uint64((key[1] + round_ * 0xBB67AE85) & 0xFFFFFFFF)
        p0, p1 = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (p1 >> HALF) ^ x1 ^ k0, p1 & LOW, (p0 >> HALF) ^ x3 ^ k1, p0 & LOW
    return x0, x1, x2, x3


def split_word(value: int) -> tuple[int, int]:
    """Return the low and the high 32 bits of 64."""
    return value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF


def layer_key(seed: int, step: int, layer: int) -> tuple[int, int]:
    """Return the key of a layer's masks in a step: two words drawn under the seed."""
    place = (*split_word(step), layer, 0)
    x0, x1, _, _ = philox([np.array([x], np.uint64) for x in place], split_word(seed))
    return int(x0[0]), int(x1[0])


def random_numbers(key: tuple[int, int], rows: int, units: int) -> NDArray[np.uint64]:
    """Return a number in 0..65535 for each row and unit [rows × units].

    Each eight units share a counter, of whose four words they take the halves, in the order that
    suits vectors: unit 16s + 2j + i of 64 has counter j, word 2 (s / 2) + i, and the low half where
    s is even.
    """
    unit = np.arange(units, dtype=np.uint64)[None, :]
    row = np.arange(rows, dtype=np.uint64)[:, None]
    place = unit % 64
    counter = unit // 64 * 8 + place % 16 // 2 + 0 * row
    row = row + 0 * counter
    words = np.stack(philox((counter & LOW, counter >> HALF, row & LOW, row >> HALF), key))
    which = (place // 32 * 2 + place % 2).astype(np.intp) + np.zeros(words.shape[1:], np.intp)
    word = np.take_along_axis(words, which[None], axis=0)[0]
    draws: NDArray[np.uint64]
    draws = np.where(place // 16 % 2 == 1, word >> np.uint64(16), word & np.uint64(0xFFFF))
    return draws


def mask(seed: int, step: int, layer: int, rate: float, rows: int, units: int) -> Any:
    """Return what the outputs of a hidden layer are multiplied by [rows × units]: 0 or the scale.

    The rate counts in whole 65536ths, at least one, and what is kept is scaled by the inverse of
    just that probability: the average is exact.
    """
    if rate == 0:
        return 1.0
    threshold = min(65535, max(1, int(rate * 65536 + 0.5)))
    numbers = random_numbers(layer_key(seed, step, layer), rows, units)
    return np.where(numbers < threshold, 0.0, 65536 / (65536 - threshold))


def check_rates(rates: Sequence[float] | None, n_hidden: int, solver: str) -> list[float]:
    """Return the rate of each hidden layer; None means no dropout."""
    if rates is None:
        return [0.0] * n_hidden
    if len(rates) != n_hidden or not all(0 <= rate < 1 for rate in rates):
        raise ValueError(f"dropout must hold a rate in [0, 1) per hidden layer, got {rates}")
    if any(rates) and solver == "gradient":
        raise ValueError("a net with solver 'gradient' has no dropout")
    return list(rates)
