"""Defences under attack: accuracy by the number of attackers, and whom a defence keeps."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.catalogue import AGGREGATORS
from fedlearn_edu.plotting.end_labels import EndLabel, write_end_labels
from fedlearn_edu.plotting.style import GRID, MUTED, PAPER, TEXT, NotebookAxes, NotebookFigure, prepare
from fedlearn_edu.simulation.stored_runs import NO_ATTACK

PARTITION_LABELS = {"dirichlet:1": "label skew (Dirichlet, 1)", "minority:1": "a minority alone holds a class"}
# Okabe and Ito's colours, in the catalogue's order; line style and mark tell the defences apart as well.
_DASHED = (0, (5, 2))
_LOOKS = (
    (TEXT, "-", "o"),
    ("#e69f00", "-", "s"),
    ("#56b4e9", "-", "^"),
    ("#0072b2", _DASHED, "v"),
    ("#cc79a7", "-", "D"),
    ("#d55e00", "-", "P"),
    ("#009e73", _DASHED, "X"),
    ("#e69f00", _DASHED, "<"),
    ("#56b4e9", _DASHED, ">"),
)
_DEFENCES = {row.label: row for row in AGGREGATORS}
_STYLES = dict(zip(_DEFENCES, itertools.cycle(_LOOKS), strict=False))
# Kind of client: colour, hatch of its bar, mark under it.
_KINDS = {
    "attacker": ("#d55e00", "xxx", "X"),
    "honest": ("#0072b2", None, "o"),
    "honest minority": ("#009e73", "///", "s"),
}


def plot_attack_runs(
    runs: pd.DataFrame,
    selections: pd.DataFrame | None = None,
    *,
    attack: str,
    aggregator: str,
    partition: str,
    num_attackers: int,
    built_for: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draws one defence among all: accuracy by the number of attackers (left), and what it does to whom (right).

    Where the defence keeps some clients and drops the others, the right panel has a bar for every client: the share of
    rounds in which it was kept, mean over seeds. Where it drops none, it shows what the minority gets (or the worst
    tenth of the honest clients) by the number of attackers.

    Args:
        runs: As `attack_runs()` returns. Runs of `"none"` stand for the attack with 0 attackers.
        selections: As `attack_selections()` returns; None if there are none.
        attack: Which one.
        aggregator: The one in full colour.
        partition: Which one.
        num_attackers: Ringed in the left panel, and the one whose selections are shown.
        built_for: Marks the number of attackers for which the defences were built; None marks none.
        figure: What to draw into anew; it is cleared first. None makes a figure.

    Returns:
        The figure; error bars are the standard deviation over seeds.

    Raises:
        UsageError: There is no such run.
    """
    here = runs[(runs["partition"] == partition) & runs["attack"].isin([attack, NO_ATTACK])]
    mine = here[(here["aggregator"] == aggregator) & (here["num_attackers"] == num_attackers)]
    if mine.empty or attack not in set(runs["attack"]):
        raise UsageError(
            f"runs: expected one of {attack!r} against {aggregator!r} with {num_attackers} attackers on {partition!r}, "
            "got none; see what there is with runs[['attack', 'aggregator', 'partition', 'num_attackers']]"
        )
    kept = _kept(selections, attack, aggregator, partition, num_attackers)
    if figure is None:
        figure = NotebookFigure(figsize=(11, 4.6), layout="constrained")
    figure.clear()  # not axis by axis: the layout would keep a trace of the legend that only one kind of panel has
    for number in (1, 2):
        figure.add_subplot(1, 2, number, axes_class=NotebookAxes)
    left, right = (prepare(ax, figsize=(5.5, 4.6)) for ax in figure.axes[:2])
    choice = {"chosen": aggregator, "num_attackers": num_attackers, "built_for": built_for}
    _draw_by_attackers(left, here, "accuracy", **choice, label_all=True)
    left.set_title(f"{attack}, {PARTITION_LABELS.get(partition, partition)}", loc="left", color=TEXT, fontsize=11)
    left.set_ylabel("global accuracy, %", color=TEXT)
    if kept is not None:
        _draw_kept(right, kept)
        title = f"whom {aggregator} keeps: {num_attackers} of {len(kept)} clients are hostile"
        right.set_title(title, loc="left", color=TEXT, fontsize=11)
        return figure
    _draw_by_attackers(right, here, "minority_accuracy", **choice, label_all=False)
    right.set_ylabel(f"accuracy of {who(here)}, %", color=TEXT)
    does = _DEFENCES[aggregator].does if aggregator in _DEFENCES else ""
    right.set_title(f"{aggregator}: drops no client{f'; {does}' if does else ''}", loc="left", color=TEXT, fontsize=11)
    return figure


