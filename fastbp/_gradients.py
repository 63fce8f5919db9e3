# SPDX-License-Identifier: BSD-3-Clause
"""Gradients in the open: how the loss changes with each weight, and with each input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from . import _core
from ._checks import check_X_y
from ._data import check_sample_weight
from ._fpenv import in_default_fpenv
from ._scoring import Given
from ._weights import Weights, check_weights, pack, unpack

if TYPE_CHECKING:
    from ._base import BaseBackprop

Array = NDArray[Any]


class LossGradient(NamedTuple):
    """A loss and how it changes: what ``loss_gradient`` returns."""

    loss: float
    coefs: list[Array]
    intercepts: list[Array]
    X: Array


class GradientMixin:
    """``loss_gradient`` for the estimators."""

    @in_default_fpenv
    def loss_gradient(self, X: Any, y: Any, sample_weight: Any = None) -> LossGradient:
        """Compute the loss for samples, and its gradient, at the fitted weights.

        This is what backpropagation computes: how the loss changes with each weight, intercept and
        input. Large gradients by X show the inputs that a prediction hangs on (a saliency map).

        The loss is the average of the samples' losses, by ``sample_weight``. It is the data's part
        alone: no penalty of ``alpha``, nor what training adds to make learning harder. Squared
        error of several outputs is averaged over them in the loss, as in ``loss_``, while the
        gradient is that of their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What they should give, as for ``fit``; a classifier's labels must be among ``classes_``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0 and not all 0.

        Returns
        -------
        gradient : LossGradient
            A named tuple of ``loss``, a float; ``coefs`` and ``intercepts``, the gradients by
            ``coefs_`` and ``intercepts_``, in the same shapes; and ``X``, the gradient by each
            number of X, an ndarray of shape (n_samples, n_features) whether or not X is sparse. All
            arrays have the type of the weights.

        Raises
        ------
        ValueError
            If X, y or sample_weight are not valid, or ``coefs_`` or ``intercepts_`` were changed to
            what is not.

        Examples
        --------
        Which features the errors on some flowers hang on most:

        >>> import numpy as np
        >>> from fastbp import BackpropClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = BackpropClassifier(8, solver="lbfgs", random_state=0).fit(X, y)
        >>> gradient = model.loss_gradient(X[:100:10], y[:100:10])
        >>> gradient.X.shape
        (10, 4)
        >>> saliency = np.abs(gradient.X).sum(axis=0)
        >>> bool(saliency[2:].min() > saliency[:2].max())  # the petals' sizes
        True
        """
        # What is checked may set attributes; those of a copy.
        model = cast("BaseBackprop", self)._snapshot()
        return _loss_gradient(model, X, y, sample_weight)


def _loss_gradient(model: BaseBackprop, X: Any, y: Any, sample_weight: Any) -> LossGradient:
    check_is_fitted(model)
    weights = check_weights(model.coefs_, model.intercepts_, model.n_features_in_, model.n_outputs_)
    dtype = weights.dtype
    X, y = check_X_y(model, Given(X, y, sample_weight), dtype, reset=False)
    targets = model._encode_validation_targets(y, dtype, model.n_outputs_)
    weight = check_sample_weight(sample_weight, X, dtype)

    n_rows = X.shape[0]
    net = model._make_net(weights, X, max_rows=n_rows)
    delta = np.empty((n_rows, weights.units[1]), dtype)
    parameters = pack(weights)
    value, gradient = net.loss_gradient(parameters, X, targets, sample_weight=weight, delta=delta)
    by_weights = unpack(gradient, weights.units)
    return LossGradient(value, *by_weights, _by_inputs(model, net, weights, delta, weight))


def _by_inputs(
    model: BaseBackprop, net: _core.Net, weights: Weights, delta: Array, weight: Array | None
) -> Array:
    """Return the gradient by X, delta · Wᵀ of the first layer, from the core's own product."""
    first = weights.coefs[0]
    product = _core.Net(
        [first.shape[1], first.shape[0]],
        [],
        "squared_error",
        dtype=weights.dtype,
        n_threads=net.n_threads,
        precision=model.matmul_precision,
    )
    product.set_weights([np.ascontiguousarray(first.T)], [np.zeros(len(first), first.dtype)])
    by_inputs = product.predict(delta)
    by_inputs /= len(delta) if weight is None else weight.sum(dtype=np.float64)
    return by_inputs
