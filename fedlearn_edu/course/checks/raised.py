"""What a learner's function raised, in one line, and what helps with it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

_LIST = (
    "a list is no array: a model is a *list* of arrays. Go through it with a loop, or through two lists at once "
    "with zip, and calculate with the arrays in it"
)
_SINGLE = "a single value is used like a list here: print what it is"
_SHAPES = (
    "the shapes do not fit: print the `.shape` of each; what belongs together has the same place in both lists (zip)"
)
_PLACE = "there is no such place: places go from 0 to len(...) - 1, and an empty list has none"
# Types of errors, words of which one is in the message ("" is in any), and what helps. The first that fits is said.
_HELP = (
    (
        ("TypeError", "AttributeError"),
        ("'NoneType'",),
        "something is None here: a function without `return` gives None, and so does `append` or `sort`",
    ),
    (
        ("TypeError", "ValueError"),
        ("to unpack", "cannot unpack"),
        (
            "count the names on the left of `=`, or between `for` and `in`, and what one item holds: print it. "
            "Two lists at once are gone through with zip, places and items with enumerate"
        ),
    ),
    (("TypeError",), ("can't multiply sequence", "can only concatenate list", "can only concatenate tuple"), _LIST),
    (
        ("TypeError",),
        (
            "'list' and",
            "and 'list'",
            "unary -: 'list'",
            "not 'list'",
            "'tuple' and",
            "and 'tuple'",
            "or slices, not tuple",
            "number, not list",
        ),
        _LIST,
    ),
    (("AttributeError",), ("'list' object", "'tuple' object"), _LIST),
    (
        ("ValueError",),
        ("inhomogeneous", "array element with a sequence"),
        "arrays of different shapes make no array together: keep them in a list, and go through it with a loop or zip",
    ),
    (("ValueError",), ("zip() argument",), "the lists are of different lengths: print them"),
    (
        ("ValueError",),
        ("truth value of an array",),
        "comparing arrays gives an answer for each entry: `.all()` or `.any()` makes one of them",
    ),
    (
        ("ValueError",),
        ("broadcast", "core dimension", "not aligned", "cannot reshape", "input array", "shape mismatch"),
        _SHAPES,
    ),
    (("InvalidArgumentError",), ("shape", "dimension", "Dimension"), _SHAPES),
    (("AxisError",), ("",), _SHAPES),
    (
        ("_UFuncOutputCastingError", "UFuncTypeError"),
        ("",),
        "an array of whole numbers takes no fractions in place: make it one of floats, or write a = a + b",
    ),
    (("IndexError",), ("too many indices",), "it has fewer axes than you ask for: print its `.shape`"),
    (("IndexError",), ("out of range", "out of bounds"), _PLACE),
    (("IndexError",), ("invalid index to scalar",), _SINGLE),
    (("KeyError",), ("",), "there is no such key: print the keys that there are"),
    (("TypeError",), ("not iterable", "not subscriptable", "has no len", "unsized", "0-d array"), _SINGLE),
    (
        ("TypeError",),
        ("positional argument", "keyword argument", "multiple values for argument"),
        "compare the call with the `def`: how many arguments, in which order? An exercise's own `def` stays as it was",
    ),
    (
        ("TypeError",),
        ("not callable",),
        "round brackets call a function: should they be square ones, or has a variable the name of a function?",
    ),
    (
        ("TypeError",),
        ("scalar arrays", "converted to Python scalars"),
        "an array stands where one number is wanted: print its `.shape`",
    ),
    (("TypeError",), ("",), "something in this line has another type than it needs: print the type of each part"),
    (("AttributeError",), ("",), "is the name after the dot spelled right? Print the type of what is before it"),
    (("NameError",), ("",), "is the name spelled as where it is made, and has the cell that makes it been run?"),
    (("UnboundLocalError",), ("",), "it has a value in some cases only: give it one before the loop or the `if`"),
)


def one_line(error: BaseException) -> str:
    """An error's type and message, shortened; whatever its `str` does, this does not raise."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    message = message if len(message) <= 200 else message[:197] + "..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def help_with(raised: str) -> str:
    """What helps with an error, of whatever exercise; says nothing about the answer.

    Args:
      raised: The error in one line, as `one_line` or `where_raised` has it.

    Returns:
      A hint, or "" for an error that is not known here, such as a division by zero: the case's own may fit it.

    Example:
        >>> help_with("IndexError: list index out of range")
        'there is no such place: places go from 0 to len(...) - 1, and an empty list has none'
    """
    kind, _, message = raised.removeprefix("raised ").partition(":")
    return next((text for kinds, words, text in _HELP if kind in kinds and any(w in message for w in words)), "")


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
