"""FedNCM: the head is made of the class means, from sums and counts per class."""

from __future__ import annotations

import numpy as np
import tensorflow_federated as tff

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.one_shot.aggregation import WideSumFactory
from fedlearn_edu.learning.one_shot.head import (
    ABSENT_SCORE,
    OneShotHead,
    build_one_shot_head,
    class_means,
    normalized,
    present_classes,
)


def one_shot_ncm(
    features: FederatedDataset,
    *,
    distance: str = "cosine",
    statistics_aggregator: tff.aggregators.UnweightedAggregationFactory | None = None,
) -> OneShotHead:
    """Nearest class mean (FedNCM): an example belongs to the class whose mean is nearest.

    Nothing is broadcast. Each client sends, per class, the sum of its feature vectors and their number. The server
    adds them up; sum / count is the mean over all clients' examples, exactly, whoever holds which example. It is a
    linear head: the class with the smallest angle to x has the largest `x . mean / |mean|`, the one at the smallest
    distance has the largest `x . mean - |mean|^2 / 2`.

    A class that no client has gets the bias -1e9 and is never predicted.

    Privacy: a client's message holds its label counts, and for a class of which it has one example that example's
    feature vector. Secure sums hide single clients' messages (TFF's local runtime only simulates them), not the total.
    For differential privacy feature norms have to be bounded, and noise added to the sums; none of that is done here.

    Args:
        features: What it will be computed from; only `feature_dim` and `num_classes` are read here.
        distance: `"cosine"` (the paper's) or `"euclidean"`.
        statistics_aggregator: A TFF factory that adds up or averages float32 tensors; default: a plain sum, kept in
            float64 on the server. E.g. `tff.aggregators.SecureSumFactory(bound)`, with a bound above every sum that
            one client sends: `run_one_shot` refuses what was clipped.

    Returns:
        A head for `run_one_shot`.

    Shapes:
        A client sends class_sums `[num_classes, feature_dim]` and class_counts `[num_classes]`, float32. kernel
        `[feature_dim, num_classes]`, bias `[num_classes]`.

    Raises:
        UsageError: `features` still holds images, or an argument is not one of those above.

    Example:
        >>> result = fl.run_one_shot(fl.one_shot_ncm(features), features)
        >>> result.accuracy > 0.6
        True

    References:
        Legate et al., Guiding the last layer in federated learning with pre-trained models, NeurIPS 2023,
        arXiv:2306.03937.
    """
    if distance not in ("cosine", "euclidean"):
        raise UsageError(f"distance: expected 'cosine' or 'euclidean', got {distance!r}")

    def solve(statistics):
        means = class_means(statistics)
        present = present_classes(statistics["class_counts"])
        if distance == "cosine":
            kernel, bias = normalized(means.T), np.zeros(len(means))
        else:
            kernel, bias = means.T, -(means**2).sum(axis=1) / 2
        return kernel, np.where(present, bias, ABSENT_SCORE), {}

    return build_one_shot_head(
        features,
        name="one_shot_ncm",
        settings={"distance": distance},
        gram=False,
        statistics_aggregator=statistics_aggregator or WideSumFactory(),
        solve=solve,
    )
