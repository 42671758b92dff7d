"""The personalisation explorer shows measured accuracies, each client beside itself."""

import pandas as pd
import pytest

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting import figure_png
from fedlearn_edu.simulation.stored_runs import personalisation_runs
from fedlearn_edu.widgets import personalisation_explorer
from fedlearn_edu.widgets.personalisation_explorer import PersonalisationExplorer

COLUMNS = ["dataset", "concentration", "seed", "method", "client_id", "num_train", "accuracy"]
ACCURACIES = {  # of the clients a, b, c; seed 2 has a tenth more of all
    "global model": [0.2, 0.4, 0.6],
    "fine-tuned": [0.5, 0.5, 0.5],
    "Ditto": [0.3, 0.5, 0.7],
}


@pytest.fixture(scope="module")
def toy_runs():
    rows = [
        (
            "toy",
            concentration,
            seed,
            method,
            client_id,
            30,
            value + 0.1 * (seed - 1) - (0.1 if concentration > 1 else 0),
        )
        for concentration in (10.0, 0.1)
        for seed in (1, 2)
        for method, values in ACCURACIES.items()
        for client_id, value in zip("abc", values, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture
def explorer(toy_runs):
    return PersonalisationExplorer(toy_runs)


def row(explorer, name):
    """The numbers of a method: mean, worst tenth, best tenth, spread over clients, how many got worse."""
    (cells,) = [r for r in explorer.numbers.value.split("<tr>") if f">{name}<" in r]
    return [cell.split(">")[-1] for cell in cells.split("</td>")[1:-1]]


# The stored runs


def test_the_stored_runs_can_be_compared():
    runs = personalisation_runs()
    runs = runs[["head", *COLUMNS]]
    assert not runs.duplicated(["dataset", "concentration", "seed", "method", "client_id"]).any()
    assert not runs.isna().any().any()
    assert runs["accuracy"].between(0, 1).all()
    assert "global model" in set(runs["method"])
    assert runs["method"].nunique() == 9
    for _, same in runs.groupby(["dataset", "concentration", "seed"]):
        assert set(same["method"]) == set(runs["method"]), "all methods had the same clients"
        assert same.groupby("method")["client_id"].agg(frozenset).nunique() == 1
        assert same.groupby("client_id")["num_train"].nunique().eq(1).all()
    mine = personalisation_runs()
    mine["accuracy"] = 0.0
    assert personalisation_runs()["accuracy"].max() > 0


# The widget


def test_a_method_is_compared_with_the_global_model_on_its_head(toy_runs):
    other = toy_runs[toy_runs["method"].isin(["global model", "Ditto"])]
    better = other["accuracy"] + 0.2 * ((other["client_id"] == "b") & (other["method"] == "global model"))
    explorer = PersonalisationExplorer(
        pd.concat(
            [toy_runs, other.assign(method="MLP, " + other["method"], head="mlp", accuracy=better)], ignore_index=True
        )
    )
    assert row(explorer, "Ditto")[4] == "0 of 6"
    explorer.method.value = "MLP, Ditto"  # the same accuracies, but a better model to start from, for b
    assert explorer.error is None
    assert row(explorer, "▸ MLP, Ditto")[:4] == row(explorer, "Ditto")[:4]
    assert row(explorer, "▸ MLP, Ditto")[4] == "2 of 6"
    assert (explorer.chosen["gain"] < 0).sum() == 2
    explorer.method.value = "MLP, global model"  # against the one on the other head
    assert (explorer.chosen["gain"] > 0.1).sum() == 2


def test_numbers_are_those_of_one_seed(explorer):
    explorer.seed.value = 1
    assert explorer.error is None
    assert explorer.concentration.value == 0.1
    # The deviation of 0.2, 0.4, 0.6 is the root of 0.08 / 3. A tenth of three clients is one.
    assert row(explorer, "global model") == ["40.0 %", "20.0 %", "60.0 %", "16.3 points", ""]
    assert row(explorer, "▸ fine-tuned") == ["50.0 %", "50.0 %", "50.0 %", "0.0 points", "1 of 3"]
    assert row(explorer, "Ditto") == ["50.0 %", "30.0 %", "70.0 %", "16.3 points", "0 of 3"]
    assert explorer.chosen["gain"].to_dict() == pytest.approx({"a": 0.3, "b": 0.1, "c": -0.1})
    left, right = explorer.picture.figure.axes
    assert left.get_title(loc="left") == "1 of 3 clients got worse"
    assert [text.get_text() for text in right.texts] == ["1 of 3 worse", "0 of 3 worse"]


def test_numbers_of_all_seeds_are_means_over_seeds(explorer):
    assert row(explorer, "global model")[:3] == ["45.0 ± 7.1 %", "25.0 ± 7.1 %", "65.0 ± 7.1 %"]
    assert row(explorer, "global model")[3] == "16.3 ± 0.0 points"
    assert row(explorer, "▸ fine-tuned")[4] == "2 of 6"
    assert explorer.chosen.index.tolist()[:2] == ["a seed 1", "a seed 2"]
    assert len(explorer.chosen) == 6
    left, right = explorer.picture.figure.axes
    assert left.get_title(loc="left") == "2 of 6 clients got worse"
    assert [text.get_text() for text in right.texts] == ["2 of 6 worse", "0 of 6 worse"]
    dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in right.lines if line.get_marker() == "o"}
    assert dots == pytest.approx({0: 0.45, 1: 0.55, 2: 0.55})  # both others are 10 points ahead


def test_nothing_is_cut_off():
    explorer = PersonalisationExplorer()
    explorer.method.value = "MLP, fine-tuned, 5 epochs"  # the longest, and bold
    for dataset in explorer.dataset.options:
        explorer.dataset.value = dataset
        explorer.concentration.value = 100.0  # here most clients get worse: numbers of three digits
        figure = explorer.picture.figure
        figure_png(figure)
        left, right = figure.axes
        names = left.get_yticklabels() + right.get_yticklabels()
        assert not [name.get_text() for name in names if "…" in name.get_text()]
        boxes = [text.get_window_extent() for text in [*names, *right.texts]]
        assert min(box.x0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= figure.bbox.x1
        assert min(name.get_window_extent().x0 for name in right.get_yticklabels()) > left.get_window_extent().x1


def test_each_control_shows_other_runs_and_comes_back(written, explorer):
    before, numbers = explorer.picture.value, explorer.numbers.value
    for control, value in ((explorer.concentration, 10.0), (explorer.method, "Ditto"), (explorer.seed, 2)):
        usual, control.value = control.value, value
        assert explorer.error is None
        assert explorer.picture.value != before
        assert explorer.numbers.value != numbers
        control.value = usual
        assert (explorer.picture.value, explorer.numbers.value) == (before, numbers)


def test_shows_the_packages_own_runs():
    explorer, runs = PersonalisationExplorer(), personalisation_runs()
    for method in explorer.method.options[:2]:
        explorer.method.value = method
        assert explorer.error is None
        same = (runs["dataset"] == explorer.dataset.value) & (runs["concentration"] == explorer.concentration.value)
        shown = runs[same & (runs["method"] == method)]
        assert len(explorer.chosen) == len(shown)
        mean = shown.groupby("seed")["accuracy"].mean().mean()
        assert row(explorer, f"▸ {method}")[0].startswith(f"{100 * mean:.1f} ")


def test_a_missing_run_is_said_and_nothing_breaks(toy_runs):
    other = toy_runs[toy_runs["method"] != "Ditto"].assign(dataset="other")
    explorer = PersonalisationExplorer(pd.concat([toy_runs, other], ignore_index=True))
    explorer.method.value = "Ditto"
    numbers = explorer.numbers.value
    explorer.dataset.value = "other"
    assert isinstance(explorer.error, UsageError)
    assert "method: no run of &#x27;Ditto&#x27; on other at concentration 0.1" in explorer.error_line.value
    assert explorer.numbers.value == numbers  # what is still shown
    explorer.method.value = "fine-tuned"
    assert explorer.error is None
    assert explorer.error_line.value == ""


def test_an_error_is_shown(explorer, monkeypatch):
    monkeypatch.setattr(personalisation_explorer, "plot_fairness", lambda *args, **kwargs: 1 / 0)
    explorer.method.value = "Ditto"
    assert isinstance(explorer.error, ZeroDivisionError)
    assert "division by zero" in explorer.error_line.value


def test_runs_of_nothing_are_refused(toy_runs):
    with pytest.raises(UsageError, match="runs: expected some of a method beside 'global model'"):
        PersonalisationExplorer(toy_runs[toy_runs["method"] == "global model"])
