"""OneShotHead: a round that gathers statistics, and the closed form that the server makes a head of."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.models import linear_head
from fedlearn_edu.learning.one_shot.statistics import local_statistics_computation

# A class with less than this share of the examples is taken as absent: noise of a secure sum, not an example.
_ABSENT_SHARE = 1e-6
# Finite, so that losses and exports stay numbers; below any score that features of a sane size can reach.
ABSENT_SCORE = -1e9


@dataclasses.dataclass(frozen=True)
class OneShotHead:
    """What `run_one_shot` runs: one round without a model to broadcast, then arithmetic on the server.

    Attributes:
        name: Name of the method, e.g. `"one_shot_ridge"`.
        settings: How it was built, fit for JSON.
        model: The functional model of the head, that of `linear_head(features)`.
        process: A `tff.templates.IterativeProcess`; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> ->
            <state@SERVER, <statistics, measurements>@SERVER>)`.
        solve: From the statistics (a dict of float64 arrays, see `run_one_shot`) to `(kernel, bias, notes)`; `notes` is
            a dict of what was chosen on the way. It needs no client, so that other settings can be tried on the
            statistics of a round that has been run.
        compiled: What all runs of it have in common; see `process.compile_once`.
        get_model_weights: Takes `tff.learning.models.ModelWeights` and returns them; evaluation reads its type.
    """

    name: str
    settings: Mapping[str, Any]
    model: tff.learning.models.FunctionalModel
    process: tff.templates.IterativeProcess
    solve: Callable[[Mapping[str, np.ndarray]], tuple[np.ndarray, np.ndarray, dict[str, Any]]]
    compiled: dict[Hashable, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def get_model_weights(self) -> tff.Computation:
        trainable, _ = self.model.initial_weights
        specs = [tf.TensorSpec(w.shape, w.dtype) for w in trainable]
        weights_type = tff.types.tensorflow_to_type(tff.learning.models.ModelWeights(tuple(specs), ()))
        return tff.tensorflow.computation(lambda weights: weights, weights_type)


def build_one_shot_head(
    features: FederatedDataset,
    *,
    name: str,
    settings: Mapping[str, Any],
    gram: bool,
    statistics_aggregator: tff.aggregators.UnweightedAggregationFactory,
    solve: Callable,
) -> OneShotHead:
    """Composes the round: each client computes its statistics, the aggregator brings them to the server.

    Args:
        features: Only `feature_dim` and `num_classes` are read.
        name, settings, solve: As in `OneShotHead`.
        gram: Whether clients send `X'X` as well.
        statistics_aggregator: Brings the clients' statistics to the server.

    Raises:
        UsageError: `features` still holds images or are of a task without classes, or `statistics_aggregator` is no
            unweighted factory.
    """
    features.task.require("classification", what=name)
    if not isinstance(statistics_aggregator, tff.aggregators.UnweightedAggregationFactory):
        raise UsageError(
            "statistics_aggregator: expected an unweighted TFF factory, e.g. tff.aggregators.SumFactory(), "
            f"got {statistics_aggregator!r}"
        )
    logging.getLogger("tensorflow").addFilter(_is_news)
    local_statistics = local_statistics_computation(
        feature_dim=features.feature_dim, num_classes=features.num_classes, gram=gram
    )
    aggregation = statistics_aggregator.create(local_statistics.type_signature.result)
    client_type = tff.FederatedType(local_statistics.type_signature.parameter, tff.CLIENTS)

    @tff.federated_computation(aggregation.initialize.type_signature.result, client_type)
    def next_fn(state, batches):
        output = aggregation.next(state, tff.federated_map(local_statistics, batches))
        return output.state, tff.federated_zip((output.result, output.measurements))

    return OneShotHead(
        name=name,
        settings={**settings, "statistics_aggregator": type(statistics_aggregator).__name__},
        model=linear_head(features),
        process=tff.templates.IterativeProcess(aggregation.initialize, next_fn),
        solve=solve,
    )


def present_classes(class_counts: np.ndarray) -> np.ndarray:
    """Returns which classes some client has examples of, as bool `[num_classes]`.

    Raises:
        UsageError: None has.
    """
    total = class_counts.sum()
    present = class_counts > _ABSENT_SHARE * total
    if not (total > 0 and present.any()):
        raise UsageError("statistics: expected at least one example, got none; is the aggregator's noise too large?")
    return present


def class_means(statistics: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the mean feature vector of each class, float64 `[num_classes, feature_dim]`; zero for an absent class."""
    counts = statistics["class_counts"]
    present = present_classes(counts)
    return statistics["class_sums"] * np.where(present, 1 / np.where(present, counts, 1), 0)[:, None]


def normalized(kernel: np.ndarray) -> np.ndarray:
    """Returns the kernel `[feature_dim, num_classes]` with columns of length 1; columns of zeros stay."""
    length = np.linalg.norm(kernel, axis=0)
    return kernel / np.where(length > 0, length, 1)


def _is_news(record: logging.LogRecord) -> bool:
    """Drops what TensorFlow logs about TFF's own assertions each time that a secure sum is built."""
    return "Object was never used" not in record.getMessage()
