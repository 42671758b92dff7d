"""What a history's rows come to so far, so that asking after every round does not read all of them again."""

from __future__ import annotations

import dataclasses
import math

from fedlearn_edu.simulation.history_rows import Row


@dataclasses.dataclass(frozen=True)
class HistoryIndex:
    """A summary of the first rows of a list; it never changes, so that an interrupt or a thread finds it whole.

    Attributes:
        whole: The rows of whom: `"global"`.
        metric: The task's primary one, e.g. `"accuracy"`.
        rows: The list.
        num_rows: How many of its rows are summed up here.
        last: The last of these.
        num_rounds: The highest round among them.
        global_rows: Those of the whole federation.
        value: Round and value of its newest measurement of the metric that is a number, or None.
        is_tested: Whether the metric of it is among them.
    """

    whole: str
    metric: str
    rows: list[Row]
    num_rows: int = 0
    last: Row | None = None
    num_rounds: int = 0
    global_rows: tuple[Row, ...] = ()
    value: tuple[int, float] | None = None
    is_tested: bool = False

    def of(self, rows: list[Row]) -> HistoryIndex:
        """Returns the summary of all rows of a list; reads those only that are not summed up yet."""
        if rows is not self.rows or not starts_with(rows, self.num_rows, self.last):
            return HistoryIndex(self.whole, self.metric, rows).of(rows)
        new = rows[self.num_rows :]
        if not new:
            return self
        of_whole = [row for row in new if row[1] == self.whole]
        measured = [(row[0], row[3]) for row in of_whole if row[2] == self.metric]
        known = [(number, value) for number, value in measured if not math.isnan(value)]
        if self.value:
            known.append(self.value)
        return HistoryIndex(
            self.whole,
            self.metric,
            rows,
            num_rows=self.num_rows + len(new),
            last=new[-1],
            num_rounds=max(self.num_rounds, max(row[0] for row in new)),
            global_rows=(*self.global_rows, *of_whole),
            value=max(known, key=lambda pair: pair[0], default=None),
            is_tested=self.is_tested or bool(measured),
        )


def starts_with(rows: list[Row], num_rows: int, last: Row | None) -> bool:
    """Tells whether a list that only ever grows at its end still begins with the rows that were seen."""
    return num_rows == 0 or (len(rows) >= num_rows and rows[num_rows - 1] is last)
