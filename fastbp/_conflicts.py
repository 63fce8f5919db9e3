# SPDX-License-Identifier: BSD-3-Clause
"""Combinations of parameters that cannot work, each refused with what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._base import BaseBackprop

#: Parameters that scikit-learn does not have and L-BFGS has no use for, with the values that it
#: takes. Of scikit-learn's own, those of other solvers pass, so that a grid over solvers works.
TAKEN_BY_LBFGS: dict[str, tuple[object, ...]] = {
    "warm_start": (False, True),
}


def refuse_with_lbfgs(model: BaseBackprop) -> None:
    """Raise for a parameter that needs a stochastic solver."""
    for name, taken in TAKEN_BY_LBFGS.items():
        value = getattr(model, name)
        if np.ndim(value) > 0 or value not in taken:
            raise ValueError(
                f"{name}={value!r} needs solver='sgd' or 'adam', but solver='lbfgs'. Set "
                f"{name}={taken[0]!r}, or another solver."
            )


def refuse_conflicts(model: BaseBackprop, dtype: str) -> None:
    """Raise for parameters that do not go together; ``dtype`` is the compute type."""
    if model.solver == "lbfgs":
        refuse_with_lbfgs(model)
    if dtype == "float64" and model.matmul_precision != "highest":
        meaning = ", which means float64 with solver='lbfgs'" if model.dtype == "auto" else ""
        raise ValueError(
            f"matmul_precision={model.matmul_precision!r} is for float32, but dtype="
            f"{model.dtype!r}{meaning}. Set matmul_precision='highest', or dtype='float32'."
        )
