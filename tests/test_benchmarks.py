"""The benchmarks compare equal work: what Flower's clients are told to do is what our rounds do."""

import importlib
import json

import numpy as np
import pytest
from shared import REPOSITORY


@pytest.fixture
def benchmark_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("flower"), importlib.import_module("flower_side")


def test_flower_trains_on_the_same_batches_as_our_rounds(benchmark_modules, tmp_path, monkeypatch):
    """Two rounds of `flower.Ours` against the clients of `flower_side`, averaged here in Flower's place."""
    flower, flower_side = benchmark_modules
    monkeypatch.setattr(flower, "FEATURE_DIM", 6)
    features = flower.make_features(3, seed=1)
    ours = flower.Ours(features, 2)
    flower.write_examples(features, 2, tmp_path)
    settings = flower.settings_of(3, 2, "numpy")
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    weights = flower_side.initial_weights(settings)
    for round_num in (1, 2):
        ours.run_round()
        trained = []
        for partition in range(3):
            context = type("Context", (), {"node_config": {"partition-id": partition}})
            client_weights, num_examples = flower_side.train(str(tmp_path), context, weights, round_num)
            assert num_examples == 100
            trained.append(client_weights)
        weights = [np.mean(parts, axis=0) for parts in zip(*trained, strict=True)]
    assert max(np.abs(w).max() for w in weights) > 0.01
    for expected, found in zip(weights, ours.weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
