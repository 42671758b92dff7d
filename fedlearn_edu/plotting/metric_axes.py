"""Axes of a metric's values: per cent of a share, else numbers with their unit; and where one answer for all stands."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import PercentFormatter

from fedlearn_edu.data.metrics import Metric


def show_values(axis: Axis, metric: Metric) -> None:
    """Writes the numbers beside an axis as whole per cents if the metric is a share; else leaves them."""
    if metric.is_share:
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def axis_title(metric: Metric) -> str:
    r"""Returns label and unit; two `$` are no formula in it.

    Example:
        >>> from fedlearn_edu.data.metrics import in_unit
        >>> axis_title(in_unit("rmse", "$"))
        'RMSE (\\$)'
    """
    return metric.title.replace("$", r"\$")


def value_text(metric: Metric, value: float) -> str:
    """Returns a value as a label shows it; two `$` are no formula in it."""
    return metric.format(value).replace("$", r"\$")


def highest(metric: Metric, values: Iterable[float]) -> float:
    """Returns the upper end of an axis from 0: 1 for a share, else a little more than the largest finite value."""
    if metric.is_share:
        return 1.0
    return 1.05 * max((float(value) for value in values if np.isfinite(value)), default=1.0) or 1.0


def baseline_name(metric: Metric) -> str:
    """Returns what the metric's baseline is of, in a few words (see `Task.baseline`)."""
    return {"accuracy": "always the commonest class", "rmse": "always the mean"}.get(
        metric.name, "always the same answer"
    )
