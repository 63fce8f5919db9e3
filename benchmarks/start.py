# SPDX-License-Identifier: BSD-3-Clause
"""Where a fit starts and how it goes through the rows, as scikit-learn draws them.

A peer that draws its own weights or shuffles its own way learns something else, and a timing of it
could not be verified. So PyTorch and JAX are given these.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SEED = 0
ALPHA = 1e-4
LEARNING_RATE = 1e-3
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def draw(
    units: list[int], n_rows: int, n_epochs: int
) -> tuple[list[tuple[Array, Array]], list[Array]]:
    """Return each layer's float64 weights and intercepts, and each epoch's order of the rows."""
    rng = np.random.RandomState(SEED)
    layers = []
    for fan_in, fan_out in pairwise(units):
        bound = np.sqrt(6.0 / (fan_in + fan_out))  # Glorot and Bengio's, for relu as well
        coef = rng.uniform(-bound, bound, (fan_in, fan_out))
        layers.append((coef, rng.uniform(-bound, bound, fan_out)))
    order, orders = np.arange(n_rows), []
    for _ in range(n_epochs):
        shuffled = np.arange(n_rows)
        rng.shuffle(shuffled)
        order = order[shuffled]
        orders.append(order)
    return layers, orders
