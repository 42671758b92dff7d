"""The base of robust aggregators: the server stacks its clients' values and applies one function to the stack."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.requirements import Requirements

Rule = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]


class StackedFactory(tff.aggregators.UnweightedAggregationFactory):
    """An aggregation factory that needs all values at once, as medians do and sums do not.

    Each client sends its value as it is. The server collects them in a matrix with a row per client, in the order of
    the cohort, leaves out every row that is not finite (NaN, infinity, or an L2 norm beyond float32, 1.8e19), and
    applies `rule` to the rest in float64. If no row is left, the result is zero: the model stays where it is.

    Every client counts alike, however many examples it has. The server sees every single value, so that none of these
    factories works under secure aggregation.

    Measurements: `num_excluded`, the number of rows left out; `excluded`, one 0 or 1 per client in the order of the
    cohort; with a rule that chooses among clients also `selected`, in the same way.

    Attributes:
        rule: From values float64 `[num_clients, dim]`, all finite, with at least one row, and positive weights float64
            `[num_clients]` to the aggregate `[dim]` and a bool `[num_clients]` of the clients it is made of, or None.
        name: Name of the aggregator.
        settings: What it was built with, fit for JSON.
        selects: Whether the rule says whom it selects.
    """

    def __init__(self, rule: Rule, *, name: str, settings: Mapping[str, Any], selects: bool = False):
        self.rule = rule
        self.name = name
        self.settings = dict(settings)
        self.selects = selects

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        check_float_tensors(value_type)

        @tff.federated_computation(_NO_STATE, tff.FederatedType(value_type, tff.CLIENTS))
        def next_fn(state, value):
            weight = tff.federated_value(1.0, tff.CLIENTS)
            result, measurements = aggregate_stacked(value, weight, self.rule, selects=self.selects)
            return tff.templates.MeasuredProcessOutput(state, result, measurements)

        return tff.templates.AggregationProcess(_no_state, next_fn)

    @property
    def requirements(self) -> Requirements:
        """The cohort that the rule was built for."""
        return _requirements(self)

    def with_weights(self) -> WeightedStackedFactory:
        """Returns the same factory for weights of 0 and 1, by which someone else says who is left out."""
        return WeightedStackedFactory(self.rule, name=self.name, settings=self.settings, selects=self.selects)

    def __repr__(self) -> str:
        return describe_call(self.name, self.settings)


class WeightedStackedFactory(tff.aggregators.WeightedAggregationFactory):
    """As `StackedFactory`, with the clients' weights; a client whose weight is not above 0 is left out too."""

    def __init__(self, rule: Rule, *, name: str, settings: Mapping[str, Any], selects: bool = False):
        self.rule = rule
        self.name = name
        self.settings = dict(settings)
        self.selects = selects

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        check_float_tensors(value_type)

        @tff.federated_computation(
            _NO_STATE, tff.FederatedType(value_type, tff.CLIENTS), tff.FederatedType(weight_type, tff.CLIENTS)
        )
        def next_fn(state, value, weight):
            result, measurements = aggregate_stacked(value, weight, self.rule, selects=self.selects)
            return tff.templates.MeasuredProcessOutput(state, result, measurements)

        return tff.templates.AggregationProcess(_no_state, next_fn)

    @property
    def requirements(self) -> Requirements:
        """The cohort that the rule was built for."""
        return _requirements(self)

    def __repr__(self) -> str:
        return describe_call(self.name, self.settings)


def _requirements(factory) -> Requirements:
    return Requirements(repr(factory), clients_per_round=factory.settings.get("clients_per_round"))


