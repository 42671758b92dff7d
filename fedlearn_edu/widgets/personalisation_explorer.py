"""PersonalisationExplorer: data set, concentration, method -> whom personal models help, and whom they cost."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.fairness import plot_fairness
from fedlearn_edu.plotting.personalisation import plot_personalisation
from fedlearn_edu.plotting.style import NotebookAxes, NotebookFigure
from fedlearn_edu.simulation.fairness import before_and_after, fairness_table
from fedlearn_edu.simulation.stored_runs import GLOBAL_MODEL, describe_run, personalisation_runs
from fedlearn_edu.widgets.elements import format_spread
from fedlearn_edu.widgets.run_explorer import ALL_SEEDS, RunExplorer, choice, numbers_of, seeds_of, slider

_MAX_ROWS = 40


class PersonalisationExplorer(RunExplorer):
    """Shows what personal models change for every client, and how accuracy is spread over them by each method.

    All numbers come from runs that were made before (see `personalisation_runs`), so that a control answers at once.
    Every client counts alike, and is compared with what the global model on the same head does for it. With several
    seeds a number is the mean over seeds and, behind ±, the standard deviation over seeds; the picture has the clients
    of all of them, of many only 40, from the best to the worst.

    Args:
        runs: Runs to show in place of the package's own, with the columns of `personalisation_runs()`; without
            `head` all methods are on the linear one.

    Attributes:
        chosen: Each client with the global model and with the chosen method, as `before_and_after` returns.
        error: The exception of the last change, or None; it is also shown in the widget.

    Raises:
        UsageError: `runs` has no method beside the global model.
    """

    def __init__(self, runs: pd.DataFrame | None = None):
        self._runs = personalisation_runs() if runs is None else runs
        methods = [name for name in self._runs["method"].unique() if name != GLOBAL_MODEL]
        heads = self._runs["head"].fillna("linear") if "head" in self._runs else "linear"
        pairs = self._runs.assign(head=heads)[["method", "head"]].drop_duplicates()
        self._before = {method: _before(method, head) for method, head in pairs.itertuples(index=False)}
        if not methods:
            raise UsageError(f"runs: expected some of a method beside {GLOBAL_MODEL!r}; see personalisation_runs()")
        self.dataset = choice("data set", list(self._runs["dataset"].unique()))
        concentrations = numbers_of(self._runs["concentration"], largest_first=True)
        self.concentration = slider("concentration", concentrations, value=concentrations[-1][1])
        self.method = choice("method", methods)
        self.seed = choice("seed", seeds_of(self._runs["seed"]))
        super().__init__([self.dataset, self.concentration, self.method, self.seed], name="personalisation-explorer")

    def _choose(self) -> None:
        runs, method = self._runs, self.method.value
        here = runs[
            (runs["dataset"] == self.dataset.value)
            & (runs["concentration"] == self.concentration.value)
            & ((runs["seed"] == self.seed.value) | (self.seed.value == ALL_SEEDS))
        ]
        before = self._before[method]
        missing = [name for name in (GLOBAL_MODEL, before, method) if name not in set(here["method"])]
        if missing:
            raise UsageError(
                f"method: no run of {missing[0]!r} on {self.dataset.value} at concentration "
                f"{self.concentration.value:g}; choose another"
            )
        by_seed = {seed: _by_method(rows) for seed, rows in here.groupby("seed")}
        several = len(by_seed) > 1
        pairs = [
            before_and_after(accuracies[before], accuracies[method]).rename(
                index=lambda client_id, seed=seed: f"{client_id} seed {seed}" if several else client_id
            )
            for seed, accuracies in by_seed.items()
        ]
        self.chosen = pd.concat(pairs).sort_values(["before", "after"], kind="stable")
        tables = {seed: _fairness(accuracies, self._before) for seed, accuracies in by_seed.items()}
        self._fairness = pd.concat(tables, names=["seed", "model"])

    def _table(self) -> tuple[str, pd.DataFrame]:
        rows = {}
        for name, seeds in self._fairness.groupby("model", sort=False):
            worse, clients = seeds["num_worse"].sum(), seeds["num_clients"].sum()
            rows[f"▸ {name}" if name == self.method.value else name] = {
                "mean": format_spread(seeds["mean"], "%"),
                "worst tenth": format_spread(seeds["worst_decile"], "%"),
                "best tenth": format_spread(seeds["best_decile"], "%"),
                "spread over clients": format_spread(seeds["standard_deviation"], "points"),
                "got worse": f"{worse:g} of {clients:g}" if name != GLOBAL_MODEL else "",
            }
        title = f"{self.dataset.value}, concentration {self.concentration.value:g}: accuracy over the clients"
        return title, pd.DataFrame.from_dict(rows, orient="index")

    def _draw(self, figure: Figure | None) -> Figure:
        if figure is None:
            # Margins that hold whatever is chosen, so that the panels stay where they are.
            figure = NotebookFigure(figsize=(11, 6))
            figure.subplots_adjust(left=0.115, right=0.985, bottom=0.09, top=0.89, wspace=0.56)
            for number in (1, 2):
                figure.add_subplot(1, 2, number, axes_class=NotebookAxes)
        left, right = figure.axes
        plot_personalisation(self.chosen, ax=left, max_clients=_MAX_ROWS)
        by_model = self._fairness.groupby("model", sort=False)
        table = by_model.mean()
        table[["num_worse", "num_clients"]] = by_model[["num_worse", "num_clients"]].sum()
        plot_fairness(table, chosen=self.method.value, ax=right)
        return figure


def _by_method(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """Accuracies by client id of each method, of one seed."""
    return {name: rows.set_index("client_id")["accuracy"] for name, rows in runs.groupby("method", sort=False)}


def _before(method: str, head: str) -> str:
    """The global model that a method is compared with: on the same head; that of the larger head with the other one."""
    before = describe_run("method", "global_model", head=head)
    return GLOBAL_MODEL if before == method else before


def _fairness(accuracies: dict[str, pd.Series], before: dict[str, str]) -> pd.DataFrame:
    """A row per method of one seed; `num_worse` and `num_better` by the global model on its head."""
    start = accuracies[GLOBAL_MODEL]
    rows = [fairness_table(start, start).loc[["before"]].rename({"before": GLOBAL_MODEL})]
    for name, values in accuracies.items():
        if name != GLOBAL_MODEL and before[name] in accuracies:
            rows.append(fairness_table(accuracies[before[name]], {name: values}).loc[[name]])
    return pd.concat(rows)
