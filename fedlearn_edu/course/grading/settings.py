"""The settings of a batch that a later run takes over, and what is said where they differ."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping

from fedlearn_edu.course.grading.term import Term

_DEFAULTS = {
    "timeout": 30.0,
    "memory_gb": 4.0,
    "partial": "cases",
    "lessons": None,
    "feedback": None,
    "overrides": None,
    "anonymous": False,
} | {field.name: field.default for field in dataclasses.fields(Term)}
_SEVERAL = ("overrides",)  # lists of paths; an earlier release kept one path
_PATHS = ("feedback", "overrides", "roster", "moodle_worksheet", "canvas_gradebook", "handed_in")
# With other limits other functions come to an end, so all marks are given anew; with another rule only points are.
_MARKING = {"timeout": "all is graded anew", "memory_gb": "all is graded anew", "partial": "points are counted anew"}
# Given as nothing ("", or the path that it makes) these are dropped, and not taken over.
_MAY_END = {"overrides", "roster", "moodle_worksheet", "canvas_gradebook", "canvas_column", "handed_in"}
_MAY_END |= {"deadline", "late_penalty"}
_NOTHING = ("", ".")
_FLAGS = {"memory_gb": "--memory", "lessons": "--lesson"}


def settle(given: Mapping[str, object], earlier: Mapping[str, object], folder: pathlib.Path) -> tuple[dict, list[str]]:
    """Takes what was not given from the earlier run, else by default.

    Args:
        given: By name; None stands for what was not given, and for some "" for what shall not be taken over.
        earlier: What `kept` made of those of the earlier run; empty if there is none.
        folder: Of the table of marks: paths of the earlier run begin there.

    Returns:
        The settings, and one line on all that was taken over or is another one now.
    """
    settled, taken, changed, ended = {}, [], collections.defaultdict(list), []
    for name, default in _DEFAULTS.items():
        before = earlier.get(name, default)
        value = given.get(name)
        if name in _SEVERAL:
            before, value = _listed(before), _listed(value)
        if name in _PATHS and before is not None:
            moved = [os.path.normpath(folder / one) for one in (before if name in _SEVERAL else [before])]
            before = moved if name in _SEVERAL else moved[0]
        is_ended = name in _MAY_END and value is not None and (value == [] or str(value) in _NOTHING)
        settled[name] = default if is_ended else before if value is None else value
        if is_ended and before != default:
            ended.append(_flag(name))
        if value is None and before != default:
            taken += [f"{_flag(name)} {one}" for one in before] if name in _SEVERAL else [_taken(name, before)]
        if name in _MARKING and name in earlier and settled[name] != before:
            changed[_MARKING[name]].append(f"{_flag(name)} is {_shown(value)}, it was {_shown(before)}")
    lines = [f"as in the earlier run: {', '.join(taken)}"] if taken else []
    lines += [f"not any more: {', '.join(ended)}"] if ended else []
    return settled, lines + [f"{'; '.join(found)}: {what}" for what, found in changed.items()]


def kept(settled: Mapping[str, object], folder: pathlib.Path) -> dict[str, object]:
    """What the state keeps of settings: plain data, paths as seen from the table of marks."""
    paths: dict[str, object] = {}
    for name in _PATHS:
        if (path := settled[name]) is not None:
            relative = [os.path.relpath(one, folder) for one in (path if name in _SEVERAL else [path])]
            paths[name] = relative if name in _SEVERAL else relative[0]
    lessons = None if settled["lessons"] is None else list(settled["lessons"])
    return dict(settled) | paths | {"lessons": lessons}


def checked_settings(found: object) -> dict[str, object]:
    """What `kept` made, read from a file.

    Raises:
        ValueError: It made something else.
    """
    if not isinstance(found, dict):
        raise ValueError("no settings")
    for name, value in found.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        right = {
            "timeout": is_number,
            "memory_gb": is_number,
            "partial": isinstance(value, str),
            "moodle_feedback_zip": isinstance(value, bool),
            "out_of": value is None or is_number,
            "anonymous": isinstance(value, bool),
            "lessons": value is None or _is_texts(value),
            "overrides": value is None or _is_texts(value if isinstance(value, list) else [value]),
        }.get(name, value is None or (isinstance(value, str) and "\0" not in value))
        if not right or name not in _DEFAULTS:
            raise ValueError(f"no such setting: {name}")
    return found


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and "\0" not in one for one in value)


def _listed(value: object) -> list | None:
    """Several paths as a list, without those that stand for nothing."""
    if value is None:
        return None
    several = value if isinstance(value, list | tuple) else [value]
    return [one for one in several if str(one) not in _NOTHING]


def _taken(name: str, before: object) -> str:
    return _flag(name) if before is True else f"{_flag(name)} {_shown(before)}"


def _flag(name: str) -> str:
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
