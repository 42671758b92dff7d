"""PrivacyExplorer: noise, clip norm, cohort and rounds -> epsilon, accuracy, attack success."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.plotting.privacy_utility import plot_tradeoff
from fedlearn_edu.privacy.accounting import default_delta, epsilon, guarantee_label, largest_attack_accuracy
from fedlearn_edu.simulation.stored_runs import POPULATION, explorer_runs
from fedlearn_edu.widgets.elements import format_percent
from fedlearn_edu.widgets.run_explorer import RunExplorer, numbers_of, slider

_PAPER = [1, 10, 100, 1000]


class PrivacyExplorer(RunExplorer):
    """Shows what a choice of noise, clip norm, cohort and rounds costs in accuracy and buys in privacy.

    Accuracy and attack success come from runs that were made before (see `explorer_runs`), so that a slider answers at
    once; epsilon is computed anew. The last slider is a calculation only: the epsilon that the same noise multiplier
    and rounds would have in a population that is larger by a factor, with the same cohort. Nothing was trained there.

    Attributes:
        chosen: The run and round that is shown, a row of `explorer_runs()`, with `epsilon` as just computed.
        epsilon_on_paper: Epsilon in the larger population.
    """

    def __init__(self):
        self._runs = explorer_runs()
        self.noise_multiplier = self._slider("noise_multiplier", "noise multiplier", 1.0)
        self.clip_norm = self._slider("clip_norm", "clip norm", 0.1)
        self.clients_per_round = self._slider("clients_per_round", "clients per round", 25)
        self.num_rounds = self._slider("round_num", "rounds", 40)
        self.larger = slider("population (on paper)", [(f"x {factor:,}", factor) for factor in _PAPER], value=1)
        inputs = [self.noise_multiplier, self.clip_norm, self.clients_per_round, self.num_rounds, self.larger]
        super().__init__(inputs, name="privacy-explorer")

    def _slider(self, column: str, description: str, value: float):
        return slider(description, numbers_of(self._runs[column]), value=value)

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

    def _table(self) -> tuple[str, pd.DataFrame]:
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
        return "this run, after these rounds", pd.DataFrame({"": rows})

    def _draw(self, figure: Figure | None) -> Figure:
        return plot_tradeoff(self._runs, self.chosen, figure=figure)


def _epsilon_text(value: float) -> str:
    return f"{value:.3g} ({guarantee_label(value)})" if math.isfinite(value) else "infinite (no guarantee)"
