# SPDX-License-Identifier: BSD-3-Clause
"""Training with SciPy's L-BFGS-B: the core gives loss and gradient over all rows at once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ._callbacks import STOPPED, Tasks
from ._data import Samples
from ._interrupts import ends_the_fit_only
from ._progress import Progress, open_progress
from ._threads import one_blas_thread
from ._time_limit import TimeIsOver, TimeLimit
from ._weights import Weights, pack, unpack

if TYPE_CHECKING:
    from ._base import BaseBackprop


class _Iterations:
    """The iterations: what the last whole one left, for callbacks and fits that end early."""

    def __init__(
        self, model: BaseBackprop, tasks: Tasks, progress: Progress, n_rows: int, weights: Weights
    ) -> None:
        self.model = model
        self.tasks = tasks
        self.progress = progress
        self.n_rows = n_rows
        self.rows = 0  # that the iteration went through so far
        self.units, self.dtype = weights.units, weights.dtype
        self.n_evaluations = 0
        self.begun = self.stopped = False
        self.evaluated_loss = np.nan
        self.state: tuple[int, float, NDArray[np.float64]] | None = None

    @property
    def n_iter(self) -> int:
        return 0 if self.state is None else self.state[0]

    def before_evaluation(self) -> None:
        """Begin an iteration with its line search; the loss at the start belongs to none."""
        if self.n_evaluations > 0 and not self.begun:
            self.tasks.begin_epoch()
            self.begun = True
        self.n_evaluations += 1
        self.rows += self.n_rows

    def __call__(self, parameters: NDArray[np.float64]) -> None:
        """End an iteration; its line search ended with the evaluation just done."""
        self.state = self.n_iter + 1, self.evaluated_loss, parameters
        self.progress.iteration(self.n_iter, self.evaluated_loss, self.rows)
        self.rows = 0
        try:
            self.stopped = self.tasks.end_epoch(self._attributes_if_ended)
        except StopIteration as error:  # to SciPy, a wish to stop
            raise RuntimeError("A callback raised StopIteration.") from error
        self.begun = False
        if self.stopped:
            self.progress.say(STOPPED)
            raise StopIteration

    def finish(
        self,
        model: BaseBackprop,
        outcome: tuple[int, float, NDArray[np.float64]],
        interrupted: bool,
    ) -> Weights:
        """Set the solver's fitted attributes; return the weights."""
        model.n_iter_, model.loss_, parameters = outcome
        model.interrupted_ = interrupted
        return unpack(parameters.astype(self.dtype), self.units)

    def _attributes_if_ended(self) -> dict[str, Any]:
        """Return what the estimator would hold if the training ended here."""
        assert self.state is not None
        model = self.model._snapshot()
        model.coefs_, model.intercepts_ = self.finish(model, self.state, False)
        return model._fitted_attributes()


def fit_lbfgs(
    model: BaseBackprop, samples: Samples, weights: Weights, tasks: Tasks, limit: TimeLimit
) -> Weights:
    """Minimise the loss from the given weights on; set ``loss_``, ``n_iter_``, ``interrupted_``."""
    net = model._make_net(weights, samples.X, max_rows=samples.n_rows)
    dtype = np.dtype(weights.dtype)
    progress = open_progress(
        model.verbose,
        samples.n_rows,
        model.max_iter,
        limit,
        "iteration",
        live=not tasks.has_progress_bar,
    )
    iterations = _Iterations(model, tasks, progress, samples.n_rows, weights)

    def loss_gradient(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        if limit.is_over():
            raise limit.error("iteration")
        iterations.before_evaluation()
        try:
            loss, gradient = net.loss_gradient(
                np.ascontiguousarray(parameters, dtype),
                samples.X,
                samples.y,
                sample_weight=samples.sample_weight,
                alpha=model.alpha,
                **model._loss_options(),
                poll=limit.poll,
            )
        except InterruptedError:
            raise limit.error("iteration") from None
        iterations.evaluated_loss = loss
        return loss, gradient.astype(np.float64, copy=False)

    try:
        with one_blas_thread, progress:
            result = scipy.optimize.minimize(
                loss_gradient,
                pack(weights).astype(np.float64),
                method="L-BFGS-B",
                jac=True,
                callback=iterations,
                options={"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol},
            )
    except (KeyboardInterrupt, TimeIsOver) as stop:
        if iterations.state is None:
            raise
        if isinstance(stop, TimeIsOver):
            limit.warn("lbfgs", iterations.n_iter)
        elif not ends_the_fit_only():
            raise
        else:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        return iterations.finish(model, iterations.state, True)
    if iterations.stopped and iterations.state is not None:
        return iterations.finish(model, iterations.state, False)
    return iterations.finish(model, _outcome(result, model.max_iter), False)


def _outcome(result: Any, max_iter: int) -> tuple[int, float, NDArray[np.float64]]:
    """Return what SciPy reached, warning as scikit-learn does if it did not converge."""
    n_iter = min(result.nit, max_iter)
    if result.status != 0:
        advice = ""
        if n_iter == max_iter:
            advice = (
                "\nIncrease the number of iterations to improve the convergence "
                f"(max_iter={max_iter})."
            )
        warnings.warn(
            f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):\n"
            f"{result.message}\n{advice}\n"
            "You might also want to scale the data.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return n_iter, float(result.fun), result.x
