"""A user's own table or folder of texts, recognised among what `load_dataset` is given."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.names import one_line, quoted
from fedlearn_edu.data.table_file import SUFFIXES, read_columns
from fedlearn_edu.data.tables import load_table
from fedlearn_edu.data.texts import holds_texts, load_texts
from fedlearn_edu.errors import UsageError, nearest_names


class TableArguments(TypedDict, total=False):
    """The arguments of `load_table` by name; `encoding` is one of `load_texts`, too."""

    target: str
    client: str | None
    text: str | None
    task: str | None
    positive: str | None
    unit: str | None
    ignore: Sequence[str]
    categories: Sequence[str]
    encoding: str | None


def load_own(name: str, of_table: Mapping[str, Any]) -> Dataset | None:
    """Returns a table or a folder of texts; None for anything else.

    Raises:
        UsageError: No target is named, or an argument of a table is given for something else.
    """
    given = {argument: value for argument, value in of_table.items() if value not in (None, (), [])}
    for argument in given:
        if argument not in TableArguments.__annotations__:
            raise UsageError(f"{argument}: no such argument; {nearest_names(argument, TableArguments.__annotations__)}")
    path = os.path.expanduser(name)
    if name.lower().endswith(SUFFIXES) and not os.path.isdir(path):
        if "target" not in given:
            columns = ", ".join(map(quoted, read_columns(path, encoding=given.get("encoding"))))
            raise UsageError(
                f"target: name the column of {quoted(os.path.basename(name))} to predict, one of "
                f"{one_line(columns, limit=400)}"
            )
        return load_table(name, **given)
    if os.path.isdir(path) and holds_texts(path):
        encoding = given.pop("encoding", None)
        refuse_columns(name, given)
        return load_texts(name, encoding=encoding)
    return None


def refuse_columns(name: str, of_table: Mapping[str, Any]) -> None:
    """Raises UsageError if an argument of a table was given for something that is none."""
    for argument, value in of_table.items():
        if value not in (None, (), []):
            raise UsageError(f"{argument}: only for a table (.csv), got {quoted(value)} for {quoted(name)}")
