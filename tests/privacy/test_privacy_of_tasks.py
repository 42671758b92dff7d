"""Privacy of heads with one output: what leaks of them, what protects them, and which attacks need classes."""

import numpy as np
import pytest
from shared import make_task_features

import fedlearn_edu as fl


@pytest.fixture(scope="module")
def binary():
    return make_task_features("binary")


@pytest.fixture(scope="module")
def heads(binary):
    """A head of one output, fitted to client_0, and the same head with an output a class."""
    x, y = binary.train("client_0")
    w = np.zeros(5)
    with_one = np.column_stack([x, np.ones(len(x))]).astype(float)
    for _ in range(200):
        w -= with_one.T @ (1 / (1 + np.exp(-with_one @ w)) - y) / len(y)
    one = [w[:4, None], w[4:]]
    # Half the log-odds for yes and half against it: the same beliefs.
    return one, [np.concatenate([-a / 2, a / 2], axis=-1) for a in one]


def test_membership_of_a_head_of_one_output_is_that_of_the_same_head_with_two(binary, heads):
    one, two = heads
    x, y = binary.pooled("train")
    is_member = np.arange(len(y)) < len(binary.train("client_0")[1])
    results = [fl.loss_threshold_membership(head, x, y, is_member) for head in (one, two)]
    assert results[0].success == results[1].success != 0.5
    assert results[0].details["balanced_accuracy"] == results[1].details["balanced_accuracy"]
    shadows = fl.train_shadow_heads(x, y, num_classes=2, num_heads=8, num_steps=20, progress=False)
    results = [fl.likelihood_ratio_membership(head, x, y, is_member, shadows) for head in (one, two)]
    assert results[0].success == pytest.approx(results[1].success)
    nothing = [np.zeros([4, 1]), np.zeros(1)]
    found = fl.client_membership(one, nothing, binary, ["client_0"])
    assert found.success == fl.client_membership(two, [np.zeros([4, 2]), np.zeros(2)], binary, ["client_0"]).success


def test_attacks_on_labels_say_that_they_need_an_output_a_class(heads):
    one, _ = heads
    public = {"public_features": np.ones([2, 4]), "public_labels": np.array([0, 1])}
    for call in (
        lambda: fl.label_shares_from_delta(one, client_lr=0.1),
        lambda: fl.label_counts_from_delta(one, client_lr=0.1, num_examples=4),
        lambda: fl.label_shares_by_matching(one, **public),
        lambda: fl.class_means_from_delta(one, client_lr=0.1),
    ):
        with pytest.raises(fl.UsageError, match=r"^model_delta: .* got one output, .* works for a classification task"):
            call()


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_an_example_is_read_from_the_delta_of_a_number_and_of_yes_or_no(kind):
    features = make_task_features(kind)
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.1)
    x, y = features.train("client_1")
    delta = fl.client_delta(process, x[:1], y[:1], num_epochs=2)
    np.testing.assert_allclose(fl.feature_from_delta(delta), x[0], rtol=1e-4)
    if kind == "regression":
        error = -2 * float(y[0])  # of the squared error, from a head of zeros
        first = 0.1 * error
        second = 0.1 * 2 * (-first * (1 + float(x[0] @ x[0])) - float(y[0]))
        assert float(delta[1][0]) == pytest.approx(first + second, rel=1e-4)


def test_numbers_are_no_classes(binary):
    process = fl.build_unweighted_fed_avg(fl.linear_head(binary))
    with pytest.raises(fl.UsageError, match="labels: expected int32 as the process trains on, got float64"):
        fl.client_delta(process, np.ones([2, 4]), np.array([0.5, 1.0]))


def test_a_private_run_of_a_table_is_bounded_and_costs_what_it_costs_with_classes():
    moved, spent = {}, {}
    for kind in ("regression", "binary"):
        features = make_task_features(kind)
        process = fl.build_dp_fed_avg(
            fl.linear_head(features), noise_multiplier=0.5, clip_norm=1e-3, clients_per_round=2, population=3,
            delta=0.1, client_lr=0.05, server_lr=1.0,
        )  # fmt: skip
        history = fl.run_rounds(process, features, num_rounds=2, clients_per_round=2, progress=False)
        moved[kind] = np.linalg.norm(np.concatenate([np.ravel(w) for w in history.model_weights]))
        spent[kind] = history.privacy_ledger()["epsilon"].tolist()
    # Two updates of at most the bound, and noise of half of it on each of five numbers, twice.
    assert 0 < max(moved.values()) < 10e-3
    assert spent["regression"] == spent["binary"]
    assert spent["binary"][2] > spent["binary"][1] > 0
