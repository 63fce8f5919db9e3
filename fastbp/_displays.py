# SPDX-License-Identifier: BSD-3-Clause
"""What the displays share: matplotlib when it is needed, and the network inside a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from types import ModuleType

#: Where models that hold another keep it once fitted: a search, a target transformer.
INNER_MODELS = ("best_estimator_", "regressor_")


def import_pyplot(caller: str) -> ModuleType:
    """Import matplotlib.pyplot, an extra, for the function named."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed: pip install 'fastbp[plot]'"
        ) from error
    return pyplot


def find_network(model: Any) -> tuple[Any, list[Any]]:
    """Return the fitted network at the end of a model, and the pipelines around it.

    Networks are ours, and scikit-learn's own. Pipelines are those that end with it; searches and
    target transformers are looked into. A network that is not fitted raises NotFittedError.
    """
    pipelines = []
    while True:
        inner = next((name for name in INNER_MODELS if hasattr(model, name)), None)
        if inner is not None:
            model = getattr(model, inner)
        elif hasattr(model, "named_steps"):
            pipelines.append(model)
            model = model.steps[-1][1]
        else:
            check_is_fitted(model, "coefs_")
            return model, pipelines
