"""Shadow heads: many linear heads trained at once on random halves of a set of features."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.checks import check_count, check_positive, check_seed
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.privacy.attacks.received import check_features, check_labels, softmax


@dataclasses.dataclass(frozen=True)
class ShadowHeads:
    """Linear heads, and which examples each was trained on.

    Attributes:
        kernels: float32 `[num_heads, feature_dim, num_classes]`.
        biases: float32 `[num_heads, num_classes]`.
        saw: bool `[num_heads, num_examples]`.
    """

    kernels: np.ndarray
    biases: np.ndarray
    saw: np.ndarray

    def __len__(self) -> int:
        return len(self.saw)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """Yields the weights `[kernel, bias]` of each head."""
        return ([kernel, bias] for kernel, bias in zip(self.kernels, self.biases, strict=True))


def draw_halves(num_examples: int, num_heads: int, *, seed: int = 0) -> np.ndarray:
    """Draws training sets such that every example is in half of them (rounded), each set about half of the examples.

    Example:
        >>> draw_halves(5, 4).sum(axis=0).tolist()
        [2, 2, 2, 2, 2]
    """
    check_count("num_examples", num_examples, least=2)
    check_count("num_heads", num_heads, least=2)
    order = np.argsort(np.random.default_rng(check_seed(seed)).random([num_heads, num_examples]), axis=0)
    return order < num_heads // 2


def train_shadow_heads(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int,
    num_heads: int = 32,
    num_steps: int = 100,
    learning_rate: float = 0.05,
    saw: np.ndarray | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ShadowHeads:
    """Trains linear heads on random halves of the examples, all of them in one matrix product per step.

    Full-batch gradient descent with momentum 0.9 on the mean cross-entropy, from zero. An attacker trains the shadows
    as the attacked model was trained: choose `num_steps` and `learning_rate` so that their training loss is like its.

    Args:
        features: `[num_examples, feature_dim]`.
        labels: Their classes.
        num_classes: At least 2.
        num_heads: At least 2.
        num_steps: Steps of gradient descent, at least 1.
        learning_rate: Above 0; for features of length r stable up to about 4 / r**2.
        saw: Training sets, bool `[num_heads, num_examples]`; None draws halves by `seed`.
        seed: Of the halves.
        progress: Show a progress bar.

    Returns:
        The heads and what each saw.

    Raises:
        UsageError: Shapes or values do not fit, or a training set is empty.
        RunError: The training diverged.
    """
    features = check_features("features", features).astype(np.float32)
    labels = check_labels(
        "labels", labels, num_examples=len(features), num_classes=check_count("num_classes", num_classes)
    )
    check_count("num_steps", num_steps)
    rate = np.float32(check_positive("learning_rate", learning_rate))
    saw = draw_halves(len(features), num_heads, seed=seed) if saw is None else np.asarray(saw)
    if saw.dtype != bool or saw.ndim != 2 or saw.shape[1] != len(features) or not saw.any(axis=1).all():
        raise UsageError(f"saw: expected True and False [num_heads, {len(features)}], no row empty, got {saw.shape}")
    # One matrix [feature_dim + 1, num_heads * num_classes] for all heads; the last row is the bias.
    inputs = np.column_stack([features, np.ones(len(features), np.float32)])
    shape = (len(features), len(saw), num_classes)
    one_hot = np.eye(num_classes, dtype=np.float32)[labels][:, None]
    weight = (saw / saw.sum(axis=1, keepdims=True)).T.astype(np.float32)[:, :, None]
    heads = np.zeros([inputs.shape[1], len(saw) * num_classes], np.float32)
    speed = np.zeros_like(heads)
    for _ in progress_bar(range(num_steps), desc="shadow heads", unit="step", disable=not progress):
        error = (softmax((inputs @ heads).reshape(shape)) - one_hot) * weight
        speed = np.float32(0.9) * speed - rate * (inputs.T @ error.reshape(len(inputs), -1))
        heads += speed
    if not np.isfinite(heads).all():
        raise RunError(f"learning_rate: training diverged at {learning_rate:g}; try a tenth of it")
    heads = heads.reshape(-1, len(saw), num_classes).transpose(1, 0, 2)
    return ShadowHeads(np.ascontiguousarray(heads[:, :-1]), np.ascontiguousarray(heads[:, -1]), saw)
