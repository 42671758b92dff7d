"""Cells of text become numbers, days or categories; what could mean two things is refused by the column's name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from fedlearn_edu.data.names import is_showable, quoted, same_name
from fedlearn_edu.errors import UsageError

MISSING = frozenset(["", "na", "n/a", "#n/a", "nan", "null", "?", "-", "."])  # in lower case
MAX_CATEGORY = 100  # characters; what is longer is a text
_NUMBER_IF = 0.8  # of the values are numbers: then the others are mistakes
_ID_IF = 0.5  # of the rows have a value of their own: then it tells nothing of another row
_FEW_ROWS = 20

_POINT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?")
_GROUPED = {
    ".": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"),
    ",": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?"),
}
_GROUP_OF_THREE = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_TIME = r"([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}" + _TIME)
_DOTTED = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}")
_SLASHED = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/[0-9]{4}")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: As in the file.
        kind: `"number"`, `"date"` (days since 1970-01-01, as a number) or `"category"`.
        values: float64 with NaN where missing, or text (`U`) with `""` where missing; `[num_rows]`.
    """

    name: str
    kind: str
    values: np.ndarray

    @property
    def is_missing(self) -> np.ndarray:
        return self.values == "" if self.kind == "category" else np.isnan(self.values)


class UselessColumnError(Exception):
    """A column says nothing of the target in another row; the message says why."""


class _Cells:
    """The different values of a column, on which everything is decided, and where each stands."""

    def __init__(self, cells: np.ndarray):
        self.row_of, uniques = pd.factorize(cells)
        self.known = np.array([text.lower() not in MISSING for text in uniques], bool)
        self.texts = [str(text) for text in uniques]

    @property
    def values(self) -> list[str]:
        return [text for text, known in zip(self.texts, self.known, strict=True) if known]

    def spread(self, values: Iterable, missing, dtype) -> np.ndarray:
        """Returns one value a row from one value a different text."""
        table = np.full(len(self.texts), missing, dtype)
        if self.known.any():
            table[self.known] = np.asarray(list(values), dtype)
        return table[self.row_of]


def find_decimal(columns: dict[str, np.ndarray]) -> str:
    """Returns the sign before the decimals in this file, `"."` or `","`.

    Raises:
        UsageError: Nothing tells whether "1,234" is a thousand or a little more than one, or both signs are used.
    """
    column_of, unclear = {}, ""
    for name, cells in columns.items():
        values = [text for text in pd.unique(cells) if text.lower() not in MISSING]
        if not values or np.mean([_is_numeric(text) for text in values]) < _NUMBER_IF:
            continue
        for text in values:
            sign = _decimal_sign(text)
            if sign:
                column_of.setdefault(sign, name)
            elif "," in text and not unclear:
                unclear = f"column {quoted(name)} holds {quoted(text)}"
    if len(column_of) > 1:
        raise UsageError(
            f"table: column {quoted(column_of[','])} has decimal commas and column {quoted(column_of['.'])} decimal "
            "points; write all numbers in one way"
        )
    if unclear and not column_of:
        raise UsageError(
            f"table: {unclear}, and nothing tells whether that is a decimal comma or a thousands separator; write "
            "it without the comma"
        )
    return next(iter(column_of), ".")


def _is_numeric(text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in (_POINT, _COMMA, *_GROUPED.values()))


def _decimal_sign(text: str) -> str:
    """Returns the decimal sign that a number shows, `""` if it has none or could be read in two ways."""
    if not _is_numeric(text) or _GROUP_OF_THREE.fullmatch(text):
        return ""
    if _COMMA.fullmatch(text) or _GROUPED[","].fullmatch(text):
        return "," if "," in text or text.count(".") > 1 else ""
    return "." if "." in text or "," in text else ""


