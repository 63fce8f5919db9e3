# SPDX-License-Identifier: BSD-3-Clause
"""The hidden layers' activations: one name for all of them, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core

KNOWN = _core.names()["activations"]


def check_activation(activation: Any, hidden_units: Sequence[int]) -> tuple[str, ...]:
    """Return the name of each hidden layer's activation."""
    if isinstance(activation, str):  # a known one: the parameters' constraints have been checked
        return (activation,) * len(hidden_units)
    names = tuple(activation)
    for name in names:
        if not (isinstance(name, str) and name in KNOWN):
            raise ValueError(
                f"activation={activation!r} holds {name!r}; each hidden layer's must be one of "
                f"{', '.join(map(repr, KNOWN))}."
            )
    if len(names) != len(hidden_units):
        raise ValueError(
            f"activation={activation!r} has {len(names)} names, but hidden_layer_sizes has "
            f"{len(hidden_units)} layers: {tuple(hidden_units)}. Give one name for each, or a "
            "single one for all."
        )
    return tuple(map(str, names))


def bound_factors(activation: Any, activations: Sequence[str]) -> list[float]:
    """Return each layer's factor in the bound of its first weights.

    scikit-learn's: 2 where the model is logistic, otherwise 6. With a list each layer's is its own
    activation's, the output layer's that of the last hidden one.
    """
    if isinstance(activation, str):
        output = activation  # also where there is no hidden layer
    else:
        output = activations[-1] if activations else ""
    return [2.0 if name == "logistic" else 6.0 for name in (*activations, output)]


def activations_of(activations: tuple[str, ...], n_hidden: int) -> tuple[str, ...]:
    """Return what a fitted model does in its hidden layers, of which ``coefs_`` may have others."""
    if len(activations) != n_hidden:
        if len(set(activations)) != 1:
            raise ValueError(
                f"coefs_ has {n_hidden} hidden layers, but the model was fitted with activations "
                f"for {len(activations)}: {activations}."
            )
        return activations[:1] * n_hidden
    return activations
