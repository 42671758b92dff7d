"""The user's terminal: plain characters for what it cannot draw; how this program and its Python are called in it."""

from __future__ import annotations

import codecs
import os
import pathlib
import shlex
import shutil
import sys
from typing import TextIO

# By this file a folder is known for a hand-out: `fedlearn-edu lab` opens it as it is.
HANDOUT_MARK = ".fedlearn-edu-handout"

_PLAIN = {"\N{FULL BLOCK}": "#", "…": "...", "✓": "+", "✗": "x", "±": "+/-", "→": "->", "\N{MULTIPLICATION SIGN}": "x"}


def draw_plainly(*streams: TextIO) -> None:
    """Lets streams write what they cannot encode in plain characters, or as "?", instead of ending the program.

    Args:
        streams: Standard output and error; a stand-in that cannot be set is left as it is.
    """
    codecs.register_error("draw_plainly", _plain)
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="draw_plainly")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


def our_command() -> str:
    """Returns how the user calls this program, to be put before a command that they may copy.

    `uv run` sets the variable UV; the bare name is then not on the user's path.
    """
    return "uv run fedlearn-edu" if os.environ.get("UV") else "fedlearn-edu"


def in_handout() -> bool:
    """Tells whether the user, or the notebook that asks, is in a folder that a teacher handed out."""
    try:
        here = pathlib.Path.cwd()
    except FileNotFoundError:  # deleted under the user
        return False
    return any((folder / HANDOUT_MARK).is_file() for folder in (here, *here.parents))


def install_command() -> str:
    """Returns how to install this package and what it needs anew, where the user is.

    A hand-out has no requirements.txt, and its environment no pip.
    """
    if not in_handout():
        return (
            "pip install uv && uv sync (in a checkout), or pip install --no-deps --require-hashes -r requirements.txt"
        )
    # `uv run` leaves its own path in UV: START_HERE.md has it installed where no shell looks.
    uv = "uv" if shutil.which("uv") else shlex.quote(os.environ.get("UV", "uv"))
    return f"{uv} sync --reinstall (in the folder of START_HERE.md)"


def our_python() -> str:
    """Returns how the user calls the Python that has TensorFlow: another one on their path has not."""
    if os.environ.get("UV"):
        return "uv run python"
    return "python" if shutil.which("python") == sys.executable else shlex.quote(sys.executable)
