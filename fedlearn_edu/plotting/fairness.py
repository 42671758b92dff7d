"""How accuracy is spread over the clients, one row per model: the worst tenth, the mean, the best tenth."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.style import GRID, MUTED, PAPER, TEXT, prepare, shorten

# Okabe and Ito's blue.
_CHOSEN = "#0072b2"
_NEEDED = ["mean", "worst_decile", "best_decile", "num_worse", "num_clients"]


def plot_fairness(table: pd.DataFrame, *, chosen: str | None = None, ax: Axes | None = None) -> Axes:
    """Draws what each model gives to the worst tenth of the clients, to all in the mean, and to the best tenth.

    A row leads from the worst tenth over the mean (dot) to the best tenth. The dotted upright lines are the worst
    tenth and the mean of the first row, the model before. At the right, how many clients are worse off by `num_worse`.

    Args:
        table: From `fairness_table`; the first row is the model that the others are compared with.
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
            ax.text(1.04, place, told, fontsize=9, va="center", color=TEXT, alpha=max(look["alpha"], 0.7))
    ax.set_yticks(range(len(table)), [shorten(str(name), 26) for name in table.index], fontsize=9)
    if chosen is not None:
        ax.get_yticklabels()[table.index.get_loc(chosen)].set_fontweight("bold")
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(-0.02, 1.5), ylim=(len(table) - 0.4, -0.6), xlabel="accuracy on the client's own test examples")
    ax.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    ax.xaxis.label.set_x(0.52 / 1.52)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_bounds(0, 1)
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_title("worst tenth, mean and best tenth of clients", loc="left", fontsize=10.5, color=TEXT)
    return ax
