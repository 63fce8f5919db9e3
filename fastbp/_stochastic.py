# SPDX-License-Identifier: BSD-3-Clause
"""Training by epochs of mini-batches: order of the rows, schedule, stopping, interrupts.

The core does the arithmetic of an epoch; this module decides what follows it. Where a run stands
after a whole epoch is one immutable object, replaced in one assignment, so that an interrupt at any
moment finds the state after some whole epoch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from ._callbacks import STOPPED, Tasks
from ._data import NON_FINITE, Samples, SomeSamples, refuse_zero_weights
from ._optimizer import SMALLEST_ADAPTIVE_RATE, Optimizer
from ._time_limit import TimeLimit
from ._weights import Weights

if TYPE_CHECKING:
    from ._base import BaseBackprop
    from ._core import Net

Order = NDArray[np.int64]

#: What the stochastic solvers leave on an estimator and L-BFGS does not.
STOCHASTIC_ATTRIBUTES = (
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "best_n_iter_",
    "_no_improvement_count",
    "_optimizer",
)


class Best(NamedTuple):
    """The best epoch so far; weights only with early stopping, once a score was finite."""

    value: float  # lowest loss, or highest validation score
    n_iter: int | None = None  # its place in validation_scores_, from 1
    weights: Weights | None = None


class Standing(NamedTuple):
    """Where a run stands after a whole epoch."""

    n_iter: int  # epochs of this call
    learning_rate: float
    no_improvement: int  # epochs in a row without enough of it
    best: Best
    stopped: bool = False
    diverged: bool = False


def fit_stochastic(
    model: BaseBackprop,
    samples: Samples,
    weights: Weights,
    random_state: np.random.RandomState,
    incremental: bool,
    tasks: Tasks,
    limit: TimeLimit,
) -> Weights:
    """Train for one call of ``fit`` or ``partial_fit``; set the solver's fitted attributes.

    The weights to begin with are taken over, and cleared once the core has its own.
    """
    optimizer = Optimizer.to_begin_with(model, incremental)
    if incremental and model.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")

    order, validation = None, None
    if model.early_stopping:
        order, validation = split_rows(model, samples, random_state)
    n_rows = samples.n_rows if order is None else len(order)
    batch_rows = clip_batch_size(model.batch_size, n_rows)

    net = model._make_net(weights, samples.X, solver=optimizer.solver, max_rows=batch_rows)
    optimizer.restore(net, weights.dtype)
    run = Run(model, net, optimizer, samples, order, batch_rows, random_state, tasks, limit)
    if validation is not None:
        run.watch_score(validation, Weights(list(weights.coefs), list(weights.intercepts)))
    weights.clear()
    return run.train(1 if incremental else model.max_iter, incremental)


def split_rows(
    model: BaseBackprop, samples: Samples, random_state: np.random.RandomState
) -> tuple[Order, SomeSamples]:
    """Set rows aside for early stopping: the order of those to train on, and the others.

    The same random numbers are drawn as for splitting X and y themselves.
    """
    train_rows, validation_rows = train_test_split(
        np.arange(samples.n_rows, dtype=np.int64),
        random_state=random_state,
        test_size=model.validation_fraction,
        stratify=model._labels_to_stratify(samples.y),
    )
    if len(validation_rows) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            "dataset."
        )
    validation = samples.take(validation_rows)
    refuse_zero_weights(validation.sample_weight, " of the validation set")
    if samples.sample_weight is not None:
        refuse_zero_weights(samples.sample_weight[train_rows], " outside the validation set")
    return train_rows, validation


def clip_batch_size(batch_size: int | str, n_rows: int) -> int:
    """Return the rows of a batch."""
    if batch_size == "auto":
        return min(200, n_rows)
    if int(batch_size) > n_rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=2,
        )
    return min(max(1, int(batch_size)), n_rows)


class Run:
    """The epochs of one call."""

    def __init__(
        self,
        model: BaseBackprop,
        net: Net,
        optimizer: Optimizer,
        samples: Samples,
        order: Order | None,
        batch_rows: int,
        random_state: np.random.RandomState,
        tasks: Tasks,
        limit: TimeLimit,
    ) -> None:
        self.model = model
        self.net = net
        self.optimizer = optimizer
        self.samples = samples
        self.order = order
        self.n_rows = samples.n_rows if order is None else len(order)
        self.batch_rows = batch_rows
        self.random_state = random_state
        self.tasks = tasks
        self.limit = limit
        self.rows_trained = 0
        self.losses: list[float] = []  # of this call; what lies beyond standing.n_iter is void
        self.scores: list[float] = []
        self.earlier_scores: list[float] = []
        self.validation_score: Callable[[], float] | None = None

        best_loss = getattr(model, "best_loss_", None)
        self.standing = Standing(
            n_iter=0,
            learning_rate=optimizer.learning_rate,
            no_improvement=0 if best_loss is None else model._no_improvement_count,
            best=Best(math.inf if best_loss is None else best_loss),
        )

    def watch_score(self, validation: SomeSamples, weights: Weights) -> None:
        """Let the score on a validation set, instead of the loss, decide when to stop."""
        score, net = self.model._make_scorer(validation), self.net
        X, rows = validation.X, validation.rows
        self.validation_score = lambda: score(net.predict(X, order=rows))
        best, no_improvement = Best(-math.inf), 0
        best_score = getattr(self.model, "best_validation_score_", None)
        if best_score is not None:
            # The last call ended with its best weights: they are where this one begins.
            best = Best(best_score, self.model.best_n_iter_, weights)
            no_improvement = self.model._no_improvement_count
            self.earlier_scores = self.model.validation_scores_ or []
        self.standing = self.standing._replace(best=best, no_improvement=no_improvement)

    def train(self, max_iter: int, incremental: bool) -> Weights:
        """Run epochs until there is a reason to stop; set fitted attributes; return weights."""
        interrupted = self._run_epochs(max_iter)
        if self._lacks_score():
            raise ValueError(NON_FINITE)
        if not interrupted and not incremental:
            self._warn_unless_converged()
        best = self.standing.best.weights
        last, solver_state = self.net.dismantle(with_weights=best is None)
        self._set_fitted_attributes(self.model, interrupted, solver_state)
        return best or Weights(*last)

    def _run_epochs(self, max_iter: int) -> bool:
        """Run epochs; tell whether the user or the clock ended them."""
        try:
            while not self.standing.stopped and self.standing.n_iter < max_iter:
                if self.limit.is_over():
                    break
                self.tasks.begin_epoch()
                if self._run_epoch():
                    self._end_task()
            else:
                return False
        except KeyboardInterrupt:
            if self.standing.n_iter == 0 or self._lacks_score():
                raise
            warnings.warn("Training interrupted by user.", stacklevel=3)
            return True
        if self.standing.n_iter == 0:
            raise self.limit.error("epoch")
        self.limit.warn("Stochastic Optimizer", self.standing.n_iter)
        return True

    def _run_epoch(self) -> bool:
        """Run an epoch; tell whether there was time for all of it."""
        order = self._next_order()
        step = self.optimizer.step_arguments(self.standing.learning_rate)
        samples, net, alpha = self.samples, self.net, self.model.alpha
        weight = samples.sample_weight
        try:
            net.train(
                samples.X,
                samples.y,
                order,
                self.batch_rows,
                sample_weight=weight,
                alpha=alpha,
                poll=self.limit.poll,
                **step,
            )
        finally:
            self.rows_trained += net.progress.n_rows
        whole = net.progress.n_rows == self.n_rows
        if whole:
            self._end_epoch(net.progress.loss_sum / self.n_rows)
        return whole

    def _end_task(self) -> None:
        if self.standing.diverged and self._lacks_score():
            return  # an error follows: there is no estimator to show
        if self.tasks.end_epoch(self._attributes_if_ended):
            self._say(STOPPED)
            self.standing = self.standing._replace(stopped=True)

    def _attributes_if_ended(self) -> dict[str, Any]:
        """Return what the estimator would hold if the training ended here."""
        model = self.model._snapshot()
        self._set_fitted_attributes(model, False, self.net.get_solver_state())
        model.coefs_, model.intercepts_ = self.standing.best.weights or self._weights()
        return model._fitted_attributes()

    def _next_order(self) -> Order | None:
        """Return the rows in the order of the next epoch; None means storage order."""
        if self.model.shuffle:
            # scikit-learn composes a shuffled range with the order of the epoch before; the same
            # swaps in that order itself give the same.
            if self.order is None:
                self.order = np.arange(self.n_rows, dtype=np.int64)
            self.random_state.shuffle(self.order)
        return self.order

    def _end_epoch(self, loss: float) -> None:
        """Decide what follows an epoch. Nothing counts before the last line."""
        before = self.standing
        n_iter = before.n_iter + 1
        self.losses.append(loss)
        self._say(f"Iteration {n_iter}, loss = {loss:.8f}")
        if self.validation_score is None:
            if not math.isfinite(loss) and not self._weights().are_finite():
                raise ValueError(NON_FINITE)
            diverged = False
            best, no_improvement = self._judge_loss(loss)
        else:
            weights = self._weights()
            diverged = not weights.are_finite()
            score = math.nan if diverged else self.validation_score()
            self._say(f"Validation score: {score:f}")
            self.scores.append(score)
            best, no_improvement = self._judge_score(score, weights)
        rate = self.optimizer.rate_after_epoch(
            before.learning_rate, self.model.t_ + self.rows_trained
        )
        after = Standing(n_iter, rate, no_improvement, best, diverged, diverged)
        if no_improvement > self.model.n_iter_no_change:
            after = self._act_on_plateau(after)
        self.standing = after

    def _judge_loss(self, loss: float) -> tuple[Best, int]:
        best, no_improvement = self.standing.best, self.standing.no_improvement
        no_improvement = no_improvement + 1 if loss > best.value - self.model.tol else 0
        return (Best(loss) if loss < best.value else best), no_improvement

    def _judge_score(self, score: float, weights: Weights) -> tuple[Best, int]:
        best, no_improvement = self.standing.best, self.standing.no_improvement
        no_improvement = no_improvement + 1 if score < best.value + self.model.tol else 0
        if score > best.value:
            best = Best(score, len(self.earlier_scores) + self.standing.n_iter + 1, weights)
        return best, no_improvement

    def _act_on_plateau(self, standing: Standing) -> Standing:
        """Stop, or divide the learning rate, after too many epochs without improvement."""
        watched = "Training loss" if self.validation_score is None else "Validation score"
        reason = (
            f"{watched} did not improve more than tol={self.model.tol:f} for "
            f"{self.model.n_iter_no_change} consecutive epochs."
        )
        if self.optimizer.schedule != "adaptive":
            self._say(f"{reason} Stopping.")
            return standing._replace(stopped=True)
        if standing.learning_rate <= SMALLEST_ADAPTIVE_RATE:
            self._say(f"{reason} Learning rate too small. Stopping.")
            return standing._replace(stopped=True)
        rate = standing.learning_rate / 5.0
        self._say(f"{reason} Setting learning rate to {rate:f}")
        return standing._replace(learning_rate=rate, no_improvement=0)

    def _lacks_score(self) -> bool:
        """Tell whether early stopping has no weights to restore: no score was finite."""
        return self.validation_score is not None and self.standing.best.weights is None

    def _warn_unless_converged(self) -> None:
        if self.standing.diverged:
            warnings.warn(
                "Stochastic Optimizer: the training diverged; the weights of epoch "
                f"{self.standing.best.n_iter}, which had the best validation score, were restored. "
                "The input data may need to be scaled, or learning_rate_init to be smaller.",
                ConvergenceWarning,
                stacklevel=2,
            )
        elif not self.standing.stopped:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.standing.n_iter}) reached and "
                "the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _set_fitted_attributes(
        self, model: BaseBackprop, interrupted: bool, solver_state: dict[str, Any]
    ) -> None:
        standing = self.standing
        losses = self.losses[: standing.n_iter]
        model.loss_ = losses[-1]
        model.loss_curve_ = [*getattr(model, "loss_curve_", []), *losses]
        model.n_iter_ = standing.n_iter
        model.t_ += self.rows_trained
        if self.validation_score is None:
            model.best_loss_ = standing.best.value
            model.validation_scores_ = model.best_validation_score_ = model.best_n_iter_ = None
        else:
            model.best_loss_ = None
            model.validation_scores_ = [*self.earlier_scores, *self.scores[: standing.n_iter]]
            model.best_validation_score_ = standing.best.value
            model.best_n_iter_ = standing.best.n_iter
        model.interrupted_ = interrupted
        model._no_improvement_count = standing.no_improvement
        model._optimizer = self.optimizer.after(solver_state, standing.learning_rate)

    def _weights(self) -> Weights:
        return Weights(*self.net.get_weights())

    def _say(self, line: str) -> None:
        if self.model.verbose:
            print(line)
