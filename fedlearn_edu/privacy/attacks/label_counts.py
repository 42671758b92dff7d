"""Label counts: how many examples of each class a client holds, read from the bias of its model delta."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.checks import check_count, check_learning_rate, check_not_negative
from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.attacks.received import check_features, check_labels, head_arrays, softmax
from fedlearn_edu.privacy.attacks.result import AttackResult

# Simpson's rule over the path from the initial to the trained head, both of which the server knows.
_PATH = ((0.0, 1 / 6), (0.5, 4 / 6), (1.0, 1 / 6))


def label_shares_from_delta(
    model_delta: Sequence[np.ndarray],
    *,
    client_lr: float,
    num_steps: int = 1,
    model_weights: Sequence[np.ndarray] | None = None,
    public_features: np.ndarray | None = None,
    public_labels: np.ndarray | None = None,
    noise_stddev: float = 0.0,
) -> np.ndarray:
    """Reads the share of each class among a client's examples from its model delta.

    The bias gradient of a softmax head is mean(belief - one-hot label), so that after `num_steps` SGD steps over
    whole passes `share = mean belief - bias_delta / (client_lr * num_steps)`. Only the mean belief (the head's
    probabilities for the client's examples while it trained) is unknown to the server:

    - One step from a head that believes the same of every example (all zero, or a kernel of equal columns, whatever
      its bias): the belief is known and the shares are exact. A server may send such a head on purpose.
    - Otherwise, with public examples: the belief for examples of each class is measured on them, along the straight
      path from the initial to the trained head (the server knows both ends), and the shares follow from a linear
      system. An estimate.
    - Several steps without public examples: the initial belief stands in for the mean one, which makes the client look
      less lopsided than it is. A coarse estimate.

    Args:
        model_delta: initial - trained, `[kernel, bias]`; clipped or noised deltas have the same form.
        client_lr: Learning rate of the client's SGD, above 0 (the server sets it).
        num_steps: Local SGD steps in all: epochs times batches in an epoch, at least 1.
        model_weights: The head the client started from, `[kernel, bias]`; None if it was all zero.
        public_features: Features of examples the server owns, float `[num_public, feature_dim]`.
        public_labels: Their classes, int `[num_public]`.
        noise_stddev: Standard deviation of Gaussian noise on each number of `model_delta`, at least 0, where it is
            public (as in differential privacy): what noise can explain is then not believed, and an estimate that is
            all noise becomes the uniform mix.

    Returns:
        Shares, at least 0, that add up to 1.

    Shapes:
        kernel `[feature_dim, num_classes]`, bias `[num_classes]` -> float64 `[num_classes]`.

    Raises:
        UsageError: An argument has the wrong shape or range, or the head's belief depends on the features and there
            are no public ones.

    Example:
        >>> delta = [np.zeros([5, 4]), 0.1 * (1 / 4 - np.array([0.5, 0.5, 0, 0]))]
        >>> label_shares_from_delta(delta, client_lr=0.1).round(6).tolist()
        [0.5, 0.5, 0.0, 0.0]

    References:
        Zhao, Mopuri, Bilen, iDLG: Improved deep leakage from gradients, 2020, arXiv:2001.02610 (one example).
        Wainakh et al., User-level label leakage from gradients in federated learning, PoPETs 2022, arXiv:2105.09369.
    """
    delta_kernel, delta_bias = head_arrays("model_delta", model_delta)
    step = check_learning_rate("client_lr", client_lr) * check_count("num_steps", num_steps)
    noise = check_not_negative("noise_stddev", noise_stddev) / step
    kernel, bias = initial_head(model_weights, delta_kernel)
    pull = -delta_bias / step  # mean over steps of (share - belief)
    constant = np.allclose(kernel, kernel[:, :1], rtol=0, atol=1e-12)
    if public_features is not None and not (constant and num_steps == 1):
        features = check_features("public_features", public_features, feature_dim=len(kernel))
        labels = check_labels("public_labels", public_labels, num_examples=len(features), num_classes=len(bias))
        path = _PATH if num_steps > 1 else ((0.0, 1.0),)
        belief = sum(
            part * _belief_by_class(kernel - t * delta_kernel, bias - t * delta_bias, features, labels)
            for t, part in path
        )
        # share = belief^T share + pull, and the shares add up to 1.
        system = np.vstack([np.eye(len(bias)) - belief.T, np.ones(len(bias))])
        inverse = np.linalg.pinv(system, rcond=1e-6)
        shares = inverse @ np.append(pull, 1.0)
        spread = noise * np.linalg.norm(inverse[:, :-1])
    elif constant or num_steps > 1:
        shares = softmax(bias) + pull
        spread = noise * np.sqrt(len(bias))
    else:
        raise UsageError(
            "public_features: expected examples of the server's own, got none; the kernel of model_weights is not "
            "zero, so what the head believes depends on the features"
        )
    return project_to_simplex(shrink_to_uniform(shares, spread))


def label_counts_from_delta(
    model_delta: Sequence[np.ndarray], *, client_lr: float, num_examples: int, **options
) -> np.ndarray:
    """Reads how many examples of each class a client holds from its model delta.

    Args:
        model_delta: initial - trained, `[kernel, bias]`.
        client_lr: Learning rate of the client's SGD.
        num_examples: How many the client trained on, at least 1; a server that averages by `client_weight` is told.
        **options: `num_steps`, `model_weights`, `public_features`, `public_labels` and `noise_stddev`, as
            `label_shares_from_delta` takes them.

    Returns:
        Whole numbers that add up to `num_examples`: the shares, rounded by largest remainder.

    Shapes:
        -> int64 `[num_classes]`.

    Raises:
        UsageError: As `label_shares_from_delta`, or `num_examples` is no whole number of at least 1.

    Example:
        >>> delta = [np.zeros([5, 4]), 0.1 * (1 / 4 - np.array([0.5, 0.25, 0.25, 0]))]
        >>> label_counts_from_delta(delta, client_lr=0.1, num_examples=8).tolist()
        [4, 2, 2, 0]
    """
    num_examples = check_count("num_examples", num_examples)
    exact = label_shares_from_delta(model_delta, client_lr=client_lr, **options) * num_examples
    counts = np.floor(exact + 1e-9).astype(np.int64)
    missing = num_examples - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def score_label_counts(estimated: np.ndarray, true_counts: np.ndarray) -> AttackResult:
    """Compares an estimated mix of classes with the client's true one.

    Args:
        estimated: Counts or shares, at least 0, `[num_classes]`.
        true_counts: What the client really holds, `[num_classes]`; the server does not know it.

    Returns:
        Success is the share of examples attributed to the right class (1 - total variation distance); the baseline is
        that of guessing the uniform mix. Details: `classes_found` and `classes_invented` (shares of the classes held
        and not held that the estimate says are held, an entry below half an example or 1 % counting as none),
        `largest_class_found` (1 or 0), and the arrays `estimated_shares` and `true_shares`.

    Raises:
        UsageError: The arrays differ in shape, or hold negative numbers, or add up to 0.

    Example:
        >>> score_label_counts(np.array([4, 0, 4, 0]), np.array([4, 4, 0, 0])).success
        0.5
    """
    estimated, true_counts = np.asarray(estimated, np.float64), np.asarray(true_counts, np.float64)
    if estimated.ndim != 1 or estimated.shape != true_counts.shape:
        raise UsageError(
            f"estimated, true_counts: expected two arrays [num_classes], got {estimated.shape} and {true_counts.shape}"
        )
    for name, counts in [("estimated", estimated), ("true_counts", true_counts)]:
        if not (np.isfinite(counts).all() and counts.min() >= 0 and counts.sum() > 0):
            raise UsageError(f"{name}: expected numbers of at least 0 that are not all 0, got {counts.tolist()}")
    guess, truth = estimated / estimated.sum(), true_counts / true_counts.sum()
    said, held = guess > max(0.01, 0.5 / true_counts.sum()) - 1e-9, truth > 0
    return AttackResult(
        attack="label counts",
        success=1 - np.abs(guess - truth).sum() / 2,
        baseline=1 - np.abs(1 / len(truth) - truth).sum() / 2,
        metric="share of examples attributed correctly",
        details={
            "classes_found": float(said[held].mean()),
            "classes_invented": float(said[~held].mean()) if not held.all() else 0.0,
            "largest_class_found": float(guess.argmax() == truth.argmax()),
            "estimated_shares": guess,
            "true_shares": truth,
        },
    )


def shrink_to_uniform(shares: np.ndarray, spread: float) -> np.ndarray:
    """Pulls noisy shares towards the uniform mix, the more the less they stand out of the noise.

    Positive-part shrinkage as James and Stein's, but cautious: what lies within twice the noise's usual length is not
    believed at all, so that pure noise becomes the uniform mix.

    Args:
        shares: An estimate, `[num_classes]`.
        spread: Root of the expected squared length of the noise in it; 0 leaves it alone.
    """
    deviation = shares - 1 / len(shares)
    length = np.linalg.norm(deviation)
    kept = 1.0 if spread == 0 else max(0.0, 1 - (2 * spread / max(length, 1e-300)) ** 2)
    return 1 / len(shares) + kept * deviation


def project_to_simplex(shares: np.ndarray) -> np.ndarray:
    """Returns the nearest shares that are at least 0 and add up to 1 (Euclidean projection).

    Example:
        >>> project_to_simplex(np.array([0.75, 0.75, -0.5])).tolist()
        [0.5, 0.5, 0.0]
    """
    descending = np.sort(shares)[::-1]
    excess = (np.cumsum(descending) - 1) / np.arange(1, len(shares) + 1)
    return np.maximum(shares - excess[np.flatnonzero(descending > excess)[-1]], 0)


def initial_head(model_weights: Sequence[np.ndarray] | None, delta_kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias of the head that a client started from: the one given, or zeros."""
    if model_weights is None:
        return np.zeros_like(delta_kernel), np.zeros(delta_kernel.shape[1])
    kernel, bias = head_arrays("model_weights", model_weights)
    if kernel.shape != delta_kernel.shape:
        raise UsageError(f"model_weights: expected a kernel of shape {delta_kernel.shape}, got {kernel.shape}")
    return kernel, bias


def _belief_by_class(kernel, bias, features, labels):
    """What a head believes of public examples: row c is the mean probabilities of those of class c."""
    belief = softmax(features @ kernel + bias)
    means = np.tile(belief.mean(axis=0), [len(bias), 1])  # for classes that the server has no example of
    for label in np.unique(labels):
        means[label] = belief[labels == label].mean(axis=0)
    return means
