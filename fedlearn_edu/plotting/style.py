"""What all figures share: figures that need no pyplot, colours, text sizes, PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

SCREEN_DPI = 90  # CSS pixels per inch of figure
# In a file as they are. On a page the theme's own take their place (`plotting.page`): each must be unlike any other.
TEXT, MUTED, GRID, PAPER = "#24292f", "#6e7781", "#e3e6ea", "#fffffe"


class NotebookFigure(Figure):
    """A figure that Jupyter shows without pyplot having been imported, and that needs no LaTeX whatever is set."""

    def draw(self, renderer):
        with rc_context({"text.usetex": False}):  # of ticks that are made while drawing
            for text in self.findobj(Text):
                text.set_usetex(False)
            super().draw(renderer)

    def _repr_png_(self):
        width, height = self.get_size_inches() * SCREEN_DPI
        return figure_png(self, scale=2), {"width": int(width), "height": int(height)}


class NotebookAxes(Axes):
    """Axes that Jupyter shows as the figure they are in."""

    def _repr_png_(self):
        return self.get_figure(root=True)._repr_png_()


def figure_png(figure: Figure, *, scale: float = 1) -> bytes:
    """Returns the figure as a PNG file.

    Args:
        figure: Any Matplotlib figure.
        scale: Image pixels per screen pixel; 2 is sharp on high-resolution screens.
    """
    canvas, dpi = figure.canvas, figure.dpi
    try:
        # savefig would draw twice, once to find the layout and once for the pixels; a live dashboard feels that.
        figure.dpi = SCREEN_DPI * scale
        agg = FigureCanvasAgg(figure)
        agg.draw()
        pixels = np.asarray(agg.buffer_rgba())[..., :3]
    finally:
        figure.set_canvas(canvas)
        figure.dpi = dpi
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png", compress_level=1)
    return file.getvalue()


def prepare(ax: Axes | None, *, figsize: tuple[float, float]) -> Axes:
    """Returns the axes to draw on, empty and in this package's style: new ones of `figsize` inches for None."""
    if ax is None:
        figure = NotebookFigure(figsize=figsize, layout="constrained")
        ax = figure.add_subplot(axes_class=NotebookAxes)
    ax.clear()
    ax.set_axis_on()
    ax.set_aspect("auto")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=TEXT, labelsize=10)
    ax.set_axisbelow(True)
    return ax


def label_rows(ax: Axes, names: Sequence[str], *, most: int) -> None:
    """Writes names beside the rows 0, 1, ...: at most so many, evenly apart, the first and the last always among them.

    Where rows are sorted, the ends are what a reader looks for: the best and the worst.
    """
    step = -(-len(names) // most)
    rows = list(range(0, len(names), step))
    if rows:
        rows[-1] = len(names) - 1  # in place of the last one, so that no two are closer than the others
    ax.set_yticks(rows, [shorten(str(names[row])) for row in rows], fontsize=8)


def shorten(text: str, length: int = 18) -> str:
    """Returns a name as a label that shows it as it is, at most `length` characters; two `$` are no formula in it.

    Example:
        >>> shorten("$10_$20"), shorten("somebody's whole name", 9)
        ('\\\\$10_\\\\$20', 'somebody…')
    """
    return (text if len(text) <= length else text[: length - 1] + "…").replace("$", r"\$")
