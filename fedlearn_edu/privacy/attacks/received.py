"""What the attacks share: reading a linear head's model delta as a server does, and a head's arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.errors import UsageError


def head_arrays(name: str, arrays: Sequence[np.ndarray], *, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias of a linear head (or of its delta) as float64 arrays.

    Args:
        name: The argument that a message begins with.
        arrays: What was received.
        least: Outputs at least; heads for yes or no, and for a number, have one.

    Raises:
        UsageError: There are not two arrays `[feature_dim, num_classes]` and `[num_classes]`, or some number is not
            finite.
    """
    try:
        arrays = [np.asarray(array, np.float64) for array in arrays]
    except (TypeError, ValueError):
        raise UsageError(f"{name}: expected a list of arrays [kernel, bias], got {type(arrays).__name__}") from None
    shapes = [array.shape for array in arrays]
    is_head = len(shapes) == 2 and len(shapes[0]) == 2 and shapes[1] == shapes[0][1:]
    if is_head and shapes[1][0] == 1 < least:
        raise UsageError(
            f"{name}: expected a head with an output for each of two classes or more, got one output, which answers "
            "yes or no, or with a number; this attack works for a classification task only"
        )
    if not is_head or shapes[1][0] < least:
        raise UsageError(
            f"{name}: expected a linear head's [kernel (feature_dim, num_classes), bias (num_classes,)], got shapes "
            f"{shapes}; this attack reads the last layer only"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise UsageError(f"{name}: expected finite numbers, got NaN or infinity; leave this client's delta out")
    return arrays[0], arrays[1]


def check_features(name: str, features: np.ndarray, *, feature_dim: int | None = None) -> np.ndarray:
    """Returns finite float64 features `[num_examples, feature_dim]`, at least one row, or raises UsageError."""
    features = np.asarray(features, np.float64)
    wanted = "feature_dim" if feature_dim is None else feature_dim
    if features.ndim != 2 or not len(features) or (feature_dim is not None and features.shape[1] != feature_dim):
        raise UsageError(f"{name}: expected features [num_examples, {wanted}], got shape {features.shape}")
    if not np.isfinite(features).all():
        raise UsageError(f"{name}: expected finite numbers, got NaN or infinity")
    return features


def check_labels(name: str, labels: np.ndarray, *, num_examples: int, num_classes: int) -> np.ndarray:
    """Returns whole-number labels `[num_examples]` in `[0, num_classes)`, or raises UsageError."""
    labels = np.asarray(labels)
    if labels.shape != (num_examples,) or labels.dtype.kind not in "iu":
        raise UsageError(
            f"{name}: expected {num_examples} whole numbers, one per example, got {labels.dtype} {list(labels.shape)}"
        )
    if num_examples and not 0 <= labels.min() <= labels.max() < num_classes:
        raise UsageError(f"{name}: expected classes in [0, {num_classes}), got {labels.min()} to {labels.max()}")
    return labels


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def head_logits(model_weights: Sequence[np.ndarray], features: np.ndarray) -> np.ndarray:
    """Returns class scores of a linear head (2 arrays) or a head with one hidden ReLU layer (4 arrays).

    Of a head with one output, the log-odds of yes, they are 0 for no and that output for yes: the softmax of both is
    what the head believes.
    """
    weights = [np.asarray(array, np.float64) for array in model_weights]
    if len(weights) == 4:
        features = np.maximum(features @ weights[0] + weights[1], 0)
        weights = weights[2:]
    kernel, bias = head_arrays("model_weights", weights, least=1)
    if features.ndim != 2 or features.shape[1] != len(kernel):
        raise UsageError(f"features: expected [num_examples, {len(kernel)}], got shape {features.shape}")
    scores = features @ kernel + bias
    return scores if scores.shape[1] > 1 else np.column_stack([np.zeros(len(scores)), scores])
