"""A graded batch as pandas tables: marks, exercises and students, for a teacher's own questions."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from fedlearn_edu.course.grading.mistakes import without_place

if TYPE_CHECKING:
    import pandas as pd

COMMON_MESSAGES = 3


class Tables:
    """What a `GradingResult` says, as DataFrames. Points that the teacher set count in place of the grader's."""

    def marks_table(self) -> pd.DataFrame:
        """One row per student and exercise.

        Returns:
            A DataFrame.

        Shapes:
            students x exercises rows, in the order of the tables. Columns: student, lesson, exercise, title, status,
            points, max_points, share (points / max_points, 0 to 1), message, mistake (name of the stored wrong answer
            that behaves alike, or ""), set_by_teacher (the reason, or "").

        Example:
            >>> result.marks_table().pivot(index="student", columns="exercise", values="points")  # doctest: +SKIP
        """
        import pandas as pd

        columns = (
            "student", "lesson", "exercise", "title", "status", "points", "max_points", "share", "message", "mistake",
            "set_by_teacher",
        )  # fmt: skip
        rows = [
            (
                student,
                mark.exercise_id.split(".")[0],
                mark.exercise_id,
                mark.title,
                mark.status,
                mark.points,
                mark.max_points,
                mark.points / mark.max_points,
                mark.message,
                self.mistakes.get((student, mark.exercise_id), ""),
                mark.override,
            )
            for student, row in self.marks.items()
            for mark in row
        ]
        return pd.DataFrame(rows, columns=columns)

    def exercises_table(self) -> pd.DataFrame:
        """One row per exercise: how hard it was, and what went wrong most often.

        Returns:
            A DataFrame.

        Shapes:
            One row per graded exercise, in the course's order. Columns: exercise, title, students, passed (number),
            passed_share (0 to 1), mean_points, max_points, common_messages (up to three (message, count) pairs of
            functions that were handed in and are not right, without cell and line, the commonest first),
            common_mistakes (likewise for names of stored wrong answers).
        """
        import pandas as pd

        columns = (
            "exercise", "title", "students", "passed", "passed_share", "mean_points", "max_points", "common_messages",
            "common_mistakes",
        )  # fmt: skip
        rows = []
        for exercise, marks in self.marks_table().groupby("exercise", sort=False):
            passed = marks["status"] == "passed"
            wrong = marks[~marks["status"].isin(["passed", "todo", "missing", "unreadable", "ungraded"])]
            rows.append(
                (
                    exercise,
                    marks["title"].iloc[0],
                    len(marks),
                    int(passed.sum()),
                    float(passed.mean()),
                    float(marks["points"].mean()),
                    int(marks["max_points"].iloc[0]),
                    _commonest(map(without_place, wrong["message"])),
                    _commonest(wrong["mistake"]),
                )
            )
        return pd.DataFrame(rows, columns=columns)

    def students_table(self) -> pd.DataFrame:
        """One row per student, with the totals.

        Returns:
            A DataFrame.

        Shapes:
            One row per student, in the order of the tables. Columns: student, lms_id, points, max_points, share
            (0 to 1), passed, failed (written but not right), todo, missing (also what cannot be read), exercises,
            late ("" or how late, in words).
        """
        import pandas as pd

        columns = (
            "student", "lms_id", "points", "max_points", "share", "passed", "failed", "todo", "missing", "exercises",
            "late",
        )  # fmt: skip
        rows = []
        for one in self.submissions:
            marks = self.marks.get(one.student, ())
            counts = collections.Counter(mark.status for mark in marks)
            missing = counts["missing"] + counts["unreadable"]
            failed = len(marks) - counts["passed"] - counts["todo"] - counts["ungraded"] - missing
            total, possible = self.total(one.student), self.max_total(one.student)
            share = total / possible if possible else 0.0
            rows.append(
                (one.student, one.lms_id, total, possible, share, counts["passed"], failed, counts["todo"], missing,
                 len(marks), one.late)
            )  # fmt: skip
        return pd.DataFrame(rows, columns=columns)


def _commonest(texts) -> tuple[tuple[str, int], ...]:
    """The commonest first; of equally common ones that which came first."""
    return tuple(collections.Counter(text for text in texts if text).most_common(COMMON_MESSAGES))
