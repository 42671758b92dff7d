"""What has been graded so far, on disk: a batch that was interrupted goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import IO

from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.errors import RunError

_FORMAT = 1
_SAVE_SECONDS = 2.0


def replace_file(path: pathlib.Path, write: Callable[[IO[str]], object], *, private: bool = False) -> None:
    """Writes a text file beside its place and renames it: whole or not there at all.

    Args:
        path: The file.
        write: Gets the open stream.
        private: Only the owner may read it.

    Raises:
        RunError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                write(stream)
            os.chmod(scratch, 0o600 if private else 0o644)
            os.replace(scratch, path)
        except BaseException:
            pathlib.Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from None


class State:
    """Marks by the hash of all that they depend on, and the seed of the hidden cases (so the file is private).

    Args:
        path: The file.
        resume: Whether to go on from what is there.

    Raises:
        RunError: What is there is no state of a batch, or cannot be read.
    """

    def __init__(self, path: pathlib.Path, *, resume: bool):
        self._path = path
        self.seed: int | None = None
        self._marks: dict[str, dict] = {}
        self._saved = time.monotonic()
        if resume and path.exists():
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
                if data["format"] != _FORMAT:
                    raise ValueError
                self.seed, self._marks = int(data["seed"]), dict(data["marks"])
            except OSError as error:
                raise RunError(f"{path} cannot be read: {error.strerror}") from None
            except (ValueError, KeyError, TypeError):
                raise RunError(f"{path} holds no state of a batch: delete it or grade without resume") from None

    def __len__(self) -> int:
        return len(self._marks)

    def get(self, key: str) -> Mark | None:
        """The mark under this key, if it was given before."""
        found = self._marks.get(key)
        return None if found is None else Mark(**found | {"cases": tuple(found["cases"])})

    def put(self, key: str, mark: Mark) -> None:
        """Keeps a mark; the file follows within seconds, and at once when `save` is called."""
        self._marks[key] = dataclasses.asdict(mark)
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        data = {"format": _FORMAT, "seed": self.seed, "marks": self._marks}
        replace_file(self._path, lambda stream: json.dump(data, stream), private=True)
        self._saved = time.monotonic()


def key_of(*parts: object) -> str:
    """A hash of plain data.

    Example:
        >>> key_of("a", 1) == key_of("a", 1), key_of("a", 1) == key_of("a1")
        (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()
