"""Output on terminals that cannot draw: plain characters where an encoding has no others."""

from __future__ import annotations

import codecs
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
