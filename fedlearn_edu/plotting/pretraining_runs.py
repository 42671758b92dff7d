"""Curves of pre-training, and what pre-training changes in federated training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, NotebookAxes, NotebookFigure, prepare
from fedlearn_edu.simulation.stored_runs import runs_at_round

_TRAIN, _HELD_OUT = "#6e7781", "#0072b2"
DEPTH_LABELS = {
    "scratch": "from scratch",
    "head": "frozen backbone",
    "batch_norm": "batch normalisation",
    "last_block": "last block",
    "all": "all of it",
    "one_shot": "frozen, in one round",
}
_COLOURS = {
    "scratch": "#6e7781",
    "head": "#1f77b4",
    "batch_norm": "#8c564b",
    "last_block": "#d95f02",
    "all": "#7570b3",
    "one_shot": "#1b9e77",
}


def plot_pretraining_curve(curve: pd.DataFrame) -> Figure:
    """Draws the loss of every epoch and, where classes were learned, the held-out accuracy beside it.

    Args:
        curve: `PretrainingResult.curve`, or the `curve.csv` of a published backbone.
    """
    has_accuracy = "held_out_accuracy" in curve
    figure = NotebookFigure(figsize=(9.5 if has_accuracy else 5.5, 3.6), layout="constrained")
    marker = "o" if len(curve) <= 40 else None

    def axes(number, title):
        ax = prepare(figure.add_subplot(1, 1 + has_accuracy, number, axes_class=NotebookAxes), figsize=(5.5, 3.6))
        ax.set_xlabel("epoch", color=TEXT)
        ax.set_title(title, loc="left", color=TEXT, fontsize=11)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        ax.grid(axis="y", color=GRID)
        return ax

    loss = axes(1, "loss")
    loss.plot(curve["epoch"], curve["loss"], color=_TRAIN, lw=2, marker=marker, ms=4, label="while training")
    loss.plot(curve["epoch"], curve["held_out_loss"], color=_HELD_OUT, lw=2, marker=marker, ms=4, label="held out")
    loss.set_ylim(bottom=0)
    loss.legend(frameon=False, fontsize=9)
    if has_accuracy:
        accuracy = axes(2, "accuracy on held-out images")
        accuracy.plot(curve["epoch"], curve["held_out_accuracy"], color=_HELD_OUT, lw=2, marker=marker, ms=4)
        accuracy.set_ylim(0, 1.02)
        accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return figure


def plot_pretraining_matters(runs: pd.DataFrame) -> Figure:
    """Draws, for each data set, accuracy after the last round against concentration, one line per depth.

    Args:
        runs: As `pretraining_runs()` returns; those with plain averaging are drawn.

    Returns:
        The figure; error bars are the standard deviation over seeds.
    """
    runs = runs[runs["server_optimizer"] == "sgd"]
    names = list(runs["dataset"].unique())
    figure, axes = _panels(len(names), (5.5 * len(names), 4.2))
    for ax, name in zip(axes, names, strict=True):
        _draw_by_concentration(ax, runs[runs["dataset"] == name], runs["round_num"].max())
        ax.set_title(name, loc="left", color=TEXT, fontsize=11)
    _legend_below(figure)
    return figure


def plot_pretraining_runs(
    runs: pd.DataFrame,
    *,
    dataset: str,
    depth: str,
    concentration: float,
    round_num: int,
    figure: Figure | None = None,
) -> Figure:
    """Draws one depth among all: accuracy round by round (left), and after one round against concentration (right).

    Args:
        runs: As `pretraining_runs()` returns; those with plain averaging are drawn.
        dataset: Which data set.
        depth: The one in full colour.
        concentration: Of the left panel; ringed in the right one.
        round_num: Of the right panel; marked in the left one.
        figure: Two axes to draw into anew; None makes a figure.

    Returns:
        The figure; bands and error bars are the standard deviation over seeds. A dotted line goes on from where a run
        ended before the others.
    """
    if figure is None:
        figure, _ = _panels(2, (10.5, 4.2))
    left, right = (prepare(ax, figsize=(5, 4)) for ax in figure.axes[:2])
    runs = runs[(runs["server_optimizer"] == "sgd") & (runs["dataset"] == dataset)]
    _draw_by_round(left, runs[runs["concentration"] == concentration], depth, runs["round_num"].max())
    left.axvline(round_num, color=MUTED, ls=":", lw=1)
    _draw_by_concentration(right, runs, round_num, depth)
    shown = runs_at_round(runs[runs["depth"] == depth], round_num)
    for ax, x in ((left, round_num), (right, _places(runs)[concentration])):
        y = 100 * shown.loc[shown["concentration"] == concentration, "accuracy"].mean()
        ax.plot(x, y, "o", ms=13, mfc="none", mec=TEXT, mew=1.5, zorder=5)
    left.set_title(f"{dataset}, concentration {concentration:g}", loc="left", color=TEXT, fontsize=11)
    right.set_title(f"{dataset}, after round {round_num}", loc="left", color=TEXT, fontsize=11)
    _legend_below(figure)
    return figure


def _legend_below(figure: Figure) -> None:
    """One legend for both panels, under them: no corner is free of curves in all of them."""
    for old in list(figure.legends):
        old.remove()
    handles = {}
    for ax in figure.axes:
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    labels = list(handles)
    figure.legend(handles.values(), labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)


def _panels(count: int, figsize: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure = NotebookFigure(figsize=figsize, layout="constrained")
    axes = [figure.add_subplot(1, count, i, axes_class=NotebookAxes) for i in range(1, count + 1)]
    return figure, [prepare(ax, figsize=figsize) for ax in axes]


def _places(runs: pd.DataFrame) -> dict[float, int]:
    """Where each concentration stands on the axis: evenly spaced, the most alike clients first."""
    return {c: place for place, c in enumerate(sorted(runs["concentration"].unique(), reverse=True))}


def _style(depth: str, chosen: str | None) -> dict:
    """Colour and label of a depth; those that are not chosen step back."""
    style = {"color": _COLOURS.get(depth, TEXT), "label": DEPTH_LABELS.get(depth, depth), "marker": "o", "ms": 4}
    in_front = chosen in (None, depth)
    return style | {
        "lw": 2.5 if depth == chosen else 1.8,
        "alpha": 1 if in_front else 0.45,
        "zorder": 3 if in_front else 2,
    }


def _draw_by_round(ax: Axes, runs: pd.DataFrame, chosen: str, last_round: int) -> None:
    for depth, group in runs.groupby("depth", sort=False):
        style, by_round = _style(depth, chosen), group.groupby("round_num")["accuracy"]
        mean, spread = 100 * by_round.mean(), 100 * by_round.std()
        ax.plot(mean.index, mean, **style)
        if depth == chosen:
            ax.fill_between(mean.index, mean - spread, mean + spread, color=style["color"], alpha=0.18, lw=0)
        if mean.index[-1] < last_round:
            ax.hlines(mean.iloc[-1], mean.index[-1], last_round, color=style["color"], alpha=style["alpha"], ls=":")
    ax.set(xlabel="round", ylabel="global accuracy, %", ylim=(0, 100))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    ax.grid(axis="y", color=GRID)


def _draw_by_concentration(ax: Axes, runs: pd.DataFrame, round_num: int, chosen: str | None = None) -> None:
    places = _places(runs)
    for shift, (depth, group) in enumerate(runs_at_round(runs, round_num).groupby("depth", sort=False)):
        cells = group.groupby("concentration")["accuracy"].agg(["mean", "std"]).sort_index(ascending=False)
        # Side by side, or error bars would cover each other; the chosen one stands on its place.
        x = [places[c] + (0.04 * (shift - 1.5) if depth != chosen else 0) for c in cells.index]
        ax.errorbar(x, 100 * cells["mean"], yerr=100 * cells["std"], capsize=3, **_style(depth, chosen))
    ax.set_xticks(list(places.values()), [f"{c:g}" for c in places])
    ax.set_xlabel("concentration: alike  →  each client its own classes", color=TEXT)
    ax.set_ylabel("global accuracy, %", color=TEXT)
    ax.set_ylim(0, 100)
    ax.grid(axis="y", color=GRID)
