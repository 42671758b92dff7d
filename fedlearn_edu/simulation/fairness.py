"""Who gains and who is left behind: accuracies per client before and after, and what they say of all clients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.history import History

Accuracies = Mapping[str, float] | pd.Series | History


def before_and_after(before: Accuracies | pd.DataFrame, after: Accuracies | None = None) -> pd.DataFrame:
    """Returns each client's accuracy by two models, side by side.

    Args:
        before: One of
            - the history of a run with personal models: before is the global model, after are the personal ones, both
              at the last evaluation;
            - the history of any other run: before training, and after its last round;
            - what `fine_tune_locally` returned;
            - accuracies by client id (0 to 1), with others of the same clients as `after`.
        after: Accuracies by client id, or a history whose last personal accuracies are meant (if it has none, those of
            its global model). With it, a history given as `before` stands for its global model at the end.

    Returns:
        One row per client with test examples (index `client_id`), worst first: `before`, `after` and `gain`.

    Example:
        >>> before_and_after({"a": 0.5, "b": 0.25}, {"a": 0.25, "b": 1.0})["gain"].to_dict()
        {'b': 0.75, 'a': -0.25}

    Raises:
        UsageError: The two are not of the same clients, or hold something else than accuracies.
    """
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
        accuracy, personal = before.client_metric("accuracy"), before.client_metric("personal_accuracy")
        if len(personal):
            first, second = _last(accuracy), _last(personal)
        else:
            first, second = accuracy[accuracy.columns.min()] if len(accuracy) else _last(accuracy), _last(accuracy)
    else:
        first = _last(before.client_metric("accuracy")) if isinstance(before, History) else before
        second = _of_model(after)
    first, second = _accuracies("before", first), _accuracies("after", second)
    if set(first.index) != set(second.index):
        only = sorted(set(first.index) ^ set(second.index))
        raise UsageError(
            f"after: expected accuracies of the same {len(first)} clients as before, got {len(second)}; "
            f"{only[0]!r} is in one of them only"
        )
    table = pd.DataFrame({"before": first, "after": second.reindex(first.index)})
    table["gain"] = table["after"] - table["before"]
    return table.rename_axis("client_id").sort_values(["before", "after"], kind="stable")


def fairness_table(
    before: Accuracies | pd.DataFrame, after: Accuracies | Mapping[str, Accuracies] | None = None
) -> pd.DataFrame:
    """Returns what one number for all hides: how accuracy is spread over the clients, by one model and by others.

    Every client counts alike here, whatever its number of test examples. (The global accuracy of a history counts
    examples.) A federation is called the fairer, the smaller the variance at the same mean; the worst decile says what
    those get who get least.

    Args:
        before: As for `before_and_after`.
        after: As for `before_and_after`; or several, by name: `{"fine-tuned": table["after"], "Ditto": history}`.

    Returns:
        One row per model (index `model`: `"before"` and `"after"`, or the names): `mean`, `standard_deviation` and
        `variance` over the clients (not of a sample: divided by their number), `worst_decile` and `best_decile` (mean
        of the worst and of the best tenth of the clients, rounded up, by that model), `worst`, `num_worse` and
        `num_better` (clients below and above their own accuracy before) and `num_clients`.

    Example:
        >>> table = fairness_table({"a": 0.5, "b": 0.25}, {"a": 0.25, "b": 1.0})
        >>> table[["mean", "worst_decile", "num_worse"]].loc["after"].to_dict()
        {'mean': 0.625, 'worst_decile': 0.25, 'num_worse': 1.0}

    Raises:
        UsageError: The accuracies are not of the same clients, there are none, or they are no accuracies.

    References:
        Li, Sanjabi, Beirami, Smith, Fair resource allocation in federated learning, ICLR 2020, arXiv:1905.10497.
    """
    several = isinstance(after, Mapping) and any(not np.isscalar(value) for value in after.values())
    pairs = {n: before_and_after(before, a) for n, a in (after.items() if several else [("after", after)])}
    rows = {"before": next(iter(pairs.values()))["before"]} | {name: pair["after"] for name, pair in pairs.items()}
    start = rows["before"]
    return pd.DataFrame(
        [_spread(accuracy, start.reindex(accuracy.index)) for accuracy in rows.values()],
        index=pd.Index(rows, name="model"),
    )


def worst_decile(accuracies: Iterable[float]) -> float:
    """Returns the mean of the worst tenth, rounded up: of one client at least, of two if there are eleven.

    Example:
        >>> worst_decile([0.5, 0.2, 0.4])
        0.2
    """
    values = np.sort(np.asarray(list(accuracies), float))
    return float(values[: math.ceil(len(values) / 10)].mean())


def _spread(accuracy: pd.Series, before: pd.Series) -> dict[str, float]:
    values = np.sort(accuracy.to_numpy(float))
    tenth = math.ceil(len(values) / 10)
    return {
        "mean": values.mean(),
        "standard_deviation": values.std(),
        "variance": values.var(),
        "worst_decile": worst_decile(values),
        "best_decile": values[-tenth:].mean(),
        "worst": values[0],
        "num_worse": int((accuracy < before).sum()),
        "num_better": int((accuracy > before).sum()),
        "num_clients": len(values),
    }


def _of_model(after: Accuracies):
    if not isinstance(after, History):
        return after
    personal = after.client_metric("personal_accuracy")
    return _last(personal if len(personal) else after.client_metric("accuracy"))


def _last(by_round: pd.DataFrame) -> pd.Series:
    """Returns the last evaluation of every client."""
    return by_round[by_round.columns.max()] if len(by_round.columns) else pd.Series(dtype=float)


def _accuracies(name: str, values) -> pd.Series:
    """Returns accuracies as a series without the clients that have no test examples."""
    try:
        series = pd.Series(values, dtype=float).dropna()
    except (TypeError, ValueError):
        series = None
    if series is None or not len(series) or not series.between(0, 1).all():
        raise UsageError(
            f"{name}: expected an accuracy from 0 to 1 by client id, of at least one client, got "
            f"{type(values).__name__}" + ("" if series is None else f" with {len(series)} of them")
        )
    return series
