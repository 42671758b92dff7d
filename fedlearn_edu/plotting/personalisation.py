"""What personal models change, client by client: a line from the accuracy before to the one after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.metric_axes import axis_title, highest, show_values, value_text
from fedlearn_edu.plotting.style import GRID, MUTED, PAPER, TEXT, label_rows, prepare
from fedlearn_edu.simulation.comparison import common_metric, known_metric
from fedlearn_edu.simulation.fairness import before_and_after
from fedlearn_edu.simulation.history import History

# Okabe and Ito's blue and vermillion, as in the other pictures; the shape of the mark tells them apart as well.
_BETTER, _WORSE = "#0072b2", "#d55e00"


def plot_personalisation(table: pd.DataFrame | History, *, ax: Axes | None = None, max_clients: int = 60) -> Axes:
    """Draws every client's accuracy before and after, one row a client, best off before on top.

    A hollow dot is the accuracy before; a line leads to the one after, a blue triangle to the right where it rose, a
    vermillion one to the left where it fell. The two thin upright lines are the means over the clients. Of another
    task its primary metric takes the place of accuracy; where less is better, blue leads to the left.

    Args:
        table: From `before_and_after` or `fine_tune_locally`, whose `attrs` say the metric and its unit (accuracy if
            they say none); or a history, as for `before_and_after`.
        ax: Where to draw; it is cleared first. None makes a new figure.
        max_clients: Rows at most, at least 2; of more clients, evenly many from the best to the worst are drawn. The
            means are those of all.

    Returns:
        The axes.

    Raises:
        UsageError: `max_clients` is below 2, or there is nothing to draw.

    Example:
        >>> table = pd.DataFrame({"before": [0.2, 0.5], "after": [0.6, 0.4]}, index=["a", "b"])
        >>> [label.get_text() for label in plot_personalisation(table).get_yticklabels()]
        ['b', 'a']
    """
    if max_clients < 2:
        raise UsageError(f"max_clients: expected at least 2, got {max_clients}")
    table = before_and_after(table).iloc[::-1]
    metric = common_metric("table", {"table": known_metric(table)})
    top = highest(metric, table[["before", "after"]].to_numpy().ravel())
    means = table[["before", "after"]].mean()
    num_worse, num_all = int((table["gain"] < 0).sum()), len(table)
    if num_all > max_clients:
        table = table.iloc[np.linspace(0, num_all - 1, max_clients).round().astype(int)]
    num_rows = len(table)
    ax = prepare(ax, figsize=(6.8, float(np.clip(1.6 + 0.13 * num_rows, 2.6, 8.5))))
    rows, before, after = np.arange(num_rows), table["before"].to_numpy(), table["after"].to_numpy()
    size = float(np.clip(260 / num_rows, 2.8, 6.0))
    for name, color, ls in (("before", MUTED, (0, (4, 3))), ("after", TEXT, "-")):
        ax.axvline(means[name], color=color, lw=1, ls=ls, label=f"mean {name}: {value_text(metric, means[name])}")
    right, left = ((_BETTER, "better"), (_WORSE, "worse"))[:: 1 if metric.higher_is_better else -1]
    for moved, marker, (color, word) in ((after > before, ">", right), (after < before, "<", left)):
        ax.hlines(rows[moved], before[moved], after[moved], color=color, lw=1.6, alpha=0.75)
        if moved.any():
            ax.plot(after[moved], rows[moved], marker, color=color, ms=size, label=f"after: {word}")
    ax.plot(before, rows, "o", mfc=PAPER, mec=MUTED, ms=size * 0.85, mew=1, label="before", zorder=3)
    label_rows(ax, table.index, most=30)
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(-0.02 * top, 1.02 * top), ylim=(num_rows - 0.4, -0.6))
    ax.set_xlabel(f"{axis_title(metric)} on the client's own test examples")
    show_values(ax.xaxis, metric)
    ax.set_ylabel(f"{num_rows} of {num_all} clients" if num_rows < num_all else "client")
    ax.grid(True, axis="x", color=GRID, lw=0.8)
    ax.spines["left"].set_visible(False)
    ax.set_title(f"{num_worse} of {num_all} clients got worse", loc="left", fontsize=10.5, color=TEXT, pad=36)
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, frameon=False, fontsize=8.5, labelcolor=TEXT,
        handlelength=1.6, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip
    return ax
