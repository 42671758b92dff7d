"""HistoryView: one run on a page, at any of its rounds."""

from __future__ import annotations

import dataclasses
import html

import ipywidgets as widgets
import pandas as pd

from fedlearn_edu.plotting import plot_run
from fedlearn_edu.simulation.history import History
from fedlearn_edu.widgets.elements import Picture, format_bytes, table_html

_NUM_LISTED = 5
_AXIS_STEP = 50
_TILE_PX = 78  # five have room in a row of 430: a page of 900 with the file list open


class HistoryView(widgets.VBox):
    """Shows numbers, global curve, client x round heat map, worst and best clients of a run.

    A slider goes back to any round; `follow` moves on with a run that is still going.

    Attributes:
        history: What is shown, or None.
    """

    def __init__(self):
        self.history: History | None = None
        self._num_rounds = 0
        # What the picture and the tables show, so that nothing is drawn twice.
        self._drawn_history: History | None = None
        self._drawn_rounds = (0, 0)
        self.numbers = widgets.HTML()
        self.numbers.add_class("fl-numbers")
        self.round_slider = widgets.IntSlider(
            value=0, min=0, max=0, description="look at round", style={"description_width": "100px"}
        )
        self.round_slider.layout.width, self.round_slider.layout.max_width = "480px", "100%"
        self.round_slider.observe(self._round_chosen, names="value")
        self.picture = Picture(plot_run(History({})))
        self.worst, self.best = widgets.HTML(), widgets.HTML()
        self._tables = widgets.HBox([self.worst, self.best], layout={"flex_flow": "row wrap"})
        super().__init__([self.numbers, self.picture, self.round_slider, self._tables])
        self.clear()

    def clear(self) -> None:
        """Shows no run."""
        self.await_run()
        self._drawn_history = None
        for child in self.children[1:]:
            child.layout.display = "none"

    def await_run(self) -> None:
        """Takes the numbers of the run before away; its picture stays until there is another."""
        self.history = None
        self.round_slider.disabled = True
        self.numbers.value = _numbers_html([("round", "-"), ("global accuracy", "-")])

    def show(self, history: History) -> None:
        """Shows a run that has ended or is paused, and lets the slider go back in time."""
        self._num_rounds = max(history.num_rounds, self._num_rounds if history is self.history else 0)
        self.history = history
        self._move_slider(history.num_rounds)
        self.round_slider.disabled = False
        self._show_round(history.num_rounds)

    def follow(self, history: History, *, num_rounds: int, draw: bool = True) -> None:
        """Shows the newest round of a run that is going on.

        Args:
            history: The run so far.
            num_rounds: Rounds in all; the axes are as long from the start.
            draw: Whether to redraw the picture and the tables too, which takes much longer than the numbers.
        """
        self.history, self._num_rounds = history, num_rounds
        self._move_slider(history.num_rounds)
        self.round_slider.disabled = True
        if draw:
            self._show_round(history.num_rounds)
        else:
            self._show_numbers(history)

    def _move_slider(self, round_num: int) -> None:
        self.round_slider.unobserve(self._round_chosen, names="value")
        self.round_slider.max = round_num
        self.round_slider.value = round_num
        self.round_slider.observe(self._round_chosen, names="value")

    def _round_chosen(self, change) -> None:
        if self.history is not None:
            self._show_round(change["new"])

    def _show_round(self, round_num: int) -> None:
        history = until_round(self.history, round_num)
        # The axis is as long as the run is meant to be, but a long run's first rounds are no sliver at its left end.
        axis = min(self._num_rounds, _AXIS_STEP * (self.history.num_rounds // _AXIS_STEP + 1))
        if self._drawn_history is self.history and self._drawn_rounds == (round_num, axis):
            self._show_numbers(history)
            return
        # The picture first, since it takes longest: what is said beside it is of the same round.
        self.picture.draw(plot_run, history, figure=self.picture.figure, num_rounds=axis)
        self._show_numbers(history)
        self._show_tables(history)
        for child in self.children[1:]:
            child.layout.display = ""
        self._drawn_history, self._drawn_rounds = self.history, (round_num, axis)

    def _show_numbers(self, history: History) -> None:
        metrics = history.global_metrics()
        numbers = [("round", f"{history.num_rounds} of {self._num_rounds}")]
        if history.primary.name in metrics:
            numbers.append((f"global {history.primary.label}", history.format(history.global_value)))
        if history.central_accuracy is not None:
            numbers.append(("central ceiling", history.format(history.central_accuracy)))
        if history.baseline is not None:
            numbers.append(("one answer for all", history.format(history.baseline)))
        for direction in ("broadcast", "upload"):
            total = sum(metrics.get(f"{direction}_bytes_total", pd.Series(dtype=float)).dropna())
            numbers.append((f"{direction} so far", format_bytes(total)))
        self.numbers.value = _numbers_html(numbers)

    def _show_tables(self, history: History) -> None:
        primary, clients = history.primary, history.client_table()
        gained = "points gained" if primary.is_share else "gained"
        text = clients.assign(
            **{primary.name: clients[primary.name].map(history.format)},
            gain=(100 * clients["gain"]).map("{:+.1f}".format)
            if primary.is_share
            else clients["gain"].map("{:+.4g}".format),
        ).rename(columns={"gain": gained, "rounds_trained": "rounds trained", primary.name: primary.label})
        num_listed = min(_NUM_LISTED, len(text))
        self.worst.value = table_html(text.head(num_listed), title="worst clients", css_class="fl-worst")
        self.best.value = table_html(text.tail(num_listed)[::-1], title="best clients", css_class="fl-best")


def until_round(history: History, round_num: int) -> History:
    """Returns a copy of the history that ends with `round_num`; the original may go on growing."""
    copy = dataclasses.replace(history, rows=list(history.rows))
    copy.truncate(round_num)
    return copy


def _numbers_html(numbers: list[tuple[str, str]]) -> str:
    tiles = "".join(
        '<div style="line-height: 1.25">'
        f'<div style="font-size: 18px; font-weight: 600" class="fl-{name.replace(" ", "-")}">{html.escape(value)}</div>'
        f'<div style="color: var(--jp-ui-font-color2, #6e7781)">{html.escape(name)}</div></div>'
        for name, value in numbers
    )
    # Columns of one width: where five have no room in a row, none is alone under a ragged one.
    columns = f"repeat(auto-fit, minmax({_TILE_PX}px, 1fr))"
    grid = f"display: grid; grid-template-columns: {columns}; gap: 6px 10px"
    size = "width: 0; min-width: 100%"  # as wide as the page, whatever is in it
    return f'<div style="margin: 6px 4px"><div style="{grid}; {size}">{tiles}</div></div>'
