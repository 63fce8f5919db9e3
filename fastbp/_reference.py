# SPDX-License-Identifier: BSD-3-Clause
"""Backpropagation in NumPy: the core's slow twin, its oracle in the tests, and a tutorial.

It does what the C core does, in float64, one small function per formula and no trick. Read it from
top to bottom. Throughout, a batch has B rows, a layer takes I = fan_in numbers and gives
O = fan_out, and an array's shape is written beside it.

1. **Forward.** A layer is a product, a bias and an activation: ``z = a_in · W + b`` and
   ``a = act(z)``, with a_in [B × I], W [I × O], b [O], z and a [B × O]. The last layer has no
   activation but the loss's *link*, which turns its z into the prediction o: a probability, a
   rate, or z itself.

2. **Loss.** One number per row says how bad o is for the target y. The batch's loss is the average
   over its rows, weighted by the sample weights w, plus a penalty on large weights,
   ``α/2 · Σ W² / Σ w``.

3. **Delta.** Let ``delta = Σ w · dL/dz`` [B × O] of some layer: what the loss gains when that z
   grows, times the sum of the weights (we divide by it once, at the end). Most losses here are
   paired with the link that makes the last layer's delta the plain difference ``w · (o - y)``.

4. **Three products.** The forward product was one. For a layer of known delta, the chain rule gives
   the other two:

   - ``grad_W = a_inᵀ · delta`` [I × O], since W[i, j] meets a_in[:, i] on its way to z[:, j];
   - ``delta_in = (delta · Wᵀ) ⊙ act'`` [B × I], the delta of the layer before, by which the loss
     goes *back*. It must use W as it was in the forward pass, so it comes before the update.

   The bias is a weight on a constant input of one: ``grad_b = Σ over rows of delta`` [O].

5. **Solver.** W and b move against their gradient. The solvers differ in what they remember of the
   gradients before.

``_reference_net.py`` makes a network of these, with the interface of the core's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def row_sums(a: Array) -> Array:
    sums: Array = a.sum(axis=1)
    return sums


# Activations and their derivatives with respect to z. Where it is shorter, a derivative is written
# from the output a = act(z).


def identity(z: Array) -> Array:
    return z


def identity_derivative(z: Array, a: Array) -> Array:
    return np.ones_like(z)


def logistic(z: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-z) = inf gives 0, as it should
        return 1 / (1 + np.exp(-z))


def logistic_derivative(z: Array, a: Array) -> Array:
    return a * (1 - a)


def tanh(z: Array) -> Array:
    return np.tanh(z)


def tanh_derivative(z: Array, a: Array) -> Array:
    return 1 - a * a


def relu(z: Array) -> Array:
    return np.maximum(z, 0)


def relu_derivative(z: Array, a: Array) -> Array:
    return (a > 0).astype(a.dtype)  # at the kink the slope is taken to be 0


def leaky_relu(z: Array) -> Array:
    return np.where(z > 0, z, z / 100)


def leaky_relu_derivative(z: Array, a: Array) -> Array:
    return np.where(z > 0, 1, 0.01)


def elu(z: Array) -> Array:
    with np.errstate(over="ignore"):  # where z > 0 it is not used
        return np.where(z > 0, z, np.expm1(z))


def elu_derivative(z: Array, a: Array) -> Array:
    return np.where(z > 0, 1, a + 1)


# With these two numbers, outputs of mean 0 and variance 1 are what a deep network's layers tend to
# (Klambauer et al., 2017).
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def selu(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z))


def selu_derivative(z: Array, a: Array) -> Array:
    return np.where(z > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA)


def normal_share_below(z: Array) -> Array:
    """Return the probability that a standard normal variable is below z."""
    share: Array = scipy.special.ndtr(z)
    return share


def gelu(z: Array) -> Array:
    return z * normal_share_below(z)


def gelu_derivative(z: Array, a: Array) -> Array:
    return normal_share_below(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def silu(z: Array) -> Array:
    return z * logistic(z)


def silu_derivative(z: Array, a: Array) -> Array:
    s = logistic(z)
    return s + a * (1 - s)


def softplus(z: Array) -> Array:
    # log(1 + exp(z)), without an exp that overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(z > 0, z + np.log1p(np.exp(-z)), np.log1p(np.exp(z)))


def softplus_derivative(z: Array, a: Array) -> Array:
    return logistic(z)


def mish(z: Array) -> Array:
    return z * np.tanh(softplus(z))


def mish_derivative(z: Array, a: Array) -> Array:
    t: Array = np.tanh(softplus(z))
    return t + z * logistic(z) * (1 - t * t)


Activation = tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]
ACTIVATIONS: dict[str, Activation] = {
    # name: (activation of z, derivative from z and a)
    "identity": (identity, identity_derivative),
    "logistic": (logistic, logistic_derivative),
    "tanh": (tanh, tanh_derivative),
    "relu": (relu, relu_derivative),
    "leaky_relu": (leaky_relu, leaky_relu_derivative),
    "elu": (elu, elu_derivative),
    "selu": (selu, selu_derivative),
    "gelu": (gelu, gelu_derivative),
    "silu": (silu, silu_derivative),
    "mish": (mish, mish_derivative),
    "softplus": (softplus, softplus_derivative),
}


# Links: from the last layer's z [B × O] to the prediction o [B × O].


def softmax(z: Array) -> Array:
    # Subtracting the row's largest z changes nothing in the ratio, and no exp overflows.
    e = np.exp(z - z.max(axis=1, keepdims=True))
    shares: Array = e / e.sum(axis=1, keepdims=True)
    return shares


def exponential(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(z)


# Losses: from targets y [B × O] and predictions o [B × O] to one number per row [B]; and the slope
# dL/dz [B × O]. Some have a parameter per output, p [O].


def squared_error(y: Array, o: Array, p: Any = None) -> Array:
    # The *mean* over outputs, although o - y is the gradient of the sum over them. The
    # two differ by the factor O; scikit-learn has it so, and so its curves are matched.
    n_outputs: int = o.shape[1]
    return row_sums((y - o) ** 2) / n_outputs / 2


def difference(y: Array, o: Array, p: Any = None) -> Array:
    """Return the slope of every pair of link and loss that is canonical."""
    return o - y


def by_sign(y: Array, o: Array, below: Any, above: Any) -> Array:
    # At the kink, o = y, the slope is taken to be 0.
    return np.where(o < y, below, np.where(o > y, above, 0.0))


def absolute_error(y: Array, o: Array, p: Any = None) -> Array:
    return row_sums(absolute_error_slope(y, o) * (o - y))


def absolute_error_slope(y: Array, o: Array, p: Any = None) -> Array:
    return by_sign(y, o, -1.0, 1.0)


def quantile(y: Array, o: Array, p: Array) -> Array:
    # The pinball loss (Koenker and Bassett, 1978): least on average where o is the p-quantile of y.
    return row_sums(quantile_slope(y, o, p) * (o - y))


def quantile_slope(y: Array, o: Array, p: Array) -> Array:
    return by_sign(y, o, -p, 1 - p)


def huber(y: Array, o: Array, p: Array) -> Array:
    # A parabola near the target, from p on a line of its slope there (Huber, 1964).
    slope = huber_slope(y, o, p)
    return row_sums(slope * (o - y) - slope * slope / 2)


def huber_slope(y: Array, o: Array, p: Array) -> Array:
    d = o - y
    return np.where(d > p, p, np.where(d < -p, -p, d))


def clip_probability(p: Array) -> Array:
    # For the logarithm only: a probability rounded to 0 costs 36, not infinity. The gradient
    # uses the unclipped one.
    eps = np.finfo(np.float64).eps
    return np.clip(p, eps, 1 - eps)


def binary_log_loss(y: Array, o: Array, p: Any = None) -> Array:
    q = clip_probability(o)
    return -row_sums(y * np.log(q) + (1 - y) * np.log(1 - q))


def log_loss(y: Array, o: Array, p: Any = None) -> Array:
    return -row_sums(y * np.log(clip_probability(o)))


def poisson(y: Array, o: Array, p: Any = None) -> Array:
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        y_log_ratio = np.where(y == 0, 0, y * np.log(np.where(y == 0, 1, y) / o))
        return row_sums(y_log_ratio - y + o)


def gamma(y: Array, o: Array, p: Any = None) -> Array:
    # Half the gamma deviance.
    with np.errstate(divide="ignore", over="ignore"):
        return row_sums(np.log(o / y) + y / o - 1)


def gamma_slope(y: Array, o: Array, p: Any = None) -> Array:
    with np.errstate(divide="ignore", over="ignore"):
        return 1 - y / o


def smooth(y: Array, smoothing: float, n_classes: int) -> Array:
    """Move targets of classes, 0 and 1, towards the middle (Szegedy et al., 2016, section 7)."""
    return y * (1 - smoothing) + smoothing / n_classes


class Loss(NamedTuple):
    """A loss with its link."""

    link: Callable[[Array], Array]
    row_losses: Callable[[Array, Array, Any], Array]
    slope: Callable[[Array, Array, Any], Array]
    parameter: str | None = None  # of each output: "level" in (0, 1), "positive"; or "smoothing"


LOSSES = {
    "squared_error": Loss(identity, squared_error, difference),
    "binary_log_loss": Loss(logistic, binary_log_loss, difference, "smoothing"),
    "log_loss": Loss(softmax, log_loss, difference, "smoothing"),
    "poisson": Loss(exponential, poisson, difference),
    "gamma": Loss(exponential, gamma, gamma_slope),
    "absolute_error": Loss(identity, absolute_error, absolute_error_slope),
    "quantile": Loss(identity, quantile, quantile_slope, "level"),
    "huber": Loss(identity, huber, huber_slope, "positive"),
}


# A whole network. `weights` is a list of W [I × O] per layer, `biases` a list of b [O].


def forward(
    X: Any,
    weights: list[Array],
    biases: list[Array],
    activations: Sequence[str],
    masks: Sequence[Array | float] | None = None,
) -> tuple[list[Any], list[Array], Array]:
    """Carry a batch through all layers.

    With dropout, each hidden layer's outputs are multiplied by its mask, and so are the slopes.

    Returns every layer's input (X itself first, [B × I] each), the slopes act'(z) of every hidden
    layer [B × O], and the last layer's z [B × O].
    """
    inputs, slopes = [X], []
    masks = [1.0] * len(activations) if masks is None else masks
    for W, b, name, mask in zip(weights[:-1], biases[:-1], activations, masks, strict=True):
        activation, derivative = ACTIVATIONS[name]
        z = inputs[-1] @ W + b
        a = activation(z)
        inputs.append(a * mask)
        slopes.append(derivative(z, a) * mask)
    return inputs, slopes, inputs[-1] @ weights[-1] + biases[-1]


def batch_loss(
    y: Array,
    o: Array,
    sample_weight: Array,
    weights: list[Array],
    alpha: float,
    loss: str,
    parameter: Any = None,
) -> Any:
    """Weighted average of the rows' losses, plus the penalty (biases go free)."""
    row_losses = LOSSES[loss].row_losses(y, o, parameter)
    penalty = alpha / 2 * sum((W * W).sum() for W in weights)
    return ((sample_weight * row_losses).sum() + penalty) / sample_weight.sum()


