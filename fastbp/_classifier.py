# SPDX-License-Identifier: BSD-3-Clause
"""The classifier: binary and multilabel through logistic outputs, multiclass through softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import type_of_target

from ._base import BaseBackprop
from ._callbacks import or_as_before
from ._checks import unless_lbfgs, with_checked_parameters
from ._class_weight import class_factors
from ._data import SomeSamples
from ._fpenv import in_default_fpenv
from ._labels import (
    check_loaded_classes,
    encode_indicators,
    refuse_unknown_labels,
    settle_classes,
)
from ._scoring import Given

if TYPE_CHECKING:
    from typing import Self

    from sklearn.utils import Tags

Array = NDArray[Any]


class BackpropClassifier(ClassifierMixin, BaseBackprop):  # type: ignore[misc]
    """Multilayer perceptron for classification, trained by backpropagation in a C core.

    It minimises the log loss: of a softmax over the classes, or of logistic outputs for two classes
    and for multilabel targets. Parameters, methods and attributes are those of scikit-learn's
    ``MLPClassifier``, and with ``dtype="float64"`` the numbers are too.

    Parameters
    ----------
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
        Whether to set ``validation_fraction`` of the data aside, to stop when the accuracy on it,
        or what ``scoring`` asks for, does not improve for more than ``n_iter_no_change`` epochs,
        and to restore the best weights. Two classes are split in equal shares. With ``X_val`` in
        ``fit``, nothing is set aside. Not used by 'lbfgs'.
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
        ``fit``: None is accuracy, 'loss' minus ``validation_loss_curve_``, a str the name of one of
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
    class_weight : dict, 'balanced' or None, default=None
        Factors of the samples' weights: a dict from class labels to numbers, at least 0; 'balanced'
        is ``n_samples / (n_classes * np.bincount(y))``. Set aside for early stopping, samples keep
        theirs. Not for multilabel targets; ``partial_fit`` takes no 'balanced'.
    label_smoothing : float, default=0.0
        A share s in [0, 1) of every label that is spread evenly over the classes [1]_: the loss
        compares probabilities with ``y * (1 - s) + s / K`` instead of y, which is 0 or 1. K is the
        number of classes; for multilabel targets it is 2, each label by itself. That keeps the
        network from becoming certain, which helps its probabilities where labels are sometimes
        wrong. It is used in training only: ``loss_`` and ``loss_curve_``, but no score.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted; for multilabel targets the numbers of the columns.
    loss_ : float
        The loss, penalty included, of the last epoch or iteration.
    best_loss_ : float or None
        The lowest loss of an epoch; None with early stopping. Not set by 'lbfgs'.
    loss_curve_ : list of float, of length ``n_iter_`` (longer after warm starts and partial fits)
        The loss of each epoch. Not set by 'lbfgs'.
    validation_scores_ : list of float or None
        The accuracy, or what ``scoring`` asks for, on the validation data after each epoch; None
        without validation data. Not set by 'lbfgs'.
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
        The number of output units.
    out_activation_ : {'logistic', 'softmax'}
        The activation of the output units.
    interrupted_ : bool
        Whether the user, or ``max_time``, ended the last fit early.

    See Also
    --------
    BackpropRegressor : The same for regression.
    sklearn.neural_network.MLPClassifier : The estimator whose place this one takes.

    Notes
    -----
    The weights do not depend on the number of threads, to the last bit.

    With scikit-learn 1.9 or newer there is ``set_callbacks``, of its experimental callback API.
    Callbacks are shown the X and y given to ``fit``, a task for every epoch or 'lbfgs' iteration,
    and if they wish the estimator as it would be if the training ended there. One that returns True
    at the end of an epoch ends the training, without a warning; one that fails leaves the estimator
    as it was. ``partial_fit`` calls none.

    **Differences from scikit-learn**

    - The default is float32 for 'sgd' and 'adam', whatever type X has. ``dtype="float64"`` gives
      scikit-learn's numbers. Probabilities are float64, or float32 when X is.
    - A column of X whose values float32 cannot tell apart because they differ
      too little for their size, such as timestamps of one hour or large ids, is warned of, once per
      fit. Scale it first, or set ``dtype="float64"``, which holds such numbers.
    - A fit that fails leaves the estimator as it was.
    - A fit that diverges raises ValueError. With early stopping it ends there with a
      ConvergenceWarning, and the best weights are restored.
    - An interrupt (Ctrl-C) ends a fit between two updates, with every solver. Before the first
      whole epoch, inside a search, or within three seconds of one that ended a fit it is a
      KeyboardInterrupt, and the estimator stays as it was.
    - A warm refit with early stopping restores the best weights also when they are those it began
      with. Changed shapes raise ValueError.
    - Negative sample weights, weights that are all zero, masked arrays, and label indicators other
      than 0 and 1 raise ValueError. A batch whose weights are all zero is skipped.
    - A single class fits, and its ``predict_proba`` has one column.
    - ``predict_log_proba`` is finite also where ``predict_proba`` rounds to 0.
    - Where the second of two classes has a probability that rounds to 1, the first has a small one
      of its own, not 0.
    - Attributes that the solver does not set are removed by a refit.
    - Predictions use the activation of the last fit, also where the parameter was changed since.

    References
    ----------
    .. [1] C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna (2016). "Rethinking the
       Inception Architecture for Computer Vision." Proceedings of CVPR, section 7.

    Examples
    --------
    >>> from fastbp import BackpropClassifier
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    >>> model = make_pipeline(StandardScaler(), BackpropClassifier(max_iter=1000, random_state=0))
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.9
    True
    >>> model.predict_proba(X_test[:2]).shape
    (2, 3)

    An activation of its own for each hidden layer:

    >>> model = BackpropClassifier((32, 16), activation=["gelu", "tanh"], random_state=0)
    >>> model.set_params(learning_rate_init=0.01).fit(X_train, y_train).score(X_test, y_test) > 0.9
    True

    Own validation data, scored by log loss, decide when to stop:

    >>> model = BackpropClassifier(
    ...     learning_rate_init=0.01, early_stopping=True, scoring="neg_log_loss", random_state=0
    ... )
    >>> model = model.fit(X_train, y_train, X_val=X_test, y_val=y_test)
    >>> model.best_validation_score_ == max(model.validation_scores_)
    True

    The rarer class counts as much as the other, and training takes a minute at most:

    >>> model = BackpropClassifier(
    ...     solver="lbfgs", class_weight="balanced", max_time=60, random_state=0
    ... )
    >>> model.fit(X_train, y_train == 2).interrupted_
    False

    How certain a model is on average, without and with smoothed labels:

    >>> for s in (0.0, 0.3):
    ...     model = BackpropClassifier(5, solver="lbfgs", label_smoothing=s, random_state=0)
    ...     print(f"{model.fit(X_train, y_train).predict_proba(X_train).max(axis=1).mean():.1f}")
    1.0
    0.8

    Dropout for two hidden layers, the second one's stronger:

    >>> network = BackpropClassifier((100, 50), dropout=[0.2, 0.5], max_iter=1000, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
    >>> model.score(X_test, y_test) > 0.9
    True

    A rate that rises and falls over the fit, gradients of a bounded length, weights that decay:

    >>> model = BackpropClassifier(
    ...     learning_rate="one_cycle", learning_rate_init=0.01, max_iter=20, max_grad_norm=1.0,
    ...     weight_decay=0.1, alpha=0, random_state=0
    ... )
    >>> model = model.set_params(n_iter_no_change=float("inf")).fit(X_train, y_train)
    >>> model.loss_curve_[-1] < model.loss_curve_[0]
    True
    """

    __module__ = "fastbp"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseBackprop._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    classes_: Array
    _multilabel: bool
    _sparse_labels: bool

    def __init__(
        self,
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
        class_weight: dict[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
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
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing

    @unless_lbfgs
    @or_as_before
    @in_default_fpenv
    @with_checked_parameters
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch more, on the weights and solver state of the last call.

        Not available for 'lbfgs'.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_outputs)
            Their class labels, or a matrix of label indicators.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0 and not all 0.
        classes : array-like of shape (n_classes,), default=None
            All classes that any call will see. Required in the first call.

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
        return self._fit(Given(X, y, sample_weight), incremental=True, classes=classes)

    @in_default_fpenv
    def predict(self, X: Any) -> Any:
        """Predict classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : {ndarray, sparse matrix} of shape (n_samples,) or (n_samples, n_classes)
            The class labels; for multilabel targets their indicators, sparse if y was in ``fit``.

        Raises
        ------
        ValueError
            If X is not valid, or ``coefs_`` or ``intercepts_`` were changed to what is not.
        """
        model = self._snapshot()
        codes = model._codes(model._outputs(X, as_computed=True))
        if not model._multilabel:
            return model.classes_[codes]
        return sp.csr_matrix(codes) if model._sparse_labels else codes

    @in_default_fpenv
    def predict_proba(self, X: Any) -> Array:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The probability of each class, in the order of ``classes_``; for multilabel targets the
            probability of each label. Float32 if X is, otherwise float64.

        Raises
        ------
        ValueError
            If X is not valid, or ``coefs_`` or ``intercepts_`` were changed to what is not.
        """
        model = self._snapshot()
        return model._probabilities(X)

    @in_default_fpenv
    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            The logarithm of ``predict_proba(X)``, finite also where that is 0.

        Raises
        ------
        ValueError
            If X is not valid, or ``coefs_`` or ``intercepts_`` were changed to what is not.
        """
        model = self._snapshot()
        probabilities = model._probabilities(X)
        rounded_to_zero = probabilities < np.finfo(probabilities.dtype).tiny
        log_p = np.log(probabilities, where=~rounded_to_zero, out=np.empty_like(probabilities))
        rows = rounded_to_zero.any(axis=1)
        if rows.any():
            exact = model._log_link(model._outputs(model._check_X(X)[rows], raw=True))
            log_p[rounded_to_zero] = exact[rounded_to_zero[rows]]
        return log_p

    def _probabilities(self, X: Any) -> Array:
        outputs = self._outputs(X)
        if self._multilabel or self.n_outputs_ > 1:
            return outputs
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        both = np.empty((len(outputs), 2), outputs.dtype)
        np.subtract(1, outputs[:, 0], out=both[:, 0])
        both[:, 1] = outputs[:, 0]
        if (outputs.item() if len(outputs) == 1 else outputs.max()) == 1:
            # Then 1 - p has lost what exp(-z) tells.
            rows = np.flatnonzero(outputs[:, 0] == 1)
            both[rows, 0] = np.exp(-self._outputs(self._check_X(X)[rows], raw=True)[:, 0])
        return both

    def _log_link(self, z: Array) -> Array:
        """Return the logarithms of the probabilities from what the last layer gives."""
        if self._multilabel:
            return -np.logaddexp(0, -z)
        if self.n_outputs_ == 1:
            both: Array = -np.logaddexp(0, np.hstack([z, -z]))
            return both
        z = z - z.max(axis=1, keepdims=True)
        logs: Array = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return logs

    def _encode_targets(
        self, y: Any, dtype: str, incremental: bool, classes: Any
    ) -> tuple[Array, int]:
        settle_classes(self, y, self._has_labels(y), incremental, classes)
        softmax = len(self.classes_) > 2 and not self._multilabel
        self._core_loss = "log_loss" if softmax else "binary_log_loss"
        targets = self._encode(y, dtype)
        return targets, len(self.classes_) if softmax else targets.shape[1]

    def _encode_validation_targets(self, y: Any, dtype: str, n_outputs: int) -> Array:
        refuse_unknown_labels(self, y, self._has_labels(y))
        return self._encode(y, dtype)

    def _has_labels(self, y: Any) -> bool:
        """Tell whether y is an indicator matrix of labels."""
        kind: str = type_of_target(y, input_name="y")
        if kind.endswith("-multioutput"):
            raise ValueError(
                f"Multioutput target data is not supported: y has {y.shape[1]} columns, which must "
                "hold 0 and 1, a column for each label. For columns of other classes, "
                "sklearn.multioutput.MultiOutputClassifier fits a model each."
            )
        multilabel = kind.startswith("multilabel")
        if sp.issparse(y) and not multilabel:
            raise ValueError("A sparse y must be a matrix of label indicators.")
        return multilabel

    def _encode(self, y: Any, dtype: str) -> Array:
        """Return y, of known labels, as the core's loss takes it."""
        if self._multilabel:
            return encode_indicators(y, dtype)
        codes: Array = np.searchsorted(self.classes_, y)
        if self._core_loss == "log_loss":
            return codes.astype(np.int32)
        return codes.reshape(-1, 1).astype(dtype)

    def _weight_factors(self, y: Any, incremental: bool) -> Array | None:
        return class_factors(self, y, incremental)

    def _codes(self, outputs: Array) -> Array:
        """Return the predicted places in ``classes_``; for multilabel targets 0 and 1."""
        if self._multilabel:
            return (outputs > 0.5).astype(np.int64)
        if self.n_outputs_ > 1:
            places: Array = outputs.argmax(axis=1)
            return places
        if len(self.classes_) == 1:
            return np.zeros(len(outputs), dtype=np.int64)
        return (outputs[:, 0] > 0.5).astype(np.int64)

    def _loss_options(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}

    def _make_scorer(self, validation: SomeSamples) -> Callable[[Array], float]:
        """Return the accuracy on the validation samples; of whole rows of labels if multilabel."""
        y = validation.y if validation.y.ndim == 1 or self._multilabel else validation.y[:, 0]
        weight = validation.sample_weight
        if weight is not None:
            weight = weight.astype(np.float64)

        def accuracy(outputs: Array) -> float:
            right = self._codes(outputs) == y
            if self._multilabel:
                right = right.all(axis=1)
            if weight is None:
                return float(np.count_nonzero(right) / len(right))
            return float(np.average(right, weights=weight))

        return accuracy

    def _labels_to_stratify(self, y: Array) -> Array | None:
        """Return the labels if there are two classes: scikit-learn does not stratify more."""
        if self._multilabel or y.ndim == 1:
            return None
        labels = y[:, 0] > 0.5
        if labels.sum() in (1, len(labels) - 1):
            labels = labels.astype(str)  # too few of one: the error names it as scikit-learn's does
        return labels

    def _check_outputs_of_state(self, attributes: dict[str, Any]) -> None:
        names = ("classes_", "_multilabel", "_core_loss", "n_outputs_")
        check_loaded_classes(*(attributes[name] for name in names))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
