"""The hidden cases of a batch, and hashes of all that a mark of theirs depends on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import pathlib
import sys
from collections.abc import Sequence

from fedlearn_edu.course.checks import checking
from fedlearn_edu.course.checks.checking import Case, Exercise
from fedlearn_edu.course.checks.data import to_data
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.state import key_of
from fedlearn_edu.errors import RunError

SEED_BITS = 256
_VARIANTS = 2  # hidden variants of each case
_CHECKS = "fedlearn_edu.course.checks"
# What learners look at, and what only the tests read: neither changes a mark.
_NO_MARKS = ("registry", "session", "view", "wrong_")


def hidden_cases(exercise: Exercise, seed: int) -> list[Case]:
    """The cases under seeds that follow from the batch's seed but do not tell it; never the visible seed 0.

    Raises:
        RunError: The checks of the exercise fail.
    """
    cases = []
    for variant in range(_VARIANTS):
        # All 256 bits: a learner's code that searches the seeds for the arguments it was given never ends.
        hidden = int.from_bytes(hashlib.sha256(f"{seed}/{exercise.id}/{variant}".encode()).digest(), "big") or 1
        try:
            found = [dataclasses.replace(c, arguments=tuple(map(to_data, c.arguments))) for c in exercise.cases(hidden)]
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise RunError(f"the checks of {exercise.id} fail for one of the hidden seeds: {reason}") from error
        cases += found
    return cases


def digest(cases: Sequence[Case]) -> str:
    """A hash of the cases' inputs."""
    return key_of([[wire.encode(argument) for argument in case.arguments] for case in cases])


def code_digest(exercise: Exercise) -> str:
    """A hash of the source that judges an exercise: its module, `checking`, and what they import of the checks.

    Inputs stay as they are where a check is mended that judged them wrongly; its source does not.
    """
    start = getattr(inspect.unwrap(exercise.cases), "__module__", None)
    found, left = {}, [name for name in (start, checking.__name__) if name in sys.modules]
    while left:
        name = left.pop()
        found[name] = _file_digest(getattr(sys.modules[name], "__file__", None) or "")
        for value in vars(sys.modules[name]).values():
            other = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
            if isinstance(other, str) and other not in found and other in sys.modules and _judges(other):
                left.append(other)
    return key_of(sorted(found.items()))


def _judges(module: str) -> bool:
    package, _, name = module.rpartition(".")
    return package == _CHECKS and not name.startswith(_NO_MARKS)


@functools.cache
def _content_digest(path: str, changed: int, size: int) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _file_digest(path: str) -> str:
    try:
        status = pathlib.Path(path).stat()
        return _content_digest(path, status.st_mtime_ns, status.st_size)
    except OSError:  # typed in, or from within a zip
        return ""