def backward(
    delta: Array,
    inputs: list[Any],
    slopes: list[Array],
    weights: list[Array],
    alpha: float,
    weight_sum: float,
) -> tuple[list[Array], list[Array], Array]:
    """Carry the last layer's delta [B × O] back through all layers.

    Returns the gradient of every W [I × O] and every b [O], and the first layer's delta: times its
    Wᵀ, that is how the loss depends on X.
    """
    grad_weights, grad_biases = [], []
    for layer in reversed(range(len(weights))):
        W, a_in = weights[layer], inputs[layer]
        grad_weights.append((a_in.T @ delta + alpha * W) / weight_sum)
        grad_biases.append(delta.sum(axis=0) / weight_sum)
        if layer > 0:
            delta = (delta @ W.T) * slopes[layer - 1]
    return grad_weights[::-1], grad_biases[::-1], delta


# Before the solver, if asked for.


def clip(
    grad_weights: list[Array], grad_biases: list[Array], most: float
) -> tuple[list[Array], list[Array]]:
    """Shorten a gradient that is longer than `most`, all parameters together; its direction stays.

    (Pascanu, Mikolov and Bengio, 2013.) A norm that is not finite says that the training runs away:
    the gradient then stays as it is, so that it is seen to.
    """
    norm = math.sqrt(sum(float((g * g).sum()) for g in (*grad_weights, *grad_biases)))
    factor = most / norm if math.isfinite(norm) and norm > most else 1.0
    return [g * factor for g in grad_weights], [g * factor for g in grad_biases]