def aggregate_stacked(value, weight, rule: Rule, *, selects: bool = False, mark=None, rewrite=None):
    """Applies a rule to the stack of all clients' values (call it inside a TFF computation).

    Args:
        value: Structure of floating-point tensors, placed at the clients.
        weight: Number placed at the clients; who has none above 0 is left out.
        rule: See `StackedFactory`.
        selects: Whether the rule says whom it selects.
        mark: float32 placed at the clients, for `rewrite`; None: there is none.
        rewrite: Called first of all, with float32 values `[num_clients, dim]` and marks `[num_clients]`; returns other
            values. So attackers that know all values are simulated.

    Returns:
        The aggregate, in the structure of a value, and the measurements, both placed at the server.
    """
    value_type, weight_type = value.type_signature.member, weight.type_signature.member
    specs = tff.types.type_to_tf_tensor_specs(value_type)
    dim = sum(spec.shape.num_elements() for spec in tf.nest.flatten(specs))
    with_mark = mark is not None

    @tff.tensorflow.computation(tff.to_type((value_type, weight_type) + (np.float32,) * with_mark))
    def flatten(columns):
        value, *numbers = columns
        numbers = [tf.cast(number, tf.float32)[None] for number in numbers]
        parts = [tf.reshape(tf.cast(v, tf.float32), [-1]) for v in tf.nest.flatten(value)]
        return tf.concat([*numbers, *parts], axis=0)

    def apply_rule(values, weights):
        aggregate, selected = rule(values, weights)
        return tf.ensure_shape(aggregate, [dim]), tf.zeros([0], tf.bool) if selected is None else selected

    @tff.tensorflow.computation(tff.TensorType(np.float32, [None, 1 + with_mark + dim]))
    def serve(stack):
        weights, values = stack[:, 0], stack[:, 1 + with_mark :]
        if rewrite is not None:
            values = rewrite(values, stack[:, 1])
        # The sum of squares is not finite if a number is not, and also if the norm is beyond what float32 can hold.
        kept = tf.math.is_finite(tf.reduce_sum(values**2, axis=1)) & tf.math.is_finite(weights) & (weights > 0)
        aggregate, selected = tf.cond(
            tf.reduce_any(kept),
            lambda: apply_rule(
                tf.cast(tf.boolean_mask(values, kept), tf.float64), tf.cast(tf.boolean_mask(weights, kept), tf.float64)
            ),
            lambda: (tf.zeros([dim], tf.float64), tf.zeros([0], tf.bool)),
        )
        measurements = measure_exclusions(kept)
        if selects:
            rows = tf.boolean_mask(tf.where(kept), selected)
            measurements["selected"] = tf.scatter_nd(rows, tf.ones_like(rows[:, 0], tf.int32), tf.shape(kept, tf.int64))
        return _unflatten(aggregate, specs), measurements

    columns = (value, weight, mark) if with_mark else (value, weight)
    stack = stack_in_cohort_order(tff.federated_map(flatten, columns), 1 + with_mark + dim)
    result, measurements = tff.federated_map(serve, stack)
    return result, measurements


def stack_in_cohort_order(value, dim: int):
    """Returns the clients' vectors as the rows of one matrix at the server (call it inside a TFF computation).

    TFF's runtime adds clients to an accumulator one after the other in the order in which they were passed to `next`,
    and merges accumulators of several workers in that order too, so that row i belongs to the cohort's client i.

    Args:
        value: float32 `[dim]` placed at the clients.
        dim: Length of the vectors.

    Returns:
        float32 `[num_clients, dim]` placed at the server.
    """
    stack_type = tff.TensorType(np.float32, [None, dim])
    zero = tff.tensorflow.computation(lambda: tf.zeros([0, dim]))
    report = tff.tensorflow.computation(lambda stack: stack, stack_type)

    @tff.tensorflow.computation(stack_type, tff.TensorType(np.float32, [dim]))
    def accumulate(stack, row):
        return tf.concat([stack, row[None]], axis=0)

    @tff.tensorflow.computation(stack_type, stack_type)
    def merge(first, second):
        return tf.concat([first, second], axis=0)

    return tff.federated_aggregate(value, zero(), accumulate, merge, report)


def measure_exclusions(kept: tf.Tensor) -> collections.OrderedDict:
    """Returns the measurements `num_excluded` and `excluded` for a bool `[num_clients]`."""
    excluded = tf.cast(tf.logical_not(kept), tf.int32)
    return collections.OrderedDict(num_excluded=tf.reduce_sum(excluded), excluded=excluded)


def mean_of(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, None]:
    """The rule of the plain mean.

    Example:
        >>> mean_of(tf.constant([[1.0], [4.0]]), tf.constant([2.0, 1.0]))[0].numpy().tolist()
        [2.0]
    """
    return tf.linalg.matvec(values, weights / tf.reduce_sum(weights), transpose_a=True), None


def describe_call(name: str, settings: Mapping[str, Any]) -> str:
    """Returns the call that built a factory.

    Example:
        >>> describe_call("krum", {"clients_per_round": 9, "num_attackers": 2})
        'krum(clients_per_round=9, num_attackers=2)'
    """
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def check_float_tensors(value_type: tff.Type) -> None:
    """Raises `UsageError` unless values consist of floating-point tensors of known shape."""
    specs = tf.nest.flatten(tff.types.type_to_tf_tensor_specs(value_type))
    if not all(spec.dtype.is_floating and spec.shape.is_fully_defined() for spec in specs):
        raise UsageError(
            "model_aggregator: expected floating-point tensors of known shape to aggregate, got "
            f"{value_type.compact_representation()}; do not put it inside of a factory that turns values into integers"
        )


def _unflatten(vector: tf.Tensor, specs):
    flat = tf.nest.flatten(specs)
    parts = tf.split(vector, [spec.shape.num_elements() for spec in flat])
    tensors = [tf.cast(tf.reshape(part, spec.shape), spec.dtype) for part, spec in zip(parts, flat, strict=True)]
    return tf.nest.pack_sequence_as(specs, tensors)


@tff.federated_computation
def _no_state():
    return tff.federated_value((), tff.SERVER)


_NO_STATE = _no_state.type_signature.result
