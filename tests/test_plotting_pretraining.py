"""Figures of pre-training show what the tables say, and redraw in place."""

import itertools

import pandas as pd
import pytest

from fedlearn_edu.plotting import figure_png
from fedlearn_edu.plotting.pretraining_runs import (
    plot_pretraining_curve,
    plot_pretraining_matters,
    plot_pretraining_runs,
)

CHOICE = {"dataset": "a", "depth": "head", "concentration": 0.1, "round_num": 2}


def accuracy(dataset, depth, concentration, seed, round_num):
    level = {"scratch": 0.1, "head": 0.5, "one_shot": 0.3}[depth] + (0.1 if dataset == "b" else 0)
    return level + 0.02 * round_num + 0.01 * seed - (0.05 if concentration < 1 else 0)


@pytest.fixture(scope="module")
def runs():
    grid = itertools.product("ab", ("scratch", "head", "one_shot"), (100.0, 0.1), (1, 2, 3))
    rows = [
        (dataset, depth, "sgd", concentration, seed, r, accuracy(dataset, depth, concentration, seed, r))
        for dataset, depth, concentration, seed in grid
        for r in ((0, 1) if depth == "one_shot" else (0, 2, 4))
    ]
    rows.append(("a", "head", "adam", 0.1, 1, 4, 0.99))  # never drawn
    names = ["dataset", "depth", "server_optimizer", "concentration", "seed", "round_num", "accuracy"]
    return pd.DataFrame(rows, columns=names)


def curve(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def bars(ax, label):
    """Means and the lengths of the error bars to one side."""
    (found,) = [c for c in ax.containers if c.get_label() == label]
    line, _, (segments,) = found.lines
    return line.get_ydata().tolist(), [(s[1, 1] - s[0, 1]) / 2 for s in segments.get_segments()]


def test_accuracy_against_concentration_with_its_spread(runs):
    figure = plot_pretraining_matters(runs)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    for ax, dataset in zip(figure.axes, "ab", strict=True):
        assert [text.get_text() for text in ax.get_xticklabels()] == ["100", "0.1"]
        means, spread = bars(ax, "frozen backbone")
        expected = [100 * accuracy(dataset, "head", c, 2, 4) for c in (100.0, 0.1)]
        assert means == pytest.approx(expected)
        assert spread == pytest.approx([1, 1])  # seeds 1, 2, 3 stand a hundredth apart
        assert bars(ax, "frozen, in one round")[0][0] == pytest.approx(100 * accuracy(dataset, "one_shot", 100.0, 2, 1))
    assert len(figure.legends[0].get_texts()) == 3


def test_one_depth_among_all(runs):
    left, right = plot_pretraining_runs(runs, **CHOICE).axes
    for depth, label in (("scratch", "from scratch"), ("head", "frozen backbone")):
        line = curve(left, label)
        assert line.get_xdata().tolist() == [0, 2, 4]
        assert line.get_ydata().tolist() == pytest.approx([100 * accuracy("a", depth, 0.1, 2, r) for r in (0, 2, 4)])
        assert (line.get_alpha() == 1) == (depth == "head")
    here = 100 * accuracy("a", "head", 0.1, 2, 2)
    assert bars(right, "frozen backbone")[0] == pytest.approx([100 * accuracy("a", "head", 100.0, 2, 2), here])
    for ax, x in ((left, 2), (right, 1)):
        ring = ax.lines[-1]
        assert (ring.get_xdata().tolist(), ring.get_ydata().tolist()) == ([x], pytest.approx([here]))
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(100 * accuracy("a", "head", 0.1, 3, 4))


def test_a_run_that_ended_goes_on_dotted(runs):
    left, right = plot_pretraining_runs(runs, **CHOICE | {"depth": "one_shot", "round_num": 4}).axes
    ended = 100 * accuracy("a", "one_shot", 0.1, 2, 1)
    dotted = [c.get_segments()[0].tolist() for c in left.collections if c.get_linestyle() != [(0.0, None)]]
    assert dotted == [[[1.0, pytest.approx(ended)], [4.0, pytest.approx(ended)]]]
    assert bars(right, "frozen, in one round")[0][1] == pytest.approx(ended)


def test_an_unknown_depth_is_drawn_by_its_own_name(runs):
    renamed = runs.replace({"depth": {"head": "two_blocks"}})
    figure = plot_pretraining_runs(renamed, **CHOICE | {"depth": "two_blocks"})
    assert [text.get_text() for text in figure.legends[0].get_texts()][1] == "two_blocks"


def test_redrawing_in_place_leaves_nothing_behind(runs):
    figure = plot_pretraining_runs(runs, **CHOICE)
    first = figure_png(figure)
    for choice in (CHOICE | {"dataset": "b"}, CHOICE | {"concentration": 100.0}):
        assert plot_pretraining_runs(runs, **choice, figure=figure) is figure
        assert figure_png(figure) != first
    plot_pretraining_runs(runs, **CHOICE, figure=figure)
    assert figure_png(figure) == first
    assert len(figure.legends) == 1


@pytest.mark.parametrize("columns", [["loss", "held_out_loss"], ["loss", "held_out_loss", "held_out_accuracy"]])
def test_the_curve_of_pre_training(columns):
    table = pd.DataFrame({"epoch": [1, 2, 3]} | {name: [0.9, 0.5, 0.4] for name in columns})
    axes = plot_pretraining_curve(table).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["loss", "accuracy on held-out images"][: len(columns) - 1]
    assert curve(axes[0], "held out").get_ydata().tolist() == [0.9, 0.5, 0.4]
