# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's callbacks: an experimental API, ``sklearn.callback``, there from 1.9 on.

A fit shows its callbacks a tree of tasks: a root, and a leaf for every epoch or L-BFGS iteration.
Where the API is missing, there is no ``set_callbacks``, and a fit has nothing to show.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import ProgressBar
    from sklearn.callback import with_callbacks as _with_callbacks
except ImportError:  # scikit-learn 1.8 and older

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: this scikit-learn has no callbacks."""

    def _with_callbacks(fit: Any) -> Any:
        return fit


from . import _one_fit

if TYPE_CHECKING:
    from ._base import BaseBackprop

Fit = TypeVar("Fit", bound=Callable[..., Any])

#: A verbose fit's last line, where a callback ended it.
STOPPED = "A callback stopped the training."


def with_callbacks(fit: Fit) -> Fit:
    """Decorate ``fit``, so that callbacks are torn down, whatever becomes of it."""
    return _with_callbacks(fit)  # type: ignore[no-any-return]


def or_as_before(fit: Fit) -> Fit:
    """Decorate ``fit`` or ``partial_fit``: where it raises, the estimator is as it was before.

    It may have what the fit found by then: callbacks' last hooks run after that, or an interrupt
    comes. A generator of random numbers, which is a parameter, goes back as well. A second fit
    meanwhile raises, and touches nothing. This decorator is the outermost, since an interrupt may
    also come where another one ends.
    """

    @functools.wraps(fit)
    def fit_or_restore(estimator: BaseBackprop, *args: Any, **kwargs: Any) -> Any:
        key, mark, begun = _one_fit.key_of(estimator), object(), False
        before: dict[str, Any] | None = None
        generator: Any = None
        drawn: Any = None
        try:
            begun = _one_fit.begin(key, mark, estimator)
            generator = vars(estimator).get("random_state")
            if isinstance(generator, np.random.RandomState):
                drawn = generator.get_state(legacy=False)
            before = vars(estimator).copy()
            return fit(estimator, *args, **kwargs)
        except BaseException:
            if before is not None:
                estimator.__dict__ = before  # first, since it is not a call: no interrupt between
                if drawn is not None:
                    generator.set_state(drawn)
            raise
        finally:
            if begun or _one_fit.is_set(key, mark):
                _one_fit.remove(key, None)

    return fit_or_restore  # type: ignore[return-value]


class Tasks:
    """The tasks of a fit that nobody watches."""

    #: Whether scikit-learn's own progress bar is among those who watch.
    has_progress_bar = False

    def begin_epoch(self) -> None:
        """Begin an epoch, or an iteration."""

    def end_epoch(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """End it; tell whether a callback wants the training to end with it.

        ``attributes`` gives what the estimator would hold after a training that ended here; it is
        asked only if a callback wants to see that estimator. No array may be shared.
        """
        return False

    def end(self) -> None:
        """End the fit, the estimator being fitted."""


class WatchedTasks(Tasks):
    """The tasks of a fit that has callbacks: the user's own X, y and weights go with each."""

    def __init__(self, estimator: BaseBackprop, root: Any, X: Any, y: Any, weight: Any) -> None:
        metadata = None if weight is None else {"sample_weight": weight}
        self.root = root
        self.epoch: Any = None
        callbacks = estimator._skl_callbacks
        self.has_progress_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        self.shown = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        root.call_on_fit_task_begin(**self.shown)

    def begin_epoch(self) -> None:
        self.epoch = self.root.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.shown)

    def end_epoch(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        def reconstruction_attributes() -> dict[str, Any]:
            # They are set on a copy of the estimator: what an earlier fit left there is hidden.
            earlier = dict.fromkeys(self.shown["estimator"]._fitted_attributes())
            return earlier | {name: _copy(value) for name, value in attributes().items()}

        ends: bool = self.epoch.call_on_fit_task_end(
            **self.shown, reconstruction_attributes=reconstruction_attributes
        )
        return ends

    def end(self) -> None:
        self.root.call_on_fit_task_end(**self.shown, reconstruction_attributes={})


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def begin_tasks(estimator: BaseBackprop, X: Any, y: Any, sample_weight: Any) -> Tasks:
    """Begin a fit. Without callbacks its epochs are no tasks, so that they cost nothing."""
    if not hasattr(estimator, "_init_callback_context"):
        return Tasks()
    root = estimator._init_callback_context(max_subtasks=estimator.max_iter)
    if not getattr(estimator, "_skl_callbacks", None):
        return Tasks()
    return WatchedTasks(estimator, root, X, y, sample_weight)
