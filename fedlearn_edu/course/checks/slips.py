"""Names the slip behind wrong numbers, such as a flipped sign or swapped axes, and never the right numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn_edu.course.checks.data import as_array, as_number

_CLOSE = 1e-6
_TOLD_FACTORS = (*range(2, 11), 100, 1000)
# What undoes the slip -> how it is said.
_UNDONE_BY = (
    (lambda got: -got, "every number has the opposite sign"),
    (lambda got: 1 - got, "every number is what the right one lacks to 1: is something counted the wrong way round?"),
    (lambda got: np.sqrt(np.abs(got)), "every number is a square of the right one: is a root missing?"),
    (np.square, "every number is a root of the right one: is there a root too many?"),
)


def slip(got: Any, expected: Any, *, tolerance: float = 0.0) -> str:
    """Says what kind of slip makes these wrong numbers of the right ones.

    Of a single number nothing is said from which the right one follows, except that its sign is wrong.

    Args:
      got: Plain data that is wrong.
      expected: Plain data that is right.
      tolerance: Largest relative difference that counts as equal; 1e-6 at least.

    Returns:
      A hint in a few words, or "" if it is no slip that is known here.

    Example:
        >>> slip([[1, 2], [3, 4]], np.array([[1, 3], [2, 4]])), slip([2.0, 6.0], [1.0, 3.0]), slip(7.0, 2.0)
        ('rows and columns are swapped', 'every number is 2 times too large', '')
    """
    if _is_text_list(got) and _is_text_list(expected) and len(got) == len(expected):
        return "the right names, but in another order" if sorted(got) == sorted(expected) else ""
    try:
        pairs = _pairs(got, expected)
    except OverflowError:  # a whole number that is too large for a float
        return ""
    if not pairs or not all(np.isfinite(part).all() for pair in pairs for part in pair):
        return ""
    tolerance = max(tolerance, _CLOSE)
    with np.errstate(all="ignore"):  # the square of a huge number is no slip, and no reason for a warning
        # What is right has no slip in common with the rest, except for zeros: a flipped sign leaves them right.
        wrong = [n for n, (a, b) in enumerate(pairs) if a.shape != b.shape or not _near(a, b, tolerance) or not b.any()]
        if wrong and (named := _slip_of([pairs[number] for number in wrong], tolerance)):
            some = f"part {wrong[0] + 1} of {len(pairs)}: " if len(wrong) == 1 else "in what is wrong, "
            return named if len(wrong) == len(pairs) else some + named
        first = next((n for n in wrong if pairs[n][0].shape == pairs[n][1].shape and pairs[n][1].any()), None)
        if first is not None and len(pairs) > 1 and (named := _slip_of([pairs[first]], tolerance)):
            return f"part {first + 1} of {len(pairs)}: {named}"
    return ""


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(item, str) for item in value)


def _pairs(got: Any, expected: Any) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Numbers and arrays that belong together; None if the two are not built alike, or differ in something else."""
    if isinstance(expected, np.ndarray) and expected.dtype.kind in "biuf" and expected.shape:
        array = as_array(got)
        return None if array is None else [(array, expected)]
    if as_number(expected) is not None:
        number = as_number(got)
        return None if number is None else [(np.array(float(number)), np.array(float(as_number(expected))))]
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return None
        got, expected = [got[key] for key in expected], list(expected.values())
    if isinstance(expected, list | tuple):
        if not (isinstance(got, list | tuple) or (isinstance(got, np.ndarray) and got.ndim)):
            return None
        if len(got) != len(expected):
            return None
        parts = [_pairs(one, other) for one, other in zip(got, expected, strict=True)]
        return None if None in parts else [pair for part in parts for pair in part]
    return [] if type(got) is type(expected) and got == expected else None


