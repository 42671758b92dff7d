"""The race shows measured runs; what one is ahead of another is taken seed by seed."""

import pandas as pd
import pytest

from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.stored_runs import algorithm_runs
from fedlearn_edu.widgets import algorithm_race
from fedlearn_edu.widgets.algorithm_race import AlgorithmRace

KEYS = ["dataset", "algorithm", "concentration", "seed", "round_num"]
LEARNED = {"FedAvg": 0.1, "SCAFFOLD": 0.12}  # in a round


def accuracy(algorithm, concentration, seed, round_num):
    """Of made-up runs: seeds differ much, but by the same for all algorithms."""
    return 0.1 + 0.1 * seed + LEARNED[algorithm] * round_num - (0.02 * round_num if concentration < 1 else 0)


@pytest.fixture(scope="module")
def toy_runs():
    rows = []
    for concentration in (10.0, 0.1):
        for seed in (1, 2, 3):
            rows += [("toy", "central ceiling", concentration, seed, 0, 0.8 + 0.05 * seed, 0.7)]
            rows += [("toy", "Fed3R", concentration, seed, 1, 0.5, 0.4)]
            for name in LEARNED:
                for r in (0, 2, 4):
                    value = accuracy(name, concentration, seed, r)
                    rows.append(("toy", name, concentration, seed, r, value, value - 0.05))
    return pd.DataFrame(rows, columns=[*KEYS, "accuracy", "worst_decile"])


@pytest.fixture
def race(toy_runs):
    return AlgorithmRace(toy_runs)


def row(widget, name):
    """The numbers of an algorithm: accuracy, share of the ceiling, ahead of FedAvg, worst tenth."""
    (cells,) = [r for r in widget.numbers.value.split("<tr>") if f">{name}<" in r]
    return [cell.split(">")[-1] for cell in cells.split("</td>")[1:-1]]


# The stored runs


def test_the_stored_runs_can_be_compared():
    runs = algorithm_runs()
    runs = runs[[*KEYS, "accuracy", "worst_decile"]]
    assert not runs.duplicated(KEYS).any()
    assert not runs.isna().any().any()
    assert runs[["accuracy", "worst_decile"]].stack().between(0, 1).all()
    for _, same in runs.groupby(["dataset", "seed"]):
        settings = same.groupby("algorithm")["concentration"].agg(frozenset)
        assert settings.nunique() == 1, "all algorithms saw the same clients"
    rounds = runs.groupby("algorithm")["round_num"].agg(frozenset)
    assert rounds["central ceiling"] == {0}
    assert {name for name, recorded in rounds.items() if recorded == {1}} == {"FedNCM", "FedCOF", "Fed3R"}
    trained = rounds[[len(recorded) > 1 for recorded in rounds]]
    assert "FedAvg" in trained
    assert trained.nunique() == 1, "curves can be compared at every recorded round"
    mine = algorithm_runs()
    mine["accuracy"] = 0.0
    assert algorithm_runs()["accuracy"].max() > 0


# The widget


def test_numbers_are_those_of_the_runs(race):
    assert race.error is None
    assert race.concentration.value == 0.1
    # 0.1 + 0.1 seed + 0.08 * 4 and 0.1 + 0.1 seed + 0.10 * 4; the ceilings are 0.85, 0.9, 0.95
    shares = pd.Series([0.52 / 0.85, 0.62 / 0.9, 0.72 / 0.95])
    assert row(race, "FedAvg") == [
        "62.0 ± 10.0 %", f"{100 * shares.mean():.1f} ± {100 * shares.std():.1f} %", "", "57.0 ± 10.0 %"
    ]  # fmt: skip
    assert row(race, "SCAFFOLD")[0] == "70.0 ± 10.0 %"
    assert row(race, "SCAFFOLD")[2] == "8.0 ± 0.0 points"  # seed by seed there is no spread
    assert row(race, "Fed3R") == [
        "50.0 ± 0.0 %", "55.7 ± 3.1 %", "-12.0 ± 10.0 points", "40.0 ± 0.0 %"
    ]  # fmt: skip
    assert row(race, "central ceiling") == ["90.0 ± 5.0 %", "", "", "70.0 ± 0.0 %"]
    names = [r.split("</td>")[0].split(">")[-1] for r in race.numbers.value.split("<tr>")[2:]]
    assert names == ["central ceiling", "SCAFFOLD", "FedAvg", "Fed3R"]  # the best first, after the ceiling
    assert "after round 4, 3 seeds" in race.numbers.value


