"""A run as figures: the global curve, the client x round heat map, and both together."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from fedlearn_edu.data.metrics import Metric
from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.metric_axes import axis_title, baseline_name, highest, show_values, value_text
from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, NotebookFigure, label_rows, prepare
from fedlearn_edu.simulation.history import History

# Okabe and Ito's blue and vermillion: told apart with every common kind of colour vision, and in grey.
_GLOBAL, _CENTRAL = "#0072b2", "#d55e00"
_MOST_SHAPES = 1000  # more dots than that are pixels on a page too: each shape there takes time to send and to show
_HEAT = "viridis"  # perceptually uniform, readable without red-green vision


def plot_accuracy(history: History, *, ax: Axes | None = None, num_rounds: int | None = None) -> Axes:
    """Draws the global test accuracy of every round, or what else the run's task is measured by.

    The dashed line is the central ceiling (`history.central_accuracy`, if set); the thin grey one is what the
    cohort's clients measured on their own training examples while they trained. The thin dotted one is the baseline:
    what one answer for all test examples would give.

    Args:
        history: A run, finished or not.
        ax: Where to draw; it is cleared first. None makes a new figure.
        num_rounds: Right end of the x axis, at least the rounds run; default just those.

    Returns:
        The axes.

    Example:
        >>> history = History({}, [(0, "global", "accuracy", 0.1), (1, "global", "accuracy", 0.6)])
        >>> [float(y) for y in plot_accuracy(history).lines[-1].get_ydata()]
        [0.1, 0.6]
    """
    ax = prepare(ax, figsize=(6.8, 4.2))
    metrics = history.global_metrics()
    last_round = max(history.num_rounds, num_rounds or 0, 1)
    values = []  # the numbers written beside the lines' ends
    if history.central_accuracy is not None:
        ax.axhline(history.central_accuracy, color=_CENTRAL, lw=1.6, ls=(0, (5, 3)), label="central ceiling")
        values.append((history.central_accuracy, _CENTRAL))
    primary, baseline = history.primary, history.baseline
    if baseline is not None:
        ax.axhline(baseline, color=MUTED, lw=1, ls=":")
        ax.annotate(
            baseline_name(primary),
            (0.995, baseline),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
    if f"train_{primary.name}" in metrics:
        train = metrics[f"train_{primary.name}"].dropna()
        marker = "o" if len(train) == 1 else None  # a line through one point is invisible
        label = "the cohort, on its\nown training data"
        ax.plot(train.index, train, color=MUTED, alpha=0.6, lw=1.2, marker=marker, ms=4, label=label)
    if primary.name in metrics:
        test = metrics[primary.name].dropna()
        marker_size = 5 if len(test) <= 40 else 0
        ax.plot(test.index, test, color=_GLOBAL, lw=2.2, marker="o", ms=marker_size, label="global model")
        values.append((float(test.iloc[-1]), _GLOBAL))
    top = 1.02 * highest(primary, [y for line in ax.lines for y in np.asarray(line.get_ydata(), float)])
    _write_beside(ax, values, primary, top=top)
    ax.set(xlabel="round", ylabel=axis_title(primary), xlim=(-0.02 * last_round, 1.02 * last_round), ylim=(0, top))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True))
    show_values(ax.yaxis, primary)
    ax.grid(True, color=GRID, lw=0.8)
    _legend_above(ax)
    return ax


def plot_client_heatmap(
    history: History, *, ax: Axes | None = None, max_clients: int = 60, num_rounds: int | None = None
) -> Axes:
    """Draws the global model's test accuracy on every client, round by round: one row a client, best on top.

    A dot marks the rounds in which the client was in the cohort. The colours always run from 0 to 100 %, so that
    the same colour means the same accuracy in every picture; of a metric that is no share, such as an RMSE, from 0 to
    the largest value, and the best is as bright. Clients without test examples have no row.

    Args:
        history: A run, finished or not.
        ax: Where to draw; it is cleared first. None makes a new figure.
        max_clients: Rows at most, at least 2; of more clients, evenly many from the best to the worst are drawn.
        num_rounds: Right end of the x axis, at least the rounds run; default just those.

    Returns:
        The axes; the picture is its first image, float `[rows, rounds + 1]`.

    Raises:
        UsageError: `max_clients` is below 2.

    Example:
        >>> rows = [(0, "a", "accuracy", 0.1), (1, "a", "accuracy", 0.6), (1, "a", "in_cohort", 1)]
        >>> plot_client_heatmap(History({}, rows)).images[0].get_array().data.tolist()
        [[0.1, 0.6]]
    """
    if max_clients < 2:
        raise UsageError(f"max_clients: expected at least 2, got {max_clients}")
    primary, accuracy = history.primary, history.client_metric()
    if len(accuracy):
        worst_last = not primary.higher_is_better
        accuracy = accuracy.sort_values(accuracy.columns[-1], ascending=worst_last, kind="stable")
    num_all = len(accuracy)
    if num_all > max_clients:
        accuracy = accuracy.iloc[np.linspace(0, num_all - 1, max_clients).round().astype(int)]
    num_rows = len(accuracy)
    ax = prepare(ax, figsize=(6.8, float(np.clip(1.4 + 0.13 * num_rows, 2.6, 8))))
    if not num_rows:
        ax.set_axis_off()
        of_both = " of both classes" if primary.name == "auc" and len(history.client_metric("loss")) else ""
        ax.text(0.5, 0.5, f"no client has test examples{of_both}", ha="center", va="center", color=MUTED)
        return ax
    first, last = accuracy.columns[0], accuracy.columns[-1]
    image = ax.imshow(
        accuracy.to_numpy(),
        aspect="auto",
        interpolation="nearest",
        cmap=matplotlib.colormaps[_HEAT if primary.higher_is_better else f"{_HEAT}_r"].with_extremes(bad=GRID),
        vmin=0,
        vmax=highest(primary, accuracy.to_numpy().ravel()),
        extent=(first - 0.5, last + 0.5, num_rows - 0.5, -0.5),
    )
    ax.set_xlim(first - 0.5, max(last, num_rounds or 0) + 0.5)
    _mark_cohorts(ax, image, accuracy, history.client_metric("in_cohort"))
    label_rows(ax, accuracy.index, most=25)
    ax.tick_params(length=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True))
    shown = f"{num_rows} of {num_all} clients" if num_rows < num_all else "client"
    ax.set(xlabel="round", ylabel=f"{shown}, best on top")
    # As an inset the colour bar goes when the axes are cleared, so that redrawing does not pile up bars.
    bar = ax.figure.colorbar(image, cax=ax.inset_axes([1.025, 0, 0.03, 1]))
    show_values(bar.ax.yaxis, primary)
    bar.ax.tick_params(labelsize=9, length=0, colors=MUTED)
    bar.outline.set_visible(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    title = f"{axis_title(primary)} on each client's test data   (dot: trained in this round)"
    ax.set_title(title, fontsize=9.5, color=TEXT)
    return ax


def plot_run(
    history: History, *, figure: Figure | None = None, num_rounds: int | None = None, title: str | None = None
) -> Figure:
    """Draws a run as one picture: the global curve, and every client's accuracy beside it.

    Args:
        history: A run, finished or not.
        figure: Where to draw; it is cleared first. None makes a new one.
        num_rounds: Right end of the x axes, at least the rounds run; default just those.
        title: One line above both.

    Returns:
        The figure.
    """
    if figure is None:
        figure = NotebookFigure(figsize=(11, 4.6), layout="constrained")
    figure.clear()
    curve, heatmap = figure.subplots(1, 2, width_ratios=[1, 1.1], gridspec_kw={"wspace": 0.06})
    plot_accuracy(history, ax=curve, num_rounds=num_rounds)
    plot_client_heatmap(history, ax=heatmap, num_rounds=num_rounds, max_clients=50)
    if title:
        figure.suptitle(title, fontsize=10, color=TEXT, parse_math=False)  # a data set may be called $1
    return figure


def _write_beside(ax: Axes, values: list[tuple[float, str]], metric: Metric, *, top: float) -> None:
    """Writes each value right of the axes at its height, moved apart where two would overlap."""
    values = sorted(values)
    heights = [min(value, top) for value, _ in values]  # of a run that diverged
    scale = top / 1.02
    if len(values) == 2 and heights[1] - heights[0] < 0.055 * scale:
        middle = min(sum(heights) / 2, 0.985 * scale)
        heights = [middle - 0.0275 * scale, middle + 0.0275 * scale]
    for (value, color), height in zip(values, heights, strict=True):
        ax.annotate(
            value_text(metric, value),
            (1.015, height),
            xycoords=("axes fraction", "data"),
            color=color,
            fontsize=10,
            fontweight="bold",
            va="center",
        )


def _mark_cohorts(ax: Axes, image: AxesImage, accuracy: pd.DataFrame, in_cohort: pd.DataFrame) -> None:
    marked = in_cohort.reindex(index=accuracy.index, columns=accuracy.columns).notna().to_numpy()
    row, column = np.nonzero(marked)
    if not len(row):
        return
    box = ax.get_window_extent()
    cell = min(box.width / accuracy.shape[1], box.height / accuracy.shape[0]) * 72 / ax.figure.dpi
    share = image.norm(accuracy.to_numpy()[row, column])
    bright = (share if image.get_cmap().name == _HEAT else 1 - share) > 0.55
    ax.scatter(
        accuracy.columns.to_numpy()[column],
        row,
        s=float(np.clip(0.3 * cell, 1.2, 5)) ** 2,
        c=np.where(bright, "#101010", "white"),
        alpha=0.65,
        linewidths=0,
        rasterized=len(row) > _MOST_SHAPES,
    )


def _legend_above(ax: Axes) -> None:
    """Puts the legend over the axes, where it cannot hide data."""
    if ax.get_legend_handles_labels()[0]:
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(
            handles[::-1],
            labels[::-1],
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=3,
            frameon=False,
            fontsize=9,
            labelcolor=TEXT,
            handlelength=1.8,
            columnspacing=1.2,
            borderaxespad=0.2,
        )
