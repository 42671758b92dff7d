"""The attack explorer shows measured runs; what is lost to an attack is taken seed by seed."""

import itertools

import pandas as pd
import pytest
import toy_attacks

from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.stored_runs import attack_runs, attack_selections
from fedlearn_edu.widgets import attack_explorer
from fedlearn_edu.widgets.attack_explorer import AttackExplorer

KEYS = toy_attacks.KEYS


@pytest.fixture
def explorer():
    explorer = AttackExplorer(toy_attacks.runs(), toy_attacks.selections())
    explorer.aggregator.value, explorer.num_attackers.value = "Multi-Krum", 4
    return explorer


def row(explorer, name):
    (cells,) = [r for r in explorer.numbers.value.split("<tr>") if f">{name}<" in r]
    return cells.split("</td>")[1].split(">")[-1]


# The stored runs


def test_the_stored_runs_can_be_compared():
    runs, selections = attack_runs(), attack_selections()
    runs = runs[[*KEYS, "accuracy", "minority_accuracy", "backdoor_success"]]
    assert not runs.duplicated(KEYS).any()
    assert not runs.drop(columns="backdoor_success").isna().any().any()
    assert runs[["accuracy", "minority_accuracy"]].stack().between(0, 1).all()
    assert ((runs["attack"] == "none") == (runs["num_attackers"] == 0)).all()
    assert (runs["backdoor_success"].notna() == runs["attack"].isin(["none", "backdoor"])).all()
    for _, same in runs.groupby(["attack", "seed"]):
        settings = same.groupby("aggregator")[["partition", "num_attackers"]].apply(
            lambda rows: frozenset(rows.itertuples(index=False, name=None))
        )
        assert settings.nunique() == 1, "all aggregators met the same attacks"
    assert not selections.duplicated([*KEYS, "client_id"]).any()
    assert selections["rounds_kept"].between(0, selections["num_rounds"]).all()


def test_the_stored_selections_are_those_of_the_runs():
    runs, selections = attack_runs(), attack_selections()
    dropping = runs[runs["aggregator"].isin(["Krum", "Multi-Krum"])]
    by_run = selections.groupby(KEYS)
    assert set(by_run.groups) == set(dropping[KEYS].itertuples(index=False, name=None))
    assert (by_run["hostile"].sum() == by_run["num_attackers"].first()).all()
    assert (by_run["client_id"].nunique() == 20).all()
    krum = selections[selections["aggregator"] == "Krum"].groupby(KEYS)
    assert (krum["rounds_kept"].sum() == krum["num_rounds"].first()).all(), "Krum keeps one client a round"
    minority = by_run["minority"].sum().reset_index()
    assert (minority.loc[minority["partition"] == "minority:1", "minority"] == 2).all()
    assert not (selections["minority"] & selections["hostile"]).any()


def test_a_table_is_the_callers_own():
    mine = attack_runs()
    mine["accuracy"] = 0.0
    assert attack_runs()["accuracy"].max() > 0


# The widget


def test_numbers_are_those_of_the_runs(explorer):
    assert explorer.error is None
    assert explorer.partition.value == "minority:1"
    assert explorer.attack.options == ("flip", "noise")  # "none" is 0 attackers
    assert explorer.num_attackers.label == "4 of 10"
    # 0.5 + 0.1 seed, less 0.01 an attacker with Multi-Krum and 0.05 with the mean
    assert row(explorer, "global accuracy") == "66.0 ± 10.0 %"
    assert row(explorer, "without an attack") == "70.0 ± 10.0 %"
    assert row(explorer, "lost to the attack") == "4.0 ± 0.0 points"  # seed by seed there is no spread
    assert row(explorer, "plain mean, the same attack") == "50.0 ± 10.0 %"
    assert row(explorer, "accuracy of the minority") == "0.0 ± 0.0 %"
    assert row(explorer, "accuracy of the minority, plain mean") == "40.0 ± 10.0 %"
    assert row(explorer, "honest majority kept in") == "95.0 % of rounds"
    assert row(explorer, "honest minority kept in") == "0.0 % of rounds"
    assert row(explorer, "attackers kept in") == "20.0 % of rounds"
    assert row(explorer, "seeds") == "3"
    assert "Multi-Krum; flip, 4 of 10 clients hostile" in explorer.numbers.value
    assert "backdoor" not in explorer.numbers.value


