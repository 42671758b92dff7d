"""Text that learners control (names, messages) made safe to print, to sort and to put in a table."""

from __future__ import annotations

import re
import unicodedata

# What a spreadsheet takes for a formula, also in its full-width form.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def clean(text: object, *, limit: int = 400) -> str:
    """One printable line: no control characters, no text direction tricks, no lone surrogates.

    Example:
        >>> clean("a\\x1b[31mb\\n" + chr(0x202e) + "c")
        'a [31mb c'
    """
    text = str(text)[: 4 * limit].encode("utf-8", "replace").decode()
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def neutral(value: object) -> object:
    """Returns a table's cell that no spreadsheet takes for a formula; numbers stay numbers.

    Example:
        >>> neutral("=1+1"), neutral("Ada"), neutral(-1.5)
        ("'=1+1", 'Ada', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = clean(value)
    return "'" + text if text.startswith(_FORMULA) or value[:1] in ("\t", "\r", "\n") else text


def whole(value: float) -> float | int:
    """Returns points as people write them.

    Example:
        >>> whole(2.0), whole(2.5)
        (2, 2.5)
    """
    return int(value) if value == int(value) else value


def natural(text: str) -> list:
    """Sort key by which 2 comes before 10.

    Example:
        >>> sorted(["b10", "B2", "a"], key=natural)
        ['a', 'B2', 'b10']
    """
    parts = re.split(r"(\d{1,18})", text.casefold())
    return [(1, int(part), part) if i % 2 else (0, 0, part) for i, part in enumerate(parts)]
