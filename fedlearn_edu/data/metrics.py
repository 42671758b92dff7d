"""The metrics that a history can hold: what each is called, which way is better, and its value from sums.

Every metric is a function of sums over examples. Sums of clients add up to those of all, so that the value over all
clients is exact, however the examples are dealt out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

NUM_BINS, LARGEST_SCORE = 512, 8.0  # AUC's: 1/32 wide in log-odds, from -8 (3 in 10,000) to 8; beyond go to the ends


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its column in a history, e.g. `"accuracy"`.
        label: As pictures and tables write it.
        higher_is_better: Which way is better.
        is_share: Whether it runs from 0 to 1 and is shown in per cent.
        value_of: Its value from the sums over examples and their number; None where it is not defined.
        unit: Of its values, e.g. `"EUR"`; empty if they have none.
    """

    name: str
    label: str
    higher_is_better: bool
    is_share: bool
    value_of: Callable[[np.ndarray, int], float | None] = dataclasses.field(repr=False, compare=False)
    unit: str = ""

    @property
    def title(self) -> str:
        """Its label with the unit, as an axis has it."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def format(self, value: float, *, unit: str = "") -> str:
        """Returns a value as text: shares in per cent, others with four digits and their unit.

        Args:
            value: Of this metric.
            unit: In place of the metric's own.

        Example:
            >>> METRICS["accuracy"].format(0.8125), in_unit("rmse", "EUR").format(12345.67)
            ('81.2 %', '12,350 EUR')
        """
        return f"{100 * value:.1f} %" if self.is_share else f"{four_digits(value)} {unit or self.unit}".rstrip()

    def gain(self, before, after):
        """Returns by how much `after` is better than `before`: below 0 where it is worse; numbers, arrays or series.

        Example:
            >>> METRICS["accuracy"].gain(0.25, 0.75), METRICS["rmse"].gain(20.0, 15.0)
            (0.5, 5.0)
        """
        return after - before if self.higher_is_better else before - after


def four_digits(value: float) -> str:
    """Returns a number with four digits that count, written out as amounts are.

    Example:
        >>> four_digits(0.012345), four_digits(1234.9), four_digits(1e30)
        ('0.01235', '1,235', '1e+30')
    """
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.10g}" if abs(rounded) < 1e10 else f"{rounded:.4g}"


def auc_of_counts(counts: np.ndarray) -> float | None:
    """Returns the area under the ROC curve from how many examples have which score.

    It is the share of pairs of a positive and a negative example in which the positive has the higher score; two
    in one bin count half. With bins as fine as `NUM_BINS` that is the exact AUC of scores rounded to 1/32.

    Args:
        counts: Rows: negative and positive examples; columns: bins of scores, lowest first.

    Returns:
        0 to 1; None if all examples are of one class.

    Example:
        >>> auc_of_counts(np.array([[2, 1, 0], [0, 1, 1]]))
        0.9166666666666666
    """
    negatives, positives = np.asarray(counts, np.float64)
    pairs = negatives.sum() * positives.sum()
    if not pairs:
        return None
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs)


def _mean(total, num_examples):
    return float(total) / num_examples


def _root(total, num_examples):
    return math.sqrt(float(total) / num_examples)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", higher_is_better=True, is_share=True, value_of=_mean),
        Metric("auc", "AUC", higher_is_better=True, is_share=True, value_of=lambda counts, _: auc_of_counts(counts)),
        Metric("rmse", "RMSE", higher_is_better=False, is_share=False, value_of=_root),
        Metric("hit_at_10", "hit@10", higher_is_better=True, is_share=True, value_of=_mean),
        Metric("ndcg_at_10", "NDCG@10", higher_is_better=True, is_share=True, value_of=_mean),
        Metric("loss", "loss", higher_is_better=False, is_share=False, value_of=_mean),
    )
}


def in_unit(name: str, unit: str) -> Metric:
    """Returns a metric for targets of a unit; only the root mean squared error has that of the targets."""
    return dataclasses.replace(METRICS[name], unit=unit if name == "rmse" else "")
