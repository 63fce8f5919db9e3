# SPDX-License-Identifier: BSD-3-Clause
"""The ``dropout`` parameter: one rate or one per hidden layer, and the seed of the masks.

What the core does with them, csrc/dropout.h says.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np


def check_dropout(dropout: Any, hidden_layer_sizes: Any, n_hidden: int) -> list[float]:
    """Return the rate of each hidden layer.

    Raises
    ------
    ValueError
        A rate is no number in [0, 1), or there are more or fewer rates than hidden layers.
    """
    if isinstance(dropout, Real):
        if n_hidden == 0 and float(dropout) > 0:
            raise ValueError(
                f"dropout={dropout} drops outputs of hidden layers, and hidden_layer_sizes="
                f"{hidden_layer_sizes} has none. Set dropout=0.0, or add a hidden layer."
            )
        rates = [dropout] * n_hidden
    else:
        rates = list(dropout)
        if len(rates) != n_hidden:
            raise ValueError(
                f"dropout={dropout} holds {len(rates)} rates, and hidden_layer_sizes="
                f"{hidden_layer_sizes} has {n_hidden} hidden layers: give one rate for each, or a "
                "single number for all."
            )
    for rate in rates:
        if not is_rate(rate):
            raise ValueError(f"dropout={dropout} must hold numbers in [0, 1), got {rate!r}.")
    return [float(rate) for rate in rates]


def is_rate(value: Any) -> bool:
    """Tell whether a value is a number in [0, 1)."""
    number = isinstance(value, Real) and not isinstance(value, np.bool_ | bool)
    return number and 0 <= float(value) < 1


def draw_dropout_seed(rates: list[float], random_state: np.random.RandomState) -> int:
    """Return the seed of a call's masks; no random number is drawn unless a rate asks for it."""
    if not any(rates):
        return 0
    return int(random_state.randint(0, 2**64, dtype=np.uint64))
