"""A history's rows: what each holds, and how they are written, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import pandas as pd

COLUMNS = ["round_num", "client_id", "metric", "value"]
Row = tuple[int, str, str, float]


def write_rows(file: BinaryIO, rows: Sequence[Row], *, header: bool = True) -> None:
    """Writes rows as CSV, each whole in one line; numbers come back from it as they were, bit for bit."""
    pd.DataFrame(rows, columns=COLUMNS).astype({"value": float}).to_csv(file, index=False, header=header)


def end_of_round(table: bytes, round_num: int) -> int:
    """Returns at which byte of a table that grew round by round the rows of a round end.

    Args:
        table: What `write_rows` wrote; a cut last line counts as not written.
        round_num: The round; rows of later ones may be missing.
    """
    return table.find(b"\n%d," % (round_num + 1)) + 1 or table.rfind(b"\n") + 1
