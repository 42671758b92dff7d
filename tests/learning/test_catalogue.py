"""What every row of the catalogue promises: one test for all algorithms, aggregators, attacks and one-shot heads."""

import functools
import inspect
import re

import numpy as np
import pytest
import tensorflow_federated as tff
from shared import REPOSITORY, make_features

import fedlearn_edu as fl
from fedlearn_edu.learning import catalogue

NUM_CLIENTS, COHORT = 4, 3
RUN = {"clients_per_round": COHORT, "batch_size": 8, "seed": 3, "progress": False}
# FedBN needs a backbone with batch normalisation that is trained: tests/learning/test_batch_norm.py.
ROWS = {row.name: row for row in catalogue.ALGORITHMS if "split" not in row.needs}
ALL = [*catalogue.ALGORITHMS, *catalogue.ONE_SHOT, *catalogue.AGGREGATORS, *catalogue.ATTACKS]
KNOWN = {"clients_per_round": 9, "num_attackers": 2, "num_trimmed": 2, "max_norm": 1.0, "factor": 3.0}

# One row after the other: TFF keeps the last 128 computations compiled, and all rows together have as many.
for_each_row = pytest.mark.parametrize("name", ROWS, scope="module")


@functools.cache
def toy():
    return make_features(num_clients=NUM_CLIENTS, feature_dim=4)


@functools.cache
def process_of(name, value=None):
    """A process, built once for all tests of a session; None: its parameter has the builder's default."""
    row, features = ROWS[name], toy()
    model = fl.mlp_head(features, hidden_units=2) if "a hidden layer" in row.needs else fl.linear_head(features)
    given = {} if value is None else {row.parameter: value}
    return row.build(model, num_clients=NUM_CLIENTS, client_lr=0.2, **given)


@functools.cache
def run_of(name, *value):  # as it is handed on: to the cache, `f(name)` and `f(name, None)` are two calls
    return fl.run_rounds(process_of(name, *value), toy(), num_rounds=2, **RUN)


def assert_same_weights(one, two):
    for a, b in zip(one.model_weights, two.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)


@for_each_row
def test_an_algorithm_trains_and_sends_what_is_measured(name):
    history = run_of(name)
    assert history.status == "finished"
    assert history.settings["process"]["algorithm"] == name
    assert any(
        np.abs(a - b).max() > 0
        for a, b in zip(history.model_weights, process_of(name).model.initial_weights[0], strict=True)
    )
    weights = process_of(name).model.initial_weights[0]
    shared = weights[:-2] if name in ("fed_per", "fed_rep") else weights  # kernel and bias of the head stay at home
    for way in ("broadcast", "upload"):
        sent = history.global_metrics()[f"{way}_bytes_total"].loc[1:] / COHORT
        assert (sent == sent.iloc[0]).all()
        # float32 numbers, at most thrice as many (SCAFFOLD's controls), and what TFF writes around them
        assert 4 * sum(w.size for w in shared) <= sent.iloc[0] <= 12 * sum(w.size for w in weights) + 1_000


@for_each_row
def test_an_algorithm_records_every_hyperparameter(name):
    wanted = {arg for arg in inspect.signature(ROWS[name].load()).parameters if arg != "model"}
    assert wanted <= set(run_of(name).settings["process"]["hyperparameters"])


@for_each_row
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(name, tmp_path):
    fl.run_rounds(process_of(name), toy(), num_rounds=1, **RUN, checkpoint_dir=tmp_path)
    resumed = fl.run_rounds(process_of(name), toy(), num_rounds=2, **RUN, checkpoint_dir=tmp_path, resume=True)
    assert resumed.rows == run_of(name).rows
    assert_same_weights(resumed, run_of(name))


@for_each_row
def test_features_that_are_not_finite_are_refused_with_the_client_named(name):
    broken = toy().examples.copy()
    broken[toy().clients["client_2"].train[0], 1] = np.nan
    with pytest.raises(fl.UsageError, match=r"features: expected finite .* of client 'client_2'"):
        fl.run_rounds(process_of(name), toy().with_examples(broken), num_rounds=1, **RUN)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.at_zero])
def test_without_its_strength_an_algorithm_is_federated_averaging(name):
    without, plain = run_of(name, 0.0), run_of(ROWS[name].at_zero)
    for a, b in zip(without.model_weights, plain.model_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(run_of(name).model_weights, plain.model_weights, strict=True))


@pytest.mark.parametrize("row", catalogue.ALGORITHMS, ids=lambda row: row.name)
def test_rates_and_weights_are_those_of_the_builder(row):
    parameters = inspect.signature(row.load()).parameters
    assert {name: parameters[name].default for name in parameters if name in ("client_lr", "server_lr")} == row.rates
    required = {n for n, p in parameters.items() if p.default is p.empty} - {"model"}
    assert required <= set(row.needs)
    assert (row.parameter or "client_lr") in {*parameters, "client_lr"}


@pytest.mark.parametrize("row", ALL, ids=lambda row: f"{row.family}-{row.name}")
def test_a_row_tells_the_truth_about_its_builder(row):
    source = inspect.getsource(inspect.getmodule(row.load()))
    assert row.paper in source
    assert re.fullmatch(r"|\d{4}\.\d{5}", row.paper)
    if row.name != "mean":  # what is done without an aggregator
        assert getattr(fl, row.builder, row.load()) is row.load()
    if row.parameter:
        assert row.parameter in inspect.signature(row.load()).parameters
        assert row.describe(7) == (f"{row.label}, {row.shown.format(7)}" if row.shown else row.label)
    assert row.describe() == row.describe(float("nan")) == row.label


@pytest.mark.parametrize("row", catalogue.AGGREGATORS, ids=lambda row: row.name)
def test_an_aggregator_is_built_from_what_it_needs(row):
    factory = row.load()(**{name: KNOWN[name] for name in row.needs})
    assert isinstance(
        factory, tff.aggregators.UnweightedAggregationFactory | tff.aggregators.WeightedAggregationFactory
    )


def test_names_and_labels_are_unique():
    for rows in (ROWS.values(), catalogue.AGGREGATORS, catalogue.ATTACKS):
        for attribute in ("name", "label"):
            values = [getattr(row, attribute) for row in rows]
            assert len(set(values)) == len(values)


def test_every_public_algorithm_has_a_row():
    """But for attacked federated averaging; the private ones, and builders of other things, are of other rooms."""
    found = {name: getattr(fl, name) for name in fl.__all__ if name.startswith(("build_", "one_shot_"))}
    here = {name for name, builder in found.items() if builder.__module__.startswith("fedlearn_edu.learning.")}
    public = here - {"build_attacked_fed_avg"}
    assert len(public) > 15
    rows = (*catalogue.ALGORITHMS, *catalogue.ONE_SHOT)
    assert public <= {row.builder for row in rows}
    files = {path.stem for path in (REPOSITORY / "fedlearn_edu" / "learning" / "algorithms").glob("*.py")}
    helpers = {"__init__", "composition", "personal_layers"}
    assert files - helpers == {row.module.rpartition(".")[2] for row in catalogue.ALGORITHMS}


def test_the_catalogue_answers_an_unknown_name_with_the_nearest():
    with pytest.raises(fl.UsageError, match="algorithm: no algorithm 'fed_proxy'; did you mean 'fed_prox'"):
        catalogue.by_name("fed_proxy")
    with pytest.raises(fl.UsageError, match=r"build_scaffold: .*'num_clients', .* functools"):
        catalogue.by_name("scaffold").build(None)
