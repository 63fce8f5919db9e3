# SPDX-License-Identifier: BSD-3-Clause
"""Training by epochs of mini-batches: order of the rows, schedule, stopping, interrupts.

The core does the arithmetic of an epoch; this module decides what follows it. Where a run stands
after a whole epoch is one immutable object, replaced in one assignment, so that an interrupt at any
moment finds the state after some whole epoch.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ._callbacks import STOPPED, Tasks
from ._core import shuffle
from ._data import NON_FINITE, Samples
from ._dropout import check_dropout, draw_dropout_seed
from ._interrupts import ends_the_fit_only
from ._optimizer import SMALLEST_ADAPTIVE_RATE, Optimizer
from ._progress import Progress, open_progress
from ._schedules import Schedule
from ._scoring import name_of_scoring
from ._time_limit import TimeLimit
from ._validation import Validation, ValidationSource, set_aside
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
    "validation_loss_curve_",
    "_no_improvement_count",
    "_optimizer",
    "_scored_by",
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
    source: ValidationSource,
) -> Weights:
    """Train for one call of ``fit`` or ``partial_fit``; set the solver's fitted attributes.

    The weights to begin with are taken over, and cleared once the core has its own.
    """
    optimizer = Optimizer.to_begin_with(model, incremental)
    if incremental and model.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")

    order, validation = set_aside(model, samples, source, random_state)
    n_rows = samples.n_rows if order is None else len(order)
    batch_rows = clip_batch_size(model.batch_size, n_rows)

    rates = check_dropout(model.dropout, model.hidden_layer_sizes, len(weights.units) - 2)
    net = model._make_net(
        weights,
        samples.X,
        solver=optimizer.solver,
        max_rows=batch_rows,
        X_val=None if source.own is None else source.own.X,
        dropout=rates,
        clips=model.max_grad_norm is not None,
    )
    optimizer.restore(net, weights.dtype)
    seed = draw_dropout_seed(rates, random_state)
    run = Run(model, net, optimizer, samples, order, batch_rows, random_state, seed, tasks, limit)
    if validation is not None:
        run.watch(Validation(model, net, validation, source.given), weights)
    weights.clear()
    return run.train(1 if incremental else model.max_iter, incremental)


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
        dropout_seed: int,
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
        self.schedule = Schedule.of(model, self.n_rows, batch_rows)
        self.random_state = random_state
        self.dropout_seed = dropout_seed
        self.tasks = tasks
        self.limit = limit
        self.progress = Progress()
        self.counted = 0, net.progress  # rows before the last training, and what was before it
        self.losses: list[float] = []  # of this call; what lies beyond standing.n_iter is void
        self.validation: Validation | None = None
        self.decides_by_score = False

        best_loss = getattr(model, "best_loss_", None)
        self.standing = Standing(
            n_iter=0,
            learning_rate=optimizer.learning_rate,
            no_improvement=0 if best_loss is None else model._no_improvement_count,
            best=Best(math.inf if best_loss is None else best_loss),
        )

    @property
    def rows_trained(self) -> int:
        """The rows of this call: those counted, and what the core has done since."""
        rows, earlier = self.counted
        progress = self.net.progress
        return rows if progress is earlier else rows + progress.n_rows

    def watch(self, validation: Validation, weights: Weights) -> None:
        """Measure validation data each epoch; with early stopping, let the score decide."""
        model, self.validation = self.model, validation
        if not model.early_stopping:
            return
        self.decides_by_score = True
        best, no_improvement = Best(-math.inf), 0
        best_score = getattr(model, "best_validation_score_", None)
        if validation.goes_on and best_score is not None and model.best_n_iter_ is not None:
            # The last call ended with its best weights: they are where this one begins.
            beginning = Weights(list(weights.coefs), list(weights.intercepts))
            best = Best(best_score, model.best_n_iter_, beginning)
            no_improvement = model._no_improvement_count
        self.standing = self.standing._replace(best=best, no_improvement=no_improvement)

    def train(self, max_iter: int, incremental: bool) -> Weights:
        """Run epochs until there is a reason to stop; set fitted attributes; return weights."""
        self.progress = open_progress(
            self.model.verbose,
            self.n_rows,
            max_iter,
            self.limit,
            "epoch",
            live=not (incremental or self.tasks.has_progress_bar),
        )
        interrupted = self._run_epochs(max_iter)
        if self._lacks_score():
            raise ValueError(self._why_no_score())
        if not interrupted and not incremental:
            self._warn_unless_converged()
        best = self.standing.best.weights
        last, solver_state = self.net.dismantle(with_weights=best is None)
        self._set_fitted_attributes(self.model, interrupted, solver_state)
        return best or Weights(*last)

    def _run_epochs(self, max_iter: int) -> bool:
        """Run epochs; tell whether the user or the clock ended them."""
        try:
            with self.progress:
                while not self.standing.stopped and self.standing.n_iter < max_iter:
                    if self.limit.is_over():
                        break
                    self.tasks.begin_epoch()
                    if self._run_epoch():
                        self._end_task()
                else:
                    return False
        except KeyboardInterrupt:
            if self.standing.n_iter == 0 or self._lacks_score() or not ends_the_fit_only():
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
        if self.schedule is not None:
            factors = self.schedule.factors(self.standing.n_iter)
            step["learning_rates"] = step["learning_rate"] * factors
        samples, net, model = self.samples, self.net, self.model
        self.counted = self.rows_trained, net.progress
        net.train(
            samples.X,
            samples.y,
            order,
            self.batch_rows,
            sample_weight=samples.sample_weight,
            alpha=model.alpha,
            weight_decay=model.weight_decay,
            max_grad_norm=model.max_grad_norm or 0.0,
            dropout_seed=self.dropout_seed,
            poll=self.progress.poll(net, self.limit.poll),
            **step,
            **model._loss_options(),
        )
        whole = net.progress.n_rows == self.n_rows
        if whole:
            self._end_epoch(net.progress.loss_sum / self.n_rows)
        return whole

    def _end_task(self) -> None:
        if self.standing.diverged and self._lacks_score():
            return  # an error follows: there is no estimator to show
        if self.tasks.end_epoch(self._attributes_if_ended):
            self.progress.say(STOPPED)
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
            shuffle(self.order, self.random_state)
        return self.order

    def _end_epoch(self, loss: float) -> None:
        """Decide what follows an epoch. Nothing counts before the last line."""
        before = self.standing
        n_iter = before.n_iter + 1
        self.losses.append(loss)
        self.progress.iteration(n_iter, loss, self.n_rows)
        if self.validation is None or not self.decides_by_score:
            if not math.isfinite(loss) and not self._weights().are_finite():
                raise ValueError(NON_FINITE)
            diverged = False
            best, no_improvement = self._judge_loss(loss)
            if self.validation is not None:
                self._measure(self.validation)
        else:
            weights = self._weights()
            diverged = not weights.are_finite()
            score = self._measure(self.validation, weights, diverged)
            best, no_improvement = self._judge_score(score, self.validation.n_scores, weights)
        rate = self.optimizer.rate_after_epoch(
            before.learning_rate, self.model.t_ + self.rows_trained
        )
        after = Standing(n_iter, rate, no_improvement, best, diverged, diverged)
        if no_improvement > self.model.n_iter_no_change:
            after = self._act_on_plateau(after)
        self.standing = after

    def _measure(
        self, validation: Validation, weights: Weights | None = None, diverged: bool = False
    ) -> float:
        """Take down score and loss of the validation samples; return the score."""
        n_rows = self.model.t_ + self.rows_trained
        standing = {"n_iter_": len(self.losses), "loss_": self.losses[-1], "t_": n_rows}
        score = validation.note() if diverged else validation.measure(weights, standing)
        self.progress.score(score)
        return score

    def _judge_loss(self, loss: float) -> tuple[Best, int]:
        best, no_improvement = self.standing.best, self.standing.no_improvement
        no_improvement = no_improvement + 1 if loss > best.value - self.model.tol else 0
        return (Best(loss) if loss < best.value else best), no_improvement

    def _judge_score(self, score: float, place: int, weights: Weights) -> tuple[Best, int]:
        best, no_improvement = self.standing.best, self.standing.no_improvement
        no_improvement = no_improvement + 1 if score < best.value + self.model.tol else 0
        if score > best.value:
            best = Best(score, place, weights)
        return best, no_improvement

    def _act_on_plateau(self, standing: Standing) -> Standing:
        """Stop, or divide the learning rate, after too many epochs without improvement."""
        watched = "Validation score" if self.decides_by_score else "Training loss"
        reason = (
            f"{watched} did not improve more than tol={self.model.tol:f} for "
            f"{self.model.n_iter_no_change} consecutive epochs."
        )
        if self.optimizer.schedule != "adaptive":
            self.progress.say(f"{reason} Stopping.")
            return standing._replace(stopped=True)
        if standing.learning_rate <= SMALLEST_ADAPTIVE_RATE:
            self.progress.say(f"{reason} Learning rate too small. Stopping.")
            return standing._replace(stopped=True)
        rate = standing.learning_rate / 5.0
        self.progress.say(f"{reason} Setting learning rate to {rate:f}")
        return standing._replace(learning_rate=rate, no_improvement=0)

    def _lacks_score(self) -> bool:
        """Tell whether early stopping has no weights to restore: no score was finite."""
        return self.decides_by_score and self.standing.best.weights is None

    def _why_no_score(self) -> str:
        scored = self.validation is not None and self.validation.scorer is not None
        if self.standing.diverged or not scored:
            return NON_FINITE
        return (
            f"scoring={self.model.scoring!r} gave no finite score, so that early stopping has no "
            "best weights. Choose another scoring, or validation data that it is defined for."
        )

    def _warn_unless_converged(self) -> None:
        if self.standing.diverged:
            warnings.warn(
                "Stochastic Optimizer: the training diverged; the weights of epoch "
                f"{self.standing.best.n_iter}, which had the best validation score, were restored. "
                "The input data may need to be scaled, or learning_rate_init to be smaller.",
                ConvergenceWarning,
                stacklevel=2,
            )
        elif not self.standing.stopped and not (self.schedule and self.schedule.ends_a_fit):
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
        model.best_loss_ = None if self.decides_by_score else standing.best.value
        self._set_validation_attributes(model)
        model.interrupted_ = interrupted
        model._no_improvement_count = standing.no_improvement
        model._optimizer = self.optimizer.after(solver_state, standing.learning_rate)

    def _set_validation_attributes(self, model: BaseBackprop) -> None:
        model.validation_scores_ = model.validation_loss_curve_ = None
        model.best_validation_score_ = model.best_n_iter_ = None
        model._scored_by = name_of_scoring(model)
        if self.validation is not None:
            self.validation.set_attributes(model, self.standing.n_iter)
        if self.decides_by_score:
            best = self.standing.best
            model.best_validation_score_, model.best_n_iter_ = best.value, best.n_iter

    def _weights(self) -> Weights:
        return Weights(*self.net.get_weights())
