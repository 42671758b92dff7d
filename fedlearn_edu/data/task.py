"""Task: what is asked of every example (a class, yes or no, a number, a ranking), and how an answer is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from fedlearn_edu.data.arguments import as_class_names, as_labels, as_numbers
from fedlearn_edu.data.metrics import Metric, in_unit
from fedlearn_edu.data.names import check_name, quoted
from fedlearn_edu.errors import UsageError

_METRICS_OF = {
    "classification": ("accuracy", "loss"),
    "binary": ("auc", "accuracy", "loss"),
    "regression": ("rmse", "loss"),
    "ranking": ("hit_at_10", "ndcg_at_10", "loss"),
}  # the first is the primary one


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model answers for an example; made by `Task.classification`, `binary`, `regression` or `ranking`.

    Attributes:
        kind: `"classification"`, `"binary"`, `"regression"` or `"ranking"`.
        class_names: One name per class (binary: the negative, then the positive one) or per item to rank; empty for
            a number.
        unit: Of a number, e.g. `"EUR"`; empty if it has none.
    """

    kind: str
    class_names: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self):
        if self.kind not in _METRICS_OF:
            raise UsageError(f"task: expected one of {', '.join(_METRICS_OF)}, got {quoted(self.kind)}")
        object.__setattr__(self, "class_names", as_class_names(self.class_names))
        count = len(self.class_names)
        wanted = {"classification": count >= 1, "binary": count == 2, "regression": not count, "ranking": count > 10}
        if not wanted[self.kind]:
            need = {"classification": "one name a class", "binary": "two names", "regression": "no names"}
            need = need.get(self.kind, "more than 10 items, of which 10 are shown")
            raise UsageError(f"class_names: expected {need} for a {self.kind} task, got {count}")
        if self.unit:
            check_name("unit", self.unit, what="a unit")

    @classmethod
    def classification(cls, class_names: Iterable[str]) -> Task:
        """One of several classes; targets are their numbers, int32. Measured by accuracy.

        Example:
            >>> Task.classification(["cat", "dog", "owl"]).num_outputs
            3
        """
        return cls("classification", class_names)

    @classmethod
    def binary(cls, positive: str, *, negative: str | None = None) -> Task:
        """Yes (1) or no (0); targets int32. Measured by AUC, which does not depend on how rare the positive is.

        Args:
            positive: Name of class 1, e.g. `"default"`.
            negative: Name of class 0; None for `"not <positive>"`.

        Example:
            >>> Task.binary(positive="default").class_names
            ('not default', 'default')
        """
        return cls("binary", (f"not {positive}" if negative is None else negative, positive))

    @classmethod
    def regression(cls, unit: str | None = None) -> Task:
        """A number; targets float32. Measured by the root of the mean squared error, in the number's own unit.

        Example:
            >>> Task.regression(unit="EUR").primary.higher_is_better
            False
        """
        return cls("regression", unit=unit or "")

    @classmethod
    def ranking(cls, item_names: Iterable[str]) -> Task:
        """One item of many, which should be among the ten that a model puts first; targets are items' numbers, int32.

        Example:
            >>> Task.ranking([f"film {n}" for n in range(50)]).primary.name
            'hit_at_10'
        """
        return cls("ranking", item_names)

    @classmethod
    def from_dict(cls, fields: Mapping) -> Task:
        """Returns the task that `to_dict` wrote."""
        return cls(fields["kind"], tuple(fields["class_names"]), fields["unit"])

    def to_dict(self) -> dict:
        """Returns what JSON can hold."""
        return {"kind": self.kind, "class_names": list(self.class_names), "unit": self.unit}

    @property
    def num_outputs(self) -> int:
        """Numbers that a model answers with.

        A binary task takes one, the log-odds of the positive class: of two logits only the difference counts, so one
        says the same with half the weights to send, and is a score to rank by as it stands.
        """
        return {"binary": 1, "regression": 1}.get(self.kind, len(self.class_names))

    @property
    def target_dtype(self) -> np.dtype:
        """float32 for numbers, int32 for classes and items."""
        return np.dtype(np.float32 if self.kind == "regression" else np.int32)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """How answers are measured, the primary metric first."""
        return tuple(in_unit(name, self.unit) for name in _METRICS_OF[self.kind])

    @property
    def primary(self) -> Metric:
        """The metric that tables, pictures and last lines show."""
        return self.metrics[0]

    def require(self, *kinds: str, what: str) -> None:
        """Raises UsageError unless this is a task of one of these kinds.

        Args:
            kinds: Those that will do.
            what: What needs it; the message begins with it, e.g. `"Dirichlet(0.3)"`.
        """
        if self.kind not in kinds:
            raise UsageError(f"{what}: works for a {' or '.join(kinds)} task only, got a {self.kind} task")

    def as_targets(self, targets, *, num_examples: int) -> np.ndarray:
        """Returns targets in the form of this task, one per example; not copied if they have it already.

        Raises:
            UsageError: They are no such numbers.
        """
        if self.kind == "regression":
            return as_numbers("targets", targets, num_examples=num_examples)
        return as_labels(targets, num_examples=num_examples, num_classes=len(self.class_names))

    def baseline(self, targets: np.ndarray) -> float | None:
        """Returns what the primary metric says of a model that answers the same for every example.

        That is always the commonest class, the mean, or the ten commonest items. The answer is chosen knowing
        `targets`: no model that does not look at the example can do better on them.

        Args:
            targets: Of the test examples, `[num_examples]`.

        Returns:
            In the unit of the metric; None without examples, or for AUC where all are of one class.

        Example:
            >>> Task.classification(["a", "b"]).baseline(np.array([0, 1, 1, 1]))
            0.75
        """
        if not len(targets):
            return None
        if self.kind == "regression":
            return float(np.std(targets, dtype=np.float64))
        counts = np.bincount(targets, minlength=2)
        if self.kind == "binary":
            return 0.5 if counts.min() else None  # one score for all: every pair of a positive and a negative is a tie
        shown = 10 if self.kind == "ranking" else 1
        return float(np.sort(counts)[-shown:].sum() / len(targets))
