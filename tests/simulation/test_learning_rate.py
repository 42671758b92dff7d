"""steady_client_lr: the default where it trains steadily, a lower or higher rate where only that does."""

import math

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.data.task import Task
from fedlearn_edu.simulation.learning_rate import steady_client_lr


def two_classes(scale=1.0, *, offset=0.0, spread=0.7, num_clients=4, seed=0):
    """Points around (1, 0, ...) and (0, 1, ...) that overlap, and a coordinate that is the same for all."""
    rng = np.random.default_rng(seed)
    y = (np.arange(24 * num_clients) % 2).astype(np.int32)
    x = rng.normal(0, spread, [len(y), 6])
    x[np.arange(len(y)), y] += 1
    x[:, 5] = offset
    clients = {f"c{i}": fl.ClientSplit(train=np.arange(24 * i, 24 * i + 20), test=np.arange(24 * i + 20, 24 * i + 24))
               for i in range(num_clients)}  # fmt: skip
    return fl.FederatedDataset("toy", np.float32(scale * x), y, ("a", "b"), clients)


def test_the_default_stays_where_it_trains_steadily():
    assert steady_client_lr(two_classes()) == 0.1
    assert steady_client_lr(two_classes(), pooled=True, batch_size=64) == 0.1
    assert steady_client_lr(two_classes(), default=0.05) == 0.05
    assert steady_client_lr(two_classes(100.0, spread=0.01)) == 0.1  # far apart, any rate separates them


@pytest.mark.parametrize("offset", [0.0, 3.0])
@pytest.mark.parametrize("pooled", [False, True])
def test_features_a_hundred_times_as_large_get_a_rate_with_which_plain_sgd_learns(offset, pooled):
    """A coordinate that all share is what made photographs of one kind swing: the classes take turns in winning."""
    features = two_classes(100.0, offset=offset)
    rate = steady_client_lr(features, pooled=pooled)
    assert rate < 0.1
    # independent of the code under test: gradient descent on all examples, in double precision
    x, y = features.pooled("train")
    x, kernel = np.hstack([x, np.ones([len(x), 1])]).astype(float), np.zeros([7, 2])
    for _ in range(300):
        odds = 1 / (1 + np.exp(np.clip(x @ (kernel[:, 0] - kernel[:, 1]), -700, 700)))  # of class b
        kernel -= rate * x.T @ np.stack([(y == 0) * -1.0 + (1 - odds), (y == 1) * -1.0 + odds], axis=1) / len(y)
    margin = (x @ kernel)[np.arange(len(y)), y] - (x @ kernel)[np.arange(len(y)), 1 - y]
    assert np.log1p(np.exp(-np.clip(margin, -700, 700))).mean() < 0.9 * math.log(2)


def test_a_larger_scale_never_gets_a_larger_rate_and_a_tiny_one_gets_more_than_the_default():
    rates = [steady_client_lr(two_classes(scale)) for scale in (0.03, 1.0, 10.0, 1e3, 1e5)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.1 > rates[-1] > 0


def test_features_without_any_information_keep_the_default():
    features = two_classes(0.0)
    assert steady_client_lr(features) == 0.1


def test_features_beyond_every_rate_keep_the_default_without_a_warning():
    features = two_classes(1e30)
    assert steady_client_lr(features) == 0.1


def test_only_training_examples_decide_and_the_same_seed_gives_the_same_rate():
    features = two_classes(30.0, offset=2.0)
    examples, labels = features.examples.copy(), features.labels.copy()
    for split in features.clients.values():
        examples[split.test], labels[split.test] = np.nan, 1
    other = fl.FederatedDataset("toy", np.nan_to_num(examples, nan=1e6), labels, ("a", "b"), features.clients)
    assert steady_client_lr(other) == steady_client_lr(features) == steady_client_lr(features)


def test_many_steps_and_large_cohorts_are_cut_short():
    """Asked for a million epochs of single examples, it answers all the same."""
    assert steady_client_lr(two_classes(num_clients=30), num_epochs=10**6, batch_size=1, clients_per_round=30) <= 0.1


def test_without_a_batch_size_a_step_sees_all_of_a_clients_examples():
    """Each client has 20; single ones swing more, and bear a smaller rate."""
    features = two_classes(10.0)
    rates = [steady_client_lr(features, num_epochs=1, batch_size=size) for size in (None, 20, 1)]
    assert rates[0] == rates[1] > rates[2]


def numbers(scale=1.0, *, mean=0.0, unit=1.0):
    """A target that is linear in two of four features, with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, scale, [96, 4])
    y = unit * (mean + (x[:, 0] - 2 * x[:, 1]) / scale + rng.normal(0, 0.3, 96))
    clients = {f"c{i}": fl.ClientSplit(train=np.arange(24 * i, 24 * i + 20), test=np.arange(24 * i + 20, 24 * i + 24))
               for i in range(4)}  # fmt: skip
    return fl.FederatedDataset("toy", np.float32(x), np.float32(y), (), clients, task=Task.regression())


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_of_a_number_the_rate_depends_on_the_features_and_not_on_its_unit_or_mean(scale):
    rates = {steady_client_lr(numbers(scale, mean=mean, unit=unit)) for mean, unit in ((0, 1), (50, 1), (50, 1e6))}
    (rate,) = rates
    assert (rate < 0.1) == (scale > 1)
    # independent of the code under test: single steps on all examples, in double precision, stay bounded and learn
    x, y = numbers(scale).pooled("train")
    x, kernel = np.hstack([x, np.ones([len(x), 1])]).astype(float), np.zeros(5)
    for _ in range(2000):
        kernel -= rate * 2 * x.T @ (x @ kernel - y) / len(y)
    assert np.mean((x @ kernel - y) ** 2) < 0.5 * np.var(y)


def test_of_yes_or_no_one_logit_is_trained():
    plain = two_classes(30.0)
    yes = fl.FederatedDataset("toy", plain.examples, plain.labels, (), plain.clients, task=Task.binary("b"))
    rate = steady_client_lr(yes)
    assert rate < 0.1
    x, y = yes.pooled("train")
    x, kernel = np.hstack([x, np.ones([len(x), 1])]).astype(float), np.zeros(7)
    for _ in range(1000):
        kernel -= rate * x.T @ (1 / (1 + np.exp(-np.clip(x @ kernel, -500, 500))) - y) / len(y)
    margin = np.where(y == 1, 1, -1) * (x @ kernel)
    assert np.log1p(np.exp(-np.clip(margin, -500, 500))).mean() < 0.9 * math.log(2)


def test_a_number_that_is_the_same_for_all_keeps_the_default():
    features = numbers()
    same = fl.FederatedDataset(
        "toy", features.examples, np.full(96, 7.0, np.float32), (), features.clients, task=features.task
    )
    assert steady_client_lr(same) == 0.1
