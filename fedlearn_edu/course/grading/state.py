"""What has been graded so far, on disk: a batch that was interrupted goes on where it was."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import pathlib
import time

from fedlearn_edu.course.grading.marks import STATUSES, Mark
from fedlearn_edu.course.grading.settings import checked_settings
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import replace_files

_FORMAT = 2  # 1 had no settings, no table and no last marks
_SAVE_SECONDS = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class State:
    """Marks by the hash of all that they depend on, the seed of the hidden cases, and how the last run ended.

    Args:
        path: The file.
        resume: Whether to go on from what is there.
        fresh: Whether to lose it.

    Attributes:
        known: Whether the file was there and is taken over.
        seed: Of the hidden cases; None if there is none yet.
        settings: Of the last run, as plain data; see `settings.settle`.
        written: The tables of marks and totals as the last run wrote them, by purpose; empty if it came to none.
        before: As the run before that wrote them.
        given: By identity of the student, of the last run: the name in the tables, all points, and (status, points) by
            exercise.
        own: The teacher's own marks of the last run: (identity of the student, exercise, table's name).

    Raises:
        RunError: What is there is no state of a batch, cannot be read, or may have been written by somebody else.
        UsageError: It holds marks, and neither `resume` nor `fresh` is set.
    """

    def __init__(self, path: pathlib.Path, *, resume: bool, fresh: bool = False):
        self._path = path
        self.known = False
        self.seed: int | None = None
        self.settings: dict[str, object] = {}
        self.written: dict[str, str] = {}
        self.before: dict[str, str] = {}
        self.given: dict[str, tuple[str, float, dict[str, tuple[str, float]]]] = {}
        self.own: list[tuple[str, str, str]] = []
        self._marks: dict[str, Mark] = {}
        self._saved = time.monotonic()
        if not path.exists():
            return
        try:
            with open(path, encoding="utf-8") as stream:
                status = os.fstat(stream.fileno())
                # Marks are taken over from it, so nobody else may have had a hand in it.
                if resume and (status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022):
                    raise RunError(f"{path} may have been written by others: delete it or grade with --fresh")
                found = _parsed(json.load(stream))
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            if not resume:
                return
            raise RunError(f"{path} holds no state of a batch: delete it or grade with --fresh") from None
        if resume or fresh:
            self.own = found[-2]
        if resume:
            self.known = True
            self.seed, self.settings, self.written, self.before, self.given, _, self._marks = found
        elif fresh:
            # The teacher's own marks are no marks of an earlier run: they stay hers.
            self.settings = {name: value for name, value in found[1].items() if name == "overrides"}
        elif found[-1]:
            day = time.localtime(status.st_mtime)
            raise UsageError(
                f"output: {path} holds {len(found[-1])} marks of {day.tm_mday} {time.strftime('%b', day)}; "
                f"--resume takes over what has not changed, --fresh gives all marks anew"
            )

    def __len__(self) -> int:
        return len(self._marks)

    def get(self, key: str) -> Mark | None:
        """The mark under this key, if it was given before."""
        return self._marks.get(key)

    def put(self, key: str, mark: Mark) -> None:
        """Keeps a mark; the file follows within seconds, and at once when `save` is called."""
        self._marks[key] = mark
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Writes the file."""
        replace_files({self._path: self.text()})
        self._saved = time.monotonic()

    def text(self) -> str:
        """The file's content."""
        data = {"format": _FORMAT, "seed": self.seed, "settings": self.settings, "given": self.given}
        data |= {"own": self.own}
        marks = {key: dataclasses.asdict(mark) for key, mark in self._marks.items()}
        return json.dumps(data | {"written": self.written, "before": self.before, "marks": marks})


def _parsed(data: dict) -> tuple[int, dict, dict, dict, dict, list, dict[str, Mark]]:
    """Raises one of the errors of a wrong type or value if anything is not as `State.text` made it."""
    if data["format"] not in (1, _FORMAT) or type(data["seed"]) is not int or data["seed"] < 1:
        raise ValueError
    marks = {}
    for key, fields in data["marks"].items():
        tuples = {"cases": tuple(fields["cases"]), "follows": tuple(fields.get("follows", ()))}
        mark = Mark(**fields | tuples | {"by_rule": tuple(map(tuple, fields.get("by_rule", ())))})
        texts = [mark.exercise_id, mark.title, mark.message, mark.earned, mark.override, *mark.follows]
        texts += [text for rule, _, earned in mark.by_rule for text in (rule, earned)]
        for case in mark.cases:
            texts += [case[field] for field in ("name", "given", "got", "problem", "hint")]
            texts += [text for pair in case.get("arguments", []) for text in _pair(pair)]
            if not 0 <= case.get("weight", 1.0) < math.inf:
                raise ValueError
        if not all(isinstance(text, str) for text in texts) or mark.status not in STATUSES:
            raise ValueError
        scored = [mark.points, *(points for _, points, _ in mark.by_rule)]
        if not all(0 <= points <= mark.max_points for points in scored) or not 0 <= mark.seconds < math.inf:
            raise ValueError
        marks[key] = mark
    given = {}
    for identity, (student, total, row) in data.get("given", {}).items():
        earlier = {_text(id): (_text(status), float(points)) for id, (status, points) in row.items()}
        given[identity] = (_text(student), float(total), earlier)
    settings = checked_settings(data.get("settings", {}))
    written, before = (_tables(data.get(name, {})) for name in ("written", "before"))
    own = [(_text(identity), _text(id), _text(table)) for identity, id, table in data.get("own", [])]
    return data["seed"], settings, written, before, given, own, marks


def _tables(found: object) -> dict[str, str]:
    found = {"grades": found} if isinstance(found, str) else found  # as an earlier release kept them
    return {_text(purpose): _text(text) for purpose, text in found.items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _pair(pair: list) -> list:
    name, text = pair
    return [name, text]


def key_of(*parts: object) -> str:
    """A hash of plain data.

    Example:
        >>> key_of("a", 1) == key_of("a", 1), key_of("a", 1) == key_of("a1")
        (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()