def test_without_attackers_the_attack_does_not_matter(explorer):
    explorer.num_attackers.value = 0
    picture = explorer.numbers.value
    assert row(explorer, "lost to the attack") == "0.0 ± 0.0 points"
    assert "Multi-Krum; no attack" in picture
    assert "attackers kept" not in picture
    explorer.attack.value = "noise"
    assert explorer.error is None
    assert explorer.numbers.value == picture


def test_who_drops_nobody_has_no_rows_of_kept(explorer):
    explorer.aggregator.value = "mean"
    assert row(explorer, "lost to the attack") == "20.0 ± 0.0 points"
    assert "kept" not in explorer.numbers.value
    explorer.aggregator.value, explorer.partition.value = "Multi-Krum", "dirichlet:1"
    assert row(explorer, "honest clients kept in") == "95.0 % of rounds"  # there is no minority
    assert row(explorer, "accuracy of the worst tenth of the honest") == "56.0 ± 10.0 %"


def test_each_control_shows_other_runs_and_comes_back(written, explorer):
    before, numbers = explorer.picture.value, explorer.numbers.value
    for control, value in (
        (explorer.partition, "dirichlet:1"),
        (explorer.attack, "noise"),
        (explorer.num_attackers, 2),
        (explorer.aggregator, "mean"),
    ):
        usual, control.value = control.value, value
        assert explorer.error is None
        assert explorer.picture.value != before
        assert explorer.numbers.value != numbers
        control.value = usual
        assert (explorer.picture.value, explorer.numbers.value) == (before, numbers)


def test_a_backdoor_is_told_where_it_was_measured():
    runs = toy_attacks.runs().replace("noise", "backdoor")
    runs["backdoor_success"] = runs["attack"].map({"none": 0.1, "backdoor": 0.9})
    explorer = AttackExplorer(runs)
    explorer.attack.value = "backdoor"
    assert row(explorer, "backdoor: triggers that succeed") == "90.0 ± 0.0 %"
    assert explorer.num_attackers.label == "2"  # of how many is not known without selections
    explorer.attack.value = "flip"
    assert "backdoor:" not in explorer.numbers.value


def test_shows_the_packages_own_runs():
    explorer, runs = AttackExplorer(), attack_runs()
    assert "4 of 20" in explorer.numbers.value
    for (_, partition), aggregator in itertools.product(explorer.partition.options, ("Krum", "median")):
        explorer.partition.value, explorer.aggregator.value = partition, aggregator
        assert explorer.error is None
        shown = explorer.chosen
        same = (runs["partition"] == partition) & (runs["aggregator"] == aggregator) & (runs["num_attackers"] == 4)
        assert shown.equals(runs[same & (runs["attack"] == explorer.attack.value)])
        assert row(explorer, "global accuracy").startswith(f"{100 * shown['accuracy'].mean():.1f} ")
        assert ("attackers kept in" in explorer.numbers.value) == (aggregator == "Krum")


def test_a_missing_run_is_said_and_nothing_breaks():
    runs = toy_attacks.runs()
    runs = runs[(runs["attack"] != "noise") | (runs["aggregator"] == "mean")]
    explorer = AttackExplorer(runs, toy_attacks.selections())
    explorer.aggregator.value = "Multi-Krum"
    numbers = explorer.numbers.value
    explorer.attack.value = "noise"
    assert isinstance(explorer.error, UsageError)
    assert "no run of &#x27;Multi-Krum&#x27; under 2 attackers with &#x27;noise&#x27;" in explorer.error_line.value
    assert explorer.numbers.value == numbers  # what is still shown
    explorer.aggregator.value = "mean"
    assert explorer.error is None
    assert explorer.error_line.value == ""


def test_an_error_is_shown(explorer, monkeypatch):
    monkeypatch.setattr(attack_explorer, "plot_attack_runs", lambda *args, **kwargs: 1 / 0)
    explorer.num_attackers.value = 2
    assert isinstance(explorer.error, ZeroDivisionError)
    assert "division by zero" in explorer.error_line.value


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(UsageError, match="runs: expected some with an attack, got none"):
        AttackExplorer(toy_attacks.runs().query("attack == 'none'"))
    with pytest.raises(UsageError, match="selections: expected runs that they belong to, got None"):
        AttackExplorer(selections=pd.DataFrame())
