"""Who gains and who is left behind: each client's accuracy before and after, or what else its task is measured by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from fedlearn_edu.data.metrics import Metric
from fedlearn_edu.data.names import quoted
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.comparison import common_metric, known_metric, marked
from fedlearn_edu.simulation.history import History

Accuracies = Mapping[str, float] | pd.Series | History


def before_and_after(
    before: Accuracies | pd.DataFrame, after: Accuracies | None = None, *, task: Task | None = None
) -> pd.DataFrame:
    """Returns each client's accuracy by two models, side by side; of another task its primary metric.

    Args:
        before: One of
            - the history of a run with personal models: before is the global model, after are the personal ones, both
              at the last evaluation;
            - the history of any other run: before training, and after its last round;
            - what `fine_tune_locally` returned;
            - values by client id (accuracies from 0 to 1), with others of the same clients as `after`.
        after: Values by client id, or a history whose last personal models are meant (if it has none, its global
            model). With it, a history given as `before` stands for its global model at the end.
        task: What was asked, where neither a history nor a table of one says so; None for classes.

    Returns:
        One row per client with test examples (index `client_id`), worst first: `before`, `after` and `gain`, which is
        above 0 where the client is better off, also where less is better. Its `attrs` say the metric and its unit.

    Example:
        >>> before_and_after({"a": 0.5, "b": 0.25}, {"a": 0.25, "b": 1.0})["gain"].to_dict()
        {'b': 0.75, 'a': -0.25}

    Raises:
        UsageError: The two are not of the same clients or not of the same task, or hold something else than values of
            its metric.
    """
    return _pair(before, after, _metric_of(before, {"after": after}, task))


def fairness_table(
    before: Accuracies | pd.DataFrame,
    after: Accuracies | Mapping[str, Accuracies] | None = None,
    *,
    task: Task | None = None,
) -> pd.DataFrame:
    """Returns what one number for all hides: how accuracy is spread over the clients, by one model and by others.

    Every client counts alike here, whatever its number of test examples. (The global accuracy of a history counts
    examples.) A federation is called the fairer, the smaller the variance at the same mean; the worst decile says what
    those get who get least. Of another task than classes its primary metric takes the place of accuracy; where less is
    better, such as of an RMSE, the worst are those who have most.

    Args:
        before: As for `before_and_after`.
        after: As for `before_and_after`; or several, by name: `{"fine-tuned": table["after"], "Ditto": history}`.
        task: As for `before_and_after`.

    Returns:
        One row per model (index `model`: `"before"` and `"after"`, or the names): `mean`, `standard_deviation` and
        `variance` over the clients (not of a sample: divided by their number), `worst_decile` and `best_decile` (mean
        of the worst and of the best tenth of the clients, rounded up, by that model), `worst`, `num_worse` and
        `num_better` (clients worse and better off than by the model before) and `num_clients`. Its `attrs` say the
        metric and its unit.

    Example:
        >>> table = fairness_table({"a": 0.5, "b": 0.25}, {"a": 0.25, "b": 1.0})
        >>> table[["mean", "worst_decile", "num_worse"]].loc["after"].to_dict()
        {'mean': 0.625, 'worst_decile': 0.25, 'num_worse': 1.0}
        >>> fairness_table({"a": 20.0, "b": 5.0}, {"a": 8.0, "b": 6.0}, task=Task.regression("EUR"))["worst"].to_dict()
        {'before': 20.0, 'after': 8.0}

    Raises:
        UsageError: The values are not of the same clients or the same task, there are none, or they are none of its
            metric.

    References:
        Li, Sanjabi, Beirami, Smith, Fair resource allocation in federated learning, ICLR 2020, arXiv:1905.10497.
    """
    several = isinstance(after, Mapping) and any(not np.isscalar(value) for value in after.values())
    models = after if several else {"after": after}
    metric = _metric_of(before, models, task)
    pairs = {name: _pair(before, model, metric) for name, model in models.items()}
    rows = {"before": next(iter(pairs.values()))["before"]} | {name: pair["after"] for name, pair in pairs.items()}
    start = rows["before"]
    table = pd.DataFrame(
        [_spread(values, start.reindex(values.index), metric) for values in rows.values()],
        index=pd.Index(rows, name="model"),
    )
    return marked(table, metric)


def worst_decile(values: Iterable[float], *, higher_is_better: bool = True) -> float:
    """Returns the mean of the worst tenth, rounded up: of one client at least, of two if there are eleven.

    Example:
        >>> worst_decile([0.5, 0.2, 0.4]), worst_decile([0.5, 0.2, 0.4], higher_is_better=False)
        (0.2, 0.5)
    """
    values = np.sort(np.asarray(list(values), float))
    tenth = math.ceil(len(values) / 10)
    return float((values[:tenth] if higher_is_better else values[-tenth:]).mean())


def _metric_of(before, models: Mapping, task: Task | None) -> Metric:
    if task is not None and not isinstance(task, Task):
        raise UsageError(f"task: expected one such as Task.regression(), got {quoted(task)}")
    known = {"task": task.primary} if task is not None else {}
    known |= {"before": known_metric(before)} | {name: known_metric(model) for name, model in models.items()}
    return common_metric("after", known)


def _pair(before, after, metric: Metric) -> pd.DataFrame:
    personal = f"personal_{metric.name}"
    if isinstance(before, pd.DataFrame):
        if after is not None or not {"before", "after"} <= set(before):
            raise UsageError(
                "before: expected a table with the columns before and after, without a second argument, got "
                f"{list(before.columns)}; pass columns of tables, e.g. table['after'], to compare two"
            )
        first, second = before["before"], before["after"]
    elif after is None:
        if not isinstance(before, History):
            raise UsageError("after: expected accuracies of the same clients by another model, got None")
        by_global, own = before.client_metric(metric.name), before.client_metric(personal)
        if len(own):
            first, second = _last(by_global), _last(own)
        else:
            first = by_global[by_global.columns.min()] if len(by_global) else _last(by_global)
            second = _last(by_global)
    else:
        first = _last(before.client_metric(metric.name)) if isinstance(before, History) else before
        second = after
        if isinstance(after, History):
            own = after.client_metric(personal)
            second = _last(own if len(own) else after.client_metric(metric.name))
    first, second = _values("before", first, metric), _values("after", second, metric)
    if set(first.index) != set(second.index):
        only = sorted(set(first.index) ^ set(second.index))
        raise UsageError(
            f"after: expected {_words(metric)[1]} of the same {len(first)} clients as before, got {len(second)}; "
            f"{only[0]!r} is in one of them only"
        )
    table = pd.DataFrame({"before": first, "after": second.reindex(first.index)})
    table["gain"] = metric.gain(table["before"], table["after"])
    ascending = metric.higher_is_better
    table = table.rename_axis("client_id").sort_values(["before", "after"], ascending=ascending, kind="stable")
    return marked(table, metric)


def _words(metric: Metric) -> tuple[str, str]:
    """Returns what one value and several are called."""
    several = f"values of {metric.label}"
    return ("an accuracy", "accuracies") if metric.name == "accuracy" else (several, several)


def _spread(values: pd.Series, before: pd.Series, metric: Metric) -> dict[str, float]:
    ordered = np.sort(values.to_numpy(float))
    gain = metric.gain(before, values)
    return {
        "mean": ordered.mean(),
        "standard_deviation": ordered.std(),
        "variance": ordered.var(),
        "worst_decile": worst_decile(ordered, higher_is_better=metric.higher_is_better),
        "best_decile": worst_decile(ordered, higher_is_better=not metric.higher_is_better),
        "worst": ordered[0 if metric.higher_is_better else -1],
        "num_worse": int((gain < 0).sum()),
        "num_better": int((gain > 0).sum()),
        "num_clients": len(ordered),
    }


def _last(by_round: pd.DataFrame) -> pd.Series:
    """Returns the last evaluation of every client."""
    return by_round[by_round.columns.max()] if len(by_round.columns) else pd.Series(dtype=float)


def _values(name: str, values, metric: Metric) -> pd.Series:
    """Returns a metric by client as a series without the clients that have no test examples."""
    try:
        series = pd.Series(values, dtype=float).dropna()
    except (TypeError, ValueError):
        series = None
    most, said = (1, "from 0 to 1") if metric.is_share else (np.finfo(float).max, "of at least 0 and finite")
    if series is None or not len(series) or not series.between(0, most).all():
        found = type(values).__name__ + ("" if series is None else f" with {len(series)} of them")
        raise UsageError(
            f"{name}: expected {_words(metric)[0]} {said} by client id, of at least one client, got {found}"
        )
    return series
