# SPDX-License-Identifier: BSD-3-Clause
"""The twin's network: the formulas of `_reference` behind the interface of the compiled core's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._reference import (
    ACTIVATIONS,
    LOSSES,
    SOLVERS,
    Array,
    Hyper,
    Solver,
    backward,
    batch_loss,
    clip,
    decay,
    forward,
    smooth,
)
from ._reference_dropout import check_rates, mask

#: Of the core's float32 products.
PRECISIONS = ("highest", "high", "medium")


class Progress(NamedTuple):
    """How far a call to `Net.train` came."""

    loss_sum: float  # Σ over batches of (batch loss, penalty included) × (rows of the batch)
    n_rows: int  # rows of the whole batches done
    n_steps: int  # updates done


class Net:
    """A network with the interface of the compiled core's, computed as above, in float64.

    With ``dtype="float32"`` it takes and gives float32 arrays, but still computes in float64, and
    so at every precision.
    """

    def __init__(
        self,
        units: Sequence[int],
        activations: Sequence[str],
        loss: str,
        *,
        dtype: str,
        solver: str = "gradient",
        max_rows: int = 0,
        max_row_nonzeros: int = 0,
        max_batch_nonzeros: int = 0,
        n_threads: int = 1,
        fixed_threads: bool = False,
        isa: str | None = None,
        precision: str = "highest",
        loss_parameters: Sequence[float] | None = None,
        dropout: Sequence[float] | None = None,
        clips: bool = False,
    ) -> None:
        self.units = [int(n) for n in units]
        self.activations = list(activations)
        _check_net(self.units, self.activations, loss, dtype, solver, max_rows, n_threads, isa)
        if min(max_row_nonzeros, max_batch_nonzeros) < 0:
            raise ValueError("max_row_nonzeros and max_batch_nonzeros must not be negative")
        _check_name(precision, "precision", PRECISIONS)
        self.dropout = check_rates(dropout, len(self.activations), solver)
        self.loss, self.solver, self.max_rows = loss, solver, int(max_rows)
        self.loss_parameters = _check_loss_parameters(
            loss, loss_parameters, self.units[-1], self.max_rows
        )
        self.clips = clips
        # The core sizes its memory by these; here they only say that X is to be CSR.
        self.sparse = max_row_nonzeros > 0
        self.dtype = np.dtype(dtype)
        self.n_threads, self.isa, self.precision = n_threads, "numpy", precision
        self.progress = Progress(0.0, 0, 0)
        self.step_count = 0
        self.weights, self.biases = self._zeros()
        self.moments = [self._zeros() for _ in range(SOLVERS[solver][1])]

    def _zeros(self) -> tuple[list[Array], list[Array]]:
        shapes = list(zip(self.units[:-1], self.units[1:], strict=True))
        try:
            return [np.zeros(shape) for shape in shapes], [np.zeros(o) for _, o in shapes]
        except (ValueError, OverflowError) as error:  # NumPy's words for a size past 2**63
            raise MemoryError("the network's sizes overflow") from error

    # Parameters and solver state, in and out.

    def set_weights(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> None:
        """Copy parameters in: one [fan_in × fan_out] and one [fan_out] per layer."""
        self._copy_in(coefs, intercepts, self.weights, self.biases)

    def get_weights(self) -> tuple[list[Array], list[Array]]:
        """Return copies of the parameters."""
        return self._copy_out(self.weights, self.biases)

    def set_solver_state(self, state: dict[str, Any], beta_1: float, beta_2: float) -> None:
        """Go on with what `get_solver_state` of another net returned."""
        if state["solver"] != self.solver:
            raise ValueError(f"the state is of solver {state['solver']!r}, not {self.solver!r}")
        if len(state["moments"]) != len(self.moments):
            raise ValueError(f"{self.solver!r} keeps {len(self.moments)} moments")
        if state["step_count"] < 0:
            raise ValueError("step_count must not be negative")
        for (coefs, intercepts), moment in zip(state["moments"], self.moments, strict=True):
            self._copy_in(coefs, intercepts, *moment)
        self.step_count = int(state["step_count"])

    def get_solver_state(self) -> dict[str, Any]:
        """Return a copy of the solver's memory."""
        moments = [self._copy_out(*moment) for moment in self.moments]
        return {"solver": self.solver, "step_count": self.step_count, "moments": moments}

    def _copy_in(
        self,
        coefs: Sequence[Array],
        intercepts: Sequence[Array],
        weights: list[Array],
        biases: list[Array],
    ) -> None:
        targets = [*weights, *biases]
        if len(coefs) != len(weights) or len(intercepts) != len(biases):
            raise ValueError(f"the net has {len(weights)} layers")
        for source, target in zip([*coefs, *intercepts], targets, strict=True):
            _check_array(source, "parameters", self.dtype, target.shape)
        for source, target in zip([*coefs, *intercepts], targets, strict=True):
            target[...] = source

    def _copy_out(
        self, weights: list[Array], biases: list[Array]
    ) -> tuple[list[Array], list[Array]]:
        return [W.astype(self.dtype) for W in weights], [b.astype(self.dtype) for b in biases]

    # Arithmetic.

    def train(
        self,
        X: Any,
        y: Array,
        order: NDArray[np.int64] | None,
        batch_rows: int,
        *,
        sample_weight: Array | None = None,
        alpha: float = 0.0,
        learning_rate: float = 0.001,
        learning_rates: NDArray[np.float64] | None = None,
        momentum: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 0.0,
        label_smoothing: float = 0.0,
        dropout_seed: int = 0,
        poll: Callable[[], bool] | None = None,
    ) -> Progress:
        """Train over rows in mini-batches: for each, forward, loss, backward, update."""
        update, _ = SOLVERS[self.solver]
        if update is None:
            raise ValueError("solver 'gradient' does not train")
        if not 1 <= batch_rows <= self.max_rows:
            raise ValueError(f"batch_rows must be in 1..{self.max_rows}, got {batch_rows}")
        if max_grad_norm > 0 and not self.clips:
            raise ValueError("max_grad_norm needs a net made with clips=True")
        self._check_data(X, y, sample_weight)
        _check_smoothing(label_smoothing, self.loss)
        if order is None:
            order = np.arange(X.shape[0])
        _check_array(order, "order", np.dtype(np.int64), (len(order),))
        if order.size and (order.min() < 0 or order.max() >= X.shape[0]):
            raise ValueError("order names a row that X does not have")

        starts = range(0, len(order), batch_rows)
        if learning_rates is None:
            learning_rates = np.full(len(starts), learning_rate)
        _check_array(learning_rates, "learning_rates", np.dtype(np.float64), (len(starts),))
        self.progress = Progress(0.0, 0, 0)
        for start, rate in zip(starts, learning_rates.tolist(), strict=True):
            if poll is not None and poll():
                break
            rows = order[start : start + batch_rows]
            weight = None if sample_weight is None else sample_weight[rows]
            loss, updated = 0.0, False
            if weight is None or weight.sum() > 0:
                masks = self._masks(dropout_seed, len(rows))
                loss, gradient, _ = self._step(
                    X[rows], y[rows], weight, alpha, label_smoothing, masks
                )
                if max_grad_norm > 0:
                    gradient = clip(*gradient, max_grad_norm)
                for W in self.weights:
                    decay(W, rate, weight_decay)
                self.step_count += 1
                h = Hyper(rate, momentum, beta_1, beta_2, epsilon)
                self._update(update, gradient, h)
                updated = True
            self.progress = Progress(
                self.progress.loss_sum + loss * len(rows),
                self.progress.n_rows + len(rows),
                self.progress.n_steps + updated,
            )
        return self.progress

    def loss_gradient(
        self,
        parameters: Array,
        X: Any,
        y: Array,
        *,
        sample_weight: Array | None = None,
        alpha: float = 0.0,
        label_smoothing: float = 0.0,
        delta: Array | None = None,
        poll: Callable[[], bool] | None = None,
    ) -> tuple[float, Array]:
        """Return the loss over all rows and its gradient, at ``parameters``.

        ``parameters`` and the gradient are flat: every layer's W in C order, then every b.
        ``delta`` [n × the first layer's fan_out], if given, is filled with that layer's delta.
        """
        if self.solver != "gradient":
            raise ValueError("loss_gradient needs solver 'gradient'")
        if self.max_rows < 1:
            raise ValueError("the net was made to predict only (max_rows=0)")
        self._check_data(X, y, sample_weight)
        _check_smoothing(label_smoothing, self.loss)
        if sample_weight is not None and not sample_weight.sum() > 0:
            raise ValueError("the sample weights sum to zero")
        arrays = [*self.weights, *self.biases]
        _check_array(parameters, "parameters", self.dtype, (sum(a.size for a in arrays),))
        if poll is not None and poll():
            raise InterruptedError("The gradient was stopped by poll.")
        ends = np.cumsum([a.size for a in arrays])
        for array, part in zip(arrays, np.split(parameters, ends[:-1]), strict=True):
            array[...] = part.reshape(array.shape)

        if delta is not None:
            _check_array(delta, "delta", self.dtype, (X.shape[0], self.units[1]))
        loss, gradient, first = self._step(X, y, sample_weight, alpha, label_smoothing)
        if delta is not None:
            delta[...] = first
        flat = np.concatenate([g.ravel() for g in (*gradient[0], *gradient[1])])
        return loss, flat.astype(self.dtype)

    def predict(
        self,
        X: Any,
        *,
        order: NDArray[np.int64] | None = None,
        raw: bool = False,
        hidden: bool = False,
        dtype: str | None = None,
        poll: Callable[[], bool] | None = None,
    ) -> Array:
        """Return the predictions [n × n_out] for the rows named by order, or all.

        With ``raw``, they are z before the link; with ``hidden``, the input of the last layer.
        """
        if hidden and len(self.units) < 3:
            raise ValueError("the net has no hidden layers")
        _check_x(X, self.units[0], self.sparse)
        out_dtype = _check_real(self.dtype if dtype is None else dtype)
        if poll is not None and poll():
            raise InterruptedError("The prediction was stopped by poll.")
        if order is not None:
            X = X[order]
        if X.shape[0] == 0:
            return np.empty((0, self.units[-2 if hidden else -1]), dtype=out_dtype)
        inputs, _, z = forward(X.astype(np.float64), self.weights, self.biases, self.activations)
        if hidden:
            return np.asarray(inputs[-1], dtype=out_dtype)
        return (z if raw else LOSSES[self.loss].link(z)).astype(out_dtype)

    def row_losses(
        self,
        X: Any,
        y: Array,
        *,
        order: NDArray[np.int64] | None = None,
        poll: Callable[[], bool] | None = None,
    ) -> Array:
        """Return the loss of each row named by order, or of all, not weighted, no penalty."""
        if self.max_rows < 1:
            raise ValueError("the net was made to predict only (max_rows=0)")
        self._check_data(X, y, None)
        if poll is not None and poll():
            raise InterruptedError("The losses were stopped by poll.")
        if order is not None:
            X, y = X[order], y[order]
        if len(y) == 0:
            return np.empty(0)
        _, _, z = forward(X.astype(np.float64), self.weights, self.biases, self.activations)
        loss = LOSSES[self.loss]
        return loss.row_losses(self._targets(y), loss.link(z), self.loss_parameters)

    def _targets(self, y: Array) -> Array:
        """Return y [B × O] as the losses take it."""
        if self.loss == "log_loss":
            y = np.eye(self.units[-1])[y]  # class codes [B] → one-hot rows [B × O]
        return y.astype(np.float64)

    def _step(
        self,
        X: Any,
        y: Array,
        sample_weight: Array | None,
        alpha: float,
        smoothing: float,
        masks: list[Any] | None = None,
    ) -> tuple[float, tuple[list[Array], list[Array]], Array]:
        """Forward, loss, delta, backward for one batch; returns loss, gradient, first delta."""
        X = X.astype(np.float64)
        y = self._targets(y)
        if smoothing > 0:
            y = smooth(y, smoothing, self.units[-1] if self.loss == "log_loss" else 2)
        w = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)

        inputs, slopes, z = forward(X, self.weights, self.biases, self.activations, masks)
        o = LOSSES[self.loss].link(z)
        loss = batch_loss(y, o, w, self.weights, alpha, self.loss, self.loss_parameters)
        delta = LOSSES[self.loss].slope(y, o, self.loss_parameters) * w[:, None]
        *gradient, first = backward(delta, inputs, slopes, self.weights, alpha, w.sum())
        return float(loss), (gradient[0], gradient[1]), first

    def _masks(self, seed: int, rows: int) -> list[Any]:
        """Return what each hidden layer's outputs are multiplied by in the next step."""
        layers = enumerate(zip(self.dropout, self.units[1:-1], strict=True))
        return [mask(seed, self.step_count, i, rate, rows, units) for i, (rate, units) in layers]

    def _update(self, update: Solver, gradient: tuple[list[Array], list[Array]], h: Hyper) -> None:
        for kind, parameters in enumerate((self.weights, self.biases)):
            for layer, parameter in enumerate(parameters):
                moments = [moment[kind][layer] for moment in self.moments]
                update(parameter, gradient[kind][layer], moments, h, self.step_count)

    def _check_data(self, X: Any, y: Array, sample_weight: Array | None) -> None:
        _check_x(X, self.units[0], self.sparse)
        n, n_out = X.shape[0], self.units[-1]
        if n == 0:
            raise ValueError("X has no rows")
        if self.loss == "log_loss":
            _check_array(y, "y", np.dtype(np.int32), (n,))
            if y.min() < 0 or y.max() >= n_out:
                raise ValueError(f"y has a class code outside 0..{n_out - 1}")
        else:
            _check_array(y, "y", self.dtype, (n, n_out))
        if sample_weight is not None:
            _check_array(sample_weight, "sample_weight", self.dtype, (n,))
            if not (sample_weight >= 0).all():
                raise ValueError("sample_weight must not be negative or nan")


