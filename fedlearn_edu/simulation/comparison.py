"""Results side by side: what all of them are measured by, or one line that they cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping

from fedlearn_edu.data.metrics import METRICS, Metric, in_unit
from fedlearn_edu.data.names import quoted
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.history import History


def known_metric(result) -> Metric | None:
    """Returns what a history, or a table or column that was made of one, is measured by; None where nothing says so."""
    if isinstance(result, History):
        return result.primary
    told = getattr(result, "attrs", {})
    return in_unit(told["metric"], told.get("unit", "")) if told.get("metric") in METRICS else None


def marked(table, metric: Metric):
    """Returns the table with what its values are measured by, for whoever draws or compares it."""
    table.attrs |= {"metric": metric.name, "unit": metric.unit}
    return table


def common_metric(argument: str, metrics: Mapping[str, Metric | None]) -> Metric:
    """Returns what several results are measured by; accuracy if none of them says.

    Args:
        argument: What the message begins with.
        metrics: Name of a result -> its metric, None where nothing says so: it is then taken to be that of the others.

    Raises:
        UsageError: They are measured by different metrics, or in different units.

    Example:
        >>> common_metric("runs", {"one": in_unit("rmse", "EUR"), "other": None}).title
        'RMSE (EUR)'
    """
    known = {name: metric for name, metric in metrics.items() if metric is not None}
    first = next(iter(known), None)
    for name, metric in known.items():
        if metric != known[first]:
            raise UsageError(
                f"{argument}: expected results of one task, got {quoted(first)} measured by {known[first].title} and "
                f"{quoted(name)} measured by {metric.title}; compare those of the same task"
            )
    return METRICS["accuracy"] if first is None else known[first]
