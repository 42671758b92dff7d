"""The race of algorithms: curves are the means of the runs, labels stand where they end and do not cover each other."""

import types

import numpy as np
import pandas as pd
import pytest

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png
from fedlearn_edu.plotting.end_labels import LINE_POINTS, spread
from fedlearn_edu.simulation.history import History

NAMES = ["FedAvg", "SCAFFOLD", "FedProx, 0.1"]
ROUNDS = (0, 2, 4)


def accuracy(name, seed, round_num):
    """Of made-up runs; all seeds stand a hundredth apart."""
    return 0.1 + 0.01 * seed + (0.1 + 0.02 * NAMES.index(name)) * round_num


@pytest.fixture(scope="module")
def runs():
    rows = [("a", n, 0.1, s, r, accuracy(n, s, r)) for n in NAMES for s in (1, 2, 3) for r in ROUNDS]
    rows += [("a", "Fed3R", 0.1, s, 1, 0.5 + 0.01 * s) for s in (1, 2, 3)]
    rows += [("a", "central ceiling", 0.1, s, 0, 0.9) for s in (1, 2, 3)]
    rows += [("b", "FedAvg", 0.1, 1, r, 0.3) for r in ROUNDS] + [("a", "FedAvg", 1.0, 1, r, 0.35) for r in ROUNDS]
    return pd.DataFrame(rows, columns=["dataset", "algorithm", "concentration", "seed", "round_num", "accuracy"])


@pytest.fixture
def here(runs):
    return runs[(runs["dataset"] == "a") & (runs["concentration"] == 0.1)]


