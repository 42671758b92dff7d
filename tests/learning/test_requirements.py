"""What the parts of a process need of a run is stated, found wherever it is nested, and checked in one place."""

import functools
import types

import numpy as np
import pytest
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.learning.building import build_for_run
from fedlearn_edu.learning.catalogue import by_name
from fedlearn_edu.learning.description import describe, requirements_of
from fedlearn_edu.learning.requirements import Requirements, required_sampling

MEDIAN = fl.coordinate_median(clients_per_round=4)


@pytest.mark.parametrize(
    "factory",
    [
        MEDIAN,
        fl.finite_only(MEDIAN),
        fl.norm_bounding(1.0, fl.zeroing(9.0, MEDIAN)),
        MEDIAN.with_weights(),
        tff.aggregators.clipping_factory(1.0, MEDIAN),
        tff.aggregators.as_weighted_aggregator(MEDIAN),
        tff.aggregators.add_measurements(MEDIAN, client_measurement_fn=lambda value: {}),
    ],
    ids=["itself", "guarded", "twice", "weighted", "tff's clipping", "tff's weights", "tff's measurements"],
)
def test_a_cohort_is_required_from_any_depth(factory):
    (stated,) = requirements_of([factory])
    assert stated.clients_per_round == 4
    assert stated.stated_by == "coordinate_median(clients_per_round=4)"


def test_a_process_needs_what_its_parts_need(features):
    process = fl.build_scaffold(fl.linear_head(features), num_clients=6, model_aggregator=MEDIAN)
    median = r"coordinate_median\(clients_per_round=4\)"
    for clients, cohort, words in [
        (features.client_ids, 3, rf"^clients_per_round: {median} was built for 4 clients a round, got 3"),
        (features.client_ids[:5], 4, "^num_clients: scaffold was built for 6 clients, but there are 5"),
    ]:
        with pytest.raises(fl.UsageError, match=words):
            fl.iter_rounds(process, features.select_clients(clients), num_rounds=1, clients_per_round=cohort)


def test_a_private_process_needs_the_run_that_is_accounted_for(features):
    arguments = {"noise_multiplier": 1.0, "clients_per_round": 3, "population": 6}
    process = fl.build_dp_fed_avg(fl.linear_head(features), **arguments)
    (stated,) = process.requirements
    assert (stated.num_clients, stated.clients_per_round, stated.sampling) == (6, 3, "poisson")
    with pytest.raises(fl.UsageError, match=r"^clients_per_round: the accountant of epsilon"):
        fl.iter_rounds(process, features, num_rounds=1, clients_per_round=2)


def test_cohorts_are_drawn_in_one_way():
    data = types.SimpleNamespace(num_clients=3, client_ids=["a", "b", "c"])
    Requirements("nobody").check(fl.RunConfig(num_rounds=1, clients_per_round=2), data)
    assert required_sampling([Requirements("nobody")]) == "fixed_size"
    stated = [Requirements("one", sampling="poisson"), Requirements("two", sampling="poisson")]
    assert required_sampling(stated) == "poisson"
    with pytest.raises(fl.UsageError, match=r"two needs 'poisson' and three needs 'cyclic'"):
        required_sampling([*stated, Requirements("three", sampling="cyclic")])


def test_optimizers_tell_all_of_their_hyperparameters():
    optimizers = tff.learning.optimizers
    assert describe(optimizers.build_adam(np.float32(0.5), 0.8, 0.9, epsilon=1e-5)) == {
        "name": "Adam",
        "learning_rate": 0.5,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "epsilon": 1e-5,
    }
    close = [describe(optimizers.build_sgdm(rate)) for rate in (0.1, 0.10000001)]
    assert close[0] != close[1]
    assert describe(optimizers.build_yogi(0.1))["initial_preconditioner_value"] == 1e-6


def test_functions_and_nests_are_described():
    def scaled(factor):
        return lambda x: factor * x

    assert describe(scaled(2)) != describe(scaled(3))
    assert describe(scaled(2)) == describe(scaled(2))
    assert describe(functools.partial(scaled, factor=2))["factor"] == 2
    assert describe(np.arange(3)) != describe(np.arange(1, 4))
    itself = []
    itself.append(itself)
    assert describe(itself) == ["list"]


# --- processes built for a run -------------------------------------------------------------------------------------

RATES = {"client_lr": 0.1, "server_lr": 1.0}
KNOWN = {"num_clients": 6, "clients_per_round": 3, **RATES}


def test_a_builder_is_given_what_it_takes():
    def build(model, *, server_lr, population, clients_per_round=9):
        return model, server_lr, population, clients_per_round

    assert build_for_run(build, "head", **KNOWN) == ("head", 1.0, 6, 3)
    assert build_for_run(functools.partial(build, server_lr=0.5), "head", **KNOWN) == ("head", 0.5, 6, 3)
    assert build_for_run(lambda model, **rates: rates, "head", **KNOWN) == RATES
    assert build_for_run(lambda model: model, "head", **KNOWN) == "head"
    assert build_for_run(lambda model, server_lr: server_lr, "head", client_lr=0.1) == 0.1  # FedSGD's only rate


def test_what_a_builder_does_not_take_is_not_dropped_in_silence(features):
    with pytest.raises(fl.UsageError, match=r"^strength: build_fed_dyn takes no such argument; .*regularization_st"):
        by_name("fed_dyn").build(fl.linear_head(features), num_clients=6, strength=0.1)


def test_what_a_builder_lacks_is_named(features):
    with pytest.raises(fl.UsageError, match=r"^build_dp_fed_avg: .*'noise_multiplier'.* functools"):
        build_for_run(fl.build_dp_fed_avg, fl.linear_head(features), **KNOWN)
