"""How accuracy (or what a task is measured by) is spread over clients, a row a model: worst tenth, mean, best tenth."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.metric_axes import axis_title, highest, show_values
from fedlearn_edu.plotting.style import GRID, MUTED, PAPER, TEXT, prepare, shorten
from fedlearn_edu.simulation.comparison import common_metric, known_metric

# Okabe and Ito's blue.
_CHOSEN = "#0072b2"
_NEEDED = ["mean", "worst_decile", "best_decile", "num_worse", "num_clients"]


def plot_fairness(table: pd.DataFrame, *, chosen: str | None = None, ax: Axes | None = None) -> Axes:
    """Draws what each model gives to the worst tenth of the clients, to all in the mean, and to the best tenth.

    A row leads from the worst tenth over the mean (dot) to the best tenth. The dotted upright lines are the worst
    tenth and the mean of the first row, the model before. At the right, how many clients are worse off by `num_worse`.
    Where less is better, such as of an RMSE, the worst tenth is at the right end of a row.

    Args:
        table: From `fairness_table`, whose `attrs` say the metric and its unit (accuracy if they say none); the first
            row is the model that the others are compared with.
        chosen: The row in full colour; None means all.
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes.

    Raises:
        UsageError: `table` is not from `fairness_table`, or has no such row.

    Example:
        >>> from fedlearn_edu.simulation.fairness import fairness_table
        >>> ax = plot_fairness(fairness_table({"a": 0.5, "b": 0.25}, {"a": 0.25, "b": 1.0}))
        >>> [label.get_text() for label in ax.get_yticklabels()], ax.texts[0].get_text()
        (['before', 'after'], '1 of 2 worse')
    """
    if not set(_NEEDED) <= set(table) or table.empty:
        raise UsageError(f"table: expected what fairness_table returns, got the columns {', '.join(map(str, table))}")
    if chosen is not None and chosen not in table.index:
        raise UsageError(f"chosen: expected one of {', '.join(map(str, table.index))}, got {chosen!r}")
    ax = prepare(ax, figsize=(6.8, 1.4 + 0.45 * len(table)))
    metric = common_metric("table", {"table": known_metric(table)})
    top = highest(metric, table[["worst_decile", "best_decile"]].to_numpy(float).ravel())
    first = table.iloc[0]
    for value in (first["worst_decile"], first["mean"]):
        ax.axvline(value, color=MUTED, lw=1, ls=":", zorder=1)
    for place, (name, row) in enumerate(table.iterrows()):
        in_front = chosen in (None, name)
        look = {"color": _CHOSEN if in_front and place else TEXT, "alpha": 1 if in_front or not place else 0.45}
        ax.hlines(place, row["worst_decile"], row["best_decile"], lw=2.5 if in_front else 1.6, **look)
        ax.plot(row[["worst_decile", "best_decile"]], [place] * 2, "|", ms=11, mew=2, **look)
        fill = {} if place else {"mfc": PAPER}
        ax.plot(row["mean"], place, "o", ms=7.5, mew=1.6, **look | fill)
        if place:
            told = f"{row['num_worse']:g} of {row['num_clients']:g} worse"
            ax.text(1.04 * top, place, told, fontsize=9, va="center", color=TEXT, alpha=max(look["alpha"], 0.7))
    ax.set_yticks(range(len(table)), [shorten(str(name), 26) for name in table.index], fontsize=9)
    if chosen is not None:
        ax.get_yticklabels()[table.index.get_loc(chosen)].set_fontweight("bold")
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(-0.02 * top, 1.5 * top), ylim=(len(table) - 0.4, -0.6))
    ax.set_xlabel(f"{axis_title(metric)} on the client's own test examples")
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1] if metric.is_share else MaxNLocator(nbins=5).tick_values(0, top)
    ax.set_xticks([tick for tick in ticks if 0 <= tick <= top])
    ax.xaxis.label.set_x(0.52 / 1.52)
    show_values(ax.xaxis, metric)
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_bounds(0, top)
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_title("worst tenth, mean and best tenth of clients", loc="left", fontsize=10.5, color=TEXT)
    return ax
