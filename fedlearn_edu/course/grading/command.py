"""What `fedlearn-edu grade` runs: a batch, its summary, an exit code, and how to go on if it is stopped."""

from __future__ import annotations

import os
import pathlib
import re
import secrets
import shlex
import sys
from collections.abc import Sequence

from fedlearn_edu.course.grading.batch import grade
from fedlearn_edu.course.grading.hidden import SEED_BITS
from fedlearn_edu.course.grading.marking import Stopped
from fedlearn_edu.course.grading.summary import count, summary
from fedlearn_edu.errors import UsageError
from fedlearn_edu.files import replace_files

_INTERRUPTED = 130  # as shells say it of Ctrl-C


def run_grading(
    submissions: str | os.PathLike,
    *,
    seed_file: str | os.PathLike | None = None,
    command: Sequence[str] = (),
    **options,
) -> int:
    """Grades with the same arguments as `grade`, and prints a summary on standard output.

    Args:
        submissions: See `grade`.
        seed_file: Holds the seed, so that it stands on no command line; made with a random one if missing.
        command: The command line, to be repeated with --resume if the batch is stopped.
        **options: Of `grade`.

    Returns:
        0; 1 if something could not be graded for a reason that is not the students'; 130 after Ctrl-C.
    """
    if seed_file is not None:
        options["seed"] = _seed_of(pathlib.Path(seed_file))
    try:
        result = grade(submissions, **options)
    except KeyboardInterrupt as stopped:
        print(f"\n{_how_to_go_on(stopped, command)}", file=sys.stderr)
        return _INTERRUPTED
    print(summary(result))
    ungraded = sum(mark.is_owed for marks in result.marks.values() for mark in marks)
    if ungraded:
        left = count(ungraded, "exercise")
        print(f"{left} could not be graded; run the same command with --resume", file=sys.stderr)
    return 1 if ungraded else 0


def _how_to_go_on(stopped: KeyboardInterrupt, command: Sequence[str]) -> str:
    again = [part for part in command if part not in ("--resume", "--fresh")]
    again = shlex.join([*again, "--resume"]) if again else "the same with --resume"
    if isinstance(stopped, Stopped):
        kept = (
            f"{stopped.num_kept} of {count(stopped.num_tasks, 'mark')} {'is' if stopped.num_kept == 1 else 'are'} kept"
        )
        return f"{kept}; go on with: {again}"
    return f"Stopped before or after grading; nothing was lost, go on with: {again}"


def _seed_of(path: pathlib.Path) -> int:
    """Reads the seed, or makes the file; it is its owner's alone."""
    if not path.exists():
        replace_files({path: f"{secrets.randbits(SEED_BITS) or 1}\n"})
    try:
        with open(path, encoding="ascii") as stream:
            status = os.fstat(stream.fileno())
            text = stream.read(1000).strip()
    except OSError as error:
        raise UsageError(f"seed_file: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
        raise UsageError(f"seed_file: others can read or write {path}; make it yours alone: chmod 600")
    if not re.fullmatch(r"[0-9]{1,80}", text):
        raise UsageError(f"seed_file: expected one whole number in {path} and nothing else")
    return int(text)
