# SPDX-License-Identifier: BSD-3-Clause
"""A picture of the first layer's weights: as images, or as a heat map by feature name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._displays import find_network, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

Array = NDArray[Any]

#: A heat map with more rows or columns than this has too little room for their names.
MAX_LABELS = 60


class WeightsDisplay:
    """The weights between the features and the first layer's units.

    Make it with :meth:`from_estimator`. Of images there is a small one for each unit, all in one
    picture; otherwise it is a heat map with a row for each feature and a column for each unit.
    Blue is a negative weight, red a positive one, white none.

    Parameters
    ----------
    coef : ndarray of shape (n_features, n_units)
        The weights to show, such as ``coefs_[0]`` or a part of it.
    feature_names : sequence of str, default=None
        The rows' names; None calls them x0, x1 and so on.
    unit_names : sequence of str, default=None
        The columns' names; None takes their numbers.
    image_shape : tuple of int, default=None
        The shape, (height, width) or (height, width, 3), of the images that the features are the
        pixels of. None makes a heat map.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure drawn in.
    ax_ : matplotlib Axes
        The axes drawn in.
    im_ : matplotlib AxesImage
        The picture.
    colorbar_ : matplotlib Colorbar or None
        The scale; None for images in colour.

    See Also
    --------
    LossCurveDisplay : Losses and scores by epoch.

    Examples
    --------
    >>> from fastbp import BackpropClassifier, WeightsDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = BackpropClassifier((20,), max_iter=500, random_state=0).fit(X / 16, y)
    >>> display = WeightsDisplay.from_estimator(model, image_shape=(8, 8))
    >>> display.coef.shape
    (64, 20)
    """

    __module__ = "fastbp"

    figure_: Figure | SubFigure
    ax_: Axes
    im_: AxesImage
    colorbar_: Colorbar | None

    def __init__(
        self,
        coef: Array,
        *,
        feature_names: Sequence[str] | None = None,
        unit_names: Sequence[str] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.coef = coef
        self.feature_names = feature_names
        self.unit_names = unit_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        features: int | Sequence[int] | None = None,
        units: int | Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        im_kw: Mapping[str, Any] | None = None,
    ) -> WeightsDisplay:
        """Draw the first layer's weights of a fitted estimator.

        Parameters
        ----------
        estimator : object
            A fitted estimator, or a pipeline, search or ``TransformedTargetRegressor`` that ends in
            one. scikit-learn's own ``MLPClassifier`` and ``MLPRegressor`` will do too.
        image_shape : tuple of int, default=None
            The shape, (height, width) or (height, width, 3), of the images that the features are
            the pixels of. None makes a heat map.
        features : int or sequence of int, default=None
            The features to show: so many of those with the largest weights (by Euclidean norm),
            largest first, or these. None is all. Not with ``image_shape``.
        units : int or sequence of int, default=None
            The units to show, in the same way.
        feature_names : sequence of str, default=None
            Names of all features. None takes those that the estimator, or the steps before it in
            its pipeline, know them by.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        im_kw : dict, default=None
            Options for ``Axes.imshow``.

        Returns
        -------
        display : WeightsDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the features are not the pixels of such an image, or ``features``, ``units`` or
            ``feature_names`` do not go with the estimator.

        Examples
        --------
        >>> from fastbp import BackpropRegressor, WeightsDisplay
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> model = BackpropRegressor(
        ...     hidden_layer_sizes=5,
        ...     solver="lbfgs",
        ...     max_iter=20,
        ...     max_fun=1000,
        ...     tol=1,
        ...     random_state=0,
        ... ).fit(X, y)
        >>> display = WeightsDisplay.from_estimator(model, features=4)
        >>> len(display.feature_names)
        4
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        network, pipelines = find_network(estimator)
        coef = np.asarray(network.coefs_[0])
        if image_shape is not None and features is not None:
            raise ValueError("Leave out features or image_shape: an image has all its pixels.")
        names = feature_names
        if names is None:
            names = _known_names(network, pipelines)
        if names is not None and len(names) != len(coef):
            raise ValueError(f"There are {len(names)} feature_names for {len(coef)} features.")
        rows = _chosen("features", features, coef)
        columns = _chosen("units", units, coef.T)
        return cls(
            coef[np.ix_(rows, columns)],
            feature_names=[f"x{row}" if names is None else str(names[row]) for row in rows],
            unit_names=[str(column) for column in columns],
            image_shape=image_shape,
        ).plot(ax=ax, im_kw=im_kw)

    def plot(
        self, ax: Axes | None = None, *, im_kw: Mapping[str, Any] | None = None
    ) -> WeightsDisplay:
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        im_kw : dict, default=None
            Options for ``Axes.imshow``.

        Returns
        -------
        display : WeightsDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the features are not the pixels of such an image.
        """
        pyplot = import_pyplot(f"{type(self).__name__}.plot")
        n_features, n_units = self.coef.shape
        picture = self.coef if self.image_shape is None else self._montage()
        if ax is None:
            # Images keep their shape, and leave an inch for the scale.
            rows, columns = picture.shape[:2]
            height = 1 + 0.22 * n_features if self.image_shape is None else 5.4 * rows / columns
            size = (6.4, min(12.0, max(3.0, height)))
            _, ax = pyplot.subplots(figsize=size, layout="constrained")
        largest = float(np.max(np.abs(self.coef), initial=0.0)) or 1.0
        style: dict[str, Any] = {
            "cmap": "RdBu_r",
            "vmin": -largest,
            "vmax": largest,
            "interpolation": "nearest",
        }
        if self.image_shape is None:
            style["aspect"] = "auto"
        self.ax_, self.figure_, self.colorbar_ = ax, ax.figure, None
        self.im_ = ax.imshow(picture, **(style | dict(im_kw or {})))
        if picture.ndim == 2:
            self.colorbar_ = ax.figure.colorbar(self.im_, ax=ax, label="weight")
        if self.image_shape is not None:
            ax.set_axis_off()
            return self
        names = self.feature_names or [f"x{row}" for row in range(n_features)]
        ax.set(xlabel="unit of the first layer", ylabel="feature")
        if n_features <= MAX_LABELS:
            ax.set_yticks(range(n_features), names)
            ax.set_ylabel("")
        if n_units <= MAX_LABELS:
            units = self.unit_names or [str(column) for column in range(n_units)]
            ax.set_xticks(range(n_units), units, rotation=90 if n_units > 20 else 0)
        return self

    def _montage(self) -> Array:
        """Return one picture of all units' images, with a pixel of white between them."""
        shape = tuple(self.image_shape or ())
        n_features, n_units = self.coef.shape
        if (
            len(shape) not in (2, 3)
            or shape[2:] not in ((), (3,))
            or math.prod(shape) != n_features
        ):
            raise ValueError(
                f"image_shape={self.image_shape} must be (height, width) or (height, width, 3) and "
                f"have as many numbers as there are features, {n_features}."
            )
        images = self.coef.T.reshape(n_units, *shape)
        between = 0.0
        if len(shape) == 3:
            largest = float(np.max(np.abs(images), initial=0.0)) or 1.0
            images, between = 0.5 + images / (2 * largest), 1.0
        n_columns = math.ceil(math.sqrt(n_units * shape[0] / shape[1]))
        n_rows = math.ceil(n_units / n_columns)
        height, width = shape[0] + 1, shape[1] + 1
        picture = np.full((n_rows * height - 1, n_columns * width - 1, *shape[2:]), between)
        for number, image in enumerate(images):
            top, left = height * (number // n_columns), width * (number % n_columns)
            picture[top : top + shape[0], left : left + shape[1]] = image
        return picture


def _known_names(network: Any, pipelines: list[Any]) -> Sequence[str] | None:
    """Return the names of the features that reach the network, if they have any."""
    names: Sequence[str] | None = getattr(network, "feature_names_in_", None)
    if names is not None or not pipelines:
        return names
    for pipeline in pipelines:  # from the outermost; each knows what comes out of its first steps
        try:
            names = pipeline[:-1].get_feature_names_out(names)
        except (AttributeError, ValueError):  # a step that does not tell
            return None
    return names


def _chosen(parameter: str, choice: int | Sequence[int] | None, rows: Array) -> Array:
    """Return the numbers of the rows to show."""
    if choice is None:
        return np.arange(len(rows))
    if isinstance(choice, int | np.integer):
        norms = np.linalg.norm(rows, axis=1)
        if not 1 <= choice <= len(rows):
            raise ValueError(f"{parameter}={choice} must be from 1 to {len(rows)}.")
        return np.argsort(-norms, kind="stable")[:choice]
    chosen = np.asarray(choice)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not chosen.size:
        raise ValueError(f"{parameter}={choice!r} must be a number or a list of numbers.")
    if chosen.min() < 0 or chosen.max() >= len(rows):
        raise ValueError(f"{parameter} must be from 0 to {len(rows) - 1}, got {choice!r}.")
    return chosen
