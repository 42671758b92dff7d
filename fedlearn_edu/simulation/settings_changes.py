"""What differs between the settings of two runs, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MOST_NAMED = 3
# Fingerprints: the values themselves would tell nobody anything. They are told only where no name tells what changed.
_FINGERPRINTS = {
    "data.provenance.dataset.fingerprint": "the data set has changed",
    "data.provenance.backbone.fingerprint": "the backbone's files have changed",
    "data.fingerprint": "the clients' examples have changed",
    "process.model.initial_weights": "the model starts with other weights",
    "process.computation": "the model, an optimizer, the aggregator or another part of a round computes something else",
}
# What a user calls something: told if it is another thing, but a folder may be moved.
_LABELS = {"data.provenance.backbone.name"}
_ABSENT = object()


def describe_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Returns what changed, by its names in `History.settings`; None if nothing did.

    Example:
        >>> describe_changes({"run": {"seed": 1, "num_epochs": 2}}, {"run": {"seed": 3, "num_epochs": 2}})
        'run.seed was 1, is now 3'
        >>> describe_changes({"data": {"fingerprint": "ab"}}, {"data": {"fingerprint": "cd"}})
        "the clients' examples have changed"

    Args:
        then: Settings as JSON gives them back.
        now: Settings to compare them with, from JSON too.
    """
    changes = dict(_changes("", then, now))
    if changes.keys() <= _LABELS:
        return None
    named = [text for name, text in changes.items() if name not in _FINGERPRINTS]
    told = named or [_FINGERPRINTS[name] for name in changes]
    more = len(told) - _MOST_NAMED
    return "; ".join(told[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "") if told else None


def _changes(name: str, then: Any, now: Any) -> Iterator[tuple[str, str]]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*now, *sorted(then.keys() - now.keys())]:
            yield from _changes(f"{name}.{key}".strip("."), then.get(key, _ABSENT), now.get(key, _ABSENT))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, pair in enumerate(zip(then, now, strict=True)):
            yield from _changes(f"{name}[{place}]", *pair)
    elif then is _ABSENT or now is _ABSENT or then != now:
        yield name, f"{name} was {_shown(then)}, is now {_shown(now)}"


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "not given"
    if isinstance(value, Mapping) and "name" in value:
        arguments = ", ".join(f"{key}={_shown(item)}" for key, item in value.items() if key != "name")
        return f"{value['name']}({arguments})"
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
