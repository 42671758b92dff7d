"""Fed3R: ridge regression from sums; equal to the central solution however the examples are spread over clients."""

from __future__ import annotations

import math

import numpy as np
import tensorflow_federated as tff

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.one_shot.aggregation import WideSumFactory
from fedlearn_edu.learning.one_shot.head import OneShotHead, build_one_shot_head, present_classes
from fedlearn_edu.learning.one_shot.statistics import unpack_symmetric

# What the server chooses from; below, rounding of the messages would show (see `one_shot_ridge`).
RIDGES = tuple(float(r) for r in np.round(10.0 ** np.arange(-3, 2.01, 0.25), 6))
# Eigenvalues below this share of the largest count as zero.
_SINGULAR = 1e-10


def one_shot_ridge(
    features: FederatedDataset,
    *,
    ridge: float | None = None,
    statistics_aggregator: tff.aggregators.UnweightedAggregationFactory | None = None,
) -> OneShotHead:
    """Ridge regression onto one-hot labels (Fed3R): one round, and the same head as on pooled data.

    Nothing is broadcast. Each client sends the sums of x x' (the Gram matrix X'X), of x per class (X'Y), and of
    examples per class, over its examples. Sums of sums are sums over all examples, so that the server solves exactly
    the central problem, however unlike the clients are: the kernel W and the bias b that minimise

        mean |y - W' x - b|^2  +  ridge * v * |W|^2,        v = average variance of a feature.

    That is `sklearn.linear_model.Ridge(alpha=ridge * num_examples * v)`: features are neither centred nor scaled by
    the clients, the bias is not penalised, and in units of v the same ridge fits features of any scale. (The authors'
    code appends a constant 1 to the features and penalises its weight like the others.) Scores of an example add up
    to 1 over the classes; a class that no client has gets the score 0 and so is never the largest.

    Without `ridge`, the server chooses it by generalised cross-validation: the prediction error on left-out examples
    can be estimated from the same sums, without a further round and without any validation data.

    Precision: clients add up in float64 and send float32; the server adds up and solves in float64. On 1,280 features
    the scores then differ from those of a central float64 solution by less than 4e-5 from `ridge=1e-3` upwards; with
    `tff.aggregators.SumFactory()`, which adds in float32, by 1e-4 at 1e-3 and 2e-5 at 1e-2.

    Bytes: X'X is symmetric, so that a client sends one half of it: 3.3 MB in place of 6.6 MB for 1,280 features.

    Privacy: a client of one example sends its feature vector, and the Gram matrix of a few examples gives them away up
    to a rotation. Secure sums hide single clients' messages (TFF's local runtime only simulates them), not the total.
    For differential privacy feature norms have to be bounded, and noise added to the sums; none of that is done here.

    Args:
        features: What it will be computed from; only `feature_dim` and `num_classes` are read here.
        ridge: Strength of the penalty, at least 0; None: chosen from 1e-3 to 100.
        statistics_aggregator: A TFF factory that adds up or averages float32 tensors; default: a plain sum, kept in
            float64 on the server. E.g. `tff.aggregators.SecureSumFactory(bound)`, with a bound above every sum that
            one client sends: `run_one_shot` refuses what was clipped.

    Returns:
        A head for `run_one_shot`; its `notes` have `ridge`, `alpha` (scikit-learn's) and `effective_parameters`
        (per class, from 1 to feature_dim + 1).

    Shapes:
        A client sends gram `[feature_dim, feature_dim // 2 + 1]`, class_sums `[num_classes, feature_dim]` and
        class_counts `[num_classes]`, float32. kernel `[feature_dim, num_classes]`, bias `[num_classes]`.

    Raises:
        UsageError: `features` still holds images, `ridge` is negative, or (while solving) it is 0 and the features'
            covariance is singular, as with fewer examples than features.

    Example:
        >>> result = fl.run_one_shot(fl.one_shot_ridge(features), features)
        >>> result.accuracy > 0.6
        True

    References:
        Fani et al., Accelerating heterogeneous federated learning with closed-form classifiers, ICML 2024,
        arXiv:2406.01116. Golub, Heath and Wahba, Generalized cross-validation as a method for choosing a good ridge
        parameter, Technometrics 21, 1979.
    """
    ridge = _check_ridge(ridge)

    def solve(statistics):
        return solve_ridge(statistics, ridge)

    return build_one_shot_head(
        features,
        name="one_shot_ridge",
        settings={"ridge": ridge},
        gram=True,
        statistics_aggregator=statistics_aggregator or WideSumFactory(),
        solve=solve,
    )


