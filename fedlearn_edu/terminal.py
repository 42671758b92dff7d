"""The user's terminal: what it cannot draw becomes plain characters, and how this program and its Python are called."""

from __future__ import annotations

import codecs
import os
import shlex
import shutil
import sys
from typing import TextIO

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


def our_python() -> str:
    """Returns how the user calls the Python that has TensorFlow: another one on their path has not."""
    if os.environ.get("UV"):
        return "uv run python"
    return "python" if shutil.which("python") == sys.executable else shlex.quote(sys.executable)
