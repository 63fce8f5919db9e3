# SPDX-License-Identifier: BSD-3-Clause
"""Multilayer perceptrons trained by backpropagation on CPUs, from scikit-learn's API."""

__version__ = "0.1.0"

from importlib.util import find_spec

if find_spec(f"{__name__}._core") is None:
    raise ImportError(
        f"The compiled part of fastbp is missing in {__path__[0]}. In a clone's own folder, "
        "compile it in place: pip install -e . An installed copy works from any other folder."
    )

from ._classifier import BackpropClassifier
from ._loss_curve_display import LossCurveDisplay
from ._regressor import BackpropRegressor
from ._show_versions import show_versions
from ._weights_display import WeightsDisplay

__all__ = [
    "BackpropClassifier",
    "BackpropRegressor",
    "LossCurveDisplay",
    "WeightsDisplay",
    "__version__",
    "show_versions",
]