# Checks of arguments, the same as the compiled core's.


def _check_net(
    units: list[int],
    activations: list[str],
    loss: str,
    dtype: Any,
    solver: str,
    max_rows: int,
    n_threads: int,
    isa: str | None,
) -> None:
    if len(units) < 2 or min(units) < 1:
        raise ValueError(f"units must be at least two sizes of at least 1, got {units}")
    if len(activations) != len(units) - 2:
        raise ValueError(f"{len(units) - 2} hidden layers, but {len(activations)} activations")
    for name in activations:
        _check_name(name, "activation", ACTIVATIONS)
    _check_name(loss, "loss", LOSSES)
    _check_name(solver, "solver", SOLVERS)
    _check_real(dtype)
    if loss == "log_loss" and units[-1] < 2:
        raise ValueError("log_loss needs at least 2 outputs")
    if max_rows < 0:
        raise ValueError(f"max_rows must not be negative, got {max_rows}")
    if n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")
    if isa is not None:
        raise ValueError(f"the NumPy twin has no kernel families, got isa={isa!r}")


def _check_loss_parameters(
    loss: str, parameters: Sequence[float] | None, n_out: int, max_rows: int
) -> Array | None:
    kind = LOSSES[loss].parameter
    if parameters is None:
        if kind in ("level", "positive") and max_rows > 0:
            raise ValueError(f"loss {loss!r} needs loss_parameters")
        return None
    values = np.asarray(parameters, dtype=np.float64)
    most = 1 if kind == "level" else np.inf
    if kind not in ("level", "positive") or values.shape != (n_out,):
        raise ValueError(f"loss_parameters are not those of {n_out} outputs of {loss!r}")
    if not ((values > 0) & (values < most)).all():
        raise ValueError(f"loss_parameters of {loss!r} must be in (0, {most}), got {parameters}")
    return values


