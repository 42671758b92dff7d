"""Label matching: the mix of public gradients that explains a whole model delta, for clipped and noised deltas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.checks import check_not_negative
from fedlearn_edu.errors import RunError
from fedlearn_edu.privacy.attacks.label_counts import initial_head, shrink_to_uniform
from fedlearn_edu.privacy.attacks.received import check_features, check_labels, head_arrays, softmax


def label_shares_by_matching(
    model_delta: Sequence[np.ndarray],
    *,
    public_features: np.ndarray,
    public_labels: np.ndarray,
    model_weights: Sequence[np.ndarray] | None = None,
    noise_stddev: float = 0.0,
) -> np.ndarray:
    """Estimates the share of each class from the whole delta, kernel and bias, with public examples.

    The server computes the gradient of each class on examples of its own and asks which mix of them, no class
    negative, comes nearest to the delta (non-negative least squares). `label_shares_from_delta` is more exact where it
    applies, but it reads only the bias, `num_classes` numbers among thousands, and has to know the delta's scale. This
    attack uses every number, so that much more noise is needed against it, and it works for a delta that was clipped
    to an unknown part of its length, or made with an unknown learning rate.

    Args:
        model_delta: initial - trained, `[kernel, bias]`, of one step or (coarser) of several.
        public_features: Features of examples the server owns, float `[num_public, feature_dim]`.
        public_labels: Their classes, int `[num_public]`; at least one of each class.
        model_weights: The head the client started from, `[kernel, bias]`; None if it was all zero.
        noise_stddev: Standard deviation of Gaussian noise on each number of `model_delta`, at least 0: an estimate that
            is all noise becomes the uniform mix.

    Returns:
        Shares, at least 0, that add up to 1.

    Shapes:
        kernel `[feature_dim, num_classes]`, bias `[num_classes]` -> float64 `[num_classes]`.

    Raises:
        UsageError: An argument has the wrong shape or range.
        RunError: No mix of public gradients resembles the delta, or the server has no example of some class.

    References:
        Geng et al., Towards general deep leakage in federated learning, 2021, arXiv:2110.09074, and Wainakh et al.,
        User-level label leakage from gradients in federated learning, PoPETs 2022, arXiv:2105.09369; both read labels
        with the help of auxiliary data, too.
    """
    import scipy.optimize

    delta_kernel, delta_bias = head_arrays("model_delta", model_delta)
    kernel, bias = initial_head(model_weights, delta_kernel)
    noise = check_not_negative("noise_stddev", noise_stddev)
    features = check_features("public_features", public_features, feature_dim=len(kernel))
    labels = check_labels("public_labels", public_labels, num_examples=len(features), num_classes=len(bias))
    if len(np.unique(labels)) < len(bias):
        raise RunError(
            f"public_labels: expected examples of all {len(bias)} classes, got {len(np.unique(labels))} classes"
        )
    gradients = class_gradients(kernel, bias, features, labels)
    received = np.append(delta_kernel.ravel(), delta_bias)
    mix, _ = scipy.optimize.nnls(gradients, received)
    if not mix.sum() > 0:
        raise RunError("model_delta: no mix of public gradients resembles it; is it initial - trained?")
    inverse = np.linalg.pinv(gradients)
    inverse -= inverse.mean(axis=0)  # only differences between classes count
    return shrink_to_uniform(mix / mix.sum(), noise * np.linalg.norm(inverse) / mix.sum())


def class_gradients(kernel: np.ndarray, bias: np.ndarray, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean cross-entropy gradient of the examples of each class, one column a class.

    Shapes:
        -> `[feature_dim * num_classes + num_classes, num_classes]`; kernel entries first.
    """
    error = softmax(features @ kernel + bias) - np.eye(len(bias))[labels]
    columns = []
    for label in range(len(bias)):
        rows = labels == label
        columns.append(np.append(features[rows].T @ error[rows], error[rows].sum(axis=0)[None]) / rows.sum())
    return np.stack(columns, axis=1)
