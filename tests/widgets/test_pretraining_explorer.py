"""The pre-training explorer shows measured runs, and differences that are taken seed by seed."""

import itertools

import pandas as pd
import pytest

from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.stored_runs import pretraining_runs, runs_at_round
from fedlearn_edu.widgets import pretraining_explorer
from fedlearn_edu.widgets.pretraining_explorer import PretrainingExplorer

KEYS = ["dataset", "depth", "server_optimizer", "concentration", "seed", "round_num"]
ROUNDS = {"scratch": (0, 2, 4), "head": (0, 2, 4), "one_shot": (0, 1)}


def accuracy(depth, concentration, seed, round_num):
    """Of made-up runs: seeds differ much, but by the same for all depths."""
    learned = {"scratch": 0.05, "head": 0.1, "one_shot": 0.3}[depth] * round_num
    return 0.1 + 0.1 * seed + learned - (0.02 * round_num if concentration < 1 else 0)


@pytest.fixture(scope="module")
def toy_runs():
    rows = [
        ("toy", depth, "sgd", concentration, seed, r, accuracy(depth, concentration, seed, r))
        for depth, concentration, seed in itertools.product(ROUNDS, (10.0, 0.1), (1, 2, 3))
        for r in ROUNDS[depth]
    ]
    adam = [("toy", "head", "adam", 0.1, 1, 4, 0.99)]
    return pd.DataFrame(rows + adam, columns=[*KEYS, "accuracy"])


@pytest.fixture
def explorer(toy_runs):
    explorer = PretrainingExplorer(toy_runs)
    explorer.depth.value = "head"
    return explorer


def row(explorer, name):
    (cells,) = [r for r in explorer.numbers.value.split("<tr>") if f">{name}<" in r]
    return cells.split("</td>")[1].split(">")[-1]


# The stored runs


def test_the_stored_runs_can_be_compared():
    runs = pretraining_runs()
    assert list(runs.columns) == [*KEYS, "accuracy"]
    assert not runs.duplicated(KEYS).any()
    assert not runs.isna().any().any()
    assert runs["accuracy"].between(0, 1).all()
    plain = runs[runs["server_optimizer"] == "sgd"]
    settings = plain.groupby(["dataset", "depth", "concentration"])["seed"].agg(set)
    assert {"scratch", "head"} <= set(plain["depth"])
    assert settings.map(len).min() >= 2, "a spread needs two seeds"
    assert settings.map(frozenset).nunique() == 1, "all depths had the same seeds"
    assert len(settings) == plain["dataset"].nunique() * plain["depth"].nunique() * plain["concentration"].nunique()


def test_a_table_is_the_callers_own():
    mine = pretraining_runs()
    mine["accuracy"] = 0.0
    assert pretraining_runs()["accuracy"].max() > 0


def test_a_run_stands_where_it_was_last_recorded(toy_runs):
    stand = runs_at_round(toy_runs, 3)
    assert stand.groupby("depth")["round_num"].unique().map(list).to_dict() == {
        "scratch": [2],
        "head": [2],
        "one_shot": [1],
    }
    assert stand.index.is_monotonic_increasing
    shuffled = toy_runs.sample(frac=1, random_state=0)
    assert runs_at_round(shuffled, 3).equals(stand)
    assert len(runs_at_round(toy_runs, 0)) == 18  # the one with adam has no record yet
    doubled = pd.concat([toy_runs, toy_runs.assign(seed=toy_runs["seed"] + 10)])  # its index is not unique
    assert len(runs_at_round(doubled, 3)) == 2 * len(stand)


# The widget


def test_numbers_are_those_of_the_runs(explorer):
    assert explorer.error is None
    assert row(explorer, "global accuracy") == "62.0 ± 10.0 %"  # 0.1 + 0.1 seed + 0.4 - 0.08
    assert row(explorer, "lost against concentration 10") == "8.0 ± 0.0 points"  # seed by seed there is no spread
    assert row(explorer, "from scratch, the same clients") == "42.0 ± 10.0 %"
    assert row(explorer, "ahead of from scratch") == "20.0 ± 0.0 points"
    assert row(explorer, "seeds") == "3"  # and not the run with adam
    assert "as recorded" not in explorer.numbers.value


def test_each_control_shows_other_runs_and_comes_back(written, explorer):
    before, numbers = explorer.picture.value, explorer.numbers.value
    for control, value in (
        (explorer.depth, "scratch"),
        (explorer.concentration, 10.0),
        (explorer.num_rounds, 2),
    ):
        usual, control.value = control.value, value
        assert explorer.error is None
        assert explorer.picture.value != before
        assert explorer.numbers.value != numbers
        control.value = usual
        assert (explorer.picture.value, explorer.numbers.value) == (before, numbers)


def test_a_run_that_ended_early_keeps_its_last_record(explorer):
    explorer.depth.value = "one_shot"
    assert explorer.error is None
    assert explorer.chosen["round_num"].unique().tolist() == [1]
    assert row(explorer, "as recorded after round") == "1"
    assert "in one round" in explorer.numbers.value


def test_shows_the_packages_own_runs_for_every_choice():
    explorer = PretrainingExplorer()
    for dataset, (_, depth) in itertools.product(explorer.dataset.options, explorer.depth.options):
        explorer.dataset.value, explorer.depth.value = dataset, depth
        assert explorer.error is None
        chosen = explorer.chosen
        assert set(chosen["dataset"]) == {dataset}
        assert set(chosen["depth"]) == {depth}
        assert f"{100 * chosen['accuracy'].mean():.1f} ± {100 * chosen['accuracy'].std():.1f} %" in row(
            explorer, "global accuracy"
        )


def test_a_missing_run_is_said_and_nothing_breaks(toy_runs):
    other = toy_runs[toy_runs["depth"] == "head"].assign(dataset="other")
    explorer = PretrainingExplorer(pd.concat([toy_runs, other], ignore_index=True))
    explorer.dataset.value = "other"  # the depth is still "scratch"
    assert isinstance(explorer.error, UsageError)
    assert "no run of &#x27;scratch&#x27; on other" in explorer.error_line.value
    assert set(explorer.chosen["dataset"]) == {"toy"}  # what is still shown
    explorer.depth.value = "head"
    assert explorer.error is None
    assert explorer.error_line.value == ""
    assert row(explorer, "ahead of from scratch") == "-"


def test_an_error_is_shown(explorer, monkeypatch):
    monkeypatch.setattr(pretraining_explorer, "plot_pretraining_runs", lambda *args, **kwargs: 1 / 0)
    explorer.num_rounds.value = 2
    assert isinstance(explorer.error, ZeroDivisionError)
    assert "division by zero" in explorer.error_line.value


def test_runs_of_nothing_are_refused(toy_runs):
    with pytest.raises(UsageError, match="runs: expected some with the server optimizer 'sgd', got none"):
        PretrainingExplorer(toy_runs[toy_runs["server_optimizer"] == "adam"])
