"""How clients' statistics reach the server: added up in float64, or side by side."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff


class WideSumFactory(tff.aggregators.UnweightedAggregationFactory):
    """Adds up what the clients send, with float64 on the server whatever they send.

    As `tff.aggregators.SumFactory`, which adds in the type of the messages: there the rounding of each addition grows
    with the sum, and a matrix that is to be inverted does not forgive it.
    """

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        total_type = _map_tensors(lambda t: tff.TensorType(np.float64, t.shape), value_type)

        @tff.tensorflow.computation
        def zero():
            return _map_tensors(lambda t: tf.zeros(t.shape, tf.float64), value_type)

        @tff.tensorflow.computation(total_type, value_type)
        def accumulate(total, value):
            return tf.nest.map_structure(lambda t, v: t + tf.cast(v, tf.float64), total, value)

        @tff.tensorflow.computation(total_type, total_type)
        def merge(total, other):
            return tf.nest.map_structure(tf.add, total, other)

        return _stateless(value_type, zero, accumulate, merge, total_type)


class StackFactory(tff.aggregators.UnweightedAggregationFactory):
    """Hands the server every client's message, stacked along a new first axis, without ids and in any order.

    Nothing is hidden here: no secure sum can do this, since its point is that single messages stay unseen.
    """

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        stack_type = _map_tensors(lambda t: tff.TensorType(t.dtype, [None, *t.shape]), value_type)

        @tff.tensorflow.computation
        def zero():
            return _map_tensors(lambda t: tf.zeros([0, *t.shape], t.dtype), value_type)

        @tff.tensorflow.computation(stack_type, value_type)
        def accumulate(stack, value):
            return tf.nest.map_structure(lambda s, v: tf.concat([s, v[tf.newaxis]], axis=0), stack, value)

        @tff.tensorflow.computation(stack_type, stack_type)
        def merge(stack, other):
            return tf.nest.map_structure(lambda s, o: tf.concat([s, o], axis=0), stack, other)

        return _stateless(value_type, zero, accumulate, merge, stack_type)


def _map_tensors(fn, type_spec: tff.Type):
    """Applies `fn` to each tensor type of a (nested) structure with names, as an OrderedDict of results."""
    if isinstance(type_spec, tff.TensorType):
        return fn(type_spec)
    return type_spec.python_container(
        (name, _map_tensors(fn, member)) for name, member in tff.structure.iter_elements(type_spec)
    )


def _stateless(value_type, zero, accumulate, merge, result_type) -> tff.templates.AggregationProcess:
    @tff.tensorflow.computation(result_type)
    def report(total):
        return total

    @tff.federated_computation
    def initialize():
        return tff.federated_value((), tff.SERVER)

    @tff.federated_computation(initialize.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS))
    def next_fn(state, value):
        result = tff.federated_aggregate(value, zero(), accumulate, merge, report)
        return tff.templates.MeasuredProcessOutput(state, result, tff.federated_value((), tff.SERVER))

    return tff.templates.AggregationProcess(initialize, next_fn)