def decay(W: Array, learning_rate: float, weight_decay: float) -> None:
    """Shrink weights beside the gradient, which Adam scales (Loshchilov and Hutter, 2019)."""
    W *= 1 - learning_rate * weight_decay


# Solvers. Each moves one parameter array in place, by its gradient, its moments (the
# solver's memory, arrays of the same shape) and `h`, the hyper-parameters.


class Hyper(NamedTuple):
    """The numbers of a step."""

    learning_rate: float
    momentum: float
    beta_1: float
    beta_2: float
    epsilon: float


def plain_sgd(parameter: Array, gradient: Array, moments: list[Array], h: Hyper, step: int) -> None:
    """Step down the gradient, and remember nothing."""
    parameter -= h.learning_rate * gradient


def sgd(parameter: Array, gradient: Array, moments: list[Array], h: Hyper, step: int) -> None:
    """Go on in the old direction (the velocity), bent by the gradient."""
    (velocity,) = moments
    velocity[...] = h.momentum * velocity - h.learning_rate * gradient
    parameter += velocity


def nesterov(parameter: Array, gradient: Array, moments: list[Array], h: Hyper, step: int) -> None:
    """Like sgd, but already one further stride along the new velocity."""
    (velocity,) = moments
    velocity[...] = h.momentum * velocity - h.learning_rate * gradient
    parameter += h.momentum * velocity - h.learning_rate * gradient


def adam(parameter: Array, gradient: Array, moments: list[Array], h: Hyper, step: int) -> None:
    """Running means of the gradient and of its square: strides of like size in every parameter.

    Both means start at zero, so after few steps they are too small; the powers of the betas undo
    it (Kingma and Ba, 2015, section 2, the form with the corrected rate: epsilon stands outside).
    """
    mean, mean_square = moments
    mean[...] = h.beta_1 * mean + (1 - h.beta_1) * gradient
    mean_square[...] = h.beta_2 * mean_square + (1 - h.beta_2) * gradient**2
    rate = h.learning_rate * math.sqrt(1 - h.beta_2**step) / (1 - h.beta_1**step)
    parameter -= rate * mean / (np.sqrt(mean_square) + h.epsilon)


Solver = Callable[[Array, Array, list[Array], Hyper, int], None]
SOLVERS: dict[str, tuple[Solver | None, int]] = {
    # name: (update, number of moments)
    "gradient": (None, 0),
    "sgd": (sgd, 1),
    "nesterov": (nesterov, 1),
    "adam": (adam, 2),
    "plain_sgd": (plain_sgd, 0),
}