def test_one_seed_has_no_spread(race):
    race.seed.value = 2
    assert race.error is None
    assert row(race, "SCAFFOLD") == ["70.0 %", "77.8 %", "8.0 points", "65.0 %"]
    assert "after round 4, 1 seed<" in race.numbers.value


def test_a_seed_of_0_is_one_seed(toy_runs):
    race = AlgorithmRace(toy_runs.assign(seed=toy_runs["seed"] - 1))
    assert "after round 4, 3 seeds" in race.numbers.value
    race.seed.value = 0
    assert race.error is None
    assert "after round 4, 1 seed<" in race.numbers.value
    assert row(race, "FedAvg")[0] == "52.0 %"


def test_ahead_of_fed_avg_even_where_that_is_not_shown(race):
    race.algorithms.value = ["SCAFFOLD"]
    assert row(race, "SCAFFOLD")[2] == "8.0 ± 0.0 points"
    assert ">FedAvg<" not in race.numbers.value


def test_each_control_shows_other_runs_and_comes_back(written, race):
    before, numbers = race.picture.value, race.numbers.value
    for control, value in (
        (race.concentration, 10.0),
        (race.algorithms, ("SCAFFOLD",)),
        (race.num_rounds, 2),
        (race.seed, 1),
    ):
        usual, control.value = control.value, value
        assert race.error is None
        assert race.picture.value != before
        assert race.numbers.value != numbers
        control.value = usual
        assert (race.picture.value, race.numbers.value) == (before, numbers)


def test_before_its_round_a_one_shot_head_is_not_there(race):
    race.num_rounds.value = 0
    assert race.error is None
    assert ">Fed3R<" not in race.numbers.value
    assert row(race, "FedAvg")[0] == "30.0 ± 10.0 %"


def test_shows_the_packages_own_runs():
    race = AlgorithmRace()
    runs = algorithm_runs()
    assert {"FedAvg", "SCAFFOLD"} <= set(race.algorithms.value) < set(race.algorithms.options)
    race.algorithms.value = ["FedAvg"]
    for dataset in race.dataset.options:
        race.dataset.value = dataset
        assert race.error is None
        same = (runs["dataset"] == dataset) & (runs["concentration"] == race.concentration.value)
        last = runs[same & (runs["algorithm"] == "FedAvg") & (runs["round_num"] == runs["round_num"].max())]
        mean = last["accuracy"].mean()
        assert row(race, "FedAvg")[0].startswith(f"{100 * mean:.1f} ")


def test_a_missing_run_is_said_and_nothing_breaks(toy_runs):
    other = toy_runs[toy_runs["algorithm"] == "FedAvg"].assign(dataset="other")
    race = AlgorithmRace(pd.concat([toy_runs, other], ignore_index=True))
    numbers = race.numbers.value
    race.dataset.value = "other"
    assert isinstance(race.error, UsageError)
    assert "no run of Fed3R, SCAFFOLD on other at concentration 0.1" in race.error_line.value
    assert race.numbers.value == numbers  # what is still shown
    race.algorithms.value = ["FedAvg"]
    assert race.error is None
    assert race.error_line.value == ""
    assert row(race, "FedAvg")[:2] == ["62.0 ± 10.0 %", "-"]  # without a ceiling
    race.algorithms.value = []
    assert "algorithms: choose at least one" in race.error_line.value


def test_an_error_is_shown(race, monkeypatch):
    monkeypatch.setattr(algorithm_race, "plot_race", lambda *args, **kwargs: 1 / 0)
    race.num_rounds.value = 2
    assert isinstance(race.error, ZeroDivisionError)
    assert "division by zero" in race.error_line.value


def test_runs_of_nothing_are_refused(toy_runs):
    with pytest.raises(UsageError, match=r"runs: expected some of an algorithm, got none"):
        AlgorithmRace(toy_runs[toy_runs["algorithm"] == "central ceiling"])
