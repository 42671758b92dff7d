"""The central ceiling: the same head, pooled."""

import dataclasses

import numpy as np
import pytest
from shared import make_features, make_task_features

import fedlearn_edu as fl
from fedlearn_edu.simulation.central import central_ceiling


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


@pytest.mark.parametrize("scale", [1e-3, 1e5])
def test_the_ceiling_of_few_numbers_of_any_size_is_that_of_least_squares(scale):
    features = make_task_features("regression")
    features = dataclasses.replace(features, labels=scale * features.targets)
    (x, y), (x_test, y_test) = features.pooled("train"), features.pooled("test")
    with_one, of_test = (np.column_stack([a, np.ones(len(a))]).astype(float) for a in (x, x_test))
    best = np.linalg.lstsq(with_one, y.astype(float), rcond=None)[0]
    expected = np.sqrt(np.mean((of_test @ best - y_test) ** 2))
    assert central_ceiling(fl.linear_head(features), features).value == pytest.approx(expected, rel=0.02)


def test_the_ceiling_of_yes_or_no_is_above_its_baseline_and_of_few_images_takes_300_steps():
    answers = make_task_features("binary")
    assert central_ceiling(fl.linear_head(answers), answers).value > 0.85
    images = make_features()
    model = fl.linear_head(images)
    ceiling = central_ceiling(model, images, seed=3)  # of 117 examples, 2 batches
    assert ceiling.accuracy == fl.train_centrally(model, images, num_epochs=150, seed=3).accuracy
