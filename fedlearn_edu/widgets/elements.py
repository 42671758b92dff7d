"""Small parts that widgets are made of: a picture, a line for errors, tables, sizes in words."""

from __future__ import annotations

import functools
import html
import itertools
import math
import secrets
import threading

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.errors import FedlearnError
from fedlearn_edu.plotting import figure_svg

# Matplotlib draws one figure at a time here, whichever thread asks: not all of it is safe with several.
_DRAWING = threading.Lock()
_NAMES = itertools.count()


class Picture(widgets.HTML):
    """A Matplotlib figure in the page's own colours, drawn anew in place; any Jupyter frontend can show it."""

    def __init__(self, figure: Figure):
        self.figure = figure
        # The page may show pictures of several kernels.
        self._name = f"fl{secrets.token_hex(4)}x{next(_NAMES)}"
        super().__init__(layout=widgets.Layout(width="100%"))

    def draw(self, plot, *args, **kwargs) -> None:
        """Calls `plot(*args, **kwargs)`, which draws into the figure, and shows the result."""
        with _DRAWING:
            plot(*args, **kwargs)
            picture = figure_svg(self.figure, name=self._name)
        self.value = picture


class ErrorLine(widgets.HTML):
    """One line that tells the learner what went wrong; empty while nothing has."""

    def __init__(self):
        super().__init__()
        self.add_class("fl-error")

    def show(self, error: BaseException) -> None:
        self.value = (
            '<div style="color: var(--jp-error-color0, #b00020); border-left: 3px solid; padding: 2px 8px; '
            f'line-height: 1.4; white-space: normal">{html.escape(error_text(error))}</div>'
        )

    def clear(self) -> None:
        self.value = ""


def error_text(error: BaseException) -> str:
    """Returns an error as one line; our own say all in their message, of others the kind is told too.

    Example:
        >>> error_text(ZeroDivisionError("division by zero"))
        'ZeroDivisionError: division by zero'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else ""
    if isinstance(error, FedlearnError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def shown_to_learner(callback):
    """Makes an exception in a widget's callback visible in the widget; Jupyter itself would hide it in a log.

    The widget needs an `ErrorLine` as `error_line`; the exception is kept in its `error`.
    """

    @functools.wraps(callback)
    def guarded(self, *args):
        self.error = None  # before the call: what it starts in another thread may fail at once
        self.error_line.clear()
        try:
            return callback(self, *args)
        except Exception as error:
            self.error = error
            self.error_line.show(error)
            return None

    return guarded


def table_html(table: pd.DataFrame, *, title: str, css_class: str) -> str:
    """Returns a table as small HTML; its cells are text already, index and cells are escaped."""

    def cells(values, tag, style):
        return "".join(f'<{tag} style="{style}">{html.escape(str(value))}</{tag}>' for value in values)

    head = "padding: 1px 10px; text-align: right; font-weight: 600; color: var(--jp-ui-font-color2, #6e7781)"
    body = "padding: 1px 10px; text-align: right; font-variant-numeric: tabular-nums"
    rows = "".join(
        f'<tr><td style="padding: 1px 10px; text-align: left">{html.escape(str(name))}</td>'
        f"{cells(row, 'td', body)}</tr>"
        for name, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    )
    return (
        f'<table class="{css_class}" style="border-collapse: collapse; line-height: 1.5">'
        f'<caption style="text-align: left; padding: 2px 10px; font-weight: 600">{html.escape(title)}</caption>'
        f"<tr><th></th>{cells(table.columns, 'th', head)}</tr>{rows}</table>"
    )


def format_bytes(num_bytes: float) -> str:
    """Returns a size in decimal units, three digits.

    Example:
        >>> format_bytes(999), format_bytes(51_240), format_bytes(2_562_000)
        ('999 B', '51.2 kB', '2.56 MB')
    """
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.3g} GB" if num_bytes < 1000 else f"{num_bytes:,.0f} GB"


def format_percent(share: float) -> str:
    """Returns a share (0 to 1) in percent, one decimal.

    Example:
        >>> format_percent(0.8412)
        '84.1 %'
    """
    return f"{100 * share:.1f} %"


def format_spread(values: pd.Series, unit: str) -> str:
    """Returns mean and standard deviation of shares (0 to 1), in hundredths.

    Example:
        >>> format_spread(pd.Series([0.5, 0.6, 0.7]), "%"), format_spread(pd.Series([0.5]), "points")
        ('60.0 ± 10.0 %', '50.0 points')
        >>> format_spread(pd.Series([]), "%")
        '-'
    """
    if values.empty:
        return "-"
    deviation = values.std()
    return f"{100 * values.mean():.1f}{'' if math.isnan(deviation) else f' ± {100 * deviation:.1f}'} {unit}"
