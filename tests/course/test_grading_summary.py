"""What the terminal and the tables say of a class, in words that fit."""

import csv
import dataclasses
import io
import pathlib

import pytest
from click.testing import CliRunner
from grading_problems import make_exercises, notebook, write

from fedlearn_edu.cli import cli
from fedlearn_edu.course.grading import GradingResult, batch, grade, report
from fedlearn_edu.course.grading.changes import find_changes, told
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.plan import make_plan
from fedlearn_edu.course.grading.reader import Handed
from fedlearn_edu.course.grading.submissions import Submission, read_submissions
from fedlearn_edu.course.grading.summary import summary, told_waiting

IDS = ("04.server_update", "04.client_update", "04.fed_avg_round", "12.find_flaw")


def result(points, **fields):
    """A batch in which each student has these points of 2, 4, 4 and 5."""
    marks = {
        student: tuple(
            Mark(id, id, "passed" if value == most else "failed", value, most)
            for id, value, most in zip(IDS, row, (2, 4, 4, 5), strict=False)
        )
        for student, row in points.items()
    }
    submissions = tuple(Submission(student, student, "", "", (), identity=student) for student in points)
    files = report.paths(pathlib.Path("out/grades.csv"), None)
    made = GradingResult(submissions, marks, 5, "limits", dict.fromkeys(points, ()), 0, 1.0, files)
    return dataclasses.replace(made, **fields)


def test_a_class_at_a_glance():
    text = summary(
        result({"ada": (2, 4, 4, 5), "ben": (2, 4, 1, 4), "cem": (2, 3, 0, 3.5), "nora": (0.0, 0.0, 0.0, 0.0)})
    )
    assert "4 submissions, 16 exercises: 9 failed, 7 passed\n" in text
    # By hand: totals 15, 11, 8.5 and 0; of 16 points for the round 5 were earned, of 16 for the update 11.
    assert "Points: mean 8.6, median 9.75 of 15; share of the points in the hardest: 04.fed_avg_round 31%, " in text
    assert "12.find_flaw 62%, 04.client_update 69%\n" in text
    assert "No points: nora\n" in text


def test_those_who_handed_in_nothing_are_counted_and_said_to_be():
    made = result({"ada": (2,), "ben": (1,), "cem": (0.0,)})
    absent = dataclasses.replace(made.submissions[2], instead="nothing was handed in")
    text = summary(dataclasses.replace(made, submissions=(*made.submissions[:2], absent)))
    assert text.startswith("2 of 3 students handed in, 3 exercises: 2 failed, 1 passed\n")
    assert "Points: mean 1.0, median 1 of 2 over all 3, who handed in nothing with 0; share of" in text


def test_one_student_is_no_class_and_one_is_no_plural():
    text = summary(result({"ada": (2,)}))
    assert text.startswith("1 submission, 1 exercise: 1 passed\nWalls around")
    assert "0 marks from an earlier run" in text


def test_a_class_without_a_fault_has_no_hardest_exercise_and_nobody_without_points():
    text = summary(result({"ada": (2, 4), "ben": (2, 4)}))
    assert "Points: mean 6.0, median 6 of 6\n" in text
    assert "No points" not in text


def test_long_lists_are_cut():
    text = summary(result({f"s{number}": (0,) for number in range(9)}))
    assert "No points: s0, s1, s2, s3, s4 and 4 more\n" in text


def test_who_was_waited_for_and_what_time_would_do():
    slow = [("fatima", Mark("12.clip", "", "timeout", 0, 1, seconds=30.0))] * 5
    slow += [("ben", Mark("12.clip", "", "timeout", 0, 1, seconds=5.0))]
    right = Mark("04.fed_avg_round", "", "passed", 1, 1, seconds=2.1)
    failed = Mark("04.x", "", "failed", 0, 1, seconds=29.0)
    marks = [mark for _, mark in slow] + [right, failed]
    assert told_waiting(slow, marks, 30.0) == [
        "waited 155 s for fatima (5 timeouts), ben (1 timeout); --timeout 10 is enough for all who passed "
        "(slowest: 2.1 s, 04.fed_avg_round)"
    ]
    assert told_waiting([("a", right)], marks, 30.0) == []
    assert told_waiting(slow[-1:], marks, 10.0) == ["waited 5 s for ben (1 timeout)"], "no less time would be enough"
    assert told_waiting(slow[-1:], [failed], 30.0) == ["waited 5 s for ben (1 timeout)"], "nobody passed"


def test_many_changes_are_a_few_words():
    before = {f"s{number}": (1.0, {"04.x": ("failed", 1.0)}) for number in range(7)}
    now = {f"s{number}": (2.5, {"04.x": ("passed", 2.5)}) for number in range(7)}
    [line] = told(find_changes(before, now), "g_changes.csv")
    assert line.startswith("changed: s0 1 -> 2.5 (1 exercise); ")
    assert line.endswith("s4 1 -> 2.5 (1 exercise); and 2 more in g_changes.csv")
    assert find_changes(before, before) == []
    assert find_changes({}, now) == [], "a first run changes nothing"


def test_points_are_written_as_people_do_and_files_are_few():
    made = result({"ada": (2.0, 3.75)})
    handed = tuple(Handed(f"ada/{name}.ipynb", None, "any") for name in ("04", "12", "13"))
    made = dataclasses.replace(made, submissions=(dataclasses.replace(made.submissions[0], files=handed),))
    tables = report.make_tables(made, timeout=30.0, memory_gb=4.0)
    grades = list(csv.DictReader(io.StringIO(tables[made.files["grades"]])))
    assert [row["points"] for row in grades] == ["2", "3.75"]
    [total] = csv.DictReader(io.StringIO(tables[made.files["totals"]]))
    assert (total["points"], total["files"]) == ("5.75", "ada/04.ipynb and 2 more")


@pytest.mark.parametrize(
    ("given", "message"), [("4", ""), ("04", ""), ("44", "'44' has no exercises"), ("x", "'x' has")]
)
def test_lesson_4_is_lesson_04(tmp_path, given, message):
    exercises = make_exercises("04") | make_exercises("14")
    submissions, _ = read_submissions(write(tmp_path, {"ada.ipynb": notebook(lesson="04")}))
    if message:
        with pytest.raises(batch.UsageError, match=message):
            make_plan(submissions, exercises, [given])
        return
    tasks, _ = make_plan(submissions, exercises, [given])
    assert {task.exercise_id[:3] for task in tasks} == {"04."}


def test_wrong_settings_are_one_line(tmp_path):
    folder = write(tmp_path / "in", {"ada.ipynb": notebook()})
    with pytest.raises(batch.UsageError, match=r"^partial: did you mean 'half'\? Known: cases, half, none$"):
        grade(folder, output=tmp_path / "g.csv", exercises=make_exercises(), partial="halves")
    refused = CliRunner().invoke(cli, ["grade", str(folder), "--partial", "most"])
    assert (refused.exit_code, "'most' is not one of 'cases', 'half', 'none'" in refused.output) == (2, True)


def test_the_help_shows_what_a_term_needs():
    text = CliRunner().invoke(cli, ["grade", "--help"]).output
    for part in (
        "--output grades.csv --resume ",
        "--resume --overrides own.csv --overrides grades_answers.csv",
        "--lesson 4",
        "after late work",
    ):
        assert part in text
