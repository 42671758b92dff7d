"""What has been graded so far, on disk: a batch that was interrupted goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Mapping

from fedlearn_edu.course.grading.marks import STATUSES, Mark
from fedlearn_edu.errors import RunError

_FORMAT = 1
_SAVE_SECONDS = 2.0


def replace_files(texts: Mapping[pathlib.Path, str | bytes]) -> None:
    """Writes files for their owner's eyes alone, all of them or none.

    Each is written beside its place; only when all are there they are renamed. A disk that fills up leaves every file
    as it was.

    Args:
        texts: Content by path.

    Raises:
        RunError: One of them cannot be written.
    """
    scratch: dict[pathlib.Path, str] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, scratch[path] = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")  # its mode is 0600
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
        for path in texts:
            os.replace(scratch[path], path)
            del scratch[path]
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        for name in scratch.values():
            pathlib.Path(name).unlink(missing_ok=True)


class State:
    """Marks by the hash of all that they depend on, and the seed of the hidden cases.

    Args:
        path: The file.
        resume: Whether to go on from what is there.

    Raises:
        RunError: What is there is no state of a batch, cannot be read, or may have been written by somebody else.
    """

    def __init__(self, path: pathlib.Path, *, resume: bool):
        self._path = path
        self.seed: int | None = None
        self._marks: dict[str, Mark] = {}
        self._saved = time.monotonic()
        if not resume or not path.exists():
            return
        try:
            with open(path, encoding="utf-8") as stream:
                status = os.fstat(stream.fileno())
                # Marks are taken over from it, so nobody else may have had a hand in it.
                if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                    raise RunError(f"{path} may have been written by others: delete it or grade without resume")
                self.seed, self._marks = _parsed(json.load(stream))
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise RunError(f"{path} holds no state of a batch: delete it or grade without resume") from None

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
        marks = {key: dataclasses.asdict(mark) for key, mark in self._marks.items()}
        replace_files({self._path: json.dumps({"format": _FORMAT, "seed": self.seed, "marks": marks})})
        self._saved = time.monotonic()


def _parsed(data: dict) -> tuple[int, dict[str, Mark]]:
    """Raises one of the errors of a wrong type or value if anything is not as `save` left it."""
    if data["format"] != _FORMAT or type(data["seed"]) is not int or data["seed"] < 1:
        raise ValueError
    marks = {}
    for key, fields in data["marks"].items():
        mark = Mark(**fields | {"cases": tuple(fields["cases"])})
        texts = [mark.exercise_id, mark.title, mark.message]
        for case in mark.cases:
            texts += [case[field] for field in ("name", "given", "got", "problem", "hint")]
        if not all(isinstance(text, str) for text in texts) or mark.status not in STATUSES:
            raise ValueError
        if not 0 <= mark.points <= mark.max_points:
            raise ValueError
        marks[key] = mark
    return data["seed"], marks


def key_of(*parts: object) -> str:
    """A hash of plain data.

    Example:
        >>> key_of("a", 1) == key_of("a", 1), key_of("a", 1) == key_of("a1")
        (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()
