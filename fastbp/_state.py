# SPDX-License-Identifier: BSD-3-Clause
"""An estimator as pickle, joblib, copy and skops hold it, and the way back, which believes nothing.

A file may be cut short, edited, or written by another version. What comes from it is looked at
before an estimator has it: what was fitted must be complete and fit together, its arrays pass the
checks that a user's do. Parameters need only be there: ``fit`` looks at them, as at a user's.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._activations import KNOWN, activations_of
from ._optimizer import Optimizer
from ._stochastic import STOCHASTIC_ATTRIBUTES
from ._weights import check_weights

if TYPE_CHECKING:
    from ._base import BaseBackprop

#: Raised by one when what is held, or how, changes.
STATE_VERSION = 1
VERSION_KEY = "_state_version"

#: Labels and weights of a dict ``class_weight``, as two lists: skops makes words of a dict's keys,
#: and comes back from that of False with True.
CLASS_WEIGHT_KEY = "_class_weight_items"

Check = Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, Integral) and 0 <= int(value) < 2**63


def _is_positive(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_activations(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_text(name) and name in KNOWN for name in value)


def _is_loss(value: Any) -> bool:
    return _is_text(value) and value in _core.names()["losses"]


def _is_vector(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.size > 0


def _is_levels(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray) and value.ndim <= 1 and value.dtype == np.float64
    return is_array and bool(np.all((value > 0) & (value < 1)))


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


#: What every fitted estimator holds beside its weights.
NEEDED: dict[str, Check] = {
    "n_features_in_": _is_positive,
    "n_outputs_": _is_positive,
    "n_layers_": _is_positive,
    "out_activation_": _is_text,
    "loss_": _is_number,
    "n_iter_": _is_count,
    "t_": _is_count,
    "_core_loss": _is_loss,
    "_hidden_activations": _is_activations,
}
NEEDED_OF_CLASSIFIERS: dict[str, Check] = {
    "classes_": _is_vector,
    "_multilabel": _is_flag,
    "_sparse_labels": _is_flag,
}
#: What some fits leave.
OTHERS: dict[str, Check] = {
    "interrupted_": _is_flag,
    "feature_names_in_": _is_vector,
    "loss_curve_": _is_curve,
    "best_loss_": _or_none(_is_number),
    "validation_scores_": _or_none(_is_curve),
    "best_validation_score_": _or_none(_is_number),
    "best_n_iter_": _or_none(_is_positive),
    "validation_loss_curve_": _or_none(_is_curve),
    "_no_improvement_count": _is_count,
    "_scored_by": _or_none(_is_text),
    "_levels": _or_none(_is_levels),
}


FITTED = {*NEEDED, *NEEDED_OF_CLASSIFIERS, *STOCHASTIC_ATTRIBUTES, "intercepts_"}


def to_state(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an estimator's attributes as arrays, numbers, strings and lists of them."""
    state = {**attributes, VERSION_KEY: STATE_VERSION}
    if "_optimizer" in state:
        state["_optimizer"] = state["_optimizer"].to_state()
    class_weight = state.get("class_weight")
    if type(class_weight) is dict:
        state["class_weight"] = None
        state[CLASS_WEIGHT_KEY] = [list(class_weight), list(class_weight.values())]
    return state


def from_state(model: BaseBackprop, state: Any) -> dict[str, Any]:
    """Return the attributes of an estimator from what `to_state` made of them.

    Raises
    ------
    ValueError
        The state is of a newer fastbp, or not one that an estimator of this class can have.
    """
    try:
        attributes = _without_version(state)
        _restore_class_weight(attributes)
        _refuse_strangers(model, attributes)
        if "coefs_" in attributes:
            _check_fitted(model, attributes)
        elif present := sorted(
            {*NEEDED, *STOCHASTIC_ATTRIBUTES, "intercepts_"} & attributes.keys()
        ):
            raise ValueError(f"it has {', '.join(present)}, but not coefs_.")
    except ValueError as error:
        raise ValueError(
            f"This is no state of a {type(model).__name__} that can be loaded: {error}"
        ) from error
    return attributes


def _without_version(state: Any) -> dict[str, Any]:
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError(f"it is no dict of attributes, but a {type(state).__name__}.")
    attributes = dict(state)
    version = attributes.pop(VERSION_KEY, None)
    if not _is_positive(version):
        raise ValueError(f"its {VERSION_KEY} is {version!r}.")
    if version > STATE_VERSION:
        raise ValueError(
            f"its version is {version}, and this fastbp knows versions up to {STATE_VERSION}. A "
            "newer fastbp wrote it: upgrade to that."
        )
    return attributes


def _restore_class_weight(attributes: dict[str, Any]) -> None:
    if CLASS_WEIGHT_KEY not in attributes:
        return
    items = attributes.pop(CLASS_WEIGHT_KEY)
    try:
        labels, weights = items
        attributes["class_weight"] = dict(zip(labels, weights, strict=True))
    except (TypeError, ValueError) as error:  # no lists, other lengths, labels without a hash
        raise ValueError(f"its {CLASS_WEIGHT_KEY} is {reprlib.repr(items)}.") from error


def _refuse_strangers(model: BaseBackprop, attributes: dict[str, Any]) -> None:
    """Raise unless all parameters are there, and nothing that would hide a method."""
    classes: list[Any] = [cls for cls in type(model).__mro__ if cls.__module__ == "fastbp"]
    for cls in [type(model), *classes]:
        if missing := sorted(set(cls._get_param_names()) - attributes.keys()):
            raise ValueError(f"it lacks the parameters {', '.join(missing)}.")
    for name, value in attributes.items():
        if name != "_levels" and not callable(value) and hasattr(classes[0], name):
            raise ValueError(f"{name} is no attribute to be set.")


def _check_fitted(model: BaseBackprop, attributes: dict[str, Any]) -> None:
    """Raise unless what was fitted is complete and fits together; make the optimizer an object."""
    needed = NEEDED | (NEEDED_OF_CLASSIFIERS if hasattr(model, "predict_proba") else {})
    left = {name for name in STOCHASTIC_ATTRIBUTES if name in attributes}
    expected = {*needed, "intercepts_", *(STOCHASTIC_ATTRIBUTES if left else ())}
    if missing := sorted(expected - attributes.keys()):
        raise ValueError(f"it lacks {', '.join(missing)}.")
    for name, check in (needed | OTHERS).items():
        if name in attributes and not check(attributes[name]):
            raise ValueError(f"{name} is {reprlib.repr(attributes[name])}.")

    n_inputs, n_outputs = attributes["n_features_in_"], attributes["n_outputs_"]
    weights = check_weights(attributes["coefs_"], attributes["intercepts_"], n_inputs, n_outputs)
    activations_of(attributes["_hidden_activations"], len(weights.units) - 2)
    link = _core.loss_link(attributes["_core_loss"])
    if attributes["out_activation_"] != link:
        raise ValueError(f"out_activation_ is {attributes['out_activation_']!r}, not {link!r}.")
    names = attributes.get("feature_names_in_")
    if names is not None and (len(names) != n_inputs or not all(map(_is_text, names))):
        raise ValueError(f"feature_names_in_ does not hold {n_inputs} names.")
    model._check_outputs_of_state(attributes)
    if "_optimizer" in attributes:
        try:
            optimizer = Optimizer.from_state(attributes["_optimizer"], n_inputs, n_outputs)
        except ValueError as error:
            raise ValueError(f"In what the solver remembers: {error}") from error
        attributes["_optimizer"] = optimizer