def solve_ridge(statistics, ridge: float | None) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Returns kernel, bias and what was chosen; `one_shot_ridge` says of which problem.

    Raises:
        UsageError: `ridge` is 0 and the covariance is singular, or all features are constant.
    """
    counts = statistics["class_counts"]
    present_classes(counts)
    num_examples = counts.sum()
    shares = counts / num_examples
    mean = statistics["class_sums"].sum(axis=0) / num_examples
    covariance = unpack_symmetric(statistics["gram"]) / num_examples - np.outer(mean, mean)
    with_labels = statistics["class_sums"].T / num_examples - np.outer(mean, shares)
    variance = np.trace(covariance) / len(mean)
    # The subtraction above leaves the rounding of the sums where the variance is zero.
    if not variance > 1e-7 * np.mean(mean**2):
        raise UsageError(
            "features: expected examples that differ, got the same features for all; nothing to learn from"
        )

    eigenvalues, basis = np.linalg.eigh(covariance / variance)
    eigenvalues = np.maximum(eigenvalues, 0)  # noise of a private sum may push them below
    projected = basis.T @ with_labels / math.sqrt(variance)
    if ridge is None:
        label_variance = float(np.sum(shares * (1 - shares)))
        errors = [_left_out_error(eigenvalues, projected, label_variance, num_examples, r) for r in RIDGES]
        ridge = RIDGES[int(np.argmin(errors))]
    rank = int(np.sum(eigenvalues > _SINGULAR * eigenvalues[-1]))
    if ridge == 0 and rank < len(mean):
        raise UsageError(
            f"ridge: expected a number above 0, got 0: the covariance of {len(mean):,} features over "
            f"{round(num_examples):,} examples is singular (rank {rank:,}: too few examples, or features that are "
            "constant or depend on others); leave ridge out (chosen by the server) or try 0.01"
        )
    kernel = basis @ (projected / (eigenvalues + ridge)[:, None]) / math.sqrt(variance)
    notes = {
        "ridge": ridge,
        "alpha": float(ridge * num_examples * variance),
        "effective_parameters": _effective_parameters(eigenvalues, ridge),
    }
    return kernel, shares - mean @ kernel, notes


def _left_out_error(eigenvalues, projected, label_variance, num_examples, ridge) -> float:
    """Returns the generalised cross-validation estimate of the mean squared error on examples left out."""
    shrunk = eigenvalues + ridge
    explained = np.sum((projected**2).sum(axis=1) * (2 / shrunk - eigenvalues / shrunk**2))
    free = 1 - _effective_parameters(eigenvalues, ridge) / num_examples
    return (label_variance - explained) / free**2 if free > 0 else math.inf


def _effective_parameters(eigenvalues, ridge) -> float:
    return float(1 + np.sum(eigenvalues / (eigenvalues + ridge)))


def _check_ridge(ridge: float | None) -> float | None:
    if ridge is None:
        return None
    number = isinstance(ridge, int | float | np.integer | np.floating) and not isinstance(ridge, bool)
    if not number or not math.isfinite(ridge) or ridge < 0:
        raise UsageError(f"ridge: expected a finite number of at least 0 (try 0.01) or None, got {ridge!r}")
    return float(ridge)
