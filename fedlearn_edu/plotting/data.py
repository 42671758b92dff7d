"""Data as figures: who holds how much of which class, and what the images look like."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator

from fedlearn_edu.checks import check_seed
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, label_rows, prepare, shorten

# Petroff's ten-colour sequence (arXiv:2107.02270), chosen by colour-vision models and a survey.
_CLASSES = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)


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
    ax = prepare(ax, figsize=(7.6, float(np.clip(1.3 + 0.17 * num_rows, 2.4, 8))))
    ends = counts.cumsum(axis=1)
    bottom, top = np.arange(num_rows) - 0.41, np.arange(num_rows) + 0.41
    for name, color in zip(counts, _class_colors(counts.shape[1]), strict=True):
        right = ends[name].to_numpy(float)
        left = right - counts[name].to_numpy(float)
        corners = np.stack([[left, bottom], [right, bottom], [right, top], [left, top]])  # [4, 2, num_rows]
        ax.add_collection(PolyCollection(corners.transpose(2, 0, 1), facecolor=color, edgecolor="none", label=name))
    ax.set(xlim=(0, max(1, ends.iloc[:, -1].max()) * 1.02), ylim=(num_rows - 0.4, -0.6))
    label_rows(ax, counts.index, most=30)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    ax.set(xlabel="examples held", ylabel=f"{num_rows} of {num_all} clients" if num_rows < num_all else "client")
    ax.grid(True, axis="x", color=GRID, lw=0.8)
    ax.spines["left"].set_visible(False)
    _legend_of_classes(ax, num_classes=counts.shape[1])
    return ax


def plot_images(
    dataset: ImageDataset | FederatedDataset, *, ax: Axes | None = None, num_images: int = 24, seed: int = 0
) -> Axes:
    """Draws a random sample of images with their class names.

    Of a partitioned dataset each row shows one client's training images (the first four clients), so that one
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
    rng = np.random.default_rng(check_seed(seed))
    partitioned = isinstance(dataset, FederatedDataset)
    images = dataset.examples if partitioned else dataset.images
    if images.ndim != 4:
        raise UsageError(
            f"dataset: expected images, got feature vectors of length {images.shape[-1]}; plot what they were made from"
        )
    if partitioned:
        owners = dataset.client_ids[: min(4, num_images)]
        num_columns = -(-num_images // len(owners))
        rows = [(name, rng.permutation(dataset.clients[name].train)[:num_columns]) for name in owners]
    else:
        sample = rng.permutation(len(images))[:num_images]
        num_columns = min(8, len(sample))
        rows = [("", sample[start : start + num_columns]) for start in range(0, len(sample), num_columns)]
    ax = prepare(ax, figsize=(max(2.5, 0.95 * num_columns + (1 if partitioned else 0)), 1.2 * len(rows)))
    for i, (owner, indices) in enumerate(rows):
        y = 1.3 * i
        ax.text(-0.08, y + 0.5, shorten(owner), ha="right", va="center", fontsize=9, color=TEXT)
        for j, index in enumerate(indices):
            ax.imshow(images[index], extent=(j, j + 0.94, y + 0.94, y))
            name = shorten(dataset.class_names[dataset.labels[index]], 14)
            ax.text(j + 0.47, y - 0.05, name, ha="center", va="bottom", fontsize=8, color=MUTED)
    ax.set(xlim=(0, num_columns), ylim=(1.3 * len(rows) - 0.3, -0.3), aspect="equal")
    ax.set_axis_off()
    return ax


def _legend_of_classes(ax: Axes, *, num_classes: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if num_classes > 20:  # then the colours form a scale, and its ends and a few steps say enough
        shown = np.linspace(0, num_classes - 1, 8).round().astype(int)
        handles, labels = [handles[i] for i in shown], [labels[i] for i in shown]
    ax.legend(
        handles,
        [shorten(label) for label in labels],
        title="class" if num_classes <= 20 else f"{num_classes} classes, e.g.",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        labelcolor=TEXT,
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
