# SPDX-License-Identifier: BSD-3-Clause
"""The last hidden layer as features for another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from ._data import is_single
from ._fpenv import in_default_fpenv
from ._weights import check_weights

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from ._base import BaseBackprop

Array = NDArray[Any]


class HiddenFeaturesMixin(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
):
    """``transform`` for the estimators."""

    @in_default_fpenv
    def transform(self, X: Any) -> Array:
        """Compute the last hidden layer's activations: features that the network has learnt.

        With them a trained network can be a step of a pipeline, before another model, or show its
        samples to a projection or a search for neighbours.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_units)
            The outputs of the last hidden layer's units. Float32 if X is, otherwise float64.

        Raises
        ------
        ValueError
            If the network has no hidden layers, X is not valid, or ``coefs_`` or ``intercepts_``
            were changed to what is not.

        Examples
        --------
        >>> from fastbp import BackpropClassifier
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> from sklearn.pipeline import make_pipeline
        >>> X, y = load_iris(return_X_y=True)
        >>> network = BackpropClassifier((16, 3), solver="lbfgs", random_state=0)
        >>> model = make_pipeline(network, KNeighborsClassifier()).fit(X, y)
        >>> model[0].transform(X).shape
        (150, 3)
        >>> model.score(X, y) > 0.9
        True
        """
        model = cast("BaseBackprop", self)._snapshot()
        X = model._check_X(X)
        weights = check_weights(
            model.coefs_, model.intercepts_, model.n_features_in_, model.n_outputs_
        )
        _refuse_no_hidden_layers(len(weights.coefs))
        dtype = "float32" if is_single(X) else "float64"
        return model._through_net(X, weights, hidden=True, dtype=dtype)

    @property
    def _n_features_out(self) -> int:
        model = cast("BaseBackprop", self)
        coefs = model.coefs_  # AttributeError: not fitted
        weights = check_weights(coefs, model.intercepts_, model.n_features_in_, model.n_outputs_)
        _refuse_no_hidden_layers(len(weights.coefs))
        return weights.units[-2]

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _refuse_no_hidden_layers(n_layers: int) -> None:
    if n_layers < 2:
        raise ValueError(
            "transform gives the last hidden layer's activations, but the network has no hidden "
            "layers; set hidden_layer_sizes."
        )
