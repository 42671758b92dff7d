"""Runs on disk: what a benchmark has measured so far, so that it can be interrupted and goes on."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import pandas as pd

import fedlearn_edu as fl


def named_apart(data: fl.FederatedDataset, key: float | str) -> fl.FederatedDataset:
    """Returns the same federation with clients called `key-client`: the order of a client's examples hangs on its name.

    Runs on several federations of the same clients then differ in more than who holds what.
    """
    prefix = key if isinstance(key, str) else f"{key:g}"
    return dataclasses.replace(data, clients={f"{prefix}-{c}": split for c, split in data.clients.items()})


class StoredRuns:
    """A table of runs and its CSV file, which is whole at any moment.

    Args:
        path: The file; it is made with the first rows.
        columns: Of the table.
        keys: Those of the columns that say which run a row belongs to; a row takes the place of one with the same keys.
        anew: Start with an empty table.

    Attributes:
        table: All rows so far.
    """

    def __init__(self, path: pathlib.Path, columns: list[str], keys: list[str], *, anew: bool = False):
        self._path, self._columns, self._keys = path, columns, keys
        self.table = pd.DataFrame(columns=columns) if anew or not path.exists() else pd.read_csv(path)

    def made(self, *columns: str) -> set[tuple]:
        """Returns the combinations of values that occur in some columns; None stands where a cell is empty."""
        cells = self.table[list(columns)].astype(object)
        return set(cells.where(cells.notna(), None).itertuples(index=False, name=None))

    def add(self, rows: list[tuple]) -> None:
        """Adds rows to the table and writes the file."""
        if not rows:
            return
        new = pd.DataFrame(rows, columns=self._columns)
        if len(self.table):
            both = pd.concat([self.table, new], ignore_index=True)
            new = both.drop_duplicates(self._keys, keep="last", ignore_index=True)
        self.table = new
        unfinished = self._path.with_suffix(".unfinished")
        self.table.to_csv(unfinished, index=False, float_format="%.4f")
        os.replace(unfinished, self._path)