def _check_smoothing(smoothing: float, loss: str) -> None:
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {smoothing}")
    if smoothing > 0 and LOSSES[loss].parameter != "smoothing":
        raise ValueError(f"label_smoothing is for classes, not for {loss!r}")


def _check_name(name: Any, kind: str, table: Iterable[str]) -> None:
    if name not in table:
        raise ValueError(f"unknown {kind} {name!r}; known are {', '.join(table)}")


def _check_real(dtype: Any) -> np.dtype[Any]:
    real: np.dtype[Any] = np.dtype(dtype)
    if real not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {real}")
    return real


def _check_array(array: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} must be an array of {dtype} with shape {shape}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"{name} must be C-contiguous and aligned")


def _check_x(X: Any, n_in: int, only_sparse: bool) -> None:
    sparse = getattr(X, "format", None) == "csr"
    if only_sparse and not sparse:
        raise TypeError("X must be a CSR matrix: the net was made for sparse X")
    values = X.data if sparse else X
    if not isinstance(values, np.ndarray) or X.ndim != 2:
        raise ValueError("X must be a 2-D array or a CSR matrix")
    if values.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"X must be float32 or float64, got {values.dtype}")
    if X.shape[1] != n_in:
        raise ValueError(f"X has {X.shape[1]} columns, the net takes {n_in}")
    if not sparse and X.shape[1] > 1 and X.strides[1] != X.itemsize:
        raise ValueError("the rows of X must be contiguous")
    if not values.flags.aligned:
        raise ValueError("X must be aligned")
