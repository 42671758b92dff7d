"""What there is to train with: one row an algorithm, one-shot head, aggregator and attack. Imports no TensorFlow.

Command line, plots, stored runs, lists and the contract test read these rows. To add an algorithm, write its file, its
row, and its test against a reference.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from fedlearn_edu.errors import UsageError, nearest_names
from fedlearn_edu.learning.building import build_for_run

_HERE = "fedlearn_edu.learning."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What every row says.

    Attributes:
        name: Short name in settings, tables and on the command line.
        module: Where the builder is, below `fedlearn_edu.learning`.
        builder: Its name there.
        label: As the field writes it; in pictures and tables.
        family: What it is akin to; in a picture one colour.
        paper: arXiv number of the paper; "" if it has none there.
        needs: Arguments of the builder that have no default, besides the model, and what else a user must bring.
        parameter: The argument that sets how strongly it does what it does; "" if none stands out.
        shown: How a value of `parameter` stands behind the label, such as `"q = {:g}"`; "" never.
        usual: The value of `parameter` that goes without saying; None: it is always said.
    """

    name: str
    module: str
    builder: str
    label: str
    family: str
    paper: str = ""
    needs: tuple[str, ...] = ()
    parameter: str = ""
    shown: str = ""
    usual: float | None = None

    def load(self) -> Callable:
        """Returns the builder; this imports TensorFlow."""
        return getattr(importlib.import_module(_HERE + self.module), self.builder)

    def describe(self, value: float | None = None) -> str:
        """Returns the label with a value of the parameter, as pictures and tables have it.

        Example:
            >>> by_name("q_fed_avg").describe(1.0), by_name("fed_adam").describe()
            ('q-FedAvg, q = 1', 'FedAdam')
        """
        silent = value is None or value != value or not self.shown or value == self.usual  # NaN: a table has none
        return self.label if silent else f"{self.label}, {self.shown.format(value)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Algorithm(Entry):
    """An algorithm of many rounds.

    Attributes:
        rates: Its learning rates with their defaults.
        weighted: Whether clients count by their number of examples unless the caller says otherwise
            (`client_weighting`).
        personal: Whether clients end with models of their own.
        at_zero: The algorithm that it is at strength 0, by name; "" if it has no such limit.
    """

    rates: Mapping[str, float]
    weighted: bool
    personal: bool = False
    at_zero: str = ""

    def build(self, model, **known: Any):
        """Returns the process, from those of the arguments that its builder takes; see `build_for_run`.

        Args:
            model: What is trained.
            **known: Of the run, such as `num_clients` and `client_lr`, and the builder's own, such as
                `client_weighting`.

        Raises:
            UsageError: As `build_for_run`.
        """
        return build_for_run(self.load(), model, **known)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aggregator(Entry):
    """A TFF aggregation factory against hostile or broken clients.

    Attributes:
        does: In a few words, what it does to updates.
        drops: Whether it leaves whole clients out.
    """

    does: str
    drops: bool = False


