"""A figure as SVG for a notebook's page: panels that wrap where it is narrow, text in the colours of its theme."""

from __future__ import annotations

import html
import io
import itertools
import re

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fedlearn_edu.plotting.style import GRID, MUTED, PAPER, SCREEN_DPI, TEXT

_POINTS = 72  # per inch: the unit of Matplotlib's SVG
_RASTER_DPI = 144  # of what is drawn as pixels inside
_NARROWEST = 0.88  # a panel shrinks to this share of its width before it goes below its neighbour
_PAGE_COLOURS = {
    "#000000": f"var(--jp-ui-font-color1, {TEXT})",
    TEXT: f"var(--jp-ui-font-color1, {TEXT})",
    MUTED: f"var(--jp-ui-font-color2, {MUTED})",
    GRID: f"var(--jp-border-color3, {GRID})",
    PAPER: "var(--jp-layout-color0, white)",
}


def figure_svg(figure: Figure, *, name: str) -> str:
    """Returns a figure as HTML that any notebook page can show in place.

    The background is the page's own, and so are the colours of `TEXT`, `MUTED`, `GRID` and `PAPER`: they follow when
    the theme is changed. Panels beside each other stand below each other where there is no room for them, so that
    their text keeps its size.

    Args:
        figure: Any Matplotlib figure.
        name: Letters and digits that no other figure of the page has; the same figure and name give the same text.
    """
    canvas, dpi = figure.canvas, figure.dpi
    axes = [part for ax in figure.axes for part in (ax, *ax.child_axes)]
    hidden = [patch for patch in (figure.patch, *(ax.patch for ax in axes)) if patch.get_visible()]
    try:
        for patch in hidden:
            patch.set_visible(False)
        figure.dpi = _RASTER_DPI
        file = io.StringIO()
        with rc_context({"svg.hashsalt": name, "svg.fonttype": "path", "svg.image_inline": True}):
            FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        figure.dpi = _POINTS
        panels = panel_boxes(figure)
    finally:
        for patch in hidden:
            patch.set_visible(True)
        figure.set_canvas(canvas)
        figure.dpi = dpi
    return _on_page(file.getvalue(), panels, figure.get_figheight() * _POINTS, name, _alt_text(figure))


def panel_boxes(figure: Figure) -> list[Bbox]:
    """Returns the parts of a drawn figure that can stand alone, from left to right, in pixels from the lower left.

    Each column of axes is one; so is a legend that belongs to several of them, last.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.bbox.width, figure.bbox.height
    columns: dict[int, list[Bbox]] = {}
    for ax in figure.axes:
        place = ax.get_subplotspec()
        columns.setdefault(place.colspan.start if place else 0, []).append(ax.get_tightbbox(renderer))
    boxes = [Bbox.union(columns[column]) for column in sorted(columns)] or [figure.bbox]
    borders = [(left.x1 + right.x0) / 2 for left, right in itertools.pairwise(boxes)]
    legends = [legend.get_window_extent(renderer) for legend in figure.legends]
    shared = [box for box in legends if any(box.x0 < border < box.x1 for border in borders)]
    low = max((box.y1 for box in shared), default=0)
    columns_of_all = [Bbox([[x0, low], [x1, height]]) for x0, x1 in zip([0, *borders], [*borders, width], strict=True)]
    return columns_of_all + shared


def _on_page(svg: str, panels: list[Bbox], height: float, name: str, alt: str) -> str:
    drawing = svg[svg.index(">", svg.index("<svg ")) + 1 : svg.rindex("</svg>")]
    # Its style sheet would hold for the whole page; what it says is inherited from the panels' own style instead.
    drawing = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", drawing, flags=re.DOTALL)
    # The last digit depends on what was drawn before, and Matplotlib's names are hashes of such numbers.
    drawing = re.sub(r"\d+\.\d{5,}", lambda found: f"{float(found[0]):.4f}", drawing)
    numbers = {id: f"{name}-{number}" for number, id in enumerate(re.findall(r' id="([^"]+)"', drawing))}
    drawing = re.sub(
        r'( id="| xlink:href="#|url\(#)([^")]+)', lambda found: found[1] + numbers.get(found[2], found[2]), drawing
    ).replace("xlink:href", "href")
    colour = re.compile(rf"\b(fill|stroke): ({'|'.join(_PAGE_COLOURS)})\b")
    drawing = colour.sub(lambda found: f"{found[1]}: {_PAGE_COLOURS[found[2]]}", drawing)
    parts = [f'<g id="{name}-all">{drawing}</g>'] + [f'<use href="#{name}-all"/>'] * (len(panels) - 1)
    pictures = []
    for box, part in zip(panels, parts, strict=True):
        width = box.width / _POINTS * SCREEN_DPI
        pictures.append(
            f'<svg viewBox="{box.x0:.2f} {height - box.y1:.2f} {box.width:.2f} {box.height:.2f}" '
            f'style="flex: 1 1 {_NARROWEST * width:.0f}px; min-width: 0; max-width: {width:.0f}px; height: auto; '
            f'fill: {_PAGE_COLOURS[TEXT]}; stroke-linejoin: round; stroke-linecap: butt">{part}</svg>'
        )
    return (
        f'<div class="fl-picture" role="img" aria-label="{alt}" style="display: flex; flex-wrap: wrap; '
        f'justify-content: safe center">{"".join(pictures)}</div>'
    )


def _alt_text(figure: Figure) -> str:
    labels = [f"{ax.get_ylabel() or ax.get_title()} by {ax.get_xlabel()}" for ax in figure.axes if ax.get_xlabel()]
    return html.escape("; ".join(labels) or "a figure", quote=True)
