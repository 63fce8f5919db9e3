# SPDX-License-Identifier: BSD-3-Clause
"""Training with SciPy's L-BFGS-B: the core gives loss and gradient over all rows at once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ._data import Samples
from ._threads import one_blas_thread
from ._weights import Weights, pack, unpack

if TYPE_CHECKING:
    from ._base import BaseBackprop


class _Iterate:
    """The last whole iteration, to fall back on when the user interrupts."""

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.evaluated_loss = np.nan
        self.state: tuple[int, float, NDArray[np.float64]] | None = None

    @property
    def n_iter(self) -> int:
        return 0 if self.state is None else self.state[0]

    def __call__(self, parameters: NDArray[np.float64]) -> None:
        """Take note of an iteration; its line search ended with the evaluation just done."""
        self.state = self.n_iter + 1, self.evaluated_loss, parameters
        if self.verbose:
            print(f"Iteration {self.n_iter}, loss = {self.evaluated_loss:.8f}")


def fit_lbfgs(model: BaseBackprop, samples: Samples, weights: Weights) -> Weights:
    """Minimise the loss from the given weights on; set ``loss_``, ``n_iter_``, ``interrupted_``."""
    net = model._make_net(weights, samples.X, max_rows=samples.n_rows)
    dtype = np.dtype(weights.dtype)
    iterate = _Iterate(bool(model.verbose))

    def loss_gradient(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = net.loss_gradient(
            np.ascontiguousarray(parameters, dtype),
            samples.X,
            samples.y,
            sample_weight=samples.sample_weight,
            alpha=model.alpha,
        )
        iterate.evaluated_loss = loss
        return loss, gradient.astype(np.float64, copy=False)

    try:
        with one_blas_thread:
            result = scipy.optimize.minimize(
                loss_gradient,
                pack(weights).astype(np.float64),
                method="L-BFGS-B",
                jac=True,
                callback=iterate,
                options={"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol},
            )
    except KeyboardInterrupt:
        if iterate.state is None:
            raise
        warnings.warn("Training interrupted by user.", stacklevel=2)
        model.n_iter_, model.loss_, parameters = iterate.state
        model.interrupted_ = True
    else:
        model.n_iter_, model.loss_, parameters = _outcome(result, model.max_iter)
        model.interrupted_ = False
    return unpack(parameters.astype(dtype), weights.units)


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
