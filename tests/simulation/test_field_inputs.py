"""What the field brings to a run: names in any script, numbers that are none, seeds of any kind."""

import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedlearn_edu as fl
from fedlearn_edu.checks import check_seed
from fedlearn_edu.simulation.client_data import worker_name
from fedlearn_edu.simulation.run_checks import check_features

ARGS = {"num_rounds": 2, "clients_per_round": 4, "batch_size": 5, "seed": 7, "progress": False}
NAMES = ["Zoë", "東京", "two words", "%2F", "🙂", "x" * 300]


def renamed(features, names):
    clients = dict(zip(names, features.clients.values(), strict=True))
    return dataclasses.replace(features, clients=clients)


def changed(features, client_id, value, *, split="train"):
    """The same clients, with one number of one client's example replaced."""
    examples = features.examples.copy()
    examples[getattr(features.clients[client_id], split)[-1], -1] = value
    return features.with_examples(examples)


@pytest.fixture(scope="module")
def process(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features))


@pytest.fixture(scope="module")
def named(features):
    return renamed(features, NAMES)


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["client_00", "two words", "it's", "a.b-c", "writer 7", "A+B (2)"])
def test_plain_names_stay_as_they_are_since_shuffles_depend_on_them(name):
    assert worker_name(name) == name


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=8))
def test_the_worker_gets_short_ascii_names_and_no_two_clients_the_same(client_ids):
    names = [worker_name(client_id) for client_id in [*client_ids, *map(worker_name, client_ids)]]
    for name in names:
        assert name.isascii()
        assert name.isprintable()
        assert "/" not in name
        assert 0 < len(name) < 255
        assert name not in (".", "..")
    assert len(set(names[: len(client_ids)])) == len(client_ids)


def test_a_run_names_its_clients_whatever_they_are_called(named, tmp_path):
    process = fl.build_ditto(fl.linear_head(named))  # clients keep a state, and have personal models
    whole = fl.run_rounds(process, named, **ARGS)
    assert set(whole.client_metric("personal_accuracy").index) == set(NAMES)
    assert set(whole.client_metric("in_cohort").index) <= set(NAMES)
    fl.run_rounds(process, named, **{**ARGS, "num_rounds": 1}, checkpoint_dir=tmp_path / "checkpoint")
    resumed = fl.run_rounds(process, named, **ARGS, checkpoint_dir=tmp_path / "checkpoint", resume=True)
    assert resumed.rows == whole.rows
    whole.save(tmp_path / "saved")
    assert fl.History.load(tmp_path / "saved").rows == whole.rows


def test_names_decide_nothing_but_the_order_of_draws(features, process):
    """With everybody in the cohort and full batches, no result depends on what clients are called."""
    everybody = {**ARGS, "clients_per_round": 6, "batch_size": 100}
    results = []
    for names in (NAMES, sorted(features.client_ids)):
        history = fl.run_rounds(process, renamed(features, names), **everybody)
        results.append(history.client_metric("accuracy").loc[names].to_numpy())
    np.testing.assert_array_equal(*results)


def test_heads_attackers_and_fine_tuning_by_any_name(named):
    result = fl.run_one_shot(fl.one_shot_ncm(named), named, clients=NAMES[:3])
    assert set(result.client_accuracy) == set(NAMES)
    assert result.clients == tuple(NAMES[:3])
    model = fl.linear_head(named)
    weights = [np.asarray(w) for w in model.initial_weights[0]]
    assert list(fl.fine_tune_locally(model, named, weights, num_epochs=1).index) == NAMES
    process = fl.build_attacked_fed_avg(model, attackers={"東京": fl.SignFlip()})
    history = fl.run_rounds(process, named, **{**ARGS, "num_rounds": 1, "clients_per_round": 6})
    assert {name: int(state["attack"]) for name, state in history.client_states.items()} == {
        name: int(name == "東京") for name in NAMES
    }


# --- numbers that are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "split"),
    [(np.nan, np.float32, "train"), (-np.inf, np.float32, "test"), (1e300, np.float64, "train")],
)
def test_features_that_are_not_finite_are_refused_with_the_client_named(features, process, value, dtype, split):
    model = process.model
    weights = [np.asarray(w) for w in model.initial_weights[0]]
    broken = changed(features.with_examples(features.examples.astype(dtype)), "client_3", value, split=split)
    for start in (
        lambda: fl.run_rounds(process, broken, **ARGS),
        lambda: fl.train_centrally(model, broken),
        lambda: fl.run_one_shot(fl.one_shot_ncm(features), broken),
        lambda: fl.fine_tune_locally(model, broken, weights),
    ):
        with pytest.raises(fl.UsageError, match=r"features: expected finite .* 1 example\(s\) of client 'client_3'"):
            start()
    others = broken.select_clients(c for c in features.client_ids if c != "client_3")
    check_features(others)  # what nobody holds matters to nobody


