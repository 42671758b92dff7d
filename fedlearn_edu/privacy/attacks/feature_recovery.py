"""Feature recovery: feature vectors from a linear head's model delta, and the public image that looks like one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.checks import check_count, check_learning_rate, check_seed
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.privacy.attacks.received import check_features, head_arrays, softmax
from fedlearn_edu.privacy.attacks.result import AttackResult


def feature_from_delta(model_delta: Sequence[np.ndarray], *, label: int | None = None) -> np.ndarray:
    """Reads a feature vector from a linear head's delta: kernel columns divided by bias entries.

    For one example x the kernel's gradient is the outer product of x with (belief - one-hot label), and the bias'
    gradient is that second factor alone: every column of the kernel divided by its bias entry is x. It does not
    matter where the head started, what the learning rate was, or how often the client stepped on its one example: each
    step adds another multiple of the same x. Scaling (clipping) cancels, too. Nor does the task matter: a head for yes
    or no, or for a number, has one column and gives its example away as well.

    Of a larger batch comes a mixture: the mean of the examples, weighted by how wrong the head was about each of them.

    Args:
        model_delta: initial - trained, `[kernel, bias]`.
        label: Column to use, in `[0, num_classes)`; None takes the least-squares answer of all columns, which is the
            same for one example and the least noisy otherwise.

    Returns:
        The feature vector, or a mixture of several.

    Shapes:
        kernel `[feature_dim, num_classes]`, bias `[num_classes]` -> float64 `[feature_dim]`.

    Raises:
        UsageError: Wrong shapes or numbers, or no such column.
        RunError: The bias did not move, so there is nothing to divide by.

    Example:
        >>> x, error = np.array([3.0, 1.0, 4.0]), np.array([0.2, -0.7, 0.5])
        >>> feature_from_delta([np.outer(x, error), error]).round(6).tolist()
        [3.0, 1.0, 4.0]

    References:
        Zhu et al., Deep leakage from gradients, NeurIPS 2019, arXiv:1906.08935; Geiping et al., Inverting gradients,
        NeurIPS 2020, arXiv:2003.14053, proposition 3.1 (a fully connected layer gives its input away). From heads:
        Maui: Reconstructing private client data in federated transfer learning, 2025, arXiv:2509.11451.
    """
    kernel, bias = head_arrays("model_delta", model_delta, least=1)
    if label is not None:
        if not 0 <= check_count("label", label, least=0) < len(bias):
            raise UsageError(f"label: expected a class in [0, {len(bias)}), got {label}")
        kernel, bias = kernel[:, [label]], bias[[label]]
    if not bias @ bias > 0:
        raise RunError("model_delta: the bias did not move, so that no feature can be read; was the client trained?")
    return kernel @ bias / (bias @ bias)


def class_means_from_delta(
    model_delta: Sequence[np.ndarray],
    *,
    client_lr: float,
    initial_bias: np.ndarray | None = None,
    mean_feature: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a client's mean feature of each class from one full-batch step of a head whose kernel was zero.

    Such a head believes the same p of every example, so that column c of the kernel's delta is client_lr * (p_c * mean
    of all features - share_c * mean feature of class c), and the bias says share_c. Where the client holds *one*
    example of a class, its feature vector is recovered exactly, whatever else is in the batch.

    The mean of all features is read from the columns of classes that the client does not hold. If it holds all of
    them, the columns do not determine it, and `mean_feature` (of public examples) has to stand in: an estimate.

    Args:
        model_delta: initial - trained after one full-batch step, `[kernel, bias]`.
        client_lr: Learning rate of that step.
        initial_bias: Bias of the head that was sent, `[num_classes]`; None for zero.
        mean_feature: Mean of public features, `[feature_dim]`; used only if the client holds every class.

    Returns:
        `(shares, means)`: share of each class, and mean feature of each class; NaN rows for classes not held.

    Shapes:
        -> float64 `[num_classes]`, float64 `[num_classes, feature_dim]`.

    Raises:
        UsageError: Wrong shapes or numbers.
        RunError: The client holds every class and there is no `mean_feature`.

    References:
        Maui: Reconstructing private client data in federated transfer learning, 2025, arXiv:2509.11451 (recovers
        features of batches from heads of several layers; the closed form for one zero kernel is ours).
    """
    kernel, bias = head_arrays("model_delta", model_delta)
    check_learning_rate("client_lr", client_lr)
    start = np.zeros_like(bias) if initial_bias is None else np.asarray(initial_bias, np.float64)
    if start.shape != bias.shape:
        raise UsageError(f"initial_bias: expected shape {bias.shape}, got {start.shape}")
    belief = softmax(start)
    shares = belief - bias / client_lr
    held = shares > 1e-5  # float32 deltas are exact to about 1e-6
    shares = np.where(held, shares, 0.0)
    if not held.all():
        overall = kernel[:, ~held].sum(axis=1) / (client_lr * belief[~held].sum())
    elif mean_feature is not None:
        overall = check_features("mean_feature", np.asarray(mean_feature)[None], feature_dim=len(kernel))[0]
    else:
        raise RunError("mean_feature: this client holds every class; give the mean of public features to estimate from")
    means = np.full(kernel.T.shape, np.nan)
    means[held] = ((belief * overall[:, None] - kernel / client_lr)[:, held] / shares[held]).T
    return shares, means


