# SPDX-License-Identifier: BSD-3-Clause
"""What both estimators do: parameters, checks, ``fit``, predictions.

A fit works on a draft, a shallow copy of the estimator. Only when all is done does what it found
move over, by one assignment, so that a fit that fails changes nothing, and a predict beside it sees
the old model or the new one. Networks of the core live for one call.
"""

from __future__ import annotations

import math
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _core
from ._activations import activations_of, bound_factors, check_activation
from ._callbacks import CallbackSupportMixin, Tasks, begin_tasks, or_as_before, with_callbacks
from ._checks import (
    check_hidden_layer_sizes,
    check_own_validation,
    check_X_y,
    with_checked_parameters,
)
from ._conflicts import refuse_conflicts
from ._constraints import CONSTRAINTS, refuse_beyond_float64, refuse_metric
from ._data import (
    NON_FINITE,
    Samples,
    SomeSamples,
    are_within,
    check_sample_weight,
    core_blocks,
    core_rows,
    dtype_to_validate,
    is_single,
    refuse_masked_arrays,
    sizes_for_validation,
    sparse_sizes,
)
from ._features import HiddenFeaturesMixin
from ._fpenv import in_default_fpenv
from ._gradients import GradientMixin
from ._lbfgs import fit_lbfgs
from ._optimizer import Optimizer
from ._representation import RepresentationMixin
from ._scoring import Given
from ._state import from_state, to_state
from ._stochastic import STOCHASTIC_ATTRIBUTES, fit_stochastic
from ._threads import thread_limit
from ._time_limit import TimeLimit
from ._validation import ValidationSource, own_validation
from ._weights import Weights, check_weights, draw_weights

if TYPE_CHECKING:
    from typing import Self

    from sklearn.utils import Tags

Array = NDArray[Any]

#: Fitted attributes whose names do not end in an underscore.
PRIVATE_FITTED_ATTRIBUTES = frozenset(
    {
        "_core_loss",
        "_hidden_activations",
        "_levels",
        "_multilabel",
        "_no_improvement_count",
        "_optimizer",
        "_scored_by",
        "_sparse_labels",
    }
)


