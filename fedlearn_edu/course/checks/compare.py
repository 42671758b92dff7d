"""Ready-made `verify` functions for the cases of an exercise: numbers, arrays and nests of them, within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn_edu.course.checks.data import as_array, as_number, describe
from fedlearn_edu.course.checks.exercise import Problem
from fedlearn_edu.course.checks.slips import slip


def near(expected: Any, *, tolerance: float = 1e-6, structure: str = "") -> Callable[[Any], str | None]:
    """Returns a `verify` that wants the same structure and numbers within a tolerance.

    A number may come back as a Python number or an array of shape (); an array also as nested lists; a list also as a
    tuple or an array. Text, bool and None must be equal.

    Args:
      expected: Plain data, see `data.to_data`.
      tolerance: Largest allowed |got - expected| / max(1, |expected|), entry by entry.
      structure: Hint where something has another kind, length or shape, in place of the case's own.

    Returns:
      A function for `Case.verify`. What it says does not contain the expected numbers; its hint names the slip if it is
      one of those in `slips`.

    Example:
        >>> verify = near(np.array([0.5, 0.25]))
        >>> verify([0.5, 0.25])
        >>> verify([0.5, 0.75])
        '1 of 2 entries is wrong'
        >>> verify(0.5)
        'the result is a single number; expected an array of shape (2,)'
    """

    def verify(got: Any) -> str | None:
        problem = difference(got, expected, tolerance)
        if problem is None:
            return None
        named = slip(got, expected, tolerance=tolerance)
        return Problem(problem, hint=named or ("" if isinstance(problem, Problem) else structure))

    return verify


def equal(expected: Any) -> Callable[[Any], str | None]:
    """Returns a `verify` that wants exactly `expected`: like `near` with tolerance 0.

    Example:
        >>> equal({"a": 3})({"a": 3, "b": 4})
        "the result has keys that should not be there: 'b'"
    """
    return near(expected, tolerance=0.0)


def difference(got: Any, expected: Any, tolerance: float, where: str = "the result") -> str | None:
    """Returns what is wrong: as text where kind, length or shape are, as a `Problem` where only values are; else None.

    Args:
      got: Plain data.
      expected: Plain data.
      tolerance: As in `near`.
      where: What `got` is called in the message.
    """
    if isinstance(expected, np.generic):
        expected = expected.item()
    if isinstance(expected, np.ndarray) and expected.dtype.kind in "biuf":
        return _compare_array(got, expected, tolerance, where)
    if isinstance(expected, np.ndarray | list | tuple):
        return _compare_list(got, list(expected), tolerance, where)
    if isinstance(expected, dict):
        return _compare_dict(got, expected, tolerance, where)
    if as_number(expected) is not None:
        number = as_number(got)
        if number is None:
            return f"{where} is {_kind(got)}; expected a single number"
        return _compare_number(number, as_number(expected), tolerance, where)
    if isinstance(got, np.ndarray) and got.shape == ():
        got = got.item()
    if type(got) is not type(expected):
        return f"{where} is {_kind(got)}; expected {_kind(expected)}"
    return None if got == expected else Problem(f"{where} is wrong")


def _compare_number(got: float, expected: float, tolerance: float, where: str) -> str | None:
    """Python's own arithmetic: its whole numbers have no largest one."""
    if got == expected or (got != got and expected != expected):
        return None
    if _is_finite(expected) and not _is_finite(got):
        return Problem(f"{where} is NaN or infinite: a division by 0, or a number too large?")
    try:
        if abs(got - expected) <= tolerance * max(1, abs(expected)):
            return None
    except OverflowError:  # a whole number too large to be compared with a float: far off
        pass
    return Problem("the number is wrong" if where == "the result" else f"{where} is wrong")


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _compare_array(got: Any, expected: np.ndarray, tolerance: float, where: str) -> str | None:
    array = as_array(got)
    if array is None:
        return f"{where} is {_kind(got)}; expected an array of shape {expected.shape}"
    if array.shape != expected.shape:
        return f"{where} is {_kind(array)}; expected an array of shape {expected.shape}"
    if expected.dtype.kind == "b" and array.dtype.kind != "b":
        return f"{where} holds numbers; expected True and False"
    if array.dtype.kind == "f" and not np.isfinite(array).all() and np.isfinite(expected).all():
        return Problem(f"{where} holds NaN or infinity: a division by 0, or a number too large?")
    exact = np.result_type(array, expected).kind in "biu" and tolerance == 0
    if exact:
        wrong = array != expected
    else:
        left, right = array.astype(np.float64), expected.astype(np.float64)
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        with np.errstate(invalid="ignore"):
            wrong = ~(same | (np.abs(left - right) <= tolerance * np.maximum(1.0, np.abs(right))))
    count = int(np.count_nonzero(wrong))
    if not count:
        return None
    entries = f"{count} of {expected.size} entries {'is' if count == 1 else 'are'} wrong"
    return Problem(entries if where == "the result" else f"{where}: {entries}")


def _compare_list(got: Any, expected: list, tolerance: float, where: str) -> str | None:
    if isinstance(got, np.ndarray) and got.ndim:
        got = list(got)
    if not isinstance(got, list | tuple):
        return f"{where} is {_kind(got)}; expected a list of {len(expected)}"
    if len(got) != len(expected):
        return f"{where} has {len(got)} item{'s' * (len(got) != 1)}; expected {len(expected)}"
    for i, (one, other) in enumerate(zip(got, expected, strict=True)):
        one = one.item() if isinstance(one, np.generic) else one
        if problem := difference(one, other, tolerance, f"item {i} of {where}"):
            return problem
    return None


def _compare_dict(got: Any, expected: dict, tolerance: float, where: str) -> str | None:
    if not isinstance(got, dict):
        return f"{where} is {_kind(got)}; expected a dict with {len(expected)} keys"
    for text, keys in [
        ("lacks keys", expected.keys() - got.keys()),
        ("has keys that should not be there", got.keys() - expected.keys()),
    ]:
        if keys:
            return f"{where} {text}: {', '.join(sorted(describe(key, limit=30) for key in keys)[:5])}"
    for key in expected:
        if problem := difference(got[key], expected[key], tolerance, f"{describe(key, limit=30)} of {where}"):
            return problem
    return None


def _kind(value: Any) -> str:
    """What plain data is, in words."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray) and value.shape:
        return f"an array of shape {value.shape}"
    if isinstance(value, bool) or (isinstance(value, np.ndarray) and value.dtype.kind == "b"):
        return "True or False"
    if as_number(value) is not None:
        return "a single number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return f"a dict with {len(value)} keys"
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else type(value).__name__
