"""AttackExplorer: attack, attackers, aggregator, partition -> accuracy, what the defence costs, and whom it drops."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.attack_runs import PARTITION_LABELS, plot_attack_runs, who
from fedlearn_edu.simulation.stored_runs import ASSUMED_ATTACKERS, NO_ATTACK, attack_runs, attack_selections
from fedlearn_edu.widgets.elements import format_percent, format_spread
from fedlearn_edu.widgets.run_explorer import RunExplorer, choice, slider

_PLAIN = "mean"


class AttackExplorer(RunExplorer):
    """Shows what an attack does behind a defence, what the defence costs without one, and whom it takes for hostile.

    All numbers come from runs that were made before (see `attack_runs`), so that a control answers at once. Each is the
    mean over seeds and, behind ±, the standard deviation over seeds. What is lost to an attack is taken seed by seed:
    both runs of a pair had the same images and clients.

    Args:
        runs: Runs to show in place of the package's own, with the columns of `attack_runs()`; `backdoor_success` may
            be missing.
        selections: Whom the defences of these runs kept, with the columns of `attack_selections()`; None if they
            dropped nobody.

    Attributes:
        chosen: The runs that are shown, one row per seed.
        error: The exception of the last change, or None; it is also shown in the widget.

    Raises:
        UsageError: `runs` has no attack, or there are selections without runs.
    """

    def __init__(self, runs: pd.DataFrame | None = None, selections: pd.DataFrame | None = None):
        if runs is None and selections is not None:
            raise UsageError("selections: expected runs that they belong to, got None; pass both or neither")
        self._built_for = ASSUMED_ATTACKERS if runs is None else None
        self._runs, self._selections = (attack_runs(), attack_selections()) if runs is None else (runs, selections)
        runs = self._runs
        attacks = [name for name in runs["attack"].unique() if name != NO_ATTACK]
        if not attacks:
            raise UsageError("runs: expected some with an attack, got none; see attack_runs()")
        partitions = [(PARTITION_LABELS.get(name, name), name) for name in runs["partition"].unique()]
        counts = sorted(runs["num_attackers"].unique().tolist())
        several = self._selections is not None and len(self._selections)
        num_clients = self._selections["client_id"].nunique() if several else None
        texts = [f"{n} of {num_clients}" if num_clients else str(n) for n in counts]
        self.partition = choice("clients", partitions, value=partitions[-1][1])
        self.attack = choice("attack", attacks)
        middle = counts[len(counts) // 2]
        self.num_attackers = slider("attackers", list(zip(texts, counts, strict=True)), value=middle)
        self.aggregator = choice("aggregator", list(runs["aggregator"].unique()))
        super().__init__([self.partition, self.attack, self.num_attackers, self.aggregator], name="attack-explorer")

    def _choose(self) -> None:
        chosen = self._at()
        if chosen.empty:
            raise UsageError(
                f"aggregator: no run of {self.aggregator.value!r} under {self.num_attackers.value} attackers with "
                f"{self.attack.value!r}; choose another"
            )
        self.chosen = chosen

    def _at(self, *, aggregator: str | None = None, num_attackers: int | None = None) -> pd.DataFrame:
        """Runs of the choice, or of another aggregator or number of attackers with all else the same."""
        runs = self._runs
        count = self.num_attackers.value if num_attackers is None else num_attackers
        return runs[
            (runs["partition"] == self.partition.value)
            & (runs["aggregator"] == (aggregator or self.aggregator.value))
            & (runs["num_attackers"] == count)
            & (runs["attack"] == (self.attack.value if count else NO_ATTACK))
        ]

    def _table(self) -> tuple[str, pd.DataFrame]:
        chosen, unharmed = self.chosen, self._at(num_attackers=0)
        lost = (unharmed.set_index("seed")["accuracy"] - chosen.set_index("seed")["accuracy"]).dropna()
        whose = f"accuracy of {who(chosen)}"
        rows = {
            "global accuracy": format_spread(chosen["accuracy"], "%"),
            "without an attack": format_spread(unharmed["accuracy"], "%"),
            "lost to the attack": format_spread(lost, "points"),
            "plain mean, the same attack": format_spread(self._at(aggregator=_PLAIN)["accuracy"], "%"),
            whose: format_spread(chosen["minority_accuracy"], "%"),
            f"{whose}, plain mean": format_spread(self._at(aggregator=_PLAIN)["minority_accuracy"], "%"),
        }
        if "backdoor_success" in chosen and chosen["backdoor_success"].notna().any():
            rows["backdoor: triggers that succeed"] = format_spread(chosen["backdoor_success"], "%")
        rows |= self._rows_of_kept()
        rows["seeds"] = str(len(chosen))
        count = self.num_attackers.label
        attack = f"{self.attack.value}, {count} clients hostile" if self.num_attackers.value else "no attack"
        return f"{self.aggregator.value}; {attack}", pd.DataFrame({"": rows})

    def _rows_of_kept(self) -> dict[str, str]:
        """How often the defence kept clients of each kind, of all their rounds; nothing where it drops nobody."""
        if self._selections is None:
            return {}
        keys = ["attack", "aggregator", "partition", "num_attackers"]
        kept = self._selections.merge(self.chosen[keys].drop_duplicates(), on=keys)
        hostile, minority = kept["hostile"] == 1, kept["minority"] == 1
        kinds = {
            "honest majority" if minority.any() else "honest clients": ~hostile & ~minority,
            "honest minority": ~hostile & minority,
            "attackers": hostile,
        }
        return {f"{name} kept in": _share_kept(kept[of]) for name, of in kinds.items() if of.any()}

    def _draw(self, figure: Figure | None) -> Figure:
        return plot_attack_runs(
            self._runs,
            self._selections,
            attack=self.attack.value,
            aggregator=self.aggregator.value,
            partition=self.partition.value,
            num_attackers=self.num_attackers.value,
            built_for=self._built_for,
            figure=figure,
        )


def _share_kept(clients: pd.DataFrame) -> str:
    return f"{format_percent(clients['rounds_kept'].sum() / clients['num_rounds'].sum())} of rounds"
