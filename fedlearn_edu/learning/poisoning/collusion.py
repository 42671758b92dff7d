"""Where attackers that know all values act: on the stack of values, before the server's rule sees it."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory, describe_factory
from fedlearn_edu.learning.aggregators.stacked import aggregate_stacked, check_float_tensors, mean_of
from fedlearn_edu.learning.poisoning.update_attacks import ColludingAttack


class ColludingFactory(tff.aggregators.WeightedAggregationFactory):
    """Replaces what colluding attackers send, then computes what an aggregator computes.

    A client cannot know the others' values of the same round: in TFF's map-reduce form each client computes alone. So
    the values are collected as for `StackedFactory`, the attackers' rows are replaced there, and what the aggregator
    computes of all values is applied to the result. A client's value is `<attack=int32, delta=...>`.

    Args:
        factory: An aggregator that is known as a function of all values: one of this package, or None for the mean.
        attacks: Mark of the attackers -> their attack; a mark of 0 is an honest client.

    Raises:
        UsageError: The aggregator is none of these.
    """

    def __init__(self, factory: AggregationFactory | None, attacks: dict[int, ColludingAttack]):
        rule = mean_of if factory is None else getattr(factory, "rule", None)
        if rule is None:
            raise UsageError(
                "model_aggregator: expected the plain mean or one aggregator of this package, since colluding "
                f"attackers must be simulated where all values meet, got {describe_factory(factory)}; take it without "
                "inner, or an attack that acts on the client such as SignFlip"
            )
        self._rule = rule
        self._selects = getattr(factory, "selects", False)
        self._attacks = attacks

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        check_float_tensors(value_type.delta)
        to_float = tff.tensorflow.computation(lambda mark: tf.cast(mark, tf.float32), value_type.attack)

        @tff.federated_computation
        def initialize():
            return tff.federated_value((), tff.SERVER)

        @tff.federated_computation(
            initialize.type_signature.result,
            tff.FederatedType(value_type, tff.CLIENTS),
            tff.FederatedType(weight_type, tff.CLIENTS),
        )
        def next_fn(state, value, weight):
            result, measurements = aggregate_stacked(
                value.delta,
                weight,
                self._rule,
                selects=self._selects,
                mark=tff.federated_map(to_float, value.attack),
                rewrite=self._rewrite,
            )
            return tff.templates.MeasuredProcessOutput(state, result, measurements)

        return tff.templates.AggregationProcess(initialize, next_fn)

    def _rewrite(self, values, marks):
        # tf.equal: inside TFF's graphs `==` compares tensors as Python objects.
        honest = tf.equal(marks, 0) & tf.math.is_finite(tf.reduce_sum(values**2, axis=1))
        honest_values = tf.boolean_mask(values, honest)
        for code, attack in self._attacks.items():
            attackers = tf.equal(marks, float(code))
            sent = attack.poison_together(honest_values, tf.boolean_mask(values, attackers))
            values = tf.tensor_scatter_nd_update(values, tf.where(attackers), sent)
        return values
