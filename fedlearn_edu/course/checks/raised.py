"""What a learner's function raised, in one line."""

from __future__ import annotations

import traceback
from collections.abc import Callable


def one_line(error: BaseException) -> str:
    """An error's type and message, shortened; whatever its `str` does, this does not raise."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    message = message if len(message) <= 200 else message[:197] + "..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def where_raised(error: BaseException, function: Callable) -> str:
    """The error in one line, with the line of the learner's own code that it came from."""
    text = f"raised {one_line(error)}"
    code = getattr(function, "__code__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    if not frames:
        return text
    line = f", line {frames[-1].lineno}"
    source = f": {frames[-1].line}" if frames[-1].line else ""
    return f"{text} (in {frames[-1].name}{line}{source})"
