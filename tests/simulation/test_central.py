"""The central ceiling: the same head, pooled."""

import numpy as np
import pytest

import fedlearn_edu as fl


def test_reaches_what_the_data_allow_and_reports_its_own_weights(features):
    model = fl.linear_head(features)
    result = fl.train_centrally(model, features, num_epochs=60, learning_rate=0.02)
    kernel, bias = result.model_weights
    x, y = features.pooled("test")
    assert result.accuracy == np.mean((x @ kernel + bias).argmax(axis=1) == y)
    x, y = features.pooled("train")
    assert np.mean((x @ kernel + bias).argmax(axis=1) == y) > 0.75


def test_seeded(features):
    model = fl.linear_head(features)
    results = [fl.train_centrally(model, features, num_epochs=2, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(results[0].model_weights[0], results[1].model_weights[0])
    assert not np.array_equal(results[0].model_weights[0], results[2].model_weights[0])


def test_bad_arguments(features):
    model = fl.linear_head(features)
    with pytest.raises(fl.UsageError, match="num_epochs: expected a whole number of at least 1, got 0"):
        fl.train_centrally(model, features, num_epochs=0)
    with pytest.raises(fl.UsageError, match=r"num_epochs: expected a whole number of at least 1, got 1\.5"):
        fl.train_centrally(model, features, num_epochs=1.5)
    with pytest.raises(fl.UsageError, match="batch_size: expected a whole number of at least 1, got True"):
        fl.train_centrally(model, features, batch_size=True)
    with pytest.raises(fl.UsageError, match="learning_rate: expected a number above 0"):
        fl.train_centrally(model, features, learning_rate=float("nan"))