def _slip_of(pairs: list[tuple[np.ndarray, np.ndarray]], tolerance: float) -> str:
    """The slip that all these have in common."""
    if any(one.shape != other.shape for one, other in pairs):
        return _shape_slip(pairs, tolerance)
    one, other = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*pairs, strict=True))
    if _near(one, other, tolerance):
        return ""
    if other.size == 1:
        # Whole numbers are counts and places, where 1 and -1 are no flipped sign.
        wrong_sign = _near(-one, other, tolerance) and abs(other[0]) > tolerance and other[0] % 1
        return "look at the sign: is it the right way round?" if wrong_sign else _rounding_slip(one, other)
    if all(pair[1].dtype.kind == "b" for pair in pairs):
        return "True and False are the wrong way round" if np.array_equal(one, 1 - other) else ""
    return _number_slip(one, other, tolerance) or _order_slip(pairs, one, other, tolerance)


def _near(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    difference = np.abs(one.astype(np.float64) - other)
    return bool((difference <= tolerance * np.maximum(1.0, np.abs(other))).all())


def _shape_slip(pairs: list, tolerance: float) -> str:
    """Of arrays that have another shape than expected, but not another number of entries."""
    if any(one.size != other.size or not one.size for one, other in pairs):
        return ""
    if all(one.T.shape == other.shape and _near(one.T, other, tolerance) for one, other in pairs):
        return "rows and columns are swapped"
    right = all(_near(one.ravel(), other.ravel(), tolerance) for one, other in pairs)
    return "the numbers are right, the shape is not" if right else ""


def _number_slip(one: np.ndarray, other: np.ndarray, tolerance: float) -> str:
    """Of at least two numbers, each in its place."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    for undo, text in _UNDONE_BY:
        if _near(undo(one), other, tolerance):
            return text
    if _near(np.abs(one), np.abs(other), tolerance):
        return "every number has the right size, but not all have the right sign"
    scale = np.abs(other).max()
    if text := _rounding_slip(one, other):
        return text
    if np.ptp(other) > tolerance * max(1.0, scale):
        offset = one - other
        if np.ptp(offset) <= tolerance * max(1.0, scale) and abs(offset[0]) > tolerance:
            way = "large" if offset[0] > 0 else "small"
            return f"every number is too {way} by the same amount"
    return _factor_slip(one, other, tolerance)


def _rounding_slip(one: np.ndarray, other: np.ndarray) -> str:
    if not one.any() or np.array_equal(other, np.rint(other)):
        return ""
    if one.size > 1 and any(np.array_equal(one, cut(other)) for cut in (np.trunc, np.floor, np.rint, np.ceil)):
        return "the numbers are whole, and should not be: is there an `int`, a `//` or a `round`?"
    told_apart = [digits for digits in range(2, 6) if np.abs(one).max() >= 10.0 ** (1 - digits)]
    if any(_near(one, np.round(other, digits), 1e-12) for digits in told_apart):
        return "rounded: give back all digits"
    close = (np.abs(one - other) <= 1e-4 * np.abs(other)).all()
    return "very close, but not exact: is something rounded on the way, or added to avoid a 0?" if close else ""


def _factor_slip(one: np.ndarray, other: np.ndarray, tolerance: float) -> str:
    large = np.abs(other) >= 1e-3 * np.abs(other).max()
    if np.ptp(np.abs(other[large])) <= tolerance or not one.any():
        return ""  # of equal numbers any constant is a multiple
    factor = float(np.median(one[large] / other[large]))
    if not np.isfinite(factor) or not _near(one, factor * other, tolerance):
        return ""
    sign = ", and has the opposite sign" if factor < 0 else ""
    times, way = (abs(factor), "large") if abs(factor) > 1 else (1 / abs(factor), "small")
    told = next((number for number in _TOLD_FACTORS if abs(times - number) <= 1e-6 * number), None)
    if told:
        return f"every number is {told} times too {way}{sign}"
    return f"every number is too {way} by one and the same factor{sign}"


def _order_slip(pairs: list, one: np.ndarray, other: np.ndarray, tolerance: float) -> str:
    square = [pair for pair in pairs if pair[0].ndim == 2 and pair[0].shape[0] == pair[0].shape[1]]
    if square and all(_near(a.T if a.ndim == 2 else a, b, tolerance) for a, b in pairs if a.T.shape == b.shape):
        return "rows and columns are swapped"
    differ = len(np.unique(other)) == other.size > 2  # labels and counts come out alike too often
    again = differ and _near(np.sort(one), np.sort(other), tolerance)
    return "the right numbers, but in another order" if again else ""