_BOTH, _SERVER = {"client_lr": 0.1, "server_lr": 1.0}, "server optimizer"
ALGORITHMS = (
    Algorithm(name="weighted_fed_avg", module="algorithms.fed_avg", builder="build_weighted_fed_avg", label="FedAvg",
              family="averaging", paper="1602.05629", rates=_BOTH, weighted=True),
    Algorithm(name="unweighted_fed_avg", module="algorithms.fed_avg", builder="build_unweighted_fed_avg",
              label="FedAvg, unweighted", family="averaging", paper="1602.05629", rates=_BOTH, weighted=False),
    Algorithm(name="fed_sgd", module="algorithms.fed_sgd", builder="build_fed_sgd", label="FedSGD", family="averaging",
              paper="1602.05629", rates={"server_lr": 0.1}, weighted=True),
    Algorithm(name="fed_prox", module="algorithms.fed_prox", builder="build_fed_prox", label="FedProx",
              family="local training", paper="1812.06127", rates=_BOTH, weighted=True, parameter="proximal_strength",
              shown="{:g}", at_zero="weighted_fed_avg"),
    Algorithm(name="fed_nova", module="algorithms.fed_nova", builder="build_fed_nova", label="FedNova",
              family="local training", paper="2007.07481", rates=_BOTH, weighted=True),
    Algorithm(name="scaffold", module="algorithms.scaffold", builder="build_scaffold", label="SCAFFOLD",
              family="client memory", paper="1910.06378", needs=("num_clients",), rates=_BOTH, weighted=False),
    Algorithm(name="fed_dyn", module="algorithms.fed_dyn", builder="build_fed_dyn", label="FedDyn",
              family="client memory", paper="2111.04263", needs=("num_clients",), rates={"client_lr": 0.1},
              weighted=False, parameter="regularization_strength", shown="{:g}",
              at_zero="unweighted_fed_avg"),
    Algorithm(name="mime_lite", module="algorithms.mime_lite", builder="build_mime_lite", label="Mime Lite",
              family="server momentum", paper="2008.03606", rates=_BOTH, weighted=True, parameter="momentum",
              at_zero="weighted_fed_avg"),
    Algorithm(name="fed_adam", module="algorithms.fed_opt", builder="build_fed_adam", label="FedAdam", family=_SERVER,
              paper="2003.00295", rates={"client_lr": 0.1, "server_lr": 0.01}, weighted=False),
    Algorithm(name="fed_yogi", module="algorithms.fed_opt", builder="build_fed_yogi", label="FedYogi", family=_SERVER,
              paper="2003.00295", rates={"client_lr": 0.1, "server_lr": 0.01}, weighted=False),
    Algorithm(name="fed_adagrad", module="algorithms.fed_opt", builder="build_fed_adagrad", label="FedAdagrad",
              family=_SERVER, paper="2003.00295", rates={"client_lr": 0.1, "server_lr": 0.1}, weighted=False),
    Algorithm(name="q_fed_avg", module="algorithms.q_ffl", builder="build_q_fed_avg", label="q-FedAvg",
              family="fairness", paper="1905.10497", rates=_BOTH, weighted=False, parameter="q", shown="q = {:g}",
              at_zero="unweighted_fed_avg"),
    Algorithm(name="ditto", module="algorithms.ditto", builder="build_ditto", label="Ditto", family="personal",
              paper="2012.04221", rates=_BOTH, weighted=False, personal=True,
              parameter="regularization_strength"),
    Algorithm(name="fed_per", module="algorithms.fed_per", builder="build_fed_per", label="FedPer", family="personal",
              paper="1912.00818", needs=("a hidden layer",), rates=_BOTH, weighted=True, personal=True),
    Algorithm(name="fed_rep", module="algorithms.fed_rep", builder="build_fed_rep", label="FedRep", family="personal",
              paper="2102.07078", needs=("a hidden layer",), rates=_BOTH, weighted=False, personal=True,
              parameter="head_epochs"),
    Algorithm(name="fed_bn", module="algorithms.fed_bn", builder="build_fed_bn", label="FedBN", family="personal",
              paper="2102.07623", needs=("split",), rates=_BOTH, weighted=True, personal=True),
)  # fmt: skip

ONE_SHOT = (
    Entry(name="one_shot_ncm", module="one_shot.ncm", builder="one_shot_ncm", label="FedNCM", family="one-shot",
          paper="2306.03937"),
    Entry(name="one_shot_cof", module="one_shot.cof", builder="one_shot_cof", label="FedCOF", family="one-shot",
          paper="2412.14326"),
    Entry(name="one_shot_ridge", module="one_shot.ridge", builder="one_shot_ridge", label="Fed3R", family="one-shot",
          paper="2406.01116"),
)  # fmt: skip

