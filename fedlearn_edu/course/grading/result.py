"""What a graded batch is: marks by student, and all that is to be told of them."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.grading.changes import Change
from fedlearn_edu.course.grading.frames import Tables
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.similar import Pair
from fedlearn_edu.course.grading.submissions import Submission


def _now() -> str:
    return datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


@dataclasses.dataclass(frozen=True)
class GradingResult(Tables):
    """A graded batch.

    Attributes:
        submissions: In the order of the tables.
        marks: By student, in the order of the exercises.
        seed: Seed of the hidden cases; not shown where the result is.
        isolation: Key of `isolation.LEVELS`: the walls around learner code.
        notes: By student, and under "" for what is nobody's, one line on everything left out or unusual.
        num_resumed: Marks taken over from an earlier run.
        seconds: Wall time.
        files: What was written, by purpose.
        remarks: Lines on the batch as a whole: what was taken over, whose marks moved, who was waited for.
        changes: Students whose marks are not those of the run before.
        similar: Pairs whose answers are alike but for names and layout.
        sources: The notebook that was graded, by student and lesson.
        mistakes: By student and exercise id, the name of the stored wrong answer that goes wrong alike.
        graded_at: Date and time, with the time zone.
    """

    submissions: tuple[Submission, ...]
    marks: Mapping[str, tuple[Mark, ...]]
    seed: int = dataclasses.field(repr=False)
    isolation: str
    notes: Mapping[str, Sequence[str]]
    num_resumed: int
    seconds: float
    files: Mapping[str, pathlib.Path]
    remarks: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    similar: tuple[Pair, ...] = ()
    sources: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    mistakes: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    graded_at: str = dataclasses.field(default_factory=_now)

    @property
    def problems(self) -> tuple[str, ...]:
        """All notes, student by student."""
        return tuple(line for lines in self.notes.values() for line in lines)

    def told(self, student: str, mark: Mark) -> str:
        """The mark's message; where a stored wrong answer goes wrong alike, that one's name stands first."""
        mistake = self.mistakes.get((student, mark.exercise_id), "")
        return "; ".join(filter(None, [f"known mistake: {mistake}" if mistake else "", mark.message]))

    def total(self, student: str) -> float:
        """Points of one student, after what is taken off for being late."""
        return round(sum(mark.points for mark in self.marks[student]) - self.taken_off(student), 2)

    def taken_off(self, student: str) -> float:
        """Points taken off for being late, at most those there are."""
        share = next((one.late_share for one in self.submissions if one.student == student), 0.0)
        return round(min(share * self.max_total(student), sum(mark.points for mark in self.marks[student])), 2)

    def max_total(self, student: str) -> int:
        """Points that the student could have had."""
        return sum(mark.max_points for mark in self.marks[student])
