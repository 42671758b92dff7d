"""How a demo run writes its task's primary metric: in a line, in a column, against its ceiling and its baseline."""

from __future__ import annotations

import math

import pandas as pd

import fedlearn_edu as fl
from fedlearn_edu.data.metrics import Metric, four_digits

_FAR = {"accuracy": 0.2, "auc": 0.1}  # below a ceiling, in shares of 1; of RMSE: of the way from baseline to ceiling
_FAR_ON_THE_WAY = 0.3


def written(metric: Metric, value: float, *, unit: str = "") -> str:
    """Returns a value as it stands in a sentence."""
    return f"{value:.1%}" if metric.is_share else metric.format(value, unit=unit)


def shown(history: fl.History, value: float) -> str:
    """Returns a value of a run's primary metric as it stands in a sentence."""
    return written(history.primary, value, unit=history.settings.get("task", {}).get("unit", ""))


def cell(history: fl.History, value: float, width: int, *, sign: str = "") -> str:
    """Returns a value, or with `sign="+"` a difference, as it stands in a column; "-" where there is none."""
    if math.isnan(value):
        return "-".rjust(width)
    if history.primary.is_share:
        return f"{value:{sign}{width}.1%}"
    return f"{'+' if sign and value > 0 else ''}{four_digits(value)}".rjust(width)


def way(history: fl.History, start: float, end: float, value: float) -> float:
    """Returns which part of the way from a value to a better one is done; it may be below 0 or above 1.

    If the end is no better than the start, it is a share itself, and of other values 1 where the end is reached.
    """
    better = 1 if history.primary.higher_is_better else -1
    if (room := better * (end - start)) > 0:
        return better * (value - start) / room
    return value if history.primary.is_share else float(better * (value - end) >= 0)


def worst_and_best(history: fl.History, values: pd.Series) -> tuple[float, float]:
    """Returns the worst and the best of clients' values; NaN if no client has one."""
    ends = values.min(), values.max()
    return ends if history.primary.higher_is_better else ends[::-1]


def is_far(history: fl.History) -> bool:
    """Whether the global model has much left to reach of its ceiling."""
    value, ceiling, metric = history.global_value, history.central_accuracy, history.primary.name
    if metric in _FAR:
        return ceiling - value > _FAR[metric]
    return way(history, history.baseline, ceiling, value) < 1 - _FAR_ON_THE_WAY


def is_better(history: fl.History, value: float, than: float) -> bool:
    """Whether a value is better than another one, as they are printed."""
    if history.primary.is_share:
        value, than = round(100 * value, 1), round(100 * than, 1)
    elif shown(history, value) == shown(history, than):
        return False
    return value > than if history.primary.higher_is_better else value < than


def distance(history: fl.History, value: float, ceiling: float) -> str:
    """Returns how far a value is from the ceiling, as whoever reads the two printed numbers computes it."""
    if shown(history, value) == shown(history, ceiling):
        return "equal to it"
    side = "below" if value < ceiling else "above"
    if history.primary.is_share:
        return f"{abs(round(100 * ceiling, 1) - round(100 * value, 1)):.1f} points {side} it"
    ratio = value / ceiling if ceiling else math.inf
    if ratio >= 2:
        return f"{four_digits(ratio)} times as much, lower is better" if math.isfinite(ratio) else "lower is better"
    return f"{abs(ratio - 1):.1%} {side} it, lower is better"


def baseline_line(history: fl.History, example: str) -> str:
    """Returns what a model reaches that always answers the same.

    Args:
        history: Of a run whose baseline is known.
        example: What it looks at none of, such as `"image"`.
    """
    metric, value = history.primary, shown(history, history.baseline)
    answer = {"accuracy": "the commonest class", "rmse": "the mean"}.get(metric.name, "the same answer")
    measured = "" if metric.name == "accuracy" else f"{metric.label} "
    return f"always {answer}: {measured}{value} (a model that looks at no {example} reaches that)"
