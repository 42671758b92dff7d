"""The two errors a user of this package meets: one line each, saying what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FedlearnError(Exception):
    """Base of both errors. The message is one line and names what to do."""

    exit_code = 1


class UsageError(FedlearnError, ValueError):
    """An argument is wrong: which one, what was expected, what came (command line: exit code 2)."""

    exit_code = 2


class RunError(FedlearnError, RuntimeError):
    """The arguments are fine but the run cannot go on (command line: exit code 1)."""


class BatchNormWarning(UserWarning):
    """Clients would train through batch normalisation that uses each batch's own statistics."""


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Returns `known` as text, the names nearest to `name` first.

    Example:
        >>> nearest_names("fashon", ["emnist", "fashion"])
        "did you mean 'fashion'? Known: emnist, fashion"
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(known)}"