class BaseBackprop(
    CallbackSupportMixin,  # type: ignore[misc]
    HiddenFeaturesMixin,
    GradientMixin,
    RepresentationMixin,
    BaseEstimator,  # type: ignore[misc]
    metaclass=ABCMeta,
):
    """Multilayer perceptron trained by backpropagation; base of the two estimators."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

    # Parameters, stored by the subclasses' constructors.
    hidden_layer_sizes: Any
    activation: str | Sequence[str]
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: bool | int
    warm_start: bool | str
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: int | float
    max_fun: int
    scoring: Any
    dropout: Any
    weight_decay: float
    max_grad_norm: float | None
    warmup: float
    max_time: float | None
    dtype: str
    matmul_precision: str
    n_jobs: int | None

    # Fitted attributes.
    coefs_: list[Array]
    intercepts_: list[Array]
    loss_: float
    n_features_in_: int
    n_iter_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    t_: int
    interrupted_: bool
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    best_n_iter_: int | None
    validation_loss_curve_: list[float] | None
    _core_loss: str
    _hidden_activations: tuple[str, ...]
    _no_improvement_count: int
    _optimizer: Optimizer
    _scored_by: str | None

    @or_as_before
    @in_default_fpenv
    @with_callbacks
    @with_checked_parameters
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on X and y, from new weights unless ``warm_start=True``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples. Float32 and float64 arrays with contiguous rows and CSR matrices are read
            where they lie; anything else is copied once.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets: class labels, an indicator matrix of labels (a classifier takes a sparse
            one too), or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0 and not all 0.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation samples of your own. Scores and losses of them are recorded after each epoch;
            with ``early_stopping=True`` they take the place of samples set aside, otherwise they do
            not influence the training. Not for 'lbfgs'. A search such as ``GridSearchCV``, or
            ``cross_validate``, passes an X_val of another length than X on as it is, but cuts one
            as long as X, as it does ``sample_weight``. ``Pipeline(transform_input=["X_val"])``
            transforms it like X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets, of the kind of y: class labels must be among those in y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are not valid, the training diverges, or ``max_time`` is over
            before the first whole epoch. The estimator is then as it was before.
        RuntimeError
            If the estimator is being fitted already, by another thread.
        KeyboardInterrupt
            If interrupted before the first whole epoch, inside a search such as ``GridSearchCV``,
            within three seconds of an interrupt that ended a fit, or when the training has ended;
            the estimator is then as it was before. Any other interrupt ends the training with a
            warning instead.
        """
        own = own_validation(X_val, y_val, sample_weight_val)
        return self._fit(Given(X, y, sample_weight), own)

    def _fit(
        self,
        given: Given,
        own: Given | None = None,
        incremental: bool = False,
        classes: Any = None,
    ) -> Self:
        tasks = Tasks() if incremental else begin_tasks(self, *given)
        draft = self._snapshot()
        draft._learn(given, own, incremental, classes, tasks)
        self._replace_fitted_attributes(draft._fitted_attributes())
        tasks.end()
        return self

    def _fitted_attributes(self) -> dict[str, Any]:
        present = vars(self).copy()
        return {name: value for name, value in present.items() if _is_fitted_attribute(name)}

    def _replace_fitted_attributes(self, attributes: dict[str, Any]) -> None:
        """Hold these and no others, by one assignment; what is not fitted stays."""
        present = vars(self).copy()
        others = {name: value for name, value in present.items() if not _is_fitted_attribute(name)}
        self.__dict__ = others | attributes

    def _snapshot(self) -> Self:
        """Return a shallow copy: what is assigned to it does not show here, and vice versa."""
        copy: Self = object.__new__(type(self))
        copy.__dict__ = vars(self).copy()
        return copy

    def _learn(
        self, given: Given, own: Given | None, incremental: bool, classes: Any, tasks: Tasks
    ) -> None:
        """Fit in place; for a draft."""
        limit = TimeLimit(self.max_time)
        hidden_units = check_hidden_layer_sizes(self.hidden_layer_sizes)
        activations = check_activation(self.activation, hidden_units)
        fresh = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        dtype = self._compute_type()
        refuse_conflicts(self, dtype, incremental, own is not None)

        X, y = check_X_y(self, given, dtype, reset=fresh, trains=True)
        targets, n_outputs = self._encode_targets(y, dtype, incremental, classes)
        self.out_activation_ = _core.loss_link(self._core_loss)
        class_factors = self._weight_factors(y, incremental)
        weight = check_sample_weight(given.sample_weight, X, dtype, class_factors)
        samples = Samples(X, targets, weight)
        source = ValidationSource(given, None)
        if own is not None:
            source = ValidationSource(own, check_own_validation(self, own, X, n_outputs, dtype))

        units = [self.n_features_in_, *hidden_units, n_outputs]
        random_state = check_random_state(self.random_state)
        if fresh:
            self._forget_solver()
            self.t_ = 0
            factors = bound_factors(self.activation, activations)
            weights = draw_weights(units, factors, random_state, dtype)
        else:
            weights = self._weights_to_go_on_from(units).astype(dtype)
        self.n_outputs_, self.n_layers_ = n_outputs, len(units)
        self._hidden_activations = activations

        if self.solver == "lbfgs":
            self._forget_solver()
            weights = fit_lbfgs(self, samples, weights, tasks, limit)
        else:
            weights = fit_stochastic(
                self, samples, weights, random_state, incremental, tasks, limit, source
            )
        restored = getattr(self, "best_n_iter_", None) is not None
        if not weights.are_finite() or not (restored or math.isfinite(self.loss_)):
            raise ValueError(NON_FINITE)
        self.coefs_, self.intercepts_ = weights

    @abstractmethod
    def _encode_targets(
        self, y: Any, dtype: str, incremental: bool, classes: Any
    ) -> tuple[Array, int]:
        """Return y as the core takes it, and the number of outputs; set ``_core_loss``."""

    @abstractmethod
    def _encode_validation_targets(self, y: Any, dtype: str, n_outputs: int) -> Array:
        """Return y of the user's validation data, once it agrees with that of the training's."""

    @abstractmethod
    def _make_scorer(self, validation: SomeSamples) -> Callable[[Array], float]:
        """Return a function from predictions for the validation samples to their score."""

    def _loss_parameters(self, n_outputs: int, dtype: str) -> list[float] | None:
        """Return what the loss reads per output beside the targets, if anything."""
        return None

    def _name_of_loss(self) -> str:
        """Return the loss, with the numbers that it depends on."""
        return self._core_loss

    def _name_of_default_score(self) -> str | None:
        """Return what tells this estimator's own score from another of its own, if anything."""
        return None

    def _loss_options(self) -> dict[str, Any]:
        """Return what a step of the core is told about the loss."""
        return {}

    def _weight_factors(self, y: Any, incremental: bool) -> Array | None:
        """Return what the samples' weights are multiplied by, if by anything."""
        return None

    def _labels_to_stratify(self, y: Array) -> Array | None:
        """Return the labels whose shares an early-stopping split keeps, if it keeps any."""
        return None

    def _compute_type(self) -> str:
        if self.dtype == "auto":
            return "float64" if self.solver == "lbfgs" else "float32"
        return self.dtype

    def _forget_solver(self) -> None:
        for name in STOCHASTIC_ATTRIBUTES:
            self.__dict__.pop(name, None)

    def _weights_to_go_on_from(self, units: list[int]) -> Weights:
        n_outputs = units[-1]
        if n_outputs != self.n_outputs_:
            raise ValueError(
                f"y has {n_outputs} outputs, but the model to go on from has {self.n_outputs_}."
            )
        weights = check_weights(self.coefs_, self.intercepts_, self.n_features_in_, n_outputs)
        if weights.units != units:
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes} differs from the hidden layers of "
                f"the model to go on from, {tuple(weights.units[1:-1])}. Set hidden_layer_sizes "
                "back, or fit anew with warm_start=False."
            )
        return weights

    def _make_net(
        self,
        weights: Weights,
        X: Any,
        *,
        solver: str = "gradient",
        max_rows: int = 0,
        X_val: Any = None,
        dropout: list[float] | None = None,
        clips: bool = False,
    ) -> _core.Net:
        """Make a network of the core for rows of X, to be used within one call only."""
        units = weights.units
        isa = _core.default_isa(self.matmul_precision, weights.dtype)
        # Split products skip sparse X: a row must not be dense alone and sparse among others.
        alike = max_rows > 0 or isa in _core.fused_isas(weights.dtype)
        nonzeros = sparse_sizes(X, max_rows, of_any_share=not alike)
        if X_val is not None:
            nonzeros = sizes_for_validation(nonzeros, X_val)
        net = _core.Net(
            units,
            activations_of(self._hidden_activations, len(units) - 2),
            self._core_loss,
            dtype=weights.dtype,
            solver=solver,
            max_rows=max_rows,
            n_threads=self._thread_limit(),
            max_row_nonzeros=nonzeros.row,
            max_batch_nonzeros=nonzeros.batch,
            precision=self.matmul_precision,
            loss_parameters=self._loss_parameters(units[-1], weights.dtype) if max_rows else None,
            dropout=dropout,
            clips=clips,
        )
        net.set_weights(*weights)
        return net

    def _check_X(self, X: Any) -> Any:
        """Return validated samples to predict for."""
        check_is_fitted(self)
        refuse_masked_arrays(X=X)
        return validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=dtype_to_validate(X),
            ensure_all_finite=not are_within(X, "float64", self._thread_limit()),
            reset=False,
        )

    def _outputs(self, X: Any, *, raw: bool = False, as_computed: bool = False) -> Array:
        """Return the outputs for samples, once validated: [n × n_outputs].

        They are float64, or float32 for float32 X unless they are wanted ``as_computed`` by a
        float64 model. With ``raw``, they are what the last layer gives before its link.
        """
        fitted = vars(self)
        if "coefs_" in fitted and fitted.get("feature_names_in_") is None:
            # What would pass every check as it is needs none of the general ones.
            outputs = _core.predict_plain(
                X,
                fitted["coefs_"],
                self.intercepts_,
                self.n_features_in_,
                self.n_outputs_,
                self._hidden_activations,
                self._core_loss,
                self.matmul_precision,
                raw,
                as_computed,
                self._thread_limit,
            )
            if outputs is not None:
                return outputs
        X = self._check_X(X)
        weights = check_weights(self.coefs_, self.intercepts_, self.n_features_in_, self.n_outputs_)
        widest = as_computed and weights.dtype == "float64"
        dtype = "float32" if is_single(X) and not widest else "float64"
        return self._through_net(X, weights, raw=raw, dtype=dtype)

    def _through_net(self, X: Any, weights: Weights, **what: Any) -> Array:
        """Return what the core's ``Net.predict`` gives for validated samples."""
        if sp.issparse(X):
            X = core_rows(X, weights.dtype)
        net = self._make_net(weights, X)
        within = is_single(X) or are_within(X, weights.dtype, self._thread_limit())
        blocks = [net.predict(x, **what) for x in core_blocks(X, weights.dtype, within)]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _validate_params(self) -> None:
        super()._validate_params()
        refuse_metric(self)
        refuse_beyond_float64(self)

    def _thread_limit(self) -> int:
        return thread_limit(self.n_jobs)

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    def __getstate__(self) -> dict[str, Any]:
        return to_state(super().__getstate__())

    @in_default_fpenv
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(from_state(self, state))

    @abstractmethod
    def _check_outputs_of_state(self, attributes: dict[str, Any]) -> None:
        """Raise ValueError unless loaded attributes agree on what the outputs are."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _is_fitted_attribute(name: str) -> bool:
    return name in PRIVATE_FITTED_ATTRIBUTES or (name.endswith("_") and not name.endswith("__"))
