"""What optimizers and aggregation factories are made of: fit for a run's settings, and what they need of a run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.engine.fingerprint import DIGITS, digest_arrays, digest_computation
from fedlearn_edu.learning.requirements import Requirements

_FACTORIES = (tff.aggregators.UnweightedAggregationFactory, tff.aggregators.WeightedAggregationFactory)
# Whose attributes are looked into; of anything else only the class is told.
_PARTS = (tff.learning.optimizers.Optimizer, *_FACTORIES)
_LIBRARIES = ("tensorflow_federated", "tensorflow_privacy", "fedlearn_edu")
_FULL_NAMES = {"lr": "learning_rate", "initial_precond": "initial_preconditioner_value"}  # of TFF's attributes
_DEEPEST = 12


def describe(value: Any) -> Any:
    """Returns all that decides what an optimizer, an aggregation factory or a hyperparameter does, fit for JSON.

    Their arguments are read off their attributes, whatever is nested in them included: of a computation of TFF its
    fingerprint, of a function its name and what it closes over. So two descriptions differ if the two compute
    something else, and say where.

    Args:
        value: Any argument of a builder.

    Example:
        >>> describe(tff.learning.optimizers.build_sgdm(0.5))
        {'name': 'SGD', 'learning_rate': 0.5, 'momentum': None}
        >>> describe({"clip_norm": np.float32(0.5), "layers": (1, 2)})
        {'clip_norm': 0.5, 'layers': [1, 2]}
    """
    return _describe(value, ())


def _describe(value, holders):
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if len(holders) >= _DEEPEST or any(value is holder for holder in holders):
        return type(value).__name__
    inside = functools.partial(_describe, holders=(*holders, value))

    def fields(items):
        return {str(key): inside(item) for key, item in items.items()}

    if isinstance(value, Mapping):
        return fields(value)
    if isinstance(value, list | tuple):
        return [inside(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((inside(item) for item in value), key=repr)
    if isinstance(value, np.ndarray | tf.Tensor | tf.Variable):
        array = np.asarray(value)
        return f"{array.dtype}{list(array.shape)} {digest_arrays([array]).hex()[:DIGITS]}"
    if isinstance(value, tff.Computation):
        return f"computation {digest_computation(value).hex()[:DIGITS]}"
    if isinstance(value, tff.templates.IterativeProcess):
        computations = [part for part in vars(value).values() if isinstance(part, tff.Computation)]
        digest = hashlib.sha256(b"".join(map(digest_computation, computations)))
        return f"{type(value).__name__} {digest.hexdigest()[:DIGITS]}"
    if isinstance(value, functools.partial):
        return {"name": inside(value.func), "arguments": inside(value.args), **fields(value.keywords)}
    if inspect.ismethod(value) or inspect.isfunction(value):
        closed_over = inspect.getclosurevars(value).nonlocals if inspect.isfunction(value) else {}
        return {"name": value.__qualname__, **fields(closed_over)} if closed_over else value.__qualname__
    if isinstance(value, _FACTORIES) and hasattr(value, "settings"):  # one of ours
        return {"name": value.name, **fields(value.settings)}
    name = type(value).__name__.strip("_")
    if dataclasses.is_dataclass(value) or isinstance(value, _PARTS) or type(value).__module__.startswith(_LIBRARIES):
        return {"name": name, **fields(_attributes(value))}
    return name


def _attributes(value) -> dict[str, Any]:
    """Returns what an object holds; of a class made inside of a function, as TFF's clipping is, also that one's."""
    held = {key.strip("_"): item for key, item in getattr(value, "__dict__", {}).items() if key != "_hparams_keys"}
    if "<locals>" in type(value).__qualname__:
        for method in filter(inspect.isfunction, vars(type(value)).values()):
            held |= inspect.getclosurevars(method).nonlocals
        held.pop("__class__", None)  # of a method that calls super()
    return {_FULL_NAMES.get(key, key): item for key, item in held.items()}


def requirements_of(parts: Iterable[Any]) -> tuple[Requirements, ...]:
    """Returns what the parts of a process need of a run, each once: what they state, and what is nested in factories.

    Args:
        parts: Anything; what states nothing is passed over.
    """
    return tuple(dict.fromkeys(stated for part in parts for stated in _stated_by(part, 0)))


def _stated_by(part, depth):
    stated = part if isinstance(part, Requirements) else getattr(part, "requirements", None)
    if stated is not None:
        yield from [stated] if isinstance(stated, Requirements) else stated
    elif isinstance(part, _FACTORIES) and depth < _DEEPEST:
        inside = part.settings if hasattr(part, "settings") else _attributes(part)
        for inner in inside.values():
            yield from _stated_by(inner, depth + 1)
