# SPDX-License-Identifier: BSD-3-Clause
"""Combinations of parameters that cannot work, each refused with what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._schedules import refuse_impossible_schedules

if TYPE_CHECKING:
    from ._base import BaseBackprop

#: Parameters that scikit-learn does not have and L-BFGS has no use for, with the values that it
#: takes. Of scikit-learn's own, those of other solvers pass, so that a grid over solvers works.
TAKEN_BY_LBFGS: dict[str, tuple[object, ...]] = {
    "scoring": (None,),
    "dropout": (0.0,),
    "weight_decay": (0,),
    "max_grad_norm": (None,),
    "warmup": (0,),
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


def refuse_conflicts(model: BaseBackprop, dtype: str, incremental: bool, validates: bool) -> None:
    """Raise for parameters that do not go together.

    ``dtype`` is the compute type; ``incremental`` tells ``partial_fit`` from ``fit``, and
    ``validates`` whether the user gave validation data.
    """
    if model.solver == "lbfgs":
        if validates:
            raise ValueError(
                "X_val and y_val need solver='sgd' or 'adam', but solver='lbfgs'. Leave them out, "
                "or set another solver."
            )
        refuse_with_lbfgs(model)
    refuse_impossible_schedules(model, incremental)
    if model.scoring is not None and not validates and (incremental or not model.early_stopping):
        advice = "" if incremental else ", early_stopping=True, or give fit X_val and y_val"
        raise ValueError(
            f"scoring={model.scoring!r} needs validation data, and there are none. Set "
            f"scoring=None{advice}."
        )
    if dtype == "float64" and model.matmul_precision != "highest":
        meaning = ", which means float64 with solver='lbfgs'" if model.dtype == "auto" else ""
        raise ValueError(
            f"matmul_precision={model.matmul_precision!r} is for float32, but dtype="
            f"{model.dtype!r}{meaning}. Set matmul_precision='highest', or dtype='float32'."
        )
