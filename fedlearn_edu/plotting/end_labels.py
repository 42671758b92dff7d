"""Names beside the ends of curves, one under the other, none on top of another."""

from __future__ import annotations

import dataclasses

from matplotlib.axes import Axes

from fedlearn_edu.plotting.style import PAPER, TEXT

FONT_SIZE, LINE_POINTS = 9, 11.5


@dataclasses.dataclass(frozen=True, order=True)
class EndLabel:
    """What is written where a curve ends.

    Attributes:
        value: y of the end, in data coordinates.
        text: The label.
        colour: Of the thin line from the end to the label.
        weight: Of the font.
        alpha: Of the text and the line.
    """

    value: float
    text: str
    colour: str
    weight: str = "normal"
    alpha: float = 1.0


def write_end_labels(ax: Axes, labels: list[EndLabel], *, end: float, start: float) -> None:
    """Writes labels from `start` on, at the right of curves that end at `end`; both are x in data coordinates.

    The limits of the axes must have been set, and leave room: the labels take no part in the layout, so that they do
    not move the axes.
    """
    low, high = ax.get_ylim()
    gap = LINE_POINTS / _height_points(ax) * (high - low)
    labels = sorted(labels)
    places = spread([label.value for label in labels], gap, low + gap / 2, high - gap / 2)
    for label, place in zip(labels, places, strict=True):
        arrow = {"arrowstyle": "-", "lw": 1, "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)}
        text = ax.annotate(
            label.text,
            (end, min(max(label.value, low), high)),
            xytext=(start, place),
            fontsize=FONT_SIZE,
            color=TEXT,
            fontweight=label.weight,
            alpha=label.alpha,
            va="center",
            arrowprops=arrow | {"color": label.colour, "alpha": label.alpha},
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
            annotation_clip=False,
        )
        text.set_in_layout(False)


def spread(values: list[float], gap: float, low: float, high: float) -> list[float]:
    """Moves sorted numbers apart until they are `gap` from each other, as little as that needs, within limits.

    Example:
        >>> spread([1.0, 1.0, 5.0], 2.0, 0.0, 10.0)
        [0.0, 2.0, 5.0]
    """
    up, down = list(values), list(values)
    for i in range(1, len(values)):
        up[i] = max(up[i], up[i - 1] + gap)
    for i in reversed(range(len(values) - 1)):
        down[i] = min(down[i], down[i + 1] - gap)
    places = [(a + b) / 2 for a, b in zip(up, down, strict=True)]
    for i in reversed(range(len(places))):
        places[i] = min(places[i], high if i == len(places) - 1 else places[i + 1] - gap)
    for i in range(len(places)):
        places[i] = max(places[i], low if i == 0 else places[i - 1] + gap)
    return places


def _height_points(ax: Axes) -> float:
    """About how high the axes are; from where they stand in the grid, since the layout is not known before drawing."""
    spec, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    share = spec.get_position(figure).height if spec else ax.get_position(original=True).height
    return 72 * figure.get_size_inches()[1] * share
