"""What the explorers of stored runs share: controls at the left, a table beside them, a picture below."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.widgets.elements import ErrorLine, Picture, shown_to_learner, table_html

_STYLE, _LAYOUT = {"description_width": "160px"}, {"width": "420px"}


class RunExplorer(widgets.VBox):
    """Shows those of many runs that the controls choose; whenever one of them is moved, table and picture follow.

    A subclass makes its controls before it calls `__init__`, and says with `_choose`, `_table` and `_draw` what they
    mean. A choice that there is no run for is told in the error line; what was shown before stays.

    Args:
        inputs: The controls, from top to bottom.
        name: Of the CSS classes: `fl-<name>` of the widget, `fl-<name>-numbers` of its table.

    Attributes:
        error: The exception of the last change, or None; it is also shown in the widget.
    """

    def __init__(self, inputs: list[widgets.Widget], *, name: str):
        self.error: Exception | None = None
        self.inputs = inputs
        self._name = name
        self.numbers = widgets.HTML()
        self.error_line = ErrorLine()
        self._choose()
        self.picture = Picture(self._draw(None))
        self._show()
        for control in self.inputs:
            control.observe(self._changed, names="value")
        top = widgets.HBox(
            [widgets.VBox(self.inputs), self.numbers], layout={"flex_flow": "row wrap", "align_items": "flex-start"}
        )
        super().__init__([top, self.error_line, self.picture])
        self.add_class(f"fl-{name}")

    def _choose(self) -> None:
        """Finds what the controls mean, or raises UsageError and leaves all as it was."""
        raise NotImplementedError

    def _table(self) -> tuple[str, pd.DataFrame]:
        """Returns the title and the table of what is chosen; its cells are text."""
        raise NotImplementedError

    def _draw(self, figure: Figure | None) -> Figure:
        """Draws what is chosen, into a figure that was made by this before, or a new one."""
        raise NotImplementedError

    @shown_to_learner
    def _changed(self, change):
        self._choose()
        self._show()

    def _show(self) -> None:
        title, table = self._table()
        self.numbers.value = table_html(table, title=title, css_class=f"fl-{self._name}-numbers")
        self.picture.draw(self._draw, self.picture.figure)


def choice(description: str, options: list, **kwargs) -> widgets.Dropdown:
    """Returns a list to choose one from."""
    return widgets.Dropdown(options=options, description=description, style=_STYLE, layout=_LAYOUT, **kwargs)


def several(description: str, options: list, value: list) -> widgets.SelectMultiple:
    """Returns a list to choose several from, all of it in sight."""
    looks = {"description": description, "tooltip": "several: with Ctrl or Shift", "style": _STYLE, "layout": _LAYOUT}
    return widgets.SelectMultiple(options=options, value=value, rows=len(options), **looks)


def slider(description: str, options: list, **kwargs) -> widgets.SelectionSlider:
    """Returns a slider over the options, which are values or pairs of a text and a value."""
    return widgets.SelectionSlider(options=options, description=description, style=_STYLE, layout=_LAYOUT, **kwargs)


def numbers_of(values: pd.Series, *, largest_first: bool = False) -> list[tuple[str, float]]:
    """Returns the numbers that occur, as options.

    Example:
        >>> numbers_of(pd.Series([0.1, 100.0, 0.1]), largest_first=True)
        [('100', 100.0), ('0.1', 0.1)]
    """
    return [(f"{value:g}", value) for value in sorted(values.unique().tolist(), reverse=largest_first)]


ALL_SEEDS = -1  # no seed is negative


def seeds_of(values: pd.Series) -> list[tuple[str, int]]:
    """Returns the seeds that occur, as options, after one that means all of them.

    Example:
        >>> seeds_of(pd.Series([1, 0, 1]))
        [('all', -1), ('0', 0), ('1', 1)]
    """
    return [("all", ALL_SEEDS)] + [(str(seed), seed) for seed in sorted(values.unique().tolist())]
