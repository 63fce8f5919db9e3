# SPDX-License-Identifier: BSD-3-Clause
"""The regressor: one or many outputs, means, medians or quantiles of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from ._base import BaseBackprop
from ._callbacks import or_as_before
from ._checks import unless_lbfgs, with_checked_parameters
from ._data import SomeSamples, to_compute_type
from ._fpenv import in_default_fpenv
from ._losses import (
    LOSSES,
    PARAMETERS,
    POSITIVE,
    check_loaded_levels,
    check_quantile,
    check_targets,
    core_parameters,
    quantile_levels,
    quantile_score,
    without_crossing,
)
from ._scoring import Given
from ._weights import Weights

if TYPE_CHECKING:
    from typing import Self

    from sklearn.utils import Tags

Array = NDArray[Any]


class BackpropRegressor(RegressorMixin, BaseBackprop):  # type: ignore[misc]
    """Multilayer perceptron for regression, trained by backpropagation in a C core.

    It minimises the squared error, or another loss, of one or many outputs. Parameters, methods and
    attributes are those of scikit-learn's ``MLPRegressor``, and with ``dtype="float64"`` the
    numbers are too.

    Parameters
    ----------
    loss : {'squared_error', 'poisson', 'absolute_error', 'huber', 'quantile', 'gamma'}, \
            default='squared_error'
        What to minimise, for a target y and a prediction o:

        - 'squared_error': ``(o - y)**2 / 2``. It is least where o is the mean of y.
        - 'absolute_error': ``abs(o - y)``, least at the median, which outliers do not move.
        - 'huber': squared error up to a distance of ``huber_delta``, beyond it
          ``huber_delta * (abs(o - y) - huber_delta / 2)`` [1]_: nearly the mean, but an outlier
          pulls no harder than that distance.
        - 'quantile': the pinball loss ``max(q * (y - o), (1 - q) * (o - y))`` [2]_, q being
          ``quantile``: a share q of the targets is to lie below o.
        - 'poisson': ``y * log(y / o) - y + o``, half the Poisson deviance [3]_, for counts and
          other y >= 0. o is the exponential of the last layer's sum, and so it is with 'gamma'.
        - 'gamma': ``log(o / y) + y / o - 1``, half the gamma deviance [3]_, for y > 0 whose spread
          grows with its mean.

        Of several outputs it is the sum, but for 'squared_error' (see Notes).
    hidden_layer_sizes : int or array-like of int, default=(100,)
        The number of units in each hidden layer. An empty tuple makes a linear model.
    activation : {'identity', 'logistic', 'tanh', 'relu', 'leaky_relu', 'elu', 'selu', 'gelu', \
            'silu', 'mish', 'softplus'} or list of them, default='relu'
        What the hidden units do with their sums z; a list has one name for each hidden layer.

        - 'identity': z; 'logistic': 1 / (1 + exp(-z)); 'tanh': tanh(z)
        - 'relu': max(0, z); 'leaky_relu': the same, but z / 100 below 0
        - 'elu': z, and exp(z) - 1 below 0; 'selu': 1.0507 z, and 1.7581 (exp(z) - 1) below 0
        - 'gelu': z times the normal distribution's share below z (by erf, not tanh)
        - 'silu': z / (1 + exp(-z)); 'softplus': log(1 + exp(z)); 'mish': z tanh(softplus(z))

        First weights are uniform within plus or minus sqrt(f / (fan_in + fan_out)), f being 2 for
        'logistic' and 6 for the others; the output layer's is that of the last hidden one.
    solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
        'sgd' and 'adam' go through the data in mini-batches. 'lbfgs' looks at all of it in every
        iteration, which suits small data.
    alpha : float, default=0.0001
        Strength of the L2 penalty on the weights; it is divided by the batch's sample size.
    batch_size : int or 'auto', default='auto'
        Samples in a mini-batch. 'auto' is min(200, n_samples). Not used by 'lbfgs'.
    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine', 'one_cycle'}, \
            default='constant'
        The schedule. 'constant' is the same rate throughout; 'invscaling' ``learning_rate_init /
        (t_ + 1) ** power_t`` after each epoch; 'adaptive' a fifth of it whenever there was no
        improvement for more than ``n_iter_no_change`` epochs; these two are for 'sgd', and 'adam'
        takes them for 'constant'. For both solvers, with a new rate in every step: 'cosine' falls
        from ``learning_rate_init`` along half a cosine, to 0 after ``max_iter`` epochs; 'one_cycle'
        rises from ``learning_rate_init / 25`` to ``learning_rate_init`` over the first 30 % of
        their steps and falls to ``learning_rate_init / 250000``, each way along half a cosine
        (Smith and Topin, 2019; the rate alone). A fit that stops early has seen a part of them:
        ``n_iter_no_change=np.inf`` lets them come to their end, which is no cause for a
        ConvergenceWarning. Every ``fit`` begins anew, a warm start too; ``partial_fit`` raises.
        'adam' multiplies its bias correction by them.
    learning_rate_init : float, default=0.001
        The step size of 'sgd' and 'adam'.
    power_t : float, default=0.5
        The exponent of 'invscaling'.
    max_iter : int, default=200
        The most epochs ('sgd', 'adam') or iterations ('lbfgs').
    shuffle : bool, default=True
        Whether to shuffle the samples before each epoch. Not used by 'lbfgs'.
    random_state : int, RandomState instance or None, default=None
        Draws the first weights, the early-stopping split, the seed of dropout if there is any, and
        the shuffles. An int makes fits repeatable.
    tol : float, default=1e-4
        The least improvement of loss or validation score that counts as one. For 'lbfgs', the
        largest gradient component at which to stop.
    verbose : bool or int, default=False
        Whether to show the progress: epoch, loss, validation score, samples per second, and the
        most time that is left at this pace. It is a live display in a notebook, and on a terminal
        if rich is installed (``pip install "fastbp[progress]"``). Elsewhere, and in other threads
        and worker processes, it is a line per epoch, which begins as scikit-learn's.
    warm_start : bool or 'optimizer', default=False
        Whether ``fit`` goes on from the weights of the last ``fit``, with a new solver. With
        'optimizer' the solver goes on too, as in ``partial_fit``: with its moments, step count and
        learning rate, and the parameters that it was made with; schedules and warmup over a fit
        begin anew. Not for 'lbfgs'.
    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.
    nesterovs_momentum : bool, default=True
        Whether the momentum of 'sgd' is Nesterov's.
    early_stopping : bool, default=False
        Whether to set ``validation_fraction`` of the data aside, to stop when R² on it, or what
        ``scoring`` asks for, does not improve for more than ``n_iter_no_change`` epochs, and to
        restore the best weights. With ``X_val`` in ``fit``, nothing is set aside. Not used by
        'lbfgs'. For ``loss='quantile'`` it is D² instead of R², see ``score``.
    validation_fraction : float, default=0.1
        The share of the data to set aside for early stopping.
    beta_1 : float, default=0.9
        Decay of Adam's running mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of Adam's running mean of the squared gradient, in [0, 1).
    epsilon : float, default=1e-8
        Added to Adam's denominator.
    n_iter_no_change : int or inf, default=10
        Epochs in a row without improvement to bear. Not used by 'lbfgs'.
    max_fun : int, default=15000
        The most evaluations of the loss by 'lbfgs'.
    scoring : str, callable or None, default=None
        What to score validation data by, those set aside for early stopping or those given to
        ``fit``: None is R², 'loss' minus ``validation_loss_curve_``, a str the name of one of
        scikit-learn's scorers, a callable is called as ``scoring(estimator, X, y)``. The greater
        the better. A scorer gets rows as they were given to ``fit``, with ``sample_weight`` if
        there are weights and it takes them. Without validation data, any but None raises
        ValueError.
    dropout : float or array-like of float, of length n_layers - 2, default=0.0
        The share of a hidden layer's outputs to drop at random in training, in [0, 1): one number
        for all hidden layers, or one for each. Those kept are scaled up in turn; predictions use
        all. ``loss_curve_`` is the loss with outputs dropped, validation scores are without. Not
        for 'lbfgs'.
    weight_decay : float, default=0.0
        Decoupled weight decay (AdamW and SGDW: Loshchilov and Hutter, 2019): in every step, weights
        are multiplied by 1 - rate * weight_decay beside the solver's move, which 'adam' does not
        scale as it does the gradient of ``alpha``; set ``alpha=0`` for this decay alone. The rate
        is the schedule's; intercepts do not decay. Not with 'lbfgs'.
    max_grad_norm : float or None, default=None
        The longest gradient that a step may use: a longer one, of all weights and intercepts
        together, penalty included, is shortened to this Euclidean norm. None means any length. It
        takes one more pass over the weights in every step. Not with 'lbfgs'.
    warmup : float, default=0
        Epochs in which the rate rises: in step t of the warmup's W steps it is t / W of what it
        would be. With every ``learning_rate`` but 'one_cycle', which rises by itself; not with
        'lbfgs', nor in ``partial_fit``.
    max_time : float or None, default=None
        The most seconds that a fit may train. It then ends after a whole update, with a warning,
        and as an interrupted one: epochs (with 'lbfgs' iterations) not done are not counted, and
        early stopping restores the best weights. Before the first whole epoch it is a ValueError.
    dtype : {'auto', 'float32', 'float64'}, default='auto'
        The type of the weights and of all arithmetic. 'auto' is float64 for 'lbfgs' and float32
        for the other solvers.
    matmul_precision : {'highest', 'high', 'medium'}, default='highest'
        How exactly float32 numbers are multiplied in the layers' products; sums, weights and all
        else stay float32. 'highest' is float32's own accuracy, 'high' about 16 bits of mantissa,
        'medium' bfloat16's 8. On a CPU with AMX, products become sums of 6, 3 or 1 bfloat16
        products, the fewer the faster. On one from AMD with AVX-512 BF16, 'medium' uses that.
        Elsewhere all three are the same. In float64 only 'highest' is accepted.
    n_jobs : int or None, default=None
        The most threads to use. None, which is not 1 here, means all that CPU affinity, container
        limits, ``OMP_NUM_THREADS``, threadpoolctl and joblib leave, so that nothing is slower
        inside ``GridSearchCV(n_jobs=...)``; -1 the same, -2 all but one. The results do not depend
        on it.
    quantile : float or array-like of float, default=0.5
        The level of ``loss='quantile'``, between 0 and 1; or a list of them, for a one-dimensional
        y. ``predict`` then has a column for each, in the order of the list. Within a row they are
        rearranged so that a higher level never has a lower prediction [4]_.
    huber_delta : float, default=1.0
        Where ``loss='huber'`` passes from a parabola to straight lines, in units of y.

    Attributes
    ----------
    loss_ : float
        The loss, penalty included, of the last epoch or iteration.
    best_loss_ : float or None
        The lowest loss of an epoch; None with early stopping. Not set by 'lbfgs'.
    loss_curve_ : list of float, of length ``n_iter_`` (longer after warm starts and partial fits)
        The loss of each epoch. Not set by 'lbfgs'.
    validation_scores_ : list of float or None
        R² (D² for ``loss='quantile'``), or what ``scoring`` asks for, on the validation data after
        each epoch; None without validation data. Not set by 'lbfgs'.
    validation_loss_curve_ : list of float or None
        The loss of the validation data after each epoch, without the penalty; None without
        validation data. Not set by 'lbfgs'.
    best_validation_score_ : float or None
        The highest of the scores; None without validation data. Not set by 'lbfgs'.
    best_n_iter_ : int or None
        Its place in ``validation_scores_``, from 1: the epoch whose weights were restored; None
        without early stopping. Not set by 'lbfgs'.
    t_ : int
        The number of samples trained on since the weights were drawn.
    coefs_ : list of ndarray of shape (fan_in, fan_out), of length ``n_layers_ - 1``
        The weights of each layer. Predictions use them as they are, also after an edit.
    intercepts_ : list of ndarray of shape (fan_out,), of length ``n_layers_ - 1``
        The biases of each layer.
    n_features_in_ : int
        The number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Their names, if X had names that are all strings.
    n_iter_ : int
        The epochs or iterations of the last call.
    n_layers_ : int
        The number of layers, input and output included.
    n_outputs_ : int
        The number of output units; with a list of quantiles, their number.
    out_activation_ : {'identity', 'exp'}
        The activation of the output units.
    interrupted_ : bool
        Whether the user, or ``max_time``, ended the last fit early.

    See Also
    --------
    BackpropClassifier : The same for classification.
    sklearn.neural_network.MLPRegressor : The estimator whose place this one takes.

    Notes
    -----
    The weights do not depend on the number of threads, to the last bit.

    With scikit-learn 1.9 or newer there is ``set_callbacks``, of its experimental callback API.
    Callbacks are shown the X and y given to ``fit``, a task for every epoch or 'lbfgs' iteration,
    and if they wish the estimator as it would be if the training ended there. One that returns True
    at the end of an epoch ends the training, without a warning; one that fails leaves the estimator
    as it was. ``partial_fit`` calls none.

    Squared error of several outputs is halved and averaged over them in ``loss_``, as in
    scikit-learn, while the training follows the gradient of their sum. The other losses are summed
    over the outputs in both.

    **Differences from scikit-learn**

    - The default is float32 for 'sgd' and 'adam', whatever type X has. ``dtype="float64"`` gives
      scikit-learn's numbers. Predictions are float64, or float32 when X is.
    - A column of X or y whose values float32 cannot tell apart because they differ too little for
      their size, such as timestamps of one hour or large ids, is warned of, once per fit. Scale it
      first, or set ``dtype="float64"``, which holds such numbers.
    - A fit that fails leaves the estimator as it was.
    - A fit that diverges raises ValueError. With early stopping it ends there with a
      ConvergenceWarning, and the best weights are restored.
    - An interrupt (Ctrl-C) ends a fit between two updates, with every solver. Before the first
      whole epoch, inside a search, or within three seconds of one that ended a fit it is a
      KeyboardInterrupt, and the estimator stays as it was.
    - A warm refit with early stopping restores the best weights also when they are those it began
      with. Changed shapes raise ValueError.
    - Negative sample weights, weights that are all zero, masked arrays, and y < 0 with
      ``loss="poisson"`` raise ValueError. A batch whose weights are all zero is skipped.
    - The tags say that several outputs are supported.
    - Attributes that the solver does not set are removed by a refit.
    - Predictions use the activation of the last fit, also where the parameter was changed since.

    References
    ----------
    .. [1] P. J. Huber (1964). "Robust Estimation of a Location Parameter." The Annals of
       Mathematical Statistics 35, 73-101.
    .. [2] R. Koenker and G. Bassett (1978). "Regression Quantiles." Econometrica 46, 33-50.
    .. [3] P. McCullagh and J. A. Nelder (1989). "Generalized Linear Models." 2nd edition, section
       2.3.
    .. [4] V. Chernozhukov, I. Fernández-Val and A. Galichon (2010). "Quantile and Probability
       Curves Without Crossing." Econometrica 78, 1093-1125.

    Examples
    --------
    >>> from fastbp import BackpropRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = BackpropRegressor(solver="lbfgs", hidden_layer_sizes=5, alpha=10, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.3
    True
    >>> model.predict(X_test[:2]).shape
    (2,)

    Loss and score of validation data, epoch by epoch:

    >>> model = BackpropRegressor(solver="sgd", early_stopping=True, scoring="loss", random_state=0)
    >>> model = model.fit(X_train, y_train)
    >>> model.validation_loss_curve_[model.best_n_iter_ - 1] == -model.best_validation_score_
    True

    Another fit goes on where that one ended, solver and all, for at most a minute:

    >>> model = model.set_params(warm_start="optimizer", max_time=60)
    >>> len(model.fit(X_train, y_train).loss_curve_) > model.n_iter_
    True

    The median, and an interval that is to hold four targets in five:

    >>> model = BackpropRegressor("quantile", 5, quantile=[0.1, 0.5, 0.9], solver="lbfgs", alpha=1)
    >>> model = model.set_params(random_state=1).fit(X_train, y_train)
    >>> low, median, high = model.predict(X_test).T
    >>> bool(0.7 < ((low < y_test) & (y_test < high)).mean() < 0.9)
    True
    >>> model.score(X_test, y_test) > 0.1
    True

    One target in ten is ten times too large, and pulls on a Huber loss only so far:

    >>> import numpy as np
    >>> wrong = np.random.default_rng(0).random(len(y_train)) < 0.1
    >>> y_wrong = np.where(wrong, 10 * y_train, y_train)
    >>> model = BackpropRegressor("huber", 5, solver="lbfgs", alpha=10, random_state=0)
    >>> model.set_params(huber_delta=50).fit(X_train, y_wrong).score(X_test, y_test) > 0.2
    True
    >>> model.set_params(loss="squared_error").fit(X_train, y_wrong).score(X_test, y_test) > 0
    False

    A rate that rises and falls over the fit, gradients of a bounded length, weights that decay:

    >>> model = BackpropRegressor(
    ...     learning_rate="one_cycle", learning_rate_init=0.01, max_iter=20, max_grad_norm=1.0,
    ...     weight_decay=0.1, alpha=0, random_state=0
    ... )
    >>> model = model.set_params(n_iter_no_change=float("inf")).fit(X_train, y_train)
    >>> model.loss_curve_[-1] < model.loss_curve_[0]
    True
    """

    __module__ = "fastbp"

    #: Of loss='quantile': no axis for one level, one for a list; otherwise None.
    _levels: Array | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseBackprop._parameter_constraints,
        "loss": [StrOptions(LOSSES)],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "huber_delta": [Interval(Real, 0, np.inf, closed="neither")],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool | str = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int | float = 10,
        max_fun: int = 15000,
        scoring: Any = None,
        dropout: Any = 0.0,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        warmup: float = 0,
        max_time: float | None = None,
        dtype: str = "auto",
        matmul_precision: str = "highest",
        n_jobs: int | None = None,
        quantile: Any = 0.5,
        huber_delta: float = 1.0,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.scoring = scoring
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.warmup = warmup
        self.max_time = max_time
        self.dtype = dtype
        self.matmul_precision = matmul_precision
        self.n_jobs = n_jobs
        self.quantile = quantile
        self.huber_delta = huber_delta

    @unless_lbfgs
    @or_as_before
    @in_default_fpenv
    @with_checked_parameters
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch more, on the weights and solver state of the last call.

        Not available for 'lbfgs'.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0 and not all 0.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are not valid, the training diverges, or ``max_time`` is over
            before the end of the epoch. The estimator is then as it was before.
        RuntimeError
            If the estimator is being fitted already, by another thread.
        KeyboardInterrupt
            If interrupted; the estimator is then as it was before.
        """
        return self._fit(Given(X, y, sample_weight), incremental=True)

    @in_default_fpenv
    def predict(self, X: Any) -> Array:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions; for a list of quantiles, even of one, a column for each. Float32 if X
            is, otherwise float64.

        Raises
        ------
        ValueError
            If X is not valid, or ``coefs_`` or ``intercepts_`` were changed to what is not.
        """
        model = self._snapshot()
        return model._arrange(model._outputs(X))

    def _arrange(self, outputs: Array) -> Array:
        """Return the core's outputs as predictions."""
        if self._levels is not None and self._levels.ndim == 1:
            return without_crossing(outputs, self._levels)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    @in_default_fpenv
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return how well the predictions explain y: 1 at best, 0 if no better than a constant.

        That is R² [1]_; for ``loss='quantile'`` D² of the pinball loss [2]_, the mean over a list
        of quantiles.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            R² or D², as ``sklearn.metrics.r2_score`` and ``d2_pinball_score`` have it.

        Raises
        ------
        ValueError
            If X or y are not valid.

        References
        ----------
        .. [1] N. R. Draper and H. Smith (1998). "Applied Regression Analysis." 3rd edition.
        .. [2] R. Koenker and J. A. F. Machado (1999). "Goodness of Fit and Related Inference
           Processes for Quantile Regression." Journal of the American Statistical Association 94,
           1296-1310.
        """
        model = self._snapshot()
        if model._levels is None:
            return float(super().score(X, y, sample_weight))
        return quantile_score(y, model.predict(X), model._levels, sample_weight)

    def _validate_params(self) -> None:
        if not isinstance(self.loss, str):
            raise InvalidParameterError(
                f"The 'loss' parameter of {type(self).__name__}, the first one, must be a str "
                f"among {sorted(LOSSES)}. Got {self.loss!r} instead. Sizes of hidden "
                f"layers are given by name: hidden_layer_sizes={self.loss!r}."
            )
        super()._validate_params()
        check_quantile(self.quantile, type(self).__name__)

    def _encode_targets(
        self, y: Any, dtype: str, incremental: bool, classes: Any
    ) -> tuple[Array, int]:
        self._core_loss = self.loss
        self._levels = quantile_levels(self.quantile) if self.loss == "quantile" else None
        targets = self._encode(y, dtype)
        return targets, targets.shape[1]

    def _encode_validation_targets(self, y: Any, dtype: str, n_outputs: int) -> Array:
        targets = self._encode(y, dtype)
        if targets.shape[1] != n_outputs:
            raise ValueError(f"y has {targets.shape[1]} outputs, but that to train on {n_outputs}.")
        return targets

    def _encode(self, y: Any, dtype: str) -> Array:
        """Return y as the loss trained with takes it: [n × n_outputs]."""
        if sp.issparse(y):
            raise ValueError("Sparse y is not supported for regression; pass y.toarray().")
        targets = to_compute_type(y.reshape(len(y), -1), dtype, "y")
        check_targets(targets, self._core_loss, y)
        if self._levels is not None and self._levels.ndim == 1:
            if y.ndim > 1:
                raise ValueError(
                    f"quantile={self._levels.tolist()} is a list, with a column of predictions for "
                    f"each, but y has {y.shape[1]} columns itself. Give one quantile, or a y of "
                    "one dimension."
                )
            targets = np.repeat(targets, len(self._levels), axis=1)
        return targets

    def _weights_to_go_on_from(self, units: list[int]) -> Weights:
        if self._levels is not None and units[-1] != self.n_outputs_:
            raise ValueError(
                f"quantile={self.quantile!r} makes {units[-1]} outputs, but the model to go on "
                f"from has {self.n_outputs_}. Set quantile back, or fit anew with warm_start=False."
            )
        return super()._weights_to_go_on_from(units)

    def _loss_parameters(self, n_outputs: int, dtype: str) -> list[float] | None:
        name = PARAMETERS.get(self._core_loss)
        if name is None:
            return None
        return core_parameters(self._core_loss, getattr(self, name), n_outputs, dtype, name)

    def _name_of_loss(self) -> str:
        name = PARAMETERS.get(self._core_loss)
        return self._core_loss if name is None else f"{self._core_loss}, {getattr(self, name)}"

    def _name_of_default_score(self) -> str | None:
        return None if self._levels is None else self._name_of_loss()

    def _make_scorer(self, validation: SomeSamples) -> Callable[[Array], float]:
        if self._levels is not None:
            return self._make_quantile_scorer(validation)
        return self._make_r2(validation)

    def _make_quantile_scorer(self, validation: SomeSamples) -> Callable[[Array], float]:
        """Return D² of the pinball loss; NaN for predictions that are not finite."""
        levels, weight = self._levels, validation.sample_weight
        assert levels is not None
        y = validation.y[:, 0] if levels.ndim == 1 else validation.y

        def d2(outputs: Array) -> float:
            if not np.isfinite(outputs).all():
                return math.nan
            predicted = without_crossing(outputs, levels) if levels.ndim == 1 else outputs
            return quantile_score(y, predicted, levels, weight)

        return d2

    def _make_r2(self, validation: SomeSamples) -> Callable[[Array], float]:
        """Return R² on the validation samples, averaged over the outputs.

        As in scikit-learn, an output that is constant scores 1 if predicted exactly, otherwise 0;
        predictions that are not finite score NaN.
        """
        y = validation.y.astype(np.float64)
        weight = np.ones((len(y), 1))
        if validation.sample_weight is not None:
            weight[:, 0] = validation.sample_weight
        total = (weight * (y - np.average(y, axis=0, weights=weight[:, 0])) ** 2).sum(axis=0)
        constant = np.flatnonzero(total == 0)
        total[constant] = 1

        def r2(outputs: Array) -> float:
            with np.errstate(over="ignore", invalid="ignore"):
                residual = (weight * (y - outputs) ** 2).sum(axis=0)
                scores = 1 - residual / total
            if len(constant) > 0:
                scores[constant] = residual[constant] == 0
            if not math.isfinite(residual.sum()) and not np.isfinite(outputs).all():
                return math.nan
            return float(scores.sum() / len(scores))

        return r2

    def _check_outputs_of_state(self, attributes: dict[str, Any]) -> None:
        levels, n_outputs = attributes.get("_levels"), attributes["n_outputs_"]
        check_loaded_levels(levels, attributes["_core_loss"], n_outputs)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.loss != "quantile" or isinstance(self.quantile, Real)
        tags.target_tags.positive_only = self.loss in POSITIVE
        return tags
