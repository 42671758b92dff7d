"""PretrainingExplorer: data set, depth, concentration and rounds -> accuracy, and what pre-training changes."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.pretraining_runs import DEPTH_LABELS, plot_pretraining_runs
from fedlearn_edu.simulation.stored_runs import pretraining_runs, runs_at_round
from fedlearn_edu.widgets.elements import format_spread
from fedlearn_edu.widgets.run_explorer import RunExplorer, choice, numbers_of, slider


class PretrainingExplorer(RunExplorer):
    """Shows what a depth of fine-tuning reaches on clients that are more or less alike, and what from scratch reaches.

    All numbers come from runs that were made before (see `pretraining_runs`), with plain averaging on the server, so
    that a control answers at once. Each is the mean over seeds and, behind ±, the standard deviation over seeds.
    Differences are taken seed by seed: both runs of a pair had the same images, clients and cohorts.

    Args:
        runs: Runs to show in place of the package's own, with the columns of `pretraining_runs()`.

    Attributes:
        chosen: The runs that are shown, one row per seed, at the chosen round.

    Raises:
        UsageError: `runs` has no run with plain averaging.
    """

    def __init__(self, runs: pd.DataFrame | None = None):
        runs = pretraining_runs() if runs is None else runs
        self._runs = runs[runs["server_optimizer"] == "sgd"]
        if self._runs.empty:
            raise UsageError("runs: expected some with the server optimizer 'sgd', got none; see pretraining_runs()")
        depths = [(DEPTH_LABELS.get(depth, depth), depth) for depth in self._runs["depth"].unique()]
        concentrations = numbers_of(self._runs["concentration"], largest_first=True)
        rounds = numbers_of(self._runs["round_num"])
        self.dataset = choice("data set", list(self._runs["dataset"].unique()))
        self.depth = choice("depth", depths)
        self.concentration = slider("concentration", concentrations, value=concentrations[-1][1])
        self.num_rounds = slider("rounds", rounds, value=rounds[-1][1])
        super().__init__([self.dataset, self.depth, self.concentration, self.num_rounds], name="pretraining-explorer")

    def _choice(self) -> dict:
        return {
            "dataset": self.dataset.value,
            "depth": self.depth.value,
            "concentration": self.concentration.value,
            "round_num": self.num_rounds.value,
        }

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

    def _table(self) -> tuple[str, pd.DataFrame]:
        at, alike = self._choice(), max(self._runs["concentration"])
        scratch = self._at(**at | {"depth": "scratch"})["accuracy"]
        last_round = int(self.chosen["round_num"].max())
        rows = {
            "global accuracy": format_spread(self.chosen["accuracy"], "%"),
            f"lost against concentration {alike:g}": format_spread(-self._ahead_of(concentration=alike), "points"),
            "from scratch, the same clients": format_spread(scratch, "%"),
            "ahead of from scratch": format_spread(self._ahead_of(depth="scratch"), "points"),
            "seeds": str(len(self.chosen)),
        }
        if last_round < at["round_num"]:
            rows["as recorded after round"] = str(last_round)
        label = DEPTH_LABELS.get(at["depth"], at["depth"])
        return f"{label}, after round {at['round_num']}", pd.DataFrame({"": rows})

    def _draw(self, figure: Figure | None) -> Figure:
        return plot_pretraining_runs(self._runs, **self._choice(), figure=figure)
