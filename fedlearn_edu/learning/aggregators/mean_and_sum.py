"""Averages one part of what clients send and sums up another, for algorithms whose server needs both."""

from __future__ import annotations

import collections

import tensorflow_federated as tff


class MeanAndSumFactory(tff.aggregators.UnweightedAggregationFactory):
    """Aggregates `<mean=A, sum=B>` part by part.

    Args:
        mean_factory: Averages the first part; default `UnweightedMeanFactory`. The second is summed by `SumFactory`.
    """

    def __init__(self, mean_factory: tff.aggregators.UnweightedAggregationFactory | None = None):
        self._mean = mean_factory or tff.aggregators.UnweightedMeanFactory()

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        mean = self._mean.create(value_type["mean"])
        total = tff.aggregators.SumFactory().create(value_type["sum"])

        @tff.federated_computation
        def initialize():
            return tff.federated_zip((mean.initialize(), total.initialize()))

        @tff.federated_computation(initialize.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS))
        def next_fn(state, value):
            averaged = mean.next(state[0], value["mean"])
            summed = total.next(state[1], value["sum"])
            result = collections.OrderedDict(mean=averaged.result, sum=summed.result)
            return tff.templates.MeasuredProcessOutput(
                tff.federated_zip((averaged.state, summed.state)), tff.federated_zip(result), averaged.measurements
            )

        return tff.templates.AggregationProcess(initialize, next_fn)