def score_features(
    recovered: np.ndarray, true_features: np.ndarray, public_features: np.ndarray, *, seed: int = 0
) -> AttackResult:
    """Says how close a recovered vector is to the nearest of the client's feature vectors.

    Args:
        recovered: `[feature_dim]`.
        true_features: Those of the client's examples, `[num_examples, feature_dim]`.
        public_features: Where a guess is drawn from, and whose mean is the centre, `[num_public, feature_dim]`.
        seed: Of up to 200 guesses.

    Returns:
        Success is the cosine similarity, after subtraction of the public mean, with the nearest true vector (1 = exact
        direction); the baseline is the mean over public vectors drawn at random. Details: `nearest` (row of the true
        vector), `relative_error` (distance divided by the true vector's length; 0 = exact).

    Raises:
        UsageError: Wrong shapes or numbers.
    """
    recovered = check_features("recovered", np.asarray(recovered)[None])
    dim = recovered.shape[1]
    true_features = check_features("true_features", true_features, feature_dim=dim)
    public_features = check_features("public_features", public_features, feature_dim=dim)
    centre = public_features.mean(axis=0)
    rows = np.random.default_rng(check_seed(seed)).permutation(len(public_features))[:200]
    similarity = _cosine(recovered - centre, true_features - centre)[0]
    guesses = _cosine(public_features[rows] - centre, true_features - centre).max(axis=1)
    nearest = int(similarity.argmax())
    error = np.linalg.norm(recovered[0] - true_features[nearest]) / np.linalg.norm(true_features[nearest])
    return AttackResult(
        attack="feature recovery",
        success=similarity[nearest],
        baseline=guesses.mean(),
        metric="cosine similarity of features",
        details={"relative_error": float(error), "nearest": nearest, "batch_size": len(true_features)},
    )


def nearest_public_image(feature: np.ndarray, public_features: np.ndarray, *, num_images: int = 1) -> np.ndarray:
    """Returns which public examples look most like the one that a feature vector belongs to.

    Args:
        feature: From `feature_from_delta`, `[feature_dim]`.
        public_features: Features of images the server owns, `[num_public, feature_dim]`.
        num_images: How many, from 1 to the number of public images.

    Returns:
        Row numbers by falling cosine similarity, after subtraction of the public mean.

    Shapes:
        -> int64 `[num_images]`.

    Raises:
        UsageError: Wrong shapes, or more images asked for than there are.

    Example:
        >>> nearest_public_image(np.array([1.0, 0.1]), np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])).tolist()
        [1]
    """
    feature = check_features("feature", np.asarray(feature)[None])
    public_features = check_features("public_features", public_features, feature_dim=feature.shape[1])
    if check_count("num_images", num_images) > len(public_features):
        raise UsageError(f"num_images: expected at most {len(public_features)} (public images), got {num_images}")
    centre = public_features.mean(axis=0)
    similarity = _cosine(feature - centre, public_features - centre)[0]
    return np.argsort(-similarity, kind="stable")[:num_images]


def score_nearest_images(found_labels: np.ndarray, true_labels: np.ndarray, public_labels: np.ndarray) -> AttackResult:
    """Says how often the nearest public image shows what the private one shows.

    Args:
        found_labels: Classes of the public images that were found, one per private image, `[num_images]`.
        true_labels: Classes of the private images, `[num_images]`.
        public_labels: Classes of all public images, `[num_public]`; a guess draws one of them.

    Returns:
        Success is the share of private images whose nearest public image has their class.

    Raises:
        UsageError: Wrong shapes, or no image.
    """
    found_labels, true_labels, public_labels = (np.asarray(a) for a in (found_labels, true_labels, public_labels))
    if found_labels.shape != true_labels.shape or found_labels.ndim != 1 or not len(found_labels):
        raise UsageError(
            f"found_labels, true_labels: expected two arrays [num_images] of one length, got {found_labels.shape} "
            f"and {true_labels.shape}"
        )
    return AttackResult(
        attack="nearest public image",
        success=np.mean(found_labels == true_labels),
        baseline=np.mean(public_labels[:, None] == true_labels),
        metric="share of images of the right class",
        details={"num_images": len(true_labels)},
    )


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12) for a in (one, other))
    return one @ other.T
