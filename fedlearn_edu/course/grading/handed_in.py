"""When each student handed in, and what being late costs: the words and the share for every submission."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.grading.lateness import Deadline, Penalty, in_words, parse_time
from fedlearn_edu.course.grading.moodle import Worksheet
from fedlearn_edu.course.grading.roster import NOTHING, listed
from fedlearn_edu.course.grading.sheet import Sheet
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError


def times_of(
    submissions: Sequence[Submission],
    deadline: Deadline,
    *,
    handed_in: str | os.PathLike | None,
    worksheet: Worksheet | None,
    rows: Mapping[str, int],
    said: list[str],
) -> dict[str, datetime.datetime]:
    """Finds out when each student handed in.

    Args:
        submissions: All of the batch.
        deadline: Its zone is taken for times that name none.
        handed_in: The teacher's own table of times, which goes before the worksheet.
        worksheet: Moodle's.
        rows: In the worksheet, by `Submission.student`.
        said: Gets a line on whom nothing is known of, and on how times were read.

    Raises:
        UsageError: Nothing tells the times, or one of them cannot be read for certain.
    """
    given = [one for one in submissions if one.instead != NOTHING]
    if handed_in:
        times = _from_table(handed_in, given, deadline)
        if unknown := [one.student for one in given if one.student not in times]:
            said.append(f"handed_in names no time, so taken for on time unless Canvas says late: {listed(unknown)}")
        return times
    if worksheet is None:
        if any(one.late for one in given):
            raise UsageError("deadline: Canvas's names tell who was late, not when; leave it out or give --handed-in")
        raise UsageError("deadline: nothing tells when work was handed in; give --moodle-worksheet or --handed-in")
    stamps, unclear = worksheet.submitted(deadline.zone)
    if not stamps:
        raise worksheet.error("it has no times of submission; give --handed-in, with the columns student and time")
    if unread := [student for student, row in rows.items() if row in stamps and stamps[row] is None]:
        stamp = worksheet.stamp(rows[unread[0]])
        raise worksheet.error(
            f"no certain time of submission for {listed(unread)}: {stamp!r}; give --handed-in, with student and time"
        )
    said.append(f"times in the worksheet were read as those of {deadline.zone_name}, like the deadline")
    if unclear:
        said.append("all times in the worksheet are before 13:00: if it leaves out am and pm, give --handed-in")
    times = {student: stamps[row] for student, row in rows.items() if row in stamps}
    if unknown := [one.student for one in given if one.student not in times]:
        said.append(f"the worksheet has no time of submission, so taken for on time: {listed(unknown)}")
    return times


def _from_table(
    path: str | os.PathLike, submissions: Sequence[Submission], deadline: Deadline
) -> dict[str, datetime.datetime]:
    sheet = Sheet(path, "handed_in")
    header = [name.casefold() for name in sheet.header]
    if not {"student", "time"} <= set(header):
        found = ", ".join(clean(name, limit=40) for name in sheet.header[:8])
        raise sheet.error(f'expected the columns "student" and "time"; found {found}')
    times = {}
    for row in range(1, len(sheet.rows)):
        name, text = clean(sheet.cell(row, header.index("student"))), sheet.cell(row, header.index("time"))
        if not name:
            continue
        who = [one for one in submissions if name in (one.student, one.lms_id)]
        who = who or [one for one in submissions if one.name == name]
        if len(who) != 1:
            often = f"{len(who)} students are" if who else "nobody who handed in is"
            raise sheet.error(f"row {row + 1}: {often} called {name!r}; give names as in the totals, or numbers")
        student = who[0].student
        if student in times:
            raise sheet.error(f"{student} is there twice; leave one time in")
        times[student] = parse_time(text, deadline.zone)
        if times[student] is None:
            shown = clean(text, limit=40)
            raise sheet.error(f'row {row + 1}: expected a time such as "2026-12-01 08:30" for {student}, got {shown!r}')
    return times


def judge(
    one: Submission, moment: datetime.datetime | None, deadline: Deadline | None, penalty: Penalty | None
) -> Submission:
    """Says how late a submission is, or that it is where only Canvas's mark tells, and what that costs.

    Raises:
        UsageError: The penalty is per day, and nothing tells how late it is.
    """
    delay = moment - deadline.moment if moment and deadline else None
    if delay is not None and delay <= datetime.timedelta(0):
        return dataclasses.replace(one, late="")
    if delay is None and not one.late:
        return one
    words = in_words(delay) if delay is not None else one.late
    if penalty is None:
        return dataclasses.replace(one, late=words)
    if delay is None and penalty.per_day:
        raise UsageError(
            f"late_penalty: Canvas says that {one.student} is late, not how late; give --deadline and --handed-in, or "
            f"a penalty without /day"
        )
    share = penalty.of(delay)
    words = f"{words}; {100 * share:g} % of the points that could be had are taken off"
    return dataclasses.replace(one, late=words, late_share=share)
