"""A table that a teacher exported: its cells can be read and set, and all else stays as it was, byte for byte."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable

from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError

_MAX_BYTES = 100_000_000
_MAX_HEADER = 100_000  # characters
_DELIMITERS = ",;\t"
_QUOTE_NEEDED = re.compile(r'[",;\t\r\n]')


class Sheet:
    """The rows of a CSV file; an LMS takes a table back only if its headers, columns and encoding are its own.

    Args:
        path: The file: UTF-8, with or without a byte order mark; comma, semicolon or tab between cells.
        argument: What the caller calls it, for messages.

    Raises:
        UsageError: It cannot be read as such a table, or holds no row below its headers.
    """

    def __init__(self, path: str | os.PathLike, argument: str):
        self.path = pathlib.Path(path)
        self.argument = argument
        text = self._read()
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        text = text.removeprefix("\ufeff")
        first = re.sub('"[^"]*("|$)', "", text[:_MAX_HEADER]).split("\n", 1)[0]
        self._delimiter = max(_DELIMITERS, key=lambda one: (first.count(one), -_DELIMITERS.index(one)))
        self._raw = self._split(text)
        self.rows = [[_plain(raw) for raw, _ in row] for row in self._raw]
        if len(self.rows) < 2:
            raise self.error("expected a row of headers and rows below it")

    def error(self, what: str) -> UsageError:
        """One line that names the argument and the file."""
        return UsageError(f"{self.argument}: {self.path}: {what}")

    @property
    def header(self) -> list[str]:
        """The first row, without spaces around the names."""
        return [cell.strip() for cell in self.rows[0]]

    def check_widths(self, rows: Iterable[int]) -> None:
        """Refuses a table if one of these rows has not as many cells as the header.

        Raises:
            UsageError: One has more or less.
        """
        for row in rows:
            if len(self.rows[row]) != len(self.rows[0]):
                raise self.error(f"row {row + 1} has {len(self.rows[row])} cells, its header {len(self.rows[0])}")

    def check_own(self, columns: Iterable[str]) -> None:
        """Refuses a teacher's own table if a row has a cell too many, or one of these columns is there twice.

        Raises:
            UsageError: Which.
        """
        header = [name.casefold() for name in self.header]
        for column in columns:
            if header.count(column) > 1:
                raise self.error(f"the column {column!r} is there twice; leave one in")
        for row in range(1, len(self.rows)):
            if any(cell.strip() for cell in self.rows[row][len(header) :]):
                raise self.error(
                    f"row {row + 1} has {len(self.rows[row])} cells, its header {len(header)}; what holds a "
                    f"{self._delimiter!r} needs quotation marks"
                )

    def cell(self, row: int, column: int) -> str:
        """One cell, without spaces around it, "" where a row is shorter; row 0 is the header."""
        cells = self.rows[row]
        return cells[column].strip() if column < len(cells) else ""

    def set(self, row: int, column: int, value: str) -> None:
        """Sets one cell; quoted if it was, or if it must be."""
        if self.rows[row][column] == value:
            return
        raw, end = self._raw[row][column]
        quoted = raw.startswith('"') or _QUOTE_NEEDED.search(value) or value != value.strip()
        self._raw[row][column] = ('"' + value.replace('"', '""') + '"' if quoted else value, end)
        self.rows[row][column] = value

    def text(self) -> str:
        """The whole file."""
        return self._mark + "".join(raw + end for row in self._raw for raw, end in row)

    def _read(self) -> str:
        try:
            with open(self.path, "rb") as stream:
                content = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from None
        if len(content) > _MAX_BYTES:
            raise self.error(f"more than {_MAX_BYTES // 1_000_000} MB, which no table of a course is")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error('expected UTF-8; export it again, or save it as "CSV UTF-8"') from None
        if "\0" in text:
            raise self.error("expected a table (.csv), got something else; export it as CSV")
        return text

    def _split(self, text: str) -> list[list[tuple[str, str]]]:
        """Rows of (cell as it stands there, what ends it)."""
        # Python's own reader forgets which cells were quoted, and takes none of more than 128 kB.
        field = re.compile(rf'("[^"]*(?:""[^"]*)*"|[^"{self._delimiter}\r\n]*)({self._delimiter}|\r\n|\n|\r|\Z)')
        rows, row, start = [], [], 0
        while start < len(text):
            match = field.match(text, start)
            if not match:
                line = text.count("\n", 0, start) + 1
                shown = clean(text[start : start + 40])
                raise self.error(f"line {line}: a quotation mark that is never closed, or not doubled: {shown}")
            row.append((match[1], match[2]))
            start = match.end()
            if match[2] != self._delimiter:
                rows.append(row)
                row = []
        if row:
            rows.append([*row, ("", "")])
        return [row for row in rows if row]


def _plain(raw: str) -> str:
    return raw[1:-1].replace('""', '"') if raw.startswith('"') else raw


def number_of(text: str) -> float | None:
    """A number as a spreadsheet of any language writes it, with a decimal point or comma; None if it is none.

    Example:
        >>> number_of("24,00"), number_of("1.5"), number_of("-")
        (24.0, 1.5, None)
    """
    return float(text.replace(",", ".")) if re.fullmatch(r"[0-9]{1,9}(?:[.,][0-9]{0,9})?", text, re.ASCII) else None