def curves(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def labels(ax):
    """Text of each label -> its y."""
    return {text.get_text(): text.get_position()[1] for text in ax.texts}


def test_curves_are_means_and_bands_deviations(runs):
    ax = fl.plot_race(runs, dataset="a", concentration=0.1)
    found = curves(ax)
    assert list(found) == [*NAMES, "Fed3R", "central ceiling"]
    for name in NAMES:
        assert found[name].get_xdata().tolist() == list(ROUNDS)
        assert found[name].get_ydata().tolist() == pytest.approx([accuracy(name, 2, r) for r in ROUNDS])
    assert found["Fed3R"].get_xydata() == pytest.approx(np.array([[1, 0.52], [4, 0.52]]))
    assert found["central ceiling"].get_ydata().tolist() == pytest.approx([0.9, 0.9])
    bands = [c for c in ax.collections if "Poly" in type(c).__name__]
    assert len(bands) == len(NAMES)
    assert bands[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(accuracy("FedAvg", 3, 4))
    assert ax.get_title(loc="left") == "a, concentration 0.1"
    assert set(labels(ax)) == {
        "FedAvg  52.0 %", "SCAFFOLD  60.0 %", "FedProx, 0.1  68.0 %", "Fed3R  52.0 %", "central ceiling  90.0 %"
    }  # fmt: skip


def test_up_to_a_round_and_only_some(here):
    ax = fl.plot_race(here, algorithms=["SCAFFOLD", "FedAvg"], round_num=2)
    assert list(curves(ax)) == ["FedAvg", "SCAFFOLD", "central ceiling"]
    assert curves(ax)["FedAvg"].get_xdata().tolist() == [0, 2]
    assert "SCAFFOLD  36.0 %" in labels(ax)
    whole = fl.plot_race(here)
    assert (ax.get_xlim(), ax.get_ylim()) == (whole.get_xlim(), whole.get_ylim())  # a slider does not move the axes
    assert curves(ax)["SCAFFOLD"].get_color() == curves(whole)["SCAFFOLD"].get_color()
    assert "Fed3R" not in curves(fl.plot_race(here, round_num=0))  # computed in round 1
    low, high = whole.get_ylim()
    assert low < accuracy("FedAvg", 2, 2) < 0.9 < high
    assert low > accuracy("FedAvg", 2, 0)


def test_labels_of_equal_curves_stand_apart(here):
    same = pd.concat([here[here["algorithm"] == "FedAvg"].assign(algorithm=f"FedAvg, {i}") for i in range(12)])
    ax = fl.plot_race(same)
    places = sorted(labels(ax).values())
    height = 72 * ax.get_figure().get_size_inches()[1]
    low, high = ax.get_ylim()
    assert len(places) == 12
    assert np.diff(places).min() * height / (high - low) > 0.99 * LINE_POINTS
    assert low <= places[0] < places[-1] <= high
    styles = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in curves(ax).values()}
    assert len(styles) == 12


@pytest.mark.parametrize("lowest", [0.05, 0.4, 0.74, 0.87])
def test_an_accuracy_is_labelled_as_what_it_is(lowest):
    rows = [(r, "global", "accuracy", a) for r, a in ((0, 0.05), (1, lowest), (2, lowest), (3, 0.89))]
    axis = fl.plot_race({"FedAvg": History({}, rows)}).yaxis
    ticks = axis.get_majorticklocs()
    assert axis.get_major_formatter().format_ticks(ticks) == [f"{100 * tick:.10g} %" for tick in ticks]
    assert len(ticks) >= 5


def test_numbers_are_moved_apart_as_little_as_that_needs():
    assert spread([1.0, 5.0], 2.0, 0.0, 10.0) == [1.0, 5.0]
    assert spread([5.0, 5.0, 5.0], 1.0, 0.0, 10.0) == [4.0, 5.0, 6.0]
    assert spread([9.9, 10.0], 2.0, 0.0, 10.0) == [8.0, 10.0]
    assert spread([], 1.0, 0.0, 1.0) == []


def test_live_runs_by_name():
    def history(end, ceiling=None):
        rows = [(r, "global", "accuracy", a) for r, a in ((0, 0.1), (1, 0.5), (3, end))]
        rows.append((2, "global", "train_accuracy", 0.4))  # a round without an evaluation
        return History({}, rows, central_accuracy=ceiling)

    one_shot = types.SimpleNamespace(accuracy=0.7)
    ax = fl.plot_race({"FedAvg": history(0.6), "mine": history(0.8, 0.95), "Fed3R": one_shot})
    assert curves(ax)["FedAvg"].get_xydata().tolist() == [[0, 0.1], [1, 0.5], [3, 0.6]]
    assert curves(ax)["Fed3R"].get_xydata().tolist() == [[1, 0.7], [3, 0.7]]
    assert curves(ax)["central ceiling"].get_ydata().tolist() == [0.95, 0.95]
    assert list(labels(ax)) == ["FedAvg  60.0 %", "Fed3R  70.0 %", "mine  80.0 %", "central ceiling  95.0 %"]
    assert not [c for c in ax.collections if "Poly" in type(c).__name__]  # one run has no spread
    centrally = fl.plot_race({"central ceiling": types.SimpleNamespace(accuracy=0.9), "FedAvg": history(0.6)})
    assert curves(centrally)["central ceiling"].get_ydata().tolist() == [0.9, 0.9]


@pytest.mark.parametrize("name", ["FedAvg", "FedAvg, started from a one-shot ridge head"])
def test_a_long_name_has_room(name):
    rows = [(r, "global", "accuracy", 0.1 * r) for r in range(6)]
    ax = fl.plot_race({name: History({}, rows)})
    figure = ax.get_figure(root=True)
    figure_png(figure)
    (label,) = ax.texts
    assert label.get_window_extent().x1 <= figure.bbox.x1


def test_redrawing_in_place_leaves_nothing_behind(here):
    ax = fl.plot_race(here)
    first = figure_png(ax.get_figure())
    assert fl.plot_race(here, algorithms=["FedAvg"], round_num=2, ax=ax) is ax
    assert figure_png(ax.get_figure()) != first
    fl.plot_race(here, ax=ax)
    assert figure_png(ax.get_figure()) == first


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "dataset: runs has several, expected one of a, b, got None"),
        ({"dataset": "a"}, "concentration: runs has several, expected one of 0.1, 1.0, got None"),
        ({"dataset": "c"}, "dataset: expected one of a, b, got 'c'"),
        ({"dataset": "b", "concentration": 1.0}, "concentration: expected one of 0.1, got 1.0"),
        ({"dataset": "b", "algorithms": ["Fed3R"]}, "algorithms: expected some of FedAvg, got Fed3R"),
        ({"dataset": "b", "algorithms": []}, "algorithms: expected some of FedAvg, got none"),
    ],
)
def test_what_is_not_there_is_said(runs, choice, message):
    with pytest.raises(fl.UsageError, match=message):
        fl.plot_race(runs, **choice)


def test_what_is_no_run_is_refused(here):
    with pytest.raises(fl.UsageError, match="runs: expected at least one run, got an empty table"):
        fl.plot_race(here[:0])
    with pytest.raises(fl.UsageError, match="dataset: expected None, since runs has no such column, got 'a'"):
        fl.plot_race(here.drop(columns="dataset"), dataset="a")
    with pytest.raises(fl.UsageError, match="runs: expected at least one run with an accuracy, got none"):
        fl.plot_race({"FedAvg": History({})})
    with pytest.raises(fl.UsageError, match="runs: expected a History or another result with an accuracy, got float"):
        fl.plot_race({"FedAvg": 0.5})
