"""PretrainingExplorer: data set, depth, concentration and rounds -> accuracy, and what pre-training changes."""

from __future__ import annotations

import math

import ipywidgets as widgets
import pandas as pd

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.pretraining import DEPTH_LABELS, plot_pretraining_runs
from fedlearn_edu.simulation.precomputed import pretraining_runs, runs_at_round
from fedlearn_edu.widgets.parts import ErrorLine, Picture, shown_to_learner, table_html

_STYLE, _LAYOUT = {"description_width": "120px"}, {"width": "380px"}


class PretrainingExplorer(widgets.VBox):
    """Shows what a depth of fine-tuning reaches on clients that are more or less alike, and what from scratch reaches.

    All numbers come from runs that were made before (see `pretraining_runs`), with plain averaging on the server, so
    that a control answers at once. Each is the mean over seeds and, behind ±, the standard deviation over seeds.
    Differences are taken seed by seed: both runs of a pair had the same images, clients and cohorts.

    Args:
        runs: Runs to show in place of the package's own, with the columns of `pretraining_runs()`.

    Attributes:
        chosen: The runs that are shown, one row per seed, at the chosen round.
        error: The exception of the last change, or None; it is also shown in the widget.

    Raises:
        UsageError: `runs` has no run with plain averaging.
    """

    def __init__(self, runs: pd.DataFrame | None = None):
        self.error: Exception | None = None
        self.chosen: pd.DataFrame | None = None
        runs = pretraining_runs() if runs is None else runs
        self._runs = runs[runs["server_optimizer"] == "sgd"]
        if self._runs.empty:
            raise UsageError("runs: expected some with the server optimizer 'sgd', got none; see pretraining_runs()")
        depths = [(DEPTH_LABELS.get(depth, depth), depth) for depth in self._runs["depth"].unique()]
        self.dataset = self._control(widgets.Dropdown, "data set", list(self._runs["dataset"].unique()))
        self.depth = self._control(widgets.Dropdown, "depth", depths)
        self.concentration = self._slider("concentration", "concentration", largest_first=True)
        self.num_rounds = self._slider("round_num", "rounds")
        self.inputs = [self.dataset, self.depth, self.concentration, self.num_rounds]
        self.numbers = widgets.HTML()
        self.error_line = ErrorLine()
        self._choose()
        self.picture = Picture(plot_pretraining_runs(self._runs, **self._choice()))
        self._show()
        for control in self.inputs:
            control.observe(self._changed, names="value")
        top = widgets.HBox(
            [widgets.VBox(self.inputs), self.numbers], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        super().__init__([top, self.error_line, self.picture])
        self.add_class("fl-pretraining-explorer")

    def _control(self, kind, description: str, options: list, **kwargs):
        return kind(options=options, description=description, style=_STYLE, layout=_LAYOUT, **kwargs)

    def _slider(self, column: str, description: str, *, largest_first: bool = False) -> widgets.SelectionSlider:
        values = sorted(self._runs[column].unique().tolist(), reverse=largest_first)
        options = [(f"{value:g}", value) for value in values]
        return self._control(widgets.SelectionSlider, description, options, value=values[-1])

    def _choice(self) -> dict:
        return {
            "dataset": self.dataset.value,
            "depth": self.depth.value,
            "concentration": self.concentration.value,
            "round_num": self.num_rounds.value,
        }

    @shown_to_learner
    def _changed(self, change):
        self._choose()
        self._show()

    def _choose(self) -> None:
        chosen = self._at(**self._choice())
        if chosen.empty:
            raise UsageError(
                f"depth: no run of {self.depth.value!r} on {self.dataset.value} at concentration "
                f"{self.concentration.value:g}; choose another"
            )
        self.chosen = chosen

    def _at(self, *, dataset: str, depth: str, concentration: float, round_num: int) -> pd.DataFrame:
        runs = self._runs
        same = (runs["dataset"] == dataset) & (runs["depth"] == depth) & (runs["concentration"] == concentration)
        return runs_at_round(runs[same], round_num)

    def _ahead_of(self, **other) -> pd.Series:
        """Accuracy of the chosen runs minus that of others, seed by seed."""
        one, two = (runs.set_index("seed")["accuracy"] for runs in (self.chosen, self._at(**self._choice() | other)))
        return (one - two).dropna()

    def _show(self) -> None:
        choice, alike = self._choice(), max(self._runs["concentration"])
        scratch = self._at(**choice | {"depth": "scratch"})["accuracy"]
        last_round = int(self.chosen["round_num"].max())
        rows = {
            "global accuracy": _spread(self.chosen["accuracy"], "%"),
            f"lost against concentration {alike:g}": _spread(-self._ahead_of(concentration=alike), "points"),
            "from scratch, the same clients": _spread(scratch, "%"),
            "ahead of from scratch": _spread(self._ahead_of(depth="scratch"), "points"),
            "seeds": str(len(self.chosen)),
        }
        if last_round < choice["round_num"]:
            rows["as recorded after round"] = str(last_round)
        label = DEPTH_LABELS.get(choice["depth"], choice["depth"])
        title = f"{label}, after round {choice['round_num']}"
        self.numbers.value = table_html(pd.DataFrame({"": rows}), title=title, css_class="fl-pretraining-numbers")
        self.picture.draw(plot_pretraining_runs, self._runs, **choice, figure=self.picture.figure)


def _spread(values: pd.Series, unit: str) -> str:
    """Mean and standard deviation of shares, in hundredths.

    Example:
        >>> _spread(pd.Series([0.5, 0.6, 0.7]), "%"), _spread(pd.Series([0.5]), "points"), _spread(pd.Series([]), "%")
        ('60.0 ± 10.0 %', '50.0 points', '-')
    """
    if values.empty:
        return "-"
    deviation = values.std()
    return f"{100 * values.mean():.1f}{'' if math.isnan(deviation) else f' ± {100 * deviation:.1f}'} {unit}"
