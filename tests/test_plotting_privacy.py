"""Figures of differential privacy: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.privacy import plot_attack_bound, plot_epsilon, plot_private_runs, plot_releases
from fedlearn_edu.simulation.history import History


def test_releases_are_shares_of_the_runs():
    ax = plot_releases({"with": np.array([0.5, 1.5, 1.5, 9.0]), "without": np.array([0.5])}, num_bins=2, limits=(0, 2))
    outlines = [patch.get_data().values.tolist() for patch in ax.patches]
    assert outlines[1] == [0.25, 0.5]  # the run outside the limits still counts
    assert outlines[3] == [1, 0]


def test_a_run_without_epsilon_is_marked():
    rows = [(0, "global", "accuracy", 0.1), (1, "global", "accuracy", 0.6)]
    private = [*rows, (1, "global", "epsilon", 3.25)]
    ax = plot_private_runs({"plain": History({}, rows), "noisy": History({}, private)})
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["plain   (no guarantee)", "noisy   (epsilon 3.25)"]
    assert ax.lines[0].get_ydata().tolist() == [0.1, 0.6]


def test_epsilon_of_nothing_published_is_not_drawn_on_a_logarithmic_axis():
    table = pd.DataFrame({1.0: [0.0, 2.0, 4.0]}, index=pd.Index([0, 1, 2], name="rounds"))
    table.columns.name = "noise multiplier"
    ax = plot_epsilon(table, log_x=False)
    assert ax.lines[-1].get_ydata().tolist() == [2, 4]
    assert ax.get_legend().get_texts()[0].get_text() == "noise multiplier 1.0"
    assert (ax.get_yscale(), ax.get_xscale()) == ("log", "linear")


def test_a_curve_of_another_length_is_refused():
    with pytest.raises(UsageError, match="expected one true positive rate for each of 3, got 2"):
        plot_attack_bound([0, 0.5, 1], {"epsilon 1": [0, 1]})
