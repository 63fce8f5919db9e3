# SPDX-License-Identifier: BSD-3-Clause
"""A picture of a training: losses and scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._displays import find_network, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

#: What scores by ``scoring="loss"`` are called. They repeat the losses, and have no axes made.
MINUS_LOSS = "minus the loss"


class LossCurves(NamedTuple):
    """What one training leaves behind: a value per epoch, None for what was not recorded.

    Parameters
    ----------
    name : str
        What the legend calls the training.
    loss : sequence of float
        The training's loss.
    validation_loss : sequence of float or None, default=None
        The loss of the validation data.
    validation_scores : sequence of float or None, default=None
        The scores of the validation data.
    score_name : str, default="score"
        What the scores are.
    best_n_iter : int or None, default=None
        The place in the scores, from 1, of the epoch whose weights were restored.
    """

    name: str
    loss: Sequence[float]
    validation_loss: Sequence[float] | None = None
    validation_scores: Sequence[float] | None = None
    score_name: str = "score"
    best_n_iter: int | None = None

    def first_epoch(self, values: Sequence[float]) -> int:
        """Return the epoch of a curve's first value.

        Where a training went on with other validation data, they have seen its last part only.
        """
        return 1 + max(0, len(self.loss) - len(values))

    def restored_epoch(self) -> int | None:
        """Return the epoch whose weights were restored, on the axis of the loss."""
        if self.best_n_iter is None or self.validation_scores is None:
            return None
        return self.first_epoch(self.validation_scores) + self.best_n_iter - 1


class LossCurveDisplay:
    """Losses of the training and validation data, and scores, after each epoch.

    Make it with :meth:`from_estimator` or :meth:`from_estimators`. Every training has a colour. A
    solid line is the training's loss, a dashed one the loss of the validation data; their scores
    are drawn beneath, unless they are the loss (``scoring="loss"``). A dot marks the epoch whose
    weights early stopping restored.

    Parameters
    ----------
    curves : sequence of LossCurves
        What to draw, from one training or several; other displays have theirs in ``curves``.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure drawn in.
    ax_ : matplotlib Axes
        The axes of the losses.
    score_ax_ : matplotlib Axes or None
        The axes of the scores; None if there are none, or nowhere to draw them.
    lines_ : list of matplotlib Line2D
        All lines drawn.

    See Also
    --------
    WeightsDisplay : What the first layer has learnt.

    Examples
    --------
    >>> from fastbp import BackpropClassifier, LossCurveDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = BackpropClassifier(early_stopping=True, random_state=0).fit(X / 16, y)
    >>> display = LossCurveDisplay.from_estimator(model)
    >>> display.ax_.get_ylabel()
    'loss'
    """

    __module__ = "fastbp"

    figure_: Figure | SubFigure
    ax_: Axes
    score_ax_: Axes | None
    lines_: list[Line2D]

    def __init__(self, curves: Sequence[LossCurves]) -> None:
        self.curves = curves

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        score_ax: Axes | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> LossCurveDisplay:
        """Draw what a fitted estimator recorded in its training.

        Parameters
        ----------
        estimator : object
            A fitted estimator, or a pipeline, search or ``TransformedTargetRegressor`` that ends in
            one. scikit-learn's own ``MLPClassifier`` and ``MLPRegressor`` will do too. Its solver
            is 'sgd' or 'adam', since 'lbfgs' records no curve.
        name : str, default=None
            What the legend calls it; None leaves the name out.
        ax : matplotlib Axes, default=None
            Where to draw the losses. None makes a figure, with axes for the scores if there are
            any.
        score_ax : matplotlib Axes, default=None
            Where to draw the scores. None, with ``ax`` given, leaves them out.
        line_kw : dict, default=None
            Options for ``Axes.plot``, for every line.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the estimator has recorded no losses.

        Examples
        --------
        >>> from fastbp import BackpropRegressor, LossCurveDisplay
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> X, y = load_diabetes(return_X_y=True)
        >>> network = BackpropRegressor(early_stopping=True, learning_rate_init=0.1, random_state=0)
        >>> model = make_pipeline(StandardScaler(), network).fit(X, y)
        >>> display = LossCurveDisplay.from_estimator(model)
        >>> len(display.curves[0].loss) == network.n_iter_
        True
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        curves = [_curves_of(estimator, name or "")]
        return cls(curves).plot(ax=ax, score_ax=score_ax, line_kw=line_kw)

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any] | Sequence[Any],
        *,
        names: Sequence[str] | None = None,
        ax: Axes | None = None,
        score_ax: Axes | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> LossCurveDisplay:
        """Draw what several fitted estimators recorded in their training.

        Parameters
        ----------
        estimators : dict of str to object, or sequence of object
            Fitted estimators, as for :meth:`from_estimator`. A dict's keys are their names.
        names : sequence of str, default=None
            Their names in the legend. None takes a dict's keys, or the classes' names, numbered
            where two are the same.
        ax : matplotlib Axes, default=None
            Where to draw the losses. None makes a figure, with axes for the scores if there are
            any.
        score_ax : matplotlib Axes, default=None
            Where to draw the scores. None, with ``ax`` given, leaves them out.
        line_kw : dict, default=None
            Options for ``Axes.plot``, for every line.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If an estimator has recorded no losses, there are none, or there are more or fewer names
            than estimators.

        Examples
        --------
        >>> from fastbp import BackpropClassifier, LossCurveDisplay
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> models = {
        ...     solver: BackpropClassifier(
        ...         solver=solver, early_stopping=True, max_iter=500, random_state=0
        ...     ).fit(X / 16, y)
        ...     for solver in ("sgd", "adam")
        ... }
        >>> display = LossCurveDisplay.from_estimators(models)
        >>> [curves.name for curves in display.curves]
        ['sgd', 'adam']
        """
        import_pyplot(f"{cls.__name__}.from_estimators")
        if isinstance(estimators, Mapping):
            names = [*estimators] if names is None else names
            estimators = [*estimators.values()]
        if not estimators:
            raise ValueError("There are no estimators to draw.")
        names = _class_names(estimators) if names is None else names
        if len(names) != len(estimators):
            raise ValueError(f"There are {len(names)} names for {len(estimators)} estimators.")
        curves = [_curves_of(model, name) for model, name in zip(estimators, names, strict=True)]
        return cls(curves).plot(ax=ax, score_ax=score_ax, line_kw=line_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        score_ax: Axes | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> LossCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw the losses. None makes a figure, with axes for the scores if there are
            any.
        score_ax : matplotlib Axes, default=None
            Where to draw the scores. None, with ``ax`` given, leaves them out.
        line_kw : dict, default=None
            Options for ``Axes.plot``, for every line.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        pyplot = import_pyplot(f"{type(self).__name__}.plot")
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        scored = any(
            _length(curves.validation_scores) and curves.score_name != MINUS_LOSS
            for curves in self.curves
        )
        if ax is None and score_ax is None and scored:
            _, (ax, score_ax) = pyplot.subplots(
                2, sharex=True, figsize=(6.4, 5.6), height_ratios=(3, 2), layout="constrained"
            )
        elif ax is None:
            _, ax = pyplot.subplots(layout="constrained")
        assert ax is not None
        self.ax_, self.score_ax_, self.figure_, self.lines_ = ax, score_ax, ax.figure, []
        for curves in self.curves:
            self._draw(curves, normalize_kwargs(dict(line_kw or {}), Line2D))
        ax.set(xlabel="epoch", ylabel="loss")
        ax.legend()
        if score_ax is not None:
            names = dict.fromkeys(c.score_name for c in self.curves if _length(c.validation_scores))
            score_ax.set(xlabel="epoch", ylabel=", ".join(names))
            if ax.get_shared_x_axes().joined(ax, score_ax):
                ax.set_xlabel("")
        return self

    def _draw(self, curves: LossCurves, options: dict[str, Any]) -> None:
        """Draw one training's lines, in one colour, and mark the epoch restored."""
        drawn: list[tuple[Axes, str, str, Sequence[float] | None]]
        drawn = [(self.ax_, "training", "-", curves.loss)]
        drawn += [(self.ax_, "validation", "--", curves.validation_loss)]
        if self.score_ax_ is not None:
            drawn += [(self.score_ax_, "validation", "--", curves.validation_scores)]
        prefix = f"{curves.name}, " if curves.name else ""
        marks = []
        for ax, kind, linestyle, values in drawn:
            if values is None or len(values) == 0:
                continue
            epochs = curves.first_epoch(values) + np.arange(len(values))
            style = {"label": prefix + kind, "linestyle": linestyle} | options
            self.lines_ += ax.plot(epochs, values, **style)
            options.setdefault("color", self.lines_[-1].get_color())
            at = epochs == curves.restored_epoch()
            marks.append((ax, epochs[at], np.asarray(values)[at]))
        label = f"{prefix}restored: epoch {curves.restored_epoch()}"
        for ax, x, y in marks:
            if len(x) == 1:
                style = {"marker": "o", "linestyle": "none", "label": label}
                self.lines_ += ax.plot(x, y, **(options | style))
                label = "_restored"  # once in the legend


def _length(values: Sequence[float] | None) -> int:
    return 0 if values is None else len(values)


def _class_names(models: Sequence[Any]) -> list[str]:
    """Return the networks' class names, numbered where two are the same."""
    names = [type(find_network(model)[0]).__name__ for model in models]
    if len(set(names)) == len(names):
        return names
    return [f"{name} {number}" for number, name in enumerate(names, 1)]


def _curves_of(model: Any, name: str) -> LossCurves:
    """Return what a fitted model recorded."""
    network, _ = find_network(model)
    loss = getattr(network, "loss_curve_", None)
    if not loss:
        raise ValueError(
            f"This {type(network).__name__} has recorded no losses: the solvers 'sgd' and 'adam' "
            f"do so in loss_curve_, solver={network.solver!r} does not."
        )
    return LossCurves(
        name,
        loss,
        getattr(network, "validation_loss_curve_", None),
        getattr(network, "validation_scores_", None),
        _score_name(network),
        getattr(network, "best_n_iter_", None),
    )


def _score_name(network: Any) -> str:
    """Return what an axis of the validation scores is called."""
    scoring = getattr(network, "scoring", None)
    if scoring is None:
        if hasattr(network, "classes_"):
            return "accuracy"
        return "D² pinball score" if network.loss == "quantile" else "R²"
    if scoring == "loss":
        return MINUS_LOSS
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "")
    return name.replace("_", " ") if name.isidentifier() else "score"
