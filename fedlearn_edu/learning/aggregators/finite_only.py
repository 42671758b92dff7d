"""A wrapper that keeps values that are not finite away from any aggregator, and says whose they were."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.stacked import (
    Rule,
    StackedFactory,
    check_float_tensors,
    describe_call,
    mean_of,
    measure_exclusions,
    stack_in_cohort_order,
)

AggregationFactory = tff.aggregators.UnweightedAggregationFactory | tff.aggregators.WeightedAggregationFactory


def finite_only(inner: AggregationFactory | None = None, *, weighted: bool = False) -> AggregationFactory:
    """Returns a factory under which a client with NaN or infinity in its value does not spoil the round.

    One such value makes the plain mean NaN; TFF's server then rejects the whole round, so that a single client can
    stop all learning. Here each value is looked at where it is, at the client, before anything else sees it: if it is
    not finite, or its L2 norm is beyond float32 (1.8e19), zeros go on in its place, with a weight of 0 where there are
    weights. So a mean and the robust aggregators of this package leave the client out; any other `inner` without
    weights counts it as a client that sent zeros.

    Measurements: `num_excluded`; `excluded`, one 0 or 1 per client in the order of the cohort; under `inner` those of
    `inner`.

    Args:
        inner: What aggregates; default the mean. If everybody is left out, the default's result is zero.
        weighted: Return a factory for `build_weighted_fed_avg`; then `inner` must take weights. Default: one for
            `build_unweighted_fed_avg`, in which every finite value weighs 1.

    Raises:
        UsageError: `weighted` and an `inner` that takes no weights.

    Example:
        >>> process = fl.build_unweighted_fed_avg(fl.linear_head(features), model_aggregator=fl.finite_only())
        >>> process.hyperparameters["model_aggregator"]
        {'name': 'finite_only'}
    """
    settings = {} if inner is None else {"inner": inner}
    rule = mean_of if inner is None else None
    return guard(inner_or_mean(inner, weighted), weighted=weighted, name="finite_only", settings=settings, rule=rule)


def inner_or_mean(inner: AggregationFactory | None, weighted: bool) -> AggregationFactory:
    """Returns what shall aggregate behind the guard, able to leave clients out if it can be made so."""
    if inner is None:
        return no_nan_mean()
    return inner if weighted or not isinstance(inner, StackedFactory) else inner.with_weights()


def no_nan_mean() -> tff.aggregators.WeightedAggregationFactory:
    """Returns TFF's weighted mean, which is zero, not NaN, if all weights are.

    Example:
        >>> isinstance(no_nan_mean(), tff.aggregators.WeightedAggregationFactory)
        True
    """
    return tff.aggregators.MeanFactory(no_nan_division=True)


def describe_factory(factory: AggregationFactory | None) -> str | None:
    """Returns the call that built a factory of ours, or the name of TFF's class; for messages."""
    if factory is None:
        return None
    return repr(factory) if hasattr(factory, "settings") else type(factory).__name__


def _call_of(factory) -> str:
    settings = factory.settings
    return describe_call(
        factory.name, settings | ({"inner": describe_factory(settings["inner"])} if "inner" in settings else {})
    )


def guard(
    inner: AggregationFactory, *, weighted: bool, name: str, settings: Mapping[str, Any], rule: Rule | None = None
) -> AggregationFactory:
    """Returns `inner` behind a look at every value; see `finite_only`.

    Args:
        inner: What aggregates.
        weighted: Whether the result takes weights.
        name: Of the function that returns the factory, and
        settings: its arguments.
        rule: What `inner` computes, as a function of the stack of finite values; None if that is not known.
    """
    if not weighted:
        return _FiniteOnly(inner, name, settings, rule)
    if not isinstance(inner, tff.aggregators.WeightedAggregationFactory):
        raise UsageError(
            f"weighted: expected an inner factory that takes weights, got {describe_factory(inner)}; pass it through "
            "tff.aggregators.as_weighted_aggregator first, or leave weighted out"
        )
    return _WeightedFiniteOnly(inner, name, {**settings, "weighted": True}, rule)


