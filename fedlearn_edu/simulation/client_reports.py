"""What an aggregator says of single clients: whose value it left out, whom it selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedlearn_edu.simulation.history import History

# Measurements with one 0 or 1 per client, in the order of the cohort.
_REPORTS = ("excluded", "selected")


def client_reports(metrics: Mapping, cohort: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns what a round's metrics say of single clients: client id -> `{"excluded": 1}`, `{"selected": 1}` or both.

    An aggregator inside of another may report as well; a client that one of them left out is left out.

    Args:
        metrics: Of the round; looked for under `aggregator`, however deep aggregators are nested.
        cohort: Client ids in the order in which they were passed to the round.

    Example:
        >>> nested = {"aggregator": {"excluded": [0, 1], "inner": {"selected": [1, 0]}}}
        >>> client_reports(nested, ["a", "b"])
        {'a': {'selected': 1}, 'b': {'excluded': 1}}
    """
    reports = {client_id: {} for client_id in cohort}

    def collect(found):
        for name, value in found.items():
            if isinstance(value, Mapping):
                collect(value)
            elif name in _REPORTS:
                for client_id, flag in zip(cohort, np.asarray(value).tolist(), strict=True):
                    if flag:
                        reports[client_id][name] = 1

    aggregator = metrics.get("aggregator", ())
    if isinstance(aggregator, Mapping):
        collect(aggregator)
    return reports


def describe_excluded(history: History) -> str | None:
    """Returns one line that names all clients that were left out of a round for values that are not finite, if any.

    Example:
        >>> history = History({}, rows=[(1, "b", "excluded", 1), (2, "b", "excluded", 1), (2, "a", "in_cohort", 1)])
        >>> describe_excluded(history)
        'Left out for an update with NaN or infinity: b (in 2 rounds).'
    """
    rounds = {}
    for _, client_id, metric, _ in history.rows:
        if metric == "excluded":
            rounds[client_id] = rounds.get(client_id, 0) + 1
    if not rounds:
        return None
    named = [f"{client_id} (in {count} round{'s' * (count > 1)})" for client_id, count in sorted(rounds.items())]
    return f"Left out for an update with NaN or infinity: {', '.join(named)}."
