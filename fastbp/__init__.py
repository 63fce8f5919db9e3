# SPDX-License-Identifier: BSD-3-Clause
"""Multilayer perceptrons trained by backpropagation on CPUs, from scikit-learn's API."""

__version__ = "0.1.0"

from ._classifier import BackpropClassifier
from ._regressor import BackpropRegressor
from ._show_versions import show_versions

__all__ = ["BackpropClassifier", "BackpropRegressor", "__version__", "show_versions"]