def test_the_number_of_clients_with_broken_features_is_said(features):
    broken = changed(changed(features, "client_1", np.nan), "client_4", np.nan)
    with pytest.raises(fl.UsageError, match=r"of client 'client_1' \(and 1 more clients\)"):
        fl.train_centrally(fl.linear_head(features), broken)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("build_unweighted_fed_avg", {}),
        ("build_weighted_fed_avg", {}),
        ("build_scaffold", {"num_clients": 6}),
        ("build_dp_fed_avg", {"noise_multiplier": 1e-3, "clients_per_round": 4, "population": 6}),
        ("build_mime_lite", {}),
    ],
)
def test_a_client_that_trains_to_infinity_is_reported_in_each_of_its_rounds(features, name, arguments, capsys):
    """Its features are finite, but so large, in examples of unlike classes, that the second step is not."""
    examples = features.examples.copy()
    examples[features.clients["client_2"].train, -1] = 3e38
    broken = features.with_examples(examples)
    process = getattr(fl, name)(fl.linear_head(features), **arguments)
    history = fl.run_rounds(process, broken, **{**ARGS, "num_rounds": 3, "num_epochs": 2})
    trained = history.client_metric("in_cohort").loc["client_2"].dropna().index
    assert len(trained)
    if name == "build_mime_lite":  # TFF's has no guard for the full gradient: its server's momentum is NaN from now on
        trained = trained[:1]
    excluded = {(row[0], row[1]) for row in history.rows if row[2] == "excluded" and row[0] <= trained[-1]}
    assert excluded == {(round_num, "client_2") for round_num in trained}
    assert "Left out for an update with NaN or infinity: " in capsys.readouterr().err


def test_nobody_is_reported_where_nobody_diverges(features):
    head = fl.linear_head(features)
    for process in (fl.build_fed_rep(head, head_epochs=2, personal_indices=(-1,)), fl.build_fed_sgd(head)):
        assert fl.run_rounds(process, features, **ARGS).client_metric("excluded").empty


def test_nobody_with_a_test_example_is_one_line_where_an_accuracy_is_asked_for(features, process):
    clients = {c: fl.ClientSplit(split.train, np.arange(0)) for c, split in features.clients.items()}
    untested = dataclasses.replace(features, clients=clients)
    history = fl.run_rounds(process, untested, **{**ARGS, "progress": True})  # the bar shows the accuracy, if any
    assert (history.status, history.num_rounds, history.is_tested) == ("finished", 2, False)
    assert np.abs(history.model_weights[0]).max() > 0
    with pytest.raises(fl.UsageError, match="history: expected a run in which some client has test examples, got none"):
        _ = history.global_accuracy


# --- seeds -------------------------------------------------------------------------------------------------------

BAD_SEEDS = [-1, 1.5, None, 2**31, 2**64, True, "1", np.nan, [1], pd.NA]


@pytest.mark.parametrize("seed", BAD_SEEDS, ids=repr)
def test_seeds_are_checked_everywhere_alike(features, process, seed):
    model = process.model
    weights = [np.asarray(w) for w in model.initial_weights[0]]
    images = fl.ImageDataset("toy", np.zeros([9, 8, 8, 3], np.uint8), np.arange(9, dtype=np.int32) % 3, tuple("abc"))
    example = np.zeros([4, 8], np.float32)
    private = {"noise_multiplier": 1.0, "clients_per_round": 3, "population": 6, "seed": seed}
    for start in (
        lambda: fl.run_rounds(process, features, **{**ARGS, "seed": seed}),
        lambda: fl.iter_rounds(process, features, num_rounds=1, clients_per_round=2, seed=seed),
        lambda: fl.train_centrally(model, features, seed=seed),
        lambda: fl.fine_tune_locally(model, features, weights, seed=seed),
        lambda: fl.mlp_head(features, seed=seed),
        lambda: fl.partition(images, fl.IID(), num_clients=2, seed=seed),
        lambda: fl.load_dataset("fashion", seed=seed),
        lambda: fl.build_attacked_fed_avg(model, attackers={}, seed=seed),
        lambda: fl.build_dp_fed_avg(model, **private),
        lambda: fl.build_distributed_dp_fed_avg(model, **private),
        lambda: fl.build_dp_ftrl(model, **private),
        lambda: fl.build_local_dp_fed_avg(model, **private),
        lambda: fl.client_delta(process, example, np.zeros(4, np.int32), seed=seed),
    ):
        with pytest.raises(fl.UsageError, match="seed: expected a whole number from 0 to 2147483647, got ") as error:
            start()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [2**31 - 1, np.uint8(3)])
def test_every_seed_in_the_range_runs(features, process, seed):
    assert check_seed(seed) == seed
    assert fl.run_rounds(process, features, **{**ARGS, "num_rounds": 1, "seed": seed}).status == "finished"


def test_all_functions_with_a_seed_are_known():
    """Whoever adds one says here where it is checked."""
    of_bytes = {"SecureAggregationClient", "additive_shares", "secure_sum", "shamir_shares"}
    tried = {
        "run_rounds iter_rounds train_centrally fine_tune_locally mlp_head partition load_dataset client_delta",
        "build_attacked_fed_avg build_dp_fed_avg build_distributed_dp_fed_avg build_dp_ftrl build_local_dp_fed_avg",
    }
    hands_on = {"FeatureDirection", "add_backdoor", "invert_gradients", "plot_images", "pretrain", "score_features"}
    hands_on |= {"PartitionExplorer", "RunConfig", "TrainingDashboard", "check", "small_network", "train_shadow_heads"}
    known = of_bytes | hands_on | set(" ".join(tried).split())
    assert {name for name in fl.__all__ if takes_seed(getattr(fl, name))} == known


def takes_seed(thing) -> bool:
    try:
        return "seed" in inspect.signature(thing).parameters
    except (TypeError, ValueError):  # exceptions and numbers have no signature
        return False
