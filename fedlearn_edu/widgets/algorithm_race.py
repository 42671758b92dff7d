"""AlgorithmRace: data set, concentration, algorithms, rounds -> who is ahead, by how much, and who is left behind."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.race import plot_race
from fedlearn_edu.simulation.stored_runs import CENTRAL, algorithm_runs, runs_at_round
from fedlearn_edu.widgets.elements import format_spread
from fedlearn_edu.widgets.run_explorer import ALL_SEEDS, RunExplorer, choice, numbers_of, seeds_of, several, slider

_BASELINE = "FedAvg"
_AT_FIRST = {_BASELINE, "SCAFFOLD", "FedDyn, 0.1", "FedAdam", "Fed3R"}


class AlgorithmRace(RunExplorer):
    """Shows how far algorithms for unlike clients are after any round, on the same clients and cohorts.

    All numbers come from runs that were made before (see `algorithm_runs`), so that a control answers at once. Each is
    the mean over seeds and, behind ±, the standard deviation over seeds. What an algorithm is ahead of FedAvg, and its
    share of the central ceiling, are taken seed by seed: all runs with one seed had the same clients and cohorts.

    Args:
        runs: Runs to show in place of the package's own, with the columns of `algorithm_runs()`.

    Attributes:
        chosen: The runs that are shown, one row per algorithm and seed, at the chosen round; the ceiling among them.
        error: The exception of the last change, or None; it is also shown in the widget.

    Raises:
        UsageError: `runs` is empty.
    """

    def __init__(self, runs: pd.DataFrame | None = None):
        self._runs = algorithm_runs() if runs is None else runs
        names = [name for name in self._runs["algorithm"].unique() if name != CENTRAL]
        if not names:
            raise UsageError("runs: expected some of an algorithm, got none; see algorithm_runs()")
        self.dataset = choice("data set", list(self._runs["dataset"].unique()))
        concentrations = numbers_of(self._runs["concentration"], largest_first=True)
        self.concentration = slider("concentration", concentrations, value=concentrations[-1][1])
        self.algorithms = several("algorithms", names, [name for name in names if name in _AT_FIRST] or names)
        rounds = numbers_of(self._runs["round_num"])
        self.num_rounds = slider("rounds", rounds, value=rounds[-1][1])
        self.seed = choice("seed", seeds_of(self._runs["seed"]))
        inputs = [self.dataset, self.concentration, self.algorithms, self.num_rounds, self.seed]
        super().__init__(inputs, name="algorithm-race")

    def _choose(self) -> None:
        runs = self._runs
        here = runs[
            (runs["dataset"] == self.dataset.value)
            & (runs["concentration"] == self.concentration.value)
            & ((runs["seed"] == self.seed.value) | (self.seed.value == ALL_SEEDS))
        ]
        if not self.algorithms.value:
            raise UsageError("algorithms: choose at least one; with Ctrl or Shift several")
        missing = [name for name in self.algorithms.value if name not in set(here["algorithm"])]
        if missing:
            raise UsageError(
                f"algorithms: no run of {', '.join(missing)} on {self.dataset.value} at concentration "
                f"{self.concentration.value:g}; choose others"
            )
        self._here, stand = here, runs_at_round(here, self.num_rounds.value)
        self._baseline = stand[stand["algorithm"] == _BASELINE].set_index("seed")["accuracy"]
        self.chosen = stand[stand["algorithm"].isin([*self.algorithms.value, CENTRAL])]

    def _table(self) -> tuple[str, pd.DataFrame]:
        by_name = {name: runs.set_index("seed") for name, runs in self.chosen.groupby("algorithm")}
        order = sorted(by_name, key=lambda name: (name != CENTRAL, -by_name[name]["accuracy"].mean()))
        ceiling = by_name[CENTRAL]["accuracy"] if CENTRAL in by_name else pd.Series(dtype=float)
        rows = {}
        for name in order:
            accuracy = by_name[name]["accuracy"]
            ahead = format_spread((accuracy - self._baseline).dropna(), "points")
            share = format_spread((accuracy / ceiling).dropna(), "%")
            rows[name] = {
                "accuracy": format_spread(accuracy, "%"),
                "of the ceiling": share if name != CENTRAL else "",
                "ahead of FedAvg": ahead if name not in (_BASELINE, CENTRAL) else "",
                "worst tenth of clients": format_spread(by_name[name]["worst_decile"], "%"),
            }
        seeds = self.chosen["seed"].nunique()
        title = f"after round {self.num_rounds.value}, {seeds} {'seed' if seeds == 1 else 'seeds'}"
        return title, pd.DataFrame.from_dict(rows, orient="index")

    def _draw(self, figure: Figure | None) -> Figure:
        ax = plot_race(
            self._here,
            algorithms=self.algorithms.value,
            round_num=self.num_rounds.value,
            ax=figure.axes[0] if figure else None,
        )
        return ax.get_figure()