def typed_column(name: str, cells: np.ndarray, *, decimal: str, as_category: bool = False) -> Column:
    """Returns a column of text as numbers, days or categories.

    Args:
        name: The column's.
        cells: Text, `""` where there is none.
        decimal: `"."` or `","`, from `find_decimal`.
        as_category: Take numbers as names, as those of zip codes.

    Raises:
        UsageError: A few values are no numbers where the others are, or a date can be read in two ways.
        UselessColumnError: All values are missing or the same, every row has another, or they are whole texts.
    """
    of = _Cells(cells)
    if not of.values:
        raise UselessColumnError("all values are missing")
    if len(of.values) == 1 and of.known.all():
        raise UselessColumnError("all values are the same")
    if not as_category:
        dates = _as_dates(name, of.values)
        if dates is not None:
            return Column(name, "date", of.spread(dates, np.nan, np.float64))
        numbers, wrong = parse_numbers(of.values, decimal=decimal)
        if len(wrong) <= (1 - _NUMBER_IF) * len(of.values):
            if wrong and len(of.values) > 1:
                row = int(np.argmax(of.row_of == of.texts.index(wrong[0]))) + 2
                raise UsageError(
                    f"table: column {quoted(name)} holds numbers, but also {quoted(wrong[0])} (row {row} of the file); "
                    f"empty that cell, or take them as names with categories=[{quoted(name)}], or leave the column "
                    f"out with ignore=[{quoted(name)}]"
                )
            if len(set(numbers)) == 1 and of.known.all():  # "1" and "1.0"
                raise UselessColumnError("all values are the same")
            values = of.spread(numbers, np.nan, np.float64)
            if len(values) >= _FEW_ROWS and np.array_equal(values, values[0] + np.arange(len(values))):
                raise UselessColumnError("it only counts the rows")
            return Column(name, "number", values)
    return Column(name, "category", _as_categories(of, len(cells)))


def parse_numbers(values: list[str], *, decimal: str) -> tuple[list[float], list[str]]:
    """Returns numbers (NaN where it is none, or not finite), and the texts that are none."""
    numbers, wrong = [], []
    plain, other = (_POINT, ",") if decimal == "." else (_COMMA, ".")
    for text in values:
        bare = text.replace(other, "") if _GROUPED[decimal].fullmatch(text) else text
        number = float(bare.replace(",", ".")) if plain.fullmatch(bare) else np.nan
        numbers.append(number)
        if not np.isfinite(number):
            wrong.append(text)
    return numbers, wrong


def _as_dates(name: str, values: list[str]) -> list[float] | None:
    if all(map(_ISO.fullmatch, values)):
        form = "ISO8601"
    elif all(map(_DOTTED.fullmatch, values)):
        form = "%d.%m.%Y"
    elif not all(map(_SLASHED.fullmatch, values)):
        return None
    else:
        first, second = (max(int(_SLASHED.fullmatch(text)[part]) for text in values) for part in (1, 2))
        if first <= 12 and second <= 12:
            raise UsageError(
                f"table: column {quoted(name)} holds dates such as {quoted(values[0])}, whose day and month cannot be "
                f"told apart; write them as 2024-12-31, or leave the column out with ignore=[{quoted(name)}]"
            )
        form = "%d/%m/%Y" if first > 12 else "%m/%d/%Y"
    times = pd.to_datetime(pd.Series(values), format=form, errors="coerce", utc=True)
    if times.isna().any():
        wrong = values[int(np.argmax(times.isna()))]
        raise UsageError(f"table: column {quoted(name)} holds {quoted(wrong)}, which is no date; correct that cell")
    return list((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1))


def _as_categories(of: _Cells, num_rows: int) -> np.ndarray:
    values = of.values
    if max(map(len, values)) > MAX_CATEGORY:
        raise UselessColumnError(f"it holds texts of more than {MAX_CATEGORY} characters (name it with text=)")
    if num_rows >= _FEW_ROWS and len(values) > _ID_IF * num_rows:
        raise UselessColumnError("nearly every row has a value of its own")
    # A line break in a category is a space to a reader, and no end of a report's line.
    shown = [same_name(t if is_showable(t) else " ".join(re.split(r"[\s\x00-\x1f\x7f-\x9f]+", t))) for t in values]
    return of.spread(shown, "", f"U{max(1, *map(len, shown))}")
