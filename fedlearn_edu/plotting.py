"""Room 6: histories and partitions as Matplotlib figures; nothing here trains or computes a result.

Every function draws into the `ax` it is given (clearing it first, so that calling again redraws in place) or makes a
figure of its own. Figures are made without pyplot: nothing is kept alive or shown behind the caller's back, and a
background thread may draw. In a notebook, a returned Axes or Figure that ends a cell shows its picture.
"""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.history import History

_SCREEN_DPI = 72  # CSS pixels per inch of figure
_TEXT, _MUTED, _GRID = "#24292f", "#6e7781", "#e3e6ea"
# Okabe and Ito's blue and vermillion: told apart with every common kind of colour vision, and in grey.
_GLOBAL, _CENTRAL = "#0072b2", "#d55e00"
_HEAT = "viridis"  # perceptually uniform, readable without red-green vision
# Petroff's ten-colour sequence (arXiv:2107.02270), chosen by colour-vision models and a survey.
_CLASSES = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd".split()


class _NotebookFigure(Figure):
    """A figure that Jupyter shows without pyplot having been imported."""

    def _repr_png_(self):
        width, height = self.get_size_inches() * _SCREEN_DPI
        return figure_png(self, scale=2), {"width": int(width), "height": int(height)}


class _NotebookAxes(Axes):
    """Axes that Jupyter shows as the figure they are in."""

    def _repr_png_(self):
        return self.get_figure(root=True)._repr_png_()


