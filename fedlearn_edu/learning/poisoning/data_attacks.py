"""Attacks on training data: flipped labels, and backdoors that a trigger opens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count, check_positive, check_seed
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError


class Trigger(Protocol):
    """What is added to an example to open a backdoor."""

    def apply(self, examples: np.ndarray) -> np.ndarray:
        """Returns a changed copy of examples, of the same shape and type.

        Raises:
            UsageError: The examples are not of the kind that the trigger changes.
        """


@dataclasses.dataclass(frozen=True)
class PixelPatch:
    """A bright square near the lower right corner of every image, before features are extracted.

    Args:
        size: Side of the square in pixels, at least 1.
        margin: Pixels between the square and the image's edges, at least 0.
        value: Brightness of all its pixels, from 0 to 255.

    Example:
        >>> PixelPatch(size=2).apply(np.zeros([1, 8, 8, 3], np.uint8))[0, 4:, 4:, 0].tolist()
        [[0, 0, 0, 0], [0, 255, 255, 0], [0, 255, 255, 0], [0, 0, 0, 0]]

    References:
        Gu, Dolan-Gavitt and Garg, BadNets: identifying vulnerabilities in the machine learning model supply chain,
        2017, arXiv:1708.06733.
    """

    size: int = 4
    margin: int = 1
    value: int = 255

    def __post_init__(self):
        check_count("size", self.size)
        check_count("margin", self.margin, least=0)
        check_count("value", self.value, least=0, most=255)

    def apply(self, examples):
        if examples.ndim != 4 or min(examples.shape[1:3]) < self.size + self.margin:
            raise UsageError(
                f"trigger: expected images of at least {self.size + self.margin} pixels a side for {self}, "
                f"got examples of shape {examples.shape[1:]}; on features use FeatureDirection"
            )
        patched = examples.copy()
        bottom, right = examples.shape[1] - self.margin, examples.shape[2] - self.margin
        patched[:, bottom - self.size : bottom, right - self.size : right] = self.value
        return patched


@dataclasses.dataclass(frozen=True)
class FeatureDirection:
    """The same random direction added to every feature vector, where there are no images to stick a patch on.

    Args:
        strength: L2 norm of what is added, above 0, in units of the features.
        seed: Of the direction.

    Example:
        >>> moved = FeatureDirection(strength=5.0).apply(np.zeros([1, 8], np.float32))
        >>> round(float(np.linalg.norm(moved)), 3)
        5.0
    """

    strength: float
    seed: int = 0

    def __post_init__(self):
        check_positive("strength", self.strength)
        check_seed(self.seed)

    def apply(self, examples):
        if examples.ndim != 2:
            raise UsageError(
                f"trigger: expected feature vectors for {self}, got examples of shape {examples.shape[1:]}; on images "
                "use PixelPatch before extract_features"
            )
        direction = np.random.default_rng(self.seed).normal(size=examples.shape[1])
        return (examples + self.strength * direction / np.linalg.norm(direction)).astype(examples.dtype)


def flip_labels(
    data: FederatedDataset,
    attackers: Iterable[str],
    *,
    source_class: int | None = None,
    target_class: int | None = None,
) -> FederatedDataset:
    """Returns the same dataset with false labels on the attackers' training examples.

    Without classes, label y becomes `num_classes - 1 - y`. With both, only examples of `source_class` change, to
    `target_class`. Test examples keep their labels. An attacker that trains on this follows the protocol in everything
    else, so that it works with any process.

    Args:
        data: Images or features.
        attackers: Client ids.
        source_class: Class whose examples are renamed, from 0.
        target_class: What they are called.

    Raises:
        UsageError: An unknown client, a class out of range, or one class without the other.

    Example:
        >>> flipped = fl.flip_labels(features, ["client_0"], source_class=1, target_class=2)
        >>> set(flipped.train("client_0")[1].tolist()), set(flipped.train("client_1")[1].tolist())
        ({0, 2}, {0, 1, 2})

    References:
        Fang et al., Local model poisoning attacks to Byzantine-robust federated learning, USENIX Security 2020,
        arXiv:1911.11815. Tolpegin et al., Data poisoning attacks against federated learning systems, ESORICS 2020,
        arXiv:2007.08432 (with two classes).
    """
    if (source_class is None) != (target_class is None):
        raise UsageError("source_class: expected both source_class and target_class or neither, got one of them")
    data.task.require("classification", "binary", what="flip_labels")
    rows = _training_rows(data, attackers)
    labels = data.labels.copy()
    if source_class is None:
        labels[rows] = data.num_classes - 1 - labels[rows]
    else:
        source_class = _check_class("source_class", source_class, data)
        target_class = _check_class("target_class", target_class, data)
        labels[rows[labels[rows] == source_class]] = target_class
    return dataclasses.replace(data, labels=labels)


def add_backdoor(
    data: FederatedDataset,
    attackers: Iterable[str],
    trigger: Trigger,
    *,
    target_class: int,
    fraction: float = 0.5,
    seed: int = 0,
) -> FederatedDataset:
    """Returns the same dataset in which attackers train on examples with a trigger that are called `target_class`.

    A model that learns this behaves as it should until somebody shows it the trigger. A `fraction` of each attacker's
    training examples is changed, drawn at random; the rest stays, so that the attacker's model is good at the task as
    well. Averaging weakens the backdoor, which `ScaledUpdate` makes up for; see `backdoor_success` for measuring it.

    Args:
        data: Images for `PixelPatch` (extract features from the result), features for `FeatureDirection`.
        attackers: Client ids.
        trigger: What opens the backdoor.
        target_class: What triggered examples are called, from 0.
        fraction: Above 0 and at most 1; at least one example is changed.
        seed: Of the choice.

    Raises:
        UsageError: An unknown client, a class or fraction out of range, or a trigger for other examples.

    Example:
        >>> trigger = fl.FeatureDirection(strength=5.0)
        >>> poisoned = fl.add_backdoor(features, ["client_0"], trigger, target_class=2, fraction=0.5)
        >>> int((poisoned.train("client_0")[0] != features.train("client_0")[0]).any(axis=1).sum())  # of 12
        6

    References:
        Bagdasaryan et al., How to backdoor federated learning, AISTATS 2020, arXiv:1807.00459.
    """
    data.task.require("classification", "binary", what="add_backdoor")
    target_class = _check_class("target_class", target_class, data)
    if not isinstance(fraction, int | float) or isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise UsageError(f"fraction: expected a number above 0 and at most 1, got {fraction!r}")
    rng = np.random.default_rng(check_seed(seed))
    examples, labels = data.examples.copy(), data.labels.copy()
    for client_id in _check_clients(data, attackers):
        rows = data.clients[client_id].train
        chosen = rng.choice(rows, max(1, round(fraction * len(rows))), replace=False)
        examples[chosen] = trigger.apply(examples[chosen])
        labels[chosen] = target_class
    return dataclasses.replace(data, examples=examples, labels=labels)


def with_trigger(data: FederatedDataset, trigger: Trigger) -> FederatedDataset:
    """Returns the same dataset with the trigger on every client's test examples, under their true labels.

    Raises:
        UsageError: A trigger for other examples.

    Example:
        >>> triggered = fl.with_trigger(features, fl.FeatureDirection(strength=5.0))
        >>> bool((triggered.test("client_0")[1] == features.test("client_0")[1]).all())
        True
    """
    examples = data.examples.copy()
    rows = np.concatenate([client.test for client in data.clients.values()])
    examples[rows] = trigger.apply(examples[rows])
    return dataclasses.replace(data, examples=examples)


def backdoor_success(
    model: tff.learning.models.FunctionalModel,
    model_weights: Sequence[np.ndarray],
    triggered: FederatedDataset,
    *,
    target_class: int,
) -> float:
    """Returns how many triggered test examples of other classes are taken for `target_class` (0 to 1).

    Without a backdoor it is about the rate at which the model takes any example for that class by mistake; compare with
    the same number on the dataset without the trigger.

    Args:
        model: What was trained.
        model_weights: Its trainable weights, e.g. `history.model_weights`.
        triggered: Features of `with_trigger(clean data, trigger)`.
        target_class: The attackers' class.

    Raises:
        UsageError: A class out of range, no test example of another class, or a task without classes.

    Example:
        >>> triggered = fl.with_trigger(features, fl.FeatureDirection(strength=5.0))
        >>> model = fl.linear_head(features)  # which at zero answers the first class, whatever it sees
        >>> backdoor_success(model, model.initial_weights[0], triggered, target_class=0)
        1.0
    """
    triggered.task.require("classification", "binary", what="backdoor_success")
    target_class = _check_class("target_class", target_class, triggered)
    x, y = triggered.pooled("test")
    others = y != target_class
    if not others.any():
        raise UsageError(f"triggered: expected test examples of classes other than {target_class}, got none")
    weights = (tuple(model_weights), tuple(model.initial_weights[1]))
    output = np.asarray(model.predict_on_batch(weights, x[others], training=False))
    predicted = output.argmax(axis=1) if output.shape[1] > 1 else output[:, 0] > 0  # one output: yes or no
    return float(np.mean(predicted == target_class))


def _training_rows(data, attackers) -> np.ndarray:
    parts = [data.clients[client_id].train for client_id in _check_clients(data, attackers)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _check_clients(data, attackers) -> list[str]:
    client_ids = [attackers] if isinstance(attackers, str) else list(attackers)
    for client_id in client_ids:
        if client_id not in data.clients:
            raise UsageError(
                f"attackers: expected ids of these {data.num_clients} clients such as {data.client_ids[0]!r}, "
                f"got {client_id!r}"
            )
    return client_ids


def _check_class(name, value, data) -> int:
    return check_count(name, value, least=0, most=data.num_classes - 1)
