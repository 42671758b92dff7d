"""A growing history on disk, as part of a checkpoint: a round adds its rows, and writes no other again."""

from __future__ import annotations

import os
import pathlib

from fedlearn_edu.files import write_whole
from fedlearn_edu.simulation.history import History
from fedlearn_edu.simulation.history_index import starts_with
from fedlearn_edu.simulation.history_rows import end_of_round, write_rows


class HistoryFiles:
    """The files of `History.save`, of which the table grows at its end.

    A process that is killed, or a disk that becomes full, while rows are added leaves a table with some rows of a round
    that has no state yet, the last of them perhaps cut. They are not read, and the next round's rows replace them.

    Args:
        directory: The folder of the run's checkpoints.
    """

    def __init__(self, directory: os.PathLike):
        self._directory = pathlib.Path(directory)
        self._table = self._directory / "history.csv"
        self._written = (0, None, 0)  # rows, the last of them, bytes: in one value, as they hold together only

    def save(self, history: History) -> None:
        """Writes what was measured since the last call; everything, if that is not what the history begins with.

        Raises:
            OSError: The disk is full or the folder has become unwritable.
        """
        history.save_model(self._directory)
        num_rows, last, size = self._written
        if num_rows and starts_with(history.rows, num_rows, last):
            # No other file than this folder's own: not created, and not through a link.
            with open(os.open(self._table, os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
                file.truncate(size)
                file.seek(size)
                write_rows(file, history.rows[num_rows:], header=False)
                size = file.tell()
        else:
            write_whole(self._table, lambda file: write_rows(file, history.rows), to_disk=False)
            size = self._table.stat().st_size
        self._written = (len(history.rows), history.rows[-1] if history.rows else None, size)

    def load(self, round_num: int) -> History:
        """Returns the history up to a round.

        Raises:
            UsageError: It is missing or damaged.
        """
        history = History.load(self._directory, num_rounds=round_num)
        if history.rows:
            self._written = (len(history.rows), history.rows[-1], end_of_round(self._table.read_bytes(), round_num))
        return history
