"""Attacks as figures: what was guessed beside what was true, images side by side, and who was found to be a member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, prepare, shorten
from fedlearn_edu.privacy.attacks.result import AttackResult

_TRUE, _GUESSED = "#b9c7d6", "#bd1f01"
_LINES = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#94a4a2")


def plot_label_attack(result: AttackResult, class_names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draws a client's true mix of classes, and what an attack read from its delta.

    Args:
        result: From `score_label_counts`.
        class_names: One name a class.
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes: grey bars are true, red dots guessed, the dotted line is the uniform guess.

    Raises:
        UsageError: `result` is of another attack, or has another number of classes.
    """
    guessed, true = (result.details.get(name) for name in ("estimated_shares", "true_shares"))
    if guessed is None or len(guessed) != len(class_names):
        raise UsageError(f"result: expected one of score_label_counts for {len(class_names)} classes, got {result}")
    ax = prepare(ax, figsize=(7.6, 2.8))
    places = np.arange(len(class_names))
    ax.bar(places, true, color=_TRUE, label="true")
    ax.plot(places, guessed, "o", color=_GUESSED, ms=6, label="read by the server")
    ax.axhline(1 / len(true), color=MUTED, ls=":", lw=1, label="uniform guess")
    ax.set_xticks(places, [shorten(name, 12) for name in class_names], fontsize=8, rotation=30, ha="right")
    ax.set(ylabel="share of examples", ylim=(0, 1.08 * max(true.max(), guessed.max())))
    ax.set_title(
        f"{result.success:.0%} attributed correctly (uniform guess {result.baseline:.0%})", fontsize=10, color=TEXT
    )
    ax.grid(True, axis="y", color=GRID, lw=0.8)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9, labelcolor=TEXT)
    return ax


def plot_image_rows(
    rows: Mapping[str, np.ndarray], *, titles: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draws rows of images under each other: the true ones, and what each attack made of them.

    Args:
        rows: Name of the row -> images `[num_images, height, width, channels]`, uint8 or float in [0, 1]; one channel
            is grey. All rows have equally many.
        titles: One above each column; None for none.
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes.

    Raises:
        UsageError: No images, or rows of different lengths.
    """
    images = {name: np.asarray(row) for name, row in rows.items()}
    lengths = {len(row) for row in images.values()}
    if len(lengths) != 1 or 0 in lengths or any(row.ndim != 4 for row in images.values()):
        shapes = {name: row.shape for name, row in images.items()}
        raise UsageError(
            f"rows: expected equally many images [num_images, height, width, channels] a row, got {shapes or 'none'}"
        )
    num_columns = lengths.pop()
    ax = prepare(ax, figsize=(1.6 + 0.9 * num_columns, 0.25 + 0.95 * len(images)))
    for i, (name, row) in enumerate(images.items()):
        ax.text(-0.1, i + 0.47, name, ha="right", va="center", fontsize=9, color=TEXT)
        for j, image in enumerate(row):
            shown = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
            shown = shown if shown.dtype == np.uint8 else np.clip(shown, 0, 1)
            ax.imshow(shown, extent=(j, j + 0.94, i + 0.94, i))
    for j, title in enumerate(titles or []):
        ax.text(j + 0.47, -0.05, shorten(title, 14), ha="center", va="bottom", fontsize=8, color=MUTED)
    ax.set(xlim=(0, num_columns), ylim=(len(images), -0.3 if titles else 0), aspect="equal")
    ax.set_axis_off()
    return ax


def plot_membership(*results: AttackResult, smallest_rate: float = 1e-3, ax: Axes | None = None) -> Axes:
    """Draws which share of the members an attack finds against which share of others it accuses, on logarithmic scales.

    The left edge matters most to a victim: an attacker who accuses hardly anyone wrongly. The dotted line is guessing.

    Args:
        *results: Of membership attacks, at least one.
        smallest_rate: Where both axes begin, above 0 and below 1.
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes, one line a result.

    Raises:
        UsageError: No result, or one of another attack, or `smallest_rate` out of range.
    """
    if not results or not all("true_positive_rates" in result.details for result in results):
        raise UsageError(f"results: expected membership attacks, got {[str(result) for result in results]}")
    if not 0 < smallest_rate < 1:
        raise UsageError(f"smallest_rate: expected a number above 0 and below 1, got {smallest_rate!r}")
    ax = prepare(ax, figsize=(5.6, 4))
    for result, color in zip(results, np.resize(_LINES, len(results)), strict=True):
        false, true = (result.details[f"{name}_positive_rates"] for name in ("false", "true"))
        label = f"{result.attack}, AUC {result.success:.2f}"
        # A rate of 0 has no place on a logarithmic axis: it is drawn at the edge.
        ax.step(
            np.maximum(false, smallest_rate), np.maximum(true, smallest_rate), where="post", color=color, label=label
        )
    line = np.geomspace(smallest_rate, 1, 50)
    ax.plot(line, line, color=MUTED, ls=":", lw=1, label="guessing")
    ax.set(xscale="log", yscale="log", xlim=(smallest_rate, 1), ylim=(smallest_rate, 1.05))
    ax.set(xlabel="others accused (false positive rate)", ylabel="members found (true positive rate)")
    ax.grid(True, color=GRID, lw=0.8)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), frameon=False, fontsize=9, labelcolor=TEXT)
    return ax
