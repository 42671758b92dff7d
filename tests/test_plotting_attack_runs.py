"""The picture of defences under attack: curves are the means of the runs, bars say whom a defence keeps."""

import pandas as pd
import pytest
import toy_attacks

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png

CHOICE = {"attack": "flip", "aggregator": "Multi-Krum", "partition": "minority:1", "num_attackers": 4}


@pytest.fixture(scope="module")
def runs():
    return toy_attacks.runs()


@pytest.fixture(scope="module")
def selections():
    return toy_attacks.selections()


def curve(ax, name):
    """x and y of the means, and the lengths of the error bars to one side."""
    (found,) = [c for c in ax.containers if c.get_label() == name]
    line, _, bars = found.lines
    return line.get_xdata().tolist(), line.get_ydata().tolist(), [
        (s[1, 1] - s[0, 1]) / 2 for segments in bars for s in segments.get_segments()
    ]  # fmt: skip


def ring(ax):
    (found,) = [line for line in ax.lines if line.get_markersize() == 14]
    return found.get_xydata().tolist()[0]


def test_accuracy_by_the_number_of_attackers(runs, selections):
    left, _ = fl.plot_attack_runs(runs, selections, **CHOICE).axes
    for name in ("mean", "Multi-Krum"):
        x, y, spread = curve(left, name)
        assert x == [0, 2, 4]  # the runs without an attack stand for 0
        assert y == pytest.approx([100 * toy_attacks.accuracy("flip", name, 2, count) for count in x])
        assert spread == pytest.approx([10, 10, 10] if name == "Multi-Krum" else [])
    assert ring(left) == pytest.approx([4, 66])
    assert [text.get_text() for text in left.texts] == ["mean", "Multi-Krum"]
    marked = fl.plot_attack_runs(runs, selections, **CHOICE, built_for=4).axes[0]
    assert " built for 4" in [text.get_text() for text in marked.texts]


def test_a_bar_for_every_client_that_is_kept_or_dropped(runs, selections):
    figure = fl.plot_attack_runs(runs, selections, **CHOICE)
    right = figure.axes[1]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in right.patches}
    # Hostile ones are kept in 1, 2, 3 of 10 rounds by the three seeds; the others in all, every second in one less.
    assert heights == pytest.approx(dict.fromkeys(range(4), 20) | {4: 100, 5: 90, 6: 100, 7: 90, 8: 0, 9: 0})
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["attacker: 20 %", "honest: 95 %", "honest minority: 0 %"]
    marks = {line.get_label(): line.get_xdata().tolist() for line in right.lines if ":" in line.get_label()}
    assert marks == {labels[0]: [0, 1, 2, 3], labels[1]: [4, 5, 6, 7], labels[2]: [8, 9]}
    looks = {(bar.get_facecolor(), bar.get_hatch()) for bar in right.patches}
    assert len(looks) == len({colour for colour, _ in looks}) == len({hatch for _, hatch in looks}) == 3
    assert right.get_title(loc="left") == "whom Multi-Krum keeps: 4 of 10 clients are hostile"
    nobody = fl.plot_attack_runs(runs, selections, **CHOICE | {"num_attackers": 0}, figure=figure)
    assert len(nobody.axes[1].patches) == 10
    assert [len(legend.get_texts()) for legend in nobody.legends] == [2]  # as without an attack


@pytest.mark.parametrize("partition", toy_attacks.PARTITIONS)
def test_where_nobody_is_dropped_the_minority_is_shown(runs, selections, partition):
    choice = CHOICE | {"aggregator": "mean", "partition": partition, "num_attackers": 2}
    right = fl.plot_attack_runs(runs, selections, **choice).axes[1]
    assert curve(right, "mean")[:2] == ([0, 2, 4], pytest.approx([60, 50, 40]))
    assert ring(right) == pytest.approx([2, 50])
    assert right.get_title(loc="left") == "mean: drops no client; all weigh the same"
    whose = {"dirichlet:1": "the worst tenth of the honest", "minority:1": "the minority"}[partition]
    assert right.get_ylabel() == f"accuracy of {whose}, %"
    assert not right.patches


def test_the_longest_title_is_not_cut_off(runs):
    named = runs.replace("mean", "geometric median")
    figure = fl.plot_attack_runs(named, **CHOICE | {"aggregator": "geometric median"})
    figure_png(figure)
    right = figure.axes[1]
    (title,) = [
        text for text in right.get_children() if getattr(text, "get_text", str)().startswith("geometric median:")
    ]
    assert title.get_text() == "geometric median: drops no client; far updates weigh less"
    assert title.get_window_extent().x1 <= figure.bbox.x1


def test_without_selections_nobody_is_known_to_be_dropped(runs):
    right = fl.plot_attack_runs(runs.replace("Multi-Krum", "mine"), **CHOICE | {"aggregator": "mine"}).axes[1]
    assert right.get_title(loc="left") == "mine: drops no client"
    assert curve(right, "mine")[1] == [0, 0, 0]


def test_redrawing_in_place_leaves_nothing_behind(runs, selections):
    figure = fl.plot_attack_runs(runs, selections, **CHOICE)
    first = figure_png(figure)
    for other in ({"attack": "noise"}, {"aggregator": "mean"}, {"num_attackers": 2}, {"partition": "dirichlet:1"}):
        assert fl.plot_attack_runs(runs, selections, **CHOICE | other, figure=figure) is figure
        assert figure_png(figure) != first
    fl.plot_attack_runs(runs, selections, **CHOICE, figure=figure)
    assert figure_png(figure) == first


def test_a_run_that_is_not_there_is_said(runs, selections):
    with pytest.raises(
        fl.UsageError, match="runs: expected one of 'flip' against 'Krum' with 4 attackers on 'minority:1'"
    ):
        fl.plot_attack_runs(runs, selections, **CHOICE | {"aggregator": "Krum"})
    with pytest.raises(fl.UsageError, match="runs: expected one of 'flop' against 'Multi-Krum' with 0 attackers"):
        fl.plot_attack_runs(runs, selections, **CHOICE | {"attack": "flop", "num_attackers": 0})


def test_one_seed_is_drawn_without_a_spread(runs, selections):
    one = runs[runs["seed"] == 1]
    left, right = fl.plot_attack_runs(one, selections[selections["seed"] == 1], **CHOICE).axes
    assert curve(left, "Multi-Krum") == ([0, 2, 4], pytest.approx([60, 58, 56]), [0, 0, 0])
    assert pd.Series([bar.get_height() for bar in right.patches]).max() == 100
