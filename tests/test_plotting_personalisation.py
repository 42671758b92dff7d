"""The picture of personal models: every client once, in order, each mark on the side where it belongs."""

import numpy as np
import pandas as pd
import pytest

import fedlearn_edu as fl


def table_of(before, after):
    index = pd.Index([f"client_{i}" for i in range(len(before))], name="client_id")
    return pd.DataFrame({"before": before, "after": after}, index=index)


def marks(ax):
    return {line.get_label(): line for line in ax.lines}


def test_rows_are_sorted_and_marks_say_who_got_worse():
    ax = fl.plot_personalisation(table_of([0.2, 0.8, 0.5, 0.6], [0.9, 0.7, 0.5, 1.0]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["client_1", "client_3", "client_2", "client_0"]
    lines = marks(ax)
    np.testing.assert_allclose(lines["before"].get_xdata(), [0.8, 0.6, 0.5, 0.2])
    np.testing.assert_allclose(lines["after: better"].get_xydata(), [[1.0, 1], [0.9, 3]])
    np.testing.assert_allclose(lines["after: worse"].get_xydata(), [[0.7, 0]])
    assert "mean before: 52.5 %" in lines
    assert "mean after: 77.5 %" in lines
    assert ax.get_title(loc="left") == "1 of 4 clients got worse"
    assert fl.plot_personalisation(table_of([0.1], [0.2]), ax=ax) is ax  # redrawn in place
    assert len(ax.get_yticklabels()) == 1


def test_of_many_clients_some_are_drawn_and_all_are_counted():
    before = np.linspace(0.3, 0.9, 101)
    ax = fl.plot_personalisation(table_of(before, before - 0.1), max_clients=11)
    np.testing.assert_allclose(marks(ax)["before"].get_xdata(), np.linspace(0.9, 0.3, 11))
    assert ax.get_ylabel() == "11 of 101 clients"
    assert ax.get_title(loc="left") == "101 of 101 clients got worse"
    assert "mean after: 50.0 %" in marks(ax)


def test_what_cannot_be_drawn():
    with pytest.raises(fl.UsageError, match=r"^max_clients: expected at least 2, got 1"):
        fl.plot_personalisation(table_of([0.1], [0.2]), max_clients=1)
    with pytest.raises(fl.UsageError, match=r"^before: expected an accuracy"):
        fl.plot_personalisation(fl.History({}))
