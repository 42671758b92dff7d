"""Membership of whole clients: found where a model remembers, not where it never saw either kind."""

import numpy as np
import pytest
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.privacy.attacks.client_membership import client_membership


def head(features, *, steps, client_ids):
    """A head trained on some clients by plain gradient descent."""
    x, y = features.select_clients(client_ids).pooled("train")
    kernel, bias = np.zeros([features.feature_dim, features.num_classes]), np.zeros(features.num_classes)
    for _ in range(steps):
        logits = x @ kernel + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = (p / p.sum(axis=1, keepdims=True) - np.eye(features.num_classes)[y]) / len(y)
        kernel, bias = kernel - x.T @ error, bias - error.sum(axis=0)
    return [kernel, bias]


@pytest.fixture(scope="module")
def features():
    """40 clients whose labels follow no rule: whatever a model knows of them it has learned by heart."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 400).astype(np.int32)
    splits = {
        f"c{i:02d}": fl.ClientSplit(np.arange(10 * i, 10 * i + 8), np.arange(10 * i + 8, 10 * i + 10))
        for i in range(40)
    }
    examples = rng.normal(size=[400, 60]).astype(np.float32)
    return fl.FederatedDataset("noise", examples, labels, ("a", "b", "c"), splits)


def test_a_model_that_learned_by_heart_gives_its_clients_away(features):
    members, others = features.client_ids[::2], features.client_ids[1::2]
    model, reference = (head(features, steps=300, client_ids=ids) for ids in (members, others))
    result = client_membership(model, reference, features, members)
    assert result.success > 0.95
    assert result.details["balanced_accuracy"] > 0.9
    assert (result.baseline, result.metric) == (0.5, "AUC")
    swapped = client_membership(reference, model, features, members)
    assert swapped.success == pytest.approx(1 - result.success)


def test_who_was_in_neither_training_cannot_be_told_from_others(features):
    ids = features.client_ids
    model, reference = (head(features, steps=300, client_ids=part) for part in (ids[:10], ids[10:20]))
    unseen = features.select_clients(ids[20:])
    result = client_membership(model, reference, unseen, ids[20::2])
    assert abs(result.success - 0.5) < 0.35  # 10 against 10: the standard deviation is 0.13


def test_bad_arguments():
    features = make_features()
    weights = [np.zeros([features.feature_dim, features.num_classes]), np.zeros(features.num_classes)]
    with pytest.raises(fl.UsageError, match="member_ids: expected ids of clients in features, got 'nobody'"):
        client_membership(weights, weights, features, ["nobody"])
    for ids in ([], features.client_ids):
        with pytest.raises(fl.UsageError, match="expected members and others"):
            client_membership(weights, weights, features, ids)
