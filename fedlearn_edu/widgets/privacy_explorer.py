"""PrivacyExplorer: noise, clip norm, cohort and rounds -> epsilon, accuracy, attack success."""

from __future__ import annotations

import math

import ipywidgets as widgets
import pandas as pd

from fedlearn_edu.plotting.privacy_utility import plot_tradeoff
from fedlearn_edu.privacy.accounting import default_delta, epsilon, guarantee_label, largest_attack_accuracy
from fedlearn_edu.privacy.precomputed import POPULATION, explorer_runs
from fedlearn_edu.widgets.parts import ErrorLine, Picture, format_percent, shown_to_learner, table_html

_STYLE, _LAYOUT = {"description_width": "160px"}, {"width": "420px"}
_PAPER = [1, 10, 100, 1000]


class PrivacyExplorer(widgets.VBox):
    """Shows what a choice of noise, clip norm, cohort and rounds costs in accuracy and buys in privacy.

    Accuracy and attack success come from runs that were made before (see `explorer_runs`), so that a slider answers at
    once; epsilon is computed anew. The last slider is a calculation only: the epsilon that the same noise multiplier
    and rounds would have in a population that is larger by a factor, with the same cohort. Nothing was trained there.

    Attributes:
        chosen: The run and round that is shown, a row of `explorer_runs()`, with `epsilon` as just computed.
        epsilon_on_paper: Epsilon in the larger population.
        error: The exception of the last change, or None; it is also shown in the widget.
    """

    def __init__(self):
        self.error: Exception | None = None
        self.chosen: pd.Series | None = None
        self.epsilon_on_paper = math.nan
        self._runs = explorer_runs()
        self.noise_multiplier = self._slider("noise_multiplier", "noise multiplier", 1.0)
        self.clip_norm = self._slider("clip_norm", "clip norm", 0.1)
        self.clients_per_round = self._slider("clients_per_round", "clients per round", 25)
        self.num_rounds = self._slider("round_num", "rounds", 40)
        self.larger = widgets.SelectionSlider(
            options=[(f"x {factor:,}", factor) for factor in _PAPER],
            value=1,
            description="population (on paper)",
            style=_STYLE,
            layout=_LAYOUT,
        )
        self.inputs = [self.noise_multiplier, self.clip_norm, self.clients_per_round, self.num_rounds, self.larger]
        self.numbers = widgets.HTML()
        self.error_line = ErrorLine()
        self._choose()
        self.picture = Picture(plot_tradeoff(self._runs, self.chosen))
        self._show()
        for control in self.inputs:
            control.observe(self._changed, names="value")
        top = widgets.HBox(
            [widgets.VBox(self.inputs), self.numbers], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        super().__init__([top, self.error_line, self.picture])
        self.add_class("fl-privacy-explorer")

    def _slider(self, column: str, description: str, value: float) -> widgets.SelectionSlider:
        options = [(f"{option:g}", option) for option in sorted(self._runs[column].unique())]
        return widgets.SelectionSlider(
            options=options, value=value, description=description, style=_STYLE, layout=_LAYOUT
        )

    @shown_to_learner
    def _changed(self, change):
        self._choose()
        self._show()

    def _choose(self) -> None:
        runs = self._runs
        row = (
            (runs["noise_multiplier"] == self.noise_multiplier.value)
            & (runs["clip_norm"] == self.clip_norm.value)
            & (runs["clients_per_round"] == self.clients_per_round.value)
            & (runs["round_num"] == self.num_rounds.value)
        )
        self.chosen = runs[row].iloc[0].copy()
        self.chosen["epsilon"] = self._epsilon(POPULATION)
        self.epsilon_on_paper = self._epsilon(POPULATION * self.larger.value)

    def _epsilon(self, population: int) -> float:
        if self.noise_multiplier.value == 0:
            return math.inf
        return epsilon(
            noise_multiplier=self.noise_multiplier.value,
            num_rounds=int(self.num_rounds.value),
            population=population,
            clients_per_round=int(self.clients_per_round.value),
            delta=default_delta(population),
        )

    def _show(self) -> None:
        chosen = self.chosen
        bound = largest_attack_accuracy(chosen["epsilon"], default_delta(POPULATION))
        population = POPULATION * self.larger.value
        rows = {
            "global accuracy": format_percent(chosen["accuracy"]),
            f"epsilon, {POPULATION} clients": _epsilon_text(chosen["epsilon"]),
            "attack: right guesses": format_percent(chosen["attack_accuracy"]),
            "at most, by epsilon": format_percent(bound),
            "guessing": "50.0 %",
        }
        if self.larger.value > 1:
            rows[f"epsilon, {population:,} clients (a calculation)"] = _epsilon_text(self.epsilon_on_paper)
        table = pd.DataFrame({"": rows})
        self.numbers.value = table_html(table, title="this run, after these rounds", css_class="fl-privacy-numbers")
        self.picture.draw(plot_tradeoff, self._runs, chosen, figure=self.picture.figure)


def _epsilon_text(value: float) -> str:
    return f"{value:.3g} ({guarantee_label(value)})" if math.isfinite(value) else "infinite (no guarantee)"
