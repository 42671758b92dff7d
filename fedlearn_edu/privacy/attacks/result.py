"""AttackResult: how far an attack got, beside what guessing gets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fedlearn_edu.errors import UsageError


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """What an attack achieved and what guessing would have achieved, in the same unit.

    Attributes:
        attack: Name of the attack, e.g. `"label counts"`.
        success: The metric's value for the attack; higher is better for the attacker.
        baseline: Its value for a guess that looks at nothing the server received.
        metric: What is measured, with its unit, e.g. `"AUC"`.
        details: Further figures by name, and arrays for pictures.

    Raises:
        UsageError: `success` or `baseline` is NaN: an attack that was not measured has no result.

    Example:
        >>> result = AttackResult("labels", 0.9, 0.4, "share of examples")
        >>> result.advantage, str(result)
        (0.5, 'labels: share of examples 0.9, guessing 0.4')
    """

    attack: str
    success: float
    baseline: float
    metric: str
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self):
        for name in ("success", "baseline"):
            value = float(getattr(self, name))
            if math.isnan(value):
                raise UsageError(f"{name}: expected a number, got NaN; the attack {self.attack!r} measured nothing")
            object.__setattr__(self, name, value)

    @property
    def advantage(self) -> float:
        """How much the attack beats guessing; about 0 (or below) means that nothing leaked this way."""
        return self.success - self.baseline

    def to_frame(self) -> pd.DataFrame:
        """Returns one row: attack, metric, success, baseline, advantage, then the details that are numbers."""
        row = {
            "attack": self.attack,
            "metric": self.metric,
            "success": self.success,
            "baseline": self.baseline,
            "advantage": self.advantage,
        }
        numbers = {k: v for k, v in self.details.items() if isinstance(v, int | float | np.integer | np.floating)}
        return pd.DataFrame([row | {key: float(value) for key, value in numbers.items()}])

    def __str__(self) -> str:
        return f"{self.attack}: {self.metric} {self.success:.3g}, guessing {self.baseline:.3g}"


def results_table(results: Iterable[AttackResult]) -> pd.DataFrame:
    """Returns several attacks side by side: one row each with metric, success, baseline and advantage.

    Example:
        >>> results_table([AttackResult("labels", 0.9, 0.4, "share")]).loc["labels", "baseline"]
        0.4
    """
    columns = ["metric", "success", "baseline", "advantage"]
    rows = [result.to_frame()[["attack", *columns]] for result in results]
    if not rows:
        raise UsageError("results: expected at least one AttackResult, got none")
    return pd.concat(rows, ignore_index=True).set_index("attack")