class _FiniteOnly(tff.aggregators.UnweightedAggregationFactory):
    selects = False

    def __init__(self, inner, name, settings, rule):
        self.inner = inner
        self.name = name
        self.settings = dict(settings)
        self.rule = rule

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        check_float_tensors(value_type)
        takes_weights = isinstance(self.inner, tff.aggregators.WeightedAggregationFactory)
        weight_type = [tff.TensorType(np.float32)] if takes_weights else []
        inner = self.inner.create(value_type, *weight_type)
        state_type = inner.initialize.type_signature.result

        @tff.federated_computation(state_type, tff.FederatedType(value_type, tff.CLIENTS))
        def next_fn(state, value):
            value, weight, kept = _look_at(value, tff.federated_value(1.0, tff.CLIENTS))
            output = inner.next(state, value, weight) if takes_weights else inner.next(state, value)
            return _with_exclusions(output, kept)

        return tff.templates.AggregationProcess(inner.initialize, next_fn)

    def with_weights(self) -> tff.aggregators.WeightedAggregationFactory:
        """Returns the same factory for weights of 0 and 1, by which someone else says who is left out."""
        takes_weights = isinstance(self.inner, tff.aggregators.WeightedAggregationFactory)
        inner = self.inner if takes_weights else tff.aggregators.as_weighted_aggregator(self.inner)
        return _WeightedFiniteOnly(inner, self.name, self.settings, self.rule)

    def __repr__(self) -> str:
        return _call_of(self)


class _WeightedFiniteOnly(tff.aggregators.WeightedAggregationFactory):
    selects = False

    def __init__(self, inner, name, settings, rule):
        self.inner = inner
        self.name = name
        self.settings = dict(settings)
        self.rule = rule

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        check_float_tensors(value_type)
        inner = self.inner.create(value_type, weight_type)
        state_type = inner.initialize.type_signature.result

        @tff.federated_computation(
            state_type, tff.FederatedType(value_type, tff.CLIENTS), tff.FederatedType(weight_type, tff.CLIENTS)
        )
        def next_fn(state, value, weight):
            value, weight, kept = _look_at(value, weight)
            return _with_exclusions(inner.next(state, value, weight), kept)

        return tff.templates.AggregationProcess(inner.initialize, next_fn)

    def __repr__(self) -> str:
        return _call_of(self)


def _look_at(value, weight):
    """Returns value and weight, both zero where one of them is not finite, and 1 or 0 for kept or left out."""
    value_type, weight_type = value.type_signature.member, weight.type_signature.member

    @tff.tensorflow.computation(value_type, weight_type)
    def look_at(value, weight):
        norm = tf.linalg.global_norm([tf.cast(v, tf.float32) for v in tf.nest.flatten(value)])
        weight_number = tf.cast(weight, tf.float32)
        kept = tf.math.is_finite(norm) & tf.math.is_finite(weight_number) & (weight_number > 0)
        value, weight = tf.nest.map_structure(lambda v: tf.where(kept, v, tf.zeros_like(v)), (value, weight))
        return value, weight, tf.cast(kept, tf.float32)[None]

    value, weight, kept = tff.federated_map(look_at, (value, weight))
    return value, weight, kept


def _with_exclusions(output, kept):
    """Adds to a process's measurements who was left out."""

    @tff.tensorflow.computation(tff.TensorType(np.float32, [None, 1]), output.measurements.type_signature.member)
    def measure(stack, measurements):
        return collections.OrderedDict(**measure_exclusions(stack[:, 0] > 0), inner=measurements)

    measurements = tff.federated_map(measure, (stack_in_cohort_order(kept, 1), output.measurements))
    return tff.templates.MeasuredProcessOutput(output.state, output.result, measurements)
