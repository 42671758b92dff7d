"""Curves of pre-training, and what pre-training changes in federated training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.plotting.style import GRID, TEXT, NotebookAxes, NotebookFigure, prepare

DEPTH_COLOURS = {"scratch": "#6e7781", "head": "#1f77b4", "last_block": "#d95f02", "all": "#7570b3"}
DEPTH_LABELS = {"scratch": "from scratch", "head": "frozen backbone", "last_block": "last block", "all": "all of it"}


def plot_pretraining_matters(runs: pd.DataFrame) -> Figure:
    """Draws, for each data set, accuracy after the last round against concentration, one line per depth.

    Args:
        runs: As `pretraining_runs()` returns.

    Returns:
        The figure; error bars are the standard deviation over seeds.
    """
    runs = runs[(runs["server_optimizer"] == "sgd") & (runs["round_num"] == runs["round_num"].max())]
    names = list(runs["dataset"].unique())
    figure = NotebookFigure(figsize=(5.5 * len(names), 4.2), layout="constrained")
    for number, name in enumerate(names, 1):
        ax = prepare(figure.add_subplot(1, len(names), number, axes_class=NotebookAxes), figsize=(5.5, 4.2))
        here = runs[runs["dataset"] == name]
        concentrations = sorted(here["concentration"].unique(), reverse=True)
        for shift, (depth, group) in enumerate(here.groupby("depth", sort=False)):
            cells = group.groupby("concentration")["accuracy"].agg(["mean", "std"]).loc[concentrations]
            x = [place + 0.04 * (shift - 1.5) for place in range(len(concentrations))]
            ax.errorbar(
                x,
                100 * cells["mean"],
                yerr=100 * cells["std"],
                color=DEPTH_COLOURS[depth],
                label=DEPTH_LABELS[depth],
                lw=2,
                capsize=3,
                marker="o",
                ms=5,
            )
        ax.set_xticks(range(len(concentrations)), [f"{c:g}" for c in concentrations])
        ax.set_xlabel("concentration: alike  →  each client its own classes", color=TEXT)
        ax.set_ylabel("global accuracy, %", color=TEXT)
        ax.set_ylim(0, 100)
        ax.grid(axis="y", color=GRID)
        ax.set_title(name, loc="left", color=TEXT, fontsize=11)
        ax.legend(frameon=False, fontsize=9)
    return figure