def who(runs: pd.DataFrame) -> str:
    """Returns whose accuracy `minority_accuracy` is, in words."""
    return "the minority" if runs["partition"].str.startswith("minority").all() else "the worst tenth of the honest"


def _kept(selections, attack, aggregator, partition, num_attackers) -> pd.DataFrame | None:
    """Returns a row per client with the share of rounds in which it was kept; None if nobody was dropped."""
    if selections is None:
        return None
    rows = selections[
        (selections["attack"] == (attack if num_attackers else NO_ATTACK))
        & (selections["aggregator"] == aggregator)
        & (selections["partition"] == partition)
        & (selections["num_attackers"] == num_attackers)
    ]
    if rows.empty:
        return None
    kept = rows.assign(share=rows["rounds_kept"] / rows["num_rounds"])
    return kept.groupby("client_id")[["share", "hostile", "minority"]].mean()


def _draw_by_attackers(
    ax: Axes, runs: pd.DataFrame, column: str, chosen: str, num_attackers: int, built_for, *, label_all: bool
) -> None:
    most, labels = int(runs["num_attackers"].max()), []
    for name in runs["aggregator"].unique():
        cells = runs[runs["aggregator"] == name].groupby("num_attackers")[column].agg(["mean", "std"]).mul(100)
        colour, line, mark = _STYLES.get(name, (MUTED, "-", "."))
        in_front = name == chosen
        look = {"lw": 2.6, "ms": 6, "zorder": 3} if in_front else {"lw": 1.4, "ms": 4, "alpha": 0.45, "zorder": 2}
        spread = cells["std"].fillna(0) if in_front else None
        ax.errorbar(
            cells.index, cells["mean"], yerr=spread, capsize=3, color=colour, ls=line, marker=mark, label=name, **look
        )
        if in_front:
            ring = {"ms": 14, "mfc": "none", "mec": TEXT, "mew": 1.5, "zorder": 5, "clip_on": False}
            ax.plot(num_attackers, cells["mean"][num_attackers], "o", **ring)
        if cells.index[-1] == most and (in_front or label_all):
            look = {"weight": "bold"} if in_front else {"alpha": 0.7}
            labels.append(EndLabel(cells["mean"].iloc[-1], name, colour, **look))
    if built_for is not None:
        ax.axvline(built_for, color=MUTED, ls=":", lw=1, zorder=1)
        ax.text(built_for, 1, f" built for {built_for}", color=MUTED, fontsize=8.5, va="bottom")
    ax.set(xlim=(-0.04 * most, 1.5 * most), ylim=(0, 101))
    ax.set_xticks(sorted(runs["num_attackers"].unique()))
    ax.spines["bottom"].set_bounds(0, most)
    ax.set_xlabel("attackers", color=TEXT)
    ax.xaxis.label.set_x(0.5 / 1.5)
    ax.grid(axis="y", color=GRID)
    write_end_labels(ax, labels, end=most, start=1.07 * most)


def _draw_kept(ax: Axes, kept: pd.DataFrame) -> None:
    kinds = ["attacker" if h > 0.5 else "honest minority" if m > 0.5 else "honest" for h, m in
             zip(kept["hostile"], kept["minority"], strict=True)]  # fmt: skip
    for kind, (colour, hatch, mark) in _KINDS.items():
        places = [place for place, of in enumerate(kinds) if of == kind]
        if places:
            shares = 100 * kept["share"].iloc[places]
            ax.bar(places, shares, color=colour, hatch=hatch, edgecolor=PAPER, lw=0, width=0.8)
            # Also where a bar has no height it can be seen whose place it is.
            ax.plot(places, [-4] * len(places), mark, color=colour, ms=6, label=f"{kind}: {shares.mean():.0f} %")
    ax.axhline(0, color=MUTED, lw=0.8)
    ax.set(xlim=(-0.8, len(kept) - 0.2), ylim=(-8, 101))
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_xlabel("clients", color=TEXT)
    ax.set_ylabel("kept, % of the rounds", color=TEXT)
    ax.grid(axis="y", color=GRID)
    look = {"ncols": 3, "frameon": False, "fontsize": 9, "labelcolor": TEXT}
    ax.get_figure().legend(*ax.get_legend_handles_labels(), loc="outside lower right", **look)