def plot_accuracy(history: History, *, ax: Axes | None = None, num_rounds: int | None = None) -> Axes:
    """Draws the global test accuracy of every round.

    The dashed line is the central ceiling (`history.central_accuracy`, if set); the thin grey one is what the
    cohort's clients measured on their own training examples while they trained.

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
    ax = _prepare(ax, figsize=(6.8, 4.2))
    metrics = history.global_metrics()
    last_round = max(history.num_rounds, num_rounds or 0, 1)
    values = []  # the numbers written beside the lines' ends
    if history.central_accuracy is not None:
        ax.axhline(history.central_accuracy, color=_CENTRAL, lw=1.6, ls=(0, (5, 3)), label="central ceiling")
        values.append((history.central_accuracy, _CENTRAL))
    if "train_accuracy" in metrics:
        train = metrics["train_accuracy"].dropna()
        marker = "o" if len(train) == 1 else None  # a line through one point is invisible
        ax.plot(
            train.index, train, color=_MUTED, alpha=0.6, lw=1.2, marker=marker, ms=4, label="cohort's own training data"
        )
    if "accuracy" in metrics:
        test = metrics["accuracy"].dropna()
        marker_size = 5 if len(test) <= 40 else 0
        ax.plot(
            test.index, test, color=_GLOBAL, lw=2.2, marker="o", ms=marker_size, label="global model, all test data"
        )
        values.append((float(test.iloc[-1]), _GLOBAL))
    _write_beside(ax, values)
    ax.set(xlabel="round", ylabel="accuracy", xlim=(-0.02 * last_round, 1.02 * last_round), ylim=(0, 1.02))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(True, color=_GRID, lw=0.8)
    _legend_above(ax)
    return ax


def plot_client_heatmap(
    history: History, *, ax: Axes | None = None, max_clients: int = 60, num_rounds: int | None = None
) -> Axes:
    """Draws the global model's test accuracy on every client, round by round: one row a client, best on top.

    A dot marks the rounds in which the client was in the cohort. The colours always run from 0 to 100 %, so that
    the same colour means the same accuracy in every picture. Clients without test examples have no row.

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
    accuracy = history.client_metric("accuracy")
    accuracy = accuracy.sort_values(accuracy.columns[-1], ascending=False, kind="stable") if len(accuracy) else accuracy
    num_all = len(accuracy)
    if num_all > max_clients:
        accuracy = accuracy.iloc[np.linspace(0, num_all - 1, max_clients).round().astype(int)]
    num_rows = len(accuracy)
    ax = _prepare(ax, figsize=(6.8, float(np.clip(1.4 + 0.13 * num_rows, 2.6, 8))))
    if not num_rows:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no client has test examples", ha="center", va="center", color=_MUTED)
        return ax
    first, last = accuracy.columns[0], accuracy.columns[-1]
    image = ax.imshow(
        accuracy.to_numpy(),
        aspect="auto",
        interpolation="nearest",
        cmap=matplotlib.colormaps[_HEAT].with_extremes(bad=_GRID),
        vmin=0,
        vmax=1,
        extent=(first - 0.5, last + 0.5, num_rows - 0.5, -0.5),
    )
    ax.set_xlim(first - 0.5, max(last, num_rounds or 0) + 0.5)
    _mark_cohorts(ax, accuracy, history.client_metric("in_cohort"))
    step = -(-num_rows // 25)
    ax.set_yticks(range(0, num_rows, step), [_shorten(name) for name in accuracy.index[::step]], fontsize=8)
    ax.tick_params(length=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    shown = f"{num_rows} of {num_all} clients" if num_rows < num_all else "client"
    ax.set(xlabel="round", ylabel=f"{shown}, best on top")
    # As an inset the colour bar goes when the axes are cleared, so that redrawing does not pile up bars.
    bar = ax.figure.colorbar(image, cax=ax.inset_axes([1.025, 0, 0.03, 1]))
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    bar.ax.tick_params(labelsize=9, length=0, colors=_MUTED)
    bar.outline.set_visible(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title("accuracy on each client's test data   (dot: trained in this round)", fontsize=9.5, color=_TEXT)
    return ax


def plot_label_counts(clients: FederatedDataset, *, ax: Axes | None = None, max_clients: int = 60) -> Axes:
    """Draws how many examples of each class every client holds: one bar a client, one colour a class.

    Args:
        clients: Images or features; only labels and clients are read.
        ax: Where to draw; it is cleared first. None makes a new figure.
        max_clients: Bars at most, at least 2; of more clients, evenly many in their given order are drawn.

    Returns:
        The axes; one `PolyCollection` per class holds the bars.

    Raises:
        UsageError: `max_clients` is below 2.
    """
    if max_clients < 2:
        raise UsageError(f"max_clients: expected at least 2, got {max_clients}")
    counts = clients.label_counts()
    num_all = len(counts)
    if num_all > max_clients:
        counts = counts.iloc[np.linspace(0, num_all - 1, max_clients).round().astype(int)]
    num_rows = len(counts)
    ax = _prepare(ax, figsize=(7.6, float(np.clip(1.3 + 0.17 * num_rows, 2.4, 8))))
    ends = counts.cumsum(axis=1)
    bottom, top = np.arange(num_rows) - 0.41, np.arange(num_rows) + 0.41
    for name, color in zip(counts, _class_colors(counts.shape[1]), strict=True):
        right = ends[name].to_numpy(float)
        left = right - counts[name].to_numpy(float)
        corners = np.stack([[left, bottom], [right, bottom], [right, top], [left, top]])  # [4, 2, num_rows]
        ax.add_collection(PolyCollection(corners.transpose(2, 0, 1), facecolor=color, edgecolor="none", label=name))
    ax.set(xlim=(0, max(1, ends.iloc[:, -1].max()) * 1.02), ylim=(num_rows - 0.4, -0.6))
    step = -(-num_rows // 30)
    ax.set_yticks(range(0, num_rows, step), [_shorten(name) for name in counts.index[::step]], fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.set(xlabel="examples held", ylabel=f"{num_rows} of {num_all} clients" if num_rows < num_all else "client")
    ax.grid(True, axis="x", color=_GRID, lw=0.8)
    ax.spines["left"].set_visible(False)
    _legend_of_classes(ax, num_classes=counts.shape[1])
    return ax


def plot_images(
    dataset: ImageDataset | FederatedDataset, *, ax: Axes | None = None, num_images: int = 24, seed: int = 0
) -> Axes:
    """Draws a random sample of images with their class names.

    Of a partitioned dataset each row shows one client's training images (the first six clients), so that one
    sees what each of them sees; of an unpartitioned one, all images are one pool.

    Args:
        dataset: Images, partitioned or not.
        ax: Where to draw; it is cleared first. None makes a new figure.
        num_images: How many images in all, at least 1; fewer if there are not as many.
        seed: Of the sample.

    Returns:
        The axes.

    Raises:
        UsageError: `num_images` is below 1, or the dataset holds feature vectors.
    """
    if num_images < 1:
        raise UsageError(f"num_images: expected at least 1, got {num_images}")
    rng = np.random.default_rng(seed)
    partitioned = isinstance(dataset, FederatedDataset)
    images = dataset.examples if partitioned else dataset.images
    if images.ndim != 4:
        raise UsageError(f"dataset: expected images, got vectors of length {images.shape[-1]}; plot them before extraction")
    if partitioned:
        owners = dataset.client_ids[: min(6, num_images)]
        num_columns = -(-num_images // len(owners))
        rows = [(name, rng.permutation(dataset.clients[name].train)[:num_columns]) for name in owners]
    else:
        sample = rng.permutation(len(images))[:num_images]
        num_columns = min(8, len(sample))
        rows = [("", sample[start : start + num_columns]) for start in range(0, len(sample), num_columns)]
    ax = _prepare(ax, figsize=(max(2.5, 1.05 * num_columns + (1 if partitioned else 0)), 1.3 * len(rows)))
    for i, (owner, indices) in enumerate(rows):
        y = 1.3 * i
        ax.text(-0.08, y + 0.5, _shorten(owner), ha="right", va="center", fontsize=9, color=_TEXT)
        for j, index in enumerate(indices):
            ax.imshow(images[index], extent=(j, j + 0.94, y + 0.94, y))
            name = _shorten(dataset.class_names[dataset.labels[index]], 14)
            ax.text(j + 0.47, y - 0.05, name, ha="center", va="bottom", fontsize=8, color=_MUTED)
    ax.set(xlim=(0, num_columns), ylim=(1.3 * len(rows) - 0.3, -0.3), aspect="equal")
    ax.set_axis_off()
    return ax


def plot_run(history: History, *, figure: Figure | None = None, num_rounds: int | None = None) -> Figure:
    """Draws a run as one picture: the global curve, and every client's accuracy beside it.

    Args:
        history: A run, finished or not.
        figure: Where to draw; it is cleared first. None makes a new one.
        num_rounds: Right end of the x axes, at least the rounds run; default just those.

    Returns:
        The figure.
    """
    if figure is None:
        figure = _NotebookFigure(figsize=(13, 5), layout="constrained")
    figure.clear()
    curve, heatmap = figure.subplots(1, 2, width_ratios=[1, 1.1], gridspec_kw={"wspace": 0.06})
    plot_accuracy(history, ax=curve, num_rounds=num_rounds)
    plot_client_heatmap(history, ax=heatmap, num_rounds=num_rounds, max_clients=50)
    return figure


def figure_png(figure: Figure, *, scale: float = 1) -> bytes:
    """Returns the figure as a PNG file.

    Args:
        figure: Any Matplotlib figure.
        scale: Image pixels per screen pixel; 2 is sharp on high-resolution screens.
    """
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_SCREEN_DPI * scale, facecolor="white")
    return file.getvalue()


def _prepare(ax: Axes | None, *, figsize: tuple[float, float]) -> Axes:
    if ax is None:
        figure = _NotebookFigure(figsize=figsize, layout="constrained")
        ax = figure.add_subplot(axes_class=_NotebookAxes)
    ax.clear()
    ax.set_axis_on()
    ax.set_aspect("auto")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_MUTED)
    ax.tick_params(colors=_MUTED, labelcolor=_TEXT, labelsize=10)
    ax.set_axisbelow(True)
    return ax


def _write_beside(ax: Axes, values: list[tuple[float, str]]) -> None:
    """Writes each value right of the axes at its height, moved apart where two would overlap."""
    values = sorted(values)
    heights = [value for value, _ in values]
    if len(values) == 2 and heights[1] - heights[0] < 0.055:
        middle = min(sum(heights) / 2, 0.985)
        heights = [middle - 0.0275, middle + 0.0275]
    for (value, color), height in zip(values, heights, strict=True):
        ax.annotate(
            f"{value:.1%}".replace("%", " %"),
            (1.015, height),
            xycoords=("axes fraction", "data"),
            color=color,
            fontsize=10,
            fontweight="bold",
            va="center",
        )


def _mark_cohorts(ax: Axes, accuracy: pd.DataFrame, in_cohort: pd.DataFrame) -> None:
    marked = in_cohort.reindex(index=accuracy.index, columns=accuracy.columns).notna().to_numpy()
    row, column = np.nonzero(marked)
    if not len(row):
        return
    box = ax.get_window_extent()
    cell = min(box.width / accuracy.shape[1], box.height / accuracy.shape[0]) * 72 / ax.figure.dpi
    bright = accuracy.to_numpy()[row, column] > 0.55
    ax.scatter(
        accuracy.columns.to_numpy()[column],
        row,
        s=float(np.clip(0.3 * cell, 1.2, 5)) ** 2,
        c=np.where(bright, "black", "white"),
        alpha=0.65,
        linewidths=0,
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
            labelcolor=_TEXT,
            handlelength=1.8,
            columnspacing=1.2,
            borderaxespad=0.2,
        )


def _legend_of_classes(ax: Axes, *, num_classes: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if num_classes > 20:  # then the colours form a scale, and its ends and a few steps say enough
        shown = np.linspace(0, num_classes - 1, 8).round().astype(int)
        handles, labels = [handles[i] for i in shown], [labels[i] for i in shown]
    ax.legend(
        handles,
        [_shorten(label) for label in labels],
        title="class" if num_classes <= 20 else f"{num_classes} classes, e.g.",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        labelcolor=_TEXT,
        handlelength=1,
        handleheight=1,
        alignment="left",
    )


def _class_colors(num_classes: int) -> list:
    if num_classes <= len(_CLASSES):
        return _CLASSES[:num_classes]
    if num_classes <= 20:
        return list(matplotlib.colormaps["tab20"].colors[:num_classes])
    return list(matplotlib.colormaps["turbo"](np.linspace(0, 1, num_classes)))


def _shorten(text: str, length: int = 18) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