_COHORT, _ASSUMED = ("clients_per_round",), ("clients_per_round", "num_attackers")
AGGREGATORS = (
    Aggregator(name="mean", module="aggregators.finite_only", builder="no_nan_mean", label="mean", family="mean",
               does="all weigh the same"),
    Aggregator(name="norm_bounding", module="aggregators.norm_bounding", builder="norm_bounding",
               label="norm bounding", family="bound", paper="1911.07963", needs=("max_norm",), parameter="max_norm",
               does="shortens long updates"),
    Aggregator(name="coordinate_median", module="aggregators.coordinate_median", builder="coordinate_median",
               label="median", family="median", paper="1803.01498", needs=_COHORT, does="coordinate by coordinate"),
    Aggregator(name="trimmed_mean", module="aggregators.trimmed_mean", builder="trimmed_mean", label="trimmed mean",
               family="mean", paper="1803.01498", needs=(*_COHORT, "num_trimmed"), parameter="num_trimmed",
               does="coordinate by coordinate"),
    Aggregator(name="geometric_median", module="aggregators.geometric_median", builder="geometric_median",
               label="geometric median", family="median", paper="1912.13445", needs=_COHORT,
               does="far updates weigh less"),
    Aggregator(name="krum", module="aggregators.krum", builder="krum", label="Krum", family="selection",
               paper="1703.02757", needs=_ASSUMED, parameter="num_attackers", does="keeps one client", drops=True),
    Aggregator(name="multi_krum", module="aggregators.krum", builder="multi_krum", label="Multi-Krum",
               family="selection", paper="1703.02757", needs=_ASSUMED, parameter="num_attackers",
               does="keeps clients that are alike", drops=True),
    Aggregator(name="zeroing", module="aggregators.norm_bounding", builder="zeroing", label="zeroing", family="bound",
               needs=("max_norm",), parameter="max_norm", does="drops what is far too large"),
    Aggregator(name="finite_only", module="aggregators.finite_only", builder="finite_only", label="finite only",
               family="mean", does="leaves NaN and infinity out"),
)  # fmt: skip

_DATA, _UPDATE = "poisoned data", "poisoned update"
ATTACKS = (
    Entry(name="flip_labels", module="poisoning.data_attacks", builder="flip_labels", label="label flip", family=_DATA,
          paper="1911.11815", needs=("data", "attackers")),
    Entry(name="add_backdoor", module="poisoning.data_attacks", builder="add_backdoor", label="backdoor", family=_DATA,
          paper="1807.00459", needs=("data", "attackers", "trigger", "target_class"), parameter="fraction"),
    Entry(name="sign_flip", module="poisoning.update_attacks", builder="SignFlip", label="sign flip", family=_UPDATE,
          paper="1811.03761", parameter="strength", shown="{:g} times", usual=1.0),
    Entry(name="scaled_update", module="poisoning.update_attacks", builder="ScaledUpdate", label="scaled update",
          family=_UPDATE, paper="1807.00459", needs=("factor",), parameter="factor", shown="{:g} times"),
    Entry(name="gaussian_update", module="poisoning.update_attacks", builder="GaussianUpdate", label="Gaussian noise",
          family=_UPDATE, paper="1703.02757", parameter="stddev", shown="{:g}", usual=1.0),
    Entry(name="constant_update", module="poisoning.update_attacks", builder="ConstantUpdate", label="constant",
          family=_UPDATE, parameter="value", shown="{:g}"),
    Entry(name="inner_product", module="poisoning.update_attacks", builder="InnerProduct", label="inner product",
          family=_UPDATE, paper="1903.03936", parameter="strength", shown="{:g}", usual=0.5),
)  # fmt: skip

_KINDS = {"algorithm": ALGORITHMS + ONE_SHOT, "aggregator": AGGREGATORS, "attack": ATTACKS}


def by_name(name: str, kind: str = "algorithm") -> Any:
    """Returns the row of that name.

    Args:
        name: Such as `fed_prox`.
        kind: `algorithm` (one-shot heads among them), `aggregator` or `attack`.

    Raises:
        UsageError: There is none; the nearest names are said.

    Example:
        >>> by_name("scaffold").needs
        ('num_clients',)
    """
    rows = {row.name: row for row in _KINDS[kind]}
    if name not in rows:
        raise UsageError(f"{kind}: no {kind} {name!r}; {nearest_names(str(name), rows)}")
    return rows[name]


def trainable_by_demo() -> list[str]:
    """Returns the names of algorithms that train one model for all, on any head, from what a demo run knows."""
    return [row.name for row in ALGORITHMS if not row.personal and set(row.needs) <= {"num_clients"}]
