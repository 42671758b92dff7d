"""The picture of a fairness table: every model's worst tenth, mean and best tenth where they belong."""

import pytest

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png

BEFORE = {"a": 0.2, "b": 0.4, "c": 0.6, "d": 0.8}
TABLE = fl.fairness_table(
    BEFORE, {"one": {"a": 0.4, "b": 0.4, "c": 0.5, "d": 0.7}, "two": dict.fromkeys(BEFORE, 0.5)}
)  # fmt: skip


def marks(ax, marker):
    """x by row, of all marks of a kind."""
    return {line.get_ydata()[0]: list(line.get_xdata()) for line in ax.lines if line.get_marker() == marker}


def test_a_row_from_the_worst_tenth_over_the_mean_to_the_best():
    ax = fl.plot_fairness(TABLE)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["before", "one", "two"]
    assert marks(ax, "|") == {0: [0.2, 0.8], 1: [0.4, 0.7], 2: [0.5, 0.5]}
    assert {row: x[0] for row, x in marks(ax, "o").items()} == pytest.approx({0: 0.5, 1: 0.5, 2: 0.5})
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"] == pytest.approx([0.2, 0.5])
    assert [text.get_text() for text in ax.texts] == ["2 of 4 worse", "2 of 4 worse"]  # c, d in both


def test_a_tenth_of_twenty_clients_is_two():
    values = {f"client_{i}": i / 20 for i in range(20)}
    ax = fl.plot_fairness(fl.fairness_table(values, values))
    assert marks(ax, "|")[1] == pytest.approx([0.025, 0.925])


def test_the_chosen_one_is_in_front_and_redrawing_leaves_nothing_behind():
    ax = fl.plot_fairness(TABLE, chosen="one")
    weights = [label.get_fontweight() for label in ax.get_yticklabels()]
    assert weights == ["normal", "bold", "normal"]
    opaque = {line.get_ydata()[0]: line.get_alpha() for line in ax.lines if line.get_marker() == "o"}
    assert opaque[0] == opaque[1] == 1 > opaque[2]
    first = figure_png(ax.get_figure())
    assert fl.plot_fairness(TABLE, chosen="two", ax=ax) is ax
    assert figure_png(ax.get_figure()) != first
    assert figure_png(fl.plot_fairness(TABLE, chosen="one", ax=ax).get_figure()) == first


def test_what_cannot_be_drawn():
    with pytest.raises(fl.UsageError, match="table: expected what fairness_table returns, got the columns before"):
        fl.plot_fairness(fl.before_and_after(BEFORE, BEFORE))
    with pytest.raises(fl.UsageError, match="chosen: expected one of before, one, two, got 'three'"):
        fl.plot_fairness(TABLE, chosen="three")
