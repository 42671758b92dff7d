"""When each student handed in, and what being late costs: the words and the share for every submission."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.grading.lateness import Deadline, Penalty, in_words, parse_time
from fedlearn_edu.course.grading.moodle import Worksheet
from fedlearn_edu.course.grading.overrides import find_student, students_by_name
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
        handed_in: The teacher's own table of times; whom it names not, the worksheet may.
        worksheet: Moodle's.
        rows: In the worksheet, by `Submission.student`.
        said: Gets a line on whom nothing is known of, and on how times were read.

    Raises:
        UsageError: Nothing tells the times, or one of them cannot be read for certain.
    """
    given = [one for one in submissions if one.instead != NOTHING]
    times = _from_table(handed_in, submissions, deadline) if handed_in else {}
    if worksheet is None and not handed_in:
        if any(one.late for one in given):
            raise UsageError("deadline: Canvas's names tell who was late, not when; leave it out or give --handed-in")
        raise UsageError("deadline: nothing tells when work was handed in; give --moodle-worksheet or --handed-in")
    if worksheet is not None:
        times = _from_worksheet(worksheet, rows, deadline, times, said)
    if unknown := [one.student for one in given if one.student not in times]:
        # The worksheet is Moodle's, which has no such marks.
        canvas = "" if worksheet else " unless Canvas says late"
        said.append(f"no time of submission, so taken for on time{canvas}: {listed(unknown)}")
    return times


def _from_worksheet(
    worksheet: Worksheet,
    rows: Mapping[str, int],
    deadline: Deadline,
    times: Mapping[str, datetime.datetime],
    said: list[str],
) -> dict[str, datetime.datetime]:
    """Adds the worksheet's times to those of the teacher's own table, which go before."""
    stamps, unclear = worksheet.submitted(deadline.zone)
    left = {student: row for student, row in rows.items() if row in stamps and student not in times}
    if not stamps and not times:
        raise worksheet.error("it has no times of submission; give --handed-in, with the columns student and time")
    if unread := [student for student, row in left.items() if stamps[row] is None]:
        stamp = worksheet.stamp(left[unread[0]])
        raise worksheet.error(
            f"no certain time of submission for {listed(unread)}: {stamp!r}; give --handed-in, with student and time"
        )
    if left:
        said.append(f"times in the worksheet were read as those of {deadline.zone_name}, like the deadline")
    if left and unclear:
        said.append("all times in the worksheet are before 13:00: if it leaves out am and pm, give --handed-in")
    return {student: stamps[row] for student, row in left.items()} | dict(times)


def _from_table(
    path: str | os.PathLike, submissions: Sequence[Submission], deadline: Deadline
) -> dict[str, datetime.datetime]:
    sheet = Sheet(path, "handed_in")
    header = [name.casefold() for name in sheet.header]
    columns = ("student", "time")
    if not set(columns) <= set(header):
        found = ", ".join(clean(name, limit=40) for name in sheet.header[:8])
        raise sheet.error(f'expected the columns "student" and "time"; found {found}')
    sheet.check_own(columns)
    times, known = {}, students_by_name(submissions, {})
    for row in range(1, len(sheet.rows)):
        name, text = (sheet.cell(row, header.index(column)) for column in columns)
        if not name:
            continue
        try:
            found = find_student(clean(name), known)
        except ValueError as error:
            raise sheet.error(f"row {row + 1}: {error}") from None
        student = found.student
        if found.instead == NOTHING and text in ("", "-"):
            continue  # a table of the whole class
        if found.instead == NOTHING:
            raise sheet.error(f"row {row + 1}: {student} handed in nothing")
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

    Where clocks change between deadline and submission, a day has 24 hours or ends at the deadline's time on the clock,
    whichever costs the student less. A deadline without seconds holds for its whole minute: an LMS shows no seconds.

    Raises:
        UsageError: The penalty is per day, and nothing tells how late it is.
    """
    delay = clocks = None
    if moment and deadline:
        if not deadline.moment.second:
            moment = moment.replace(second=0, microsecond=0)
        # Python takes the difference of two times of one zone by the clock, as if no clock ever changed.
        delay = moment.astimezone(datetime.UTC) - deadline.moment.astimezone(datetime.UTC)
        clocks = moment.astimezone(deadline.zone).replace(tzinfo=None) - deadline.moment.replace(tzinfo=None)
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
    share = penalty.of(min(delay, clocks) if delay else None)
    words = f"{words}; {100 * share:g} % of the points that could be had are taken off"
    return dataclasses.replace(one, late=words, late_share=share)
