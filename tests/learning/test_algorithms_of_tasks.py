"""Every algorithm trains heads that answer with a number or with yes or no; what needs classes says so in one line."""

import functools

import numpy as np
import pytest
from shared import make_task_features

import fedlearn_edu as fl
from fedlearn_edu.learning import catalogue

# FedBN needs a backbone with batch normalisation that is trained: tests/learning/test_batch_norm.py.
ROWS = {row.name: row for row in catalogue.ALGORITHMS if "split" not in row.needs}
features_of = functools.cache(make_task_features)


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("name", ROWS)
def test_an_algorithm_lowers_the_loss_of_a_number_and_of_yes_or_no(name, kind):
    features, row = features_of(kind), ROWS[name]
    model = fl.mlp_head(features, hidden_units=4) if "a hidden layer" in row.needs else fl.linear_head(features)
    process = row.build(model, num_clients=3, client_lr=0.05)
    history = fl.run_rounds(process, features, num_rounds=1, clients_per_round=3, progress=False)
    loss = history.global_metrics()["personal_loss" if row.personal else "loss"]
    assert loss.loc[1] < loss.loc[0]
    assert features.task.primary.name in history.global_metrics()


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("row", catalogue.ONE_SHOT, ids=lambda row: row.name)
def test_heads_of_class_means_refuse_a_task_without_a_score_a_class(row, kind):
    with pytest.raises(fl.UsageError, match=rf"^{row.name}: works for a classification task only, got a {kind} task$"):
        row.load()(features_of(kind))


def test_attacks_on_labels_refuse_a_number():
    features = features_of("regression")
    model = fl.linear_head(features)
    trigger = fl.FeatureDirection(strength=1.0)
    for name, call in {
        "flip_labels": lambda: fl.flip_labels(features, ["client_0"]),
        "add_backdoor": lambda: fl.add_backdoor(features, ["client_0"], trigger, target_class=0),
        "backdoor_success": lambda: fl.backdoor_success(model, model.initial_weights[0], features, target_class=0),
        "client_membership": lambda: fl.client_membership([], [], features, ["client_0"]),
    }.items():
        with pytest.raises(fl.UsageError, match=rf"^{name}: works for a classification or binary task only, got a reg"):
            call()


def test_a_backdoor_of_yes_or_no_is_counted_by_the_sign_of_the_score():
    features = features_of("binary")
    says_yes = [np.zeros([4, 1], np.float32), np.ones([1], np.float32)]
    model = fl.linear_head(features)
    assert fl.backdoor_success(model, says_yes, features, target_class=1) == 1
    assert fl.backdoor_success(model, says_yes, features, target_class=0) == 0


def test_an_attacked_regression_goes_the_other_way():
    features = features_of("regression")
    hostile = dict.fromkeys(features.client_ids, fl.SignFlip())
    process = fl.build_attacked_fed_avg(fl.linear_head(features), attackers=hostile, client_lr=0.05)
    loss = fl.run_rounds(process, features, num_rounds=1, clients_per_round=3, progress=False).global_metrics()["loss"]
    assert loss.loc[1] > loss.loc[0]
