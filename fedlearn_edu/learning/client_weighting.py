"""Client weighting: whether a client counts by its number of examples or like every other."""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory, describe_factory

ClientWeighting = Literal["uniform", "num_examples"]
_WEIGHTINGS = ("uniform", "num_examples")


def check_client_weighting(value: ClientWeighting, *, only_uniform: str = "") -> ClientWeighting:
    """Returns `value` if it is a weighting; one of TFF's `ClientWeighting` as the name that is used here.

    Args:
        value: `"uniform"` or `"num_examples"`.
        only_uniform: Why an algorithm cannot weigh its clients; "" if it can.

    Example:
        >>> check_client_weighting("uniform"), check_client_weighting(tff.learning.ClientWeighting.NUM_EXAMPLES)
        ('uniform', 'num_examples')

    Raises:
        UsageError: It is none, or not `"uniform"` where it has to be.
    """
    name = value.name.lower() if isinstance(value, tff.learning.ClientWeighting) else value
    if name not in _WEIGHTINGS:
        raise UsageError(f"client_weighting: expected 'uniform' or 'num_examples', got {value!r}")
    if only_uniform and name != "uniform":
        raise UsageError(f"client_weighting: expected 'uniform', got {name!r}; {only_uniform}")
    return name


def weight_of(client_weighting: ClientWeighting, num_examples) -> tf.Tensor:
    """Returns how much a client counts that has trained on so many examples; float32 scalar."""
    return tf.cast(num_examples, tf.float32) if client_weighting == "num_examples" else tf.constant(1.0)


def aggregator_for(
    client_weighting: ClientWeighting,
    aggregator: AggregationFactory | None,
    *,
    name: str = "model_aggregator",
) -> AggregationFactory:
    """Returns the factory that averages with these weights.

    Args:
        client_weighting: How much clients count.
        aggregator: The caller's choice; default TFF's mean, `MeanFactory` or `UnweightedMeanFactory`. With
            `"uniform"` one that takes weights is given a 1 for each client.
        name: Of the argument, for the message.

    Raises:
        UsageError: Clients have weights, and the factory would drop them.
    """
    if client_weighting == "uniform":
        return aggregator or tff.aggregators.UnweightedMeanFactory()
    if aggregator is not None and not isinstance(aggregator, tff.aggregators.WeightedAggregationFactory):
        raise UsageError(
            f"{name}: expected one that takes weights, as client_weighting is 'num_examples', got "
            f"{describe_factory(aggregator)}, which counts every client alike; give client_weighting='uniform'"
        )
    return aggregator or tff.aggregators.MeanFactory()


def with_weights(factory: AggregationFactory) -> tff.aggregators.WeightedAggregationFactory:
    """Returns the factory as one with weights, of which 0 says that a client's update was not finite.

    Those of this package then leave the client out; TFF's own without weights count it as one that sent zeros.
    """
    if isinstance(factory, tff.aggregators.WeightedAggregationFactory):
        return factory
    if hasattr(factory, "with_weights"):
        return factory.with_weights()
    return tff.aggregators.as_weighted_aggregator(factory)


def create_aggregation(factory: AggregationFactory, update_type: tff.Type) -> tff.templates.AggregationProcess:
    """Returns the factory's process for updates of a type, with float32 weights if it takes any."""
    if isinstance(factory, tff.aggregators.WeightedAggregationFactory):
        return factory.create(update_type, tff.TensorType(np.float32))
    return factory.create(update_type)
