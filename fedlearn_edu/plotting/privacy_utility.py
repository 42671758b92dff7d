"""What privacy costs and buys: accuracy and attack success against epsilon, over many runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, NotebookAxes, NotebookFigure, prepare

_COLOURS = ["#1f77b4", "#d95f02", "#1b9e77", "#7570b3"]
_LINE = {"lw": 2, "capsize": 3, "marker": "o", "ms": 5}


def plot_frontier(table: pd.DataFrame) -> Figure:
    """Draws accuracy (left) and the success of an attack (right) against epsilon, mean and spread over seeds.

    Args:
        table: One row per run: `features` (one line each), `epsilon` (inf = no noise), `accuracy`, `attack_accuracy`,
            `attack_accuracy_bound`, all but the first two between 0 and 1.

    Returns:
        The figure; error bars are the standard deviation over runs of the same setting.
    """
    figure, (left, right) = _two_panels((11, 4.2))
    places = _places(sorted(table["epsilon"].unique()))
    for (kind, runs), colour in zip(table.groupby("features", sort=False), _COLOURS, strict=False):
        for ax, column in ((left, "accuracy"), (right, "attack_accuracy")):
            groups = runs.groupby("epsilon")[column]
            x = [places[e] for e in groups.mean().index]
            ax.errorbar(x, 100 * groups.mean(), yerr=100 * groups.std(), color=colour, label=kind, **_LINE)
    bound = table.groupby("epsilon")["attack_accuracy_bound"].first()
    right.plot([places[e] for e in bound.index], 100 * bound, color=TEXT, ls="--", label="no attack can do better")
    right.axhline(50, color=MUTED, ls=":", label="guessing")
    for ax in (left, right):
        ax.set_xticks(list(places.values()), ["no noise" if math.isinf(e) else f"{e:g}" for e in places])
        ax.set_xlabel("epsilon of the whole run", color=TEXT)
        ax.legend(frameon=False, fontsize=9)
        ax.grid(axis="y", color=GRID)
    left.set_ylabel("global accuracy, %", color=TEXT)
    right.set_ylabel("attack: right guesses, %", color=TEXT)
    left.set_title("what it costs", loc="left", color=TEXT, fontsize=11)
    right.set_title("what it buys: did this client take part?", loc="left", color=TEXT, fontsize=11)
    return figure


def plot_tradeoff(runs: pd.DataFrame, chosen: pd.Series, *, figure: Figure | None = None) -> Figure:
    """Draws one run of many: its accuracy round by round beside the run without noise, and its place among all.

    Args:
        runs: One row per run and recorded round: `noise_multiplier` (0 = none), `clip_norm`, `clients_per_round`,
            `round_num`, `epsilon`, `accuracy`.
        chosen: One of its rows.
        figure: Two axes to draw into anew; None makes a figure.
    """
    if figure is None:
        figure, _ = _two_panels((10, 3.8))
    left, right = (prepare(ax, figsize=(5, 4)) for ax in figure.axes[:2])
    same = (runs["clip_norm"] == chosen["clip_norm"]) & (runs["clients_per_round"] == chosen["clients_per_round"])
    for noise, colour, label in (
        (0.0, MUTED, "without noise"),
        (chosen["noise_multiplier"], _COLOURS[0], "this noise"),
    ):
        run = runs[same & (runs["noise_multiplier"] == noise)].sort_values("round_num")
        left.plot(run["round_num"], 100 * run["accuracy"], color=colour, lw=2, marker="o", ms=3, label=label)
    left.plot(chosen["round_num"], 100 * chosen["accuracy"], "o", ms=11, mfc="none", mec=_COLOURS[1], mew=2)
    left.set(xlabel="round", ylabel="global accuracy, %", ylim=(0, 100))
    left.legend(frameon=False, loc="lower right", fontsize=9)
    private = runs[np.isfinite(runs["epsilon"])]
    right.plot(private["epsilon"], 100 * private["accuracy"], "o", ms=3, color="#c3ccd6", label="all runs and rounds")
    if math.isfinite(chosen["epsilon"]):
        right.plot(chosen["epsilon"], 100 * chosen["accuracy"], "o", ms=11, mfc="none", mec=_COLOURS[1], mew=2)
    best = 100 * runs.loc[runs["noise_multiplier"] == 0, "accuracy"].max()
    right.axhline(best, color=MUTED, ls=":", label="best without noise")
    right.axvspan(
        10,
        private["epsilon"].max() * 1.3,
        color=_COLOURS[1],
        alpha=0.13,
        lw=0,
        zorder=0,
        label="no guarantee worth the name",
    )
    right.set(xscale="log", xlabel="epsilon so far", ylim=(0, 100), xlim=(None, private["epsilon"].max() * 1.3))
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.legend(frameon=False, loc="lower right", fontsize=9)
    return figure


def _two_panels(figsize: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure = NotebookFigure(figsize=figsize, layout="constrained")
    axes = [figure.add_subplot(1, 2, i, axes_class=NotebookAxes) for i in (1, 2)]
    return figure, [prepare(ax, figsize=figsize) for ax in axes]


def _places(epsilons: list[float]) -> dict[float, float]:
    """Evenly spaced places on the axis; the run without noise stands apart at the right."""
    finite = [e for e in epsilons if math.isfinite(e)]
    places = {e: float(i) for i, e in enumerate(finite)}
    return places | ({math.inf: len(finite) + 0.4} if math.inf in epsilons else {})
