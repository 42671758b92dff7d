"""Clients are evaluated in groups: each gets what it gets alone, to the bit, and few elements travel."""

import dataclasses

import numpy as np
import pytest
import tensorflow_federated as tff
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.simulation import evaluation
from fedlearn_edu.simulation.client_data import ClientFiles


@pytest.fixture(scope="module")
def evaluated():
    """Seven clients of different sizes, one without a test example; a model that is not all zeros."""
    features = make_features()
    rows = np.arange(len(features.examples))
    sizes, clients = [4, 1, 0, 7, 2, 3, 5], {}
    for i, size in enumerate(sizes):
        own = rows[10 * i : 10 * i + 10]
        clients[f"c{i}"] = fl.ClientSplit(train=own[size:], test=own[:size])
    features = dataclasses.replace(features, clients=clients)
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.1)
    fl.start_runtime()
    rng = np.random.default_rng(0)
    shapes = [np.shape(w) for w in process.get_model_weights(process.initialize()).trainable]
    weights = tff.learning.models.ModelWeights([rng.normal(size=shape).astype(np.float32) for shape in shapes], [])
    return features, weights, evaluation.FederatedEvaluation(process, ClientFiles(features), features.feature_dim)


def test_each_client_gets_what_it_gets_alone(evaluated, monkeypatch):
    features, weights, evaluate = evaluated
    alone = {c: evaluate(weights, [c]) for c in features.client_ids}
    assert alone["c2"] == (None, {})
    for cores, at_once in ((1, 200), (2, 200), (3, 200), (64, 200), (2, 3)):
        monkeypatch.setattr(evaluation.os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(evaluation, "_CLIENTS_PER_CALL", at_once)
        overall, per_client = evaluate(weights, features.client_ids)
        assert list(per_client) == [c for c in features.client_ids if c != "c2"]
        for client_id, metrics in per_client.items():
            assert metrics == alone[client_id][1][client_id]
        assert overall.num_examples == 22
    x, y = features.pooled("test")
    kernel, bias = weights.trainable
    assert overall.accuracy == pytest.approx(np.mean(np.argmax(x @ kernel + bias, axis=1) == y))


def test_a_call_hands_over_one_element_a_core(evaluated, monkeypatch):
    features, weights, evaluate = evaluated
    asked, compiled = [], evaluate._evaluate

    def counted(weights, groups):
        asked.append([len(group) for group in groups])
        return compiled(weights, groups)

    monkeypatch.setattr(evaluate, "_evaluate", counted)
    monkeypatch.setattr(evaluation.os, "cpu_count", lambda: 2)
    evaluate(weights, features.client_ids)
    assert asked == [[4, 3]]
