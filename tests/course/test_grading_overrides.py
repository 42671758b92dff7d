"""The teacher's own marks: read from any spreadsheet, never lost, and every wrong line said in one."""

import csv
import json

import pytest
from click.testing import CliRunner
from grading_problems import make_exercises, notebook, write
from lms_tables import MOODLE

from fedlearn_edu.cli import cli
from fedlearn_edu.course import grading
from fedlearn_edu.course.grading import Term, grade, submissions
from fedlearn_edu.course.grading.overrides import Override, read_overrides
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.errors import UsageError

OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 2, "progress": False}
EXERCISES = make_exercises()
PEOPLE = [
    Submission("Zoë Müller", "Zoë Müller", "moodle", "4005", ()),
    Submission("Wei Li [4011]", "Wei Li", "moodle", "4011", ()),
    Submission("Wei Li [4012]", "Wei Li", "moodle", "4012", ()),
    Submission("=cmd", "=cmd", "", "", ()),
]
HEADER = "student,exercise,points,reason\n"


def read(tmp_path, content):
    path = tmp_path / "own.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_overrides(path, PEOPLE, EXERCISES)


@pytest.mark.parametrize("name", ["Zoë Müller", "4005", " zoë  müller ", "Zoe\u0308 Mu\u0308ller"])
def test_a_student_is_named_as_people_write_names(tmp_path, name):
    found = read(tmp_path, f"{HEADER}{name},90.model_delta,1.5,handed in late\n")
    assert found == {("Zoë Müller", "90.model_delta"): Override(1.5, "handed in late")}


@pytest.mark.parametrize(
    "content",
    [
        "student;exercise;points;reason\r\n4005;90.model_delta;1,5;spät\r\n;;;\r\n".encode("cp1252"),
        "student;exercise;points;reason\r\n4005;90.model_delta;1,5;spät\r\n".encode("utf-8-sig"),
        "student\texercise\tpoints\treason\n4005\t90.model_delta\t1.5\tspät\n".encode("utf-16"),
        "Reason,when,Points,EXERCISE,Student\nspät,today,1.50,90.model_delta,4005\n\n".encode(),
    ],
    ids=["windows", "excel", "unicode text", "other order"],
)
def test_tables_of_any_spreadsheet_are_read(tmp_path, content):
    assert read(tmp_path, content) == {("Zoë Müller", "90.model_delta"): Override(1.5, "spät")}


@pytest.mark.parametrize(("written", "points"), [("0", 0), ("3.0", 3), ("1.236", 1.24), ('"0,5"', 0.5), (" 2 ", 2)])
def test_points_are_kept_to_two_decimals(tmp_path, written, points):
    [found] = read(tmp_path, f"{HEADER}4005,90.model_delta,{written},x\n").values()
    assert found.points == points


def test_rows_that_are_not_filled_in_set_nothing(tmp_path):
    assert read(tmp_path, f"{HEADER}nobody,00.nothing,,\n4005,90.model_delta,1,x\n") == {
        ("Zoë Müller", "90.model_delta"): Override(1.0, "x")
    }


def test_a_name_that_the_tables_show_with_a_quote_is_found_as_shown(tmp_path):
    assert list(read(tmp_path, f"{HEADER}'=cmd,90.model_delta,0,x\n")) == [("=cmd", "90.model_delta")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Zoe Müller,90.model_delta,1,x", "nobody in this batch is called 'Zoe Müller'; did you mean 'Zoë Müller'?"),
        ("Ada,90.model_delta,1,x", "nobody in this batch is called 'Ada'; see the column student of the grades"),
        ("Wei Li,90.model_delta,1,x", "2 students are called 'Wei Li'; name one by 4011, 4012"),
        (",90.model_delta,1,x", "no student"),
        ("4005,90.model_delt,1,x", "there is no exercise '90.model_delt'; did you mean '90.model_delta'?"),
        ("4005,,1,x", "no exercise"),
        ("4005,90.model_delta,3.01,x", "points of 90.model_delta: expected 0 to 3, got '3.01'"),
        ("4005,90.model_delta,-1,x", "expected 0 to 3, got '-1'"),
        ("4005,90.model_delta,nan,x", "expected 0 to 3, got 'nan'"),
        ("4005,90.model_delta,two,x", "expected 0 to 3, got 'two'"),
        ("4005,90.model_delta,,x", "expected 0 to 3, got ''"),
        ("4005,90.model_delta,1", "no reason"),
        ("4005,90.model_delta,1, ", "no reason"),
        ("4005,90.model_delta,1,5,late", "more cells than the header has; what holds a comma or semicolon needs quot"),
        ("4012,90.weighted_mean,2,again", "Wei Li [4012] 90.weighted_mean stands in line 2 already"),
    ],
)
def test_a_wrong_line_is_one_line_with_its_number(tmp_path, line, message):
    good = "4012,90.weighted_mean,6,excused\n"
    with pytest.raises(UsageError) as caught:
        read(tmp_path, f'{HEADER}{good}"4011",90.largest_client,1,"two\nlines"\n{line}\n')
    text = str(caught.value)
    assert text.startswith(f"overrides: {tmp_path / 'own.csv'}, line 5: ")
    assert message in text
    assert "\n" not in text


def test_all_wrong_lines_are_named_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"line 2: nobody .*\(also wrong: line 4, 6\)$"):
        read(tmp_path, HEADER + "x,90.model_delta,1,a\n4005,90.model_delta,1,a\ny,,1,\n\n4005,90.model_delta,1,a\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("student,points\nA,1\n", "has no column 'exercise', 'reason'"),
        ("student,points,exercise,points,reason\n", "has the column 'points' twice; leave one in"),
        ("\0\0", "has no column"),
    ],
)
def test_another_table_is_refused(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, content)
    with pytest.raises(UsageError, match=r"nowhere\.csv cannot be read: No such file"):
        read_overrides(tmp_path / "nowhere.csv", PEOPLE, EXERCISES)


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return {(row["student"], row["exercise"]): row for row in csv.DictReader(stream)}


def test_the_teachers_marks_stand_above_all_runs(tmp_path):
    wrong = "def weighted_mean(values, weights):\n    return 0.0"
    folder = write(tmp_path / "in", {"ada.ipynb": notebook(), "ben.ipynb": notebook(weighted_mean=wrong)})
    own, output = tmp_path / "own.csv", tmp_path / "out" / "grades.csv"
    own.write_text(f"{HEADER}ben,90.weighted_mean,4.5,right on paper\nada,91.model_delta,1,of another lesson\n")
    course = EXERCISES | make_exercises("91")
    options = {"exercises": course, "output": output, **OPTIONS}
    first = grade(folder, overrides=own, lessons=["90"], **options)
    assert (first.total("ada"), first.total("ben")) == (11, 9.5)
    assert "1 mark set by you (--overrides); 1 more line for what is not graded in this batch" in first.remarks
    row = rows(output)["ben", "90.weighted_mean"]
    assert (row["status"], row["points"], row["set_by_teacher"]) == ("failed", "4.5", "right on paper")
    assert rows(output)["ada", "90.weighted_mean"]["set_by_teacher"] == ""
    totals = (tmp_path / "out" / "grades_totals.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in totals[1:]] == ["11", "9.5"]

    again = grade(folder, resume=True, **options)
    assert again.num_resumed == 6
    assert again.total("ben") == 9.5, "remembered, though nobody named the file again"
    assert any("--overrides" in line for line in again.remarks)
    anew = grade(folder, fresh=True, lessons=["90"], **options)
    assert (anew.num_resumed, anew.total("ben")) == (0, 9.5), "hers, whatever becomes of the marks of the grader"

    own.write_text(HEADER)
    without = grade(folder, resume=True, **options)
    assert without.total("ben") == 5.0
    assert [(one.student, one.before, one.now) for one in without.changes] == [("ben", 9.5, 5.0)]

    own.unlink()
    with pytest.raises(UsageError, match=r"own\.csv cannot be read"):
        grade(folder, resume=True, **options)
    record = json.loads((tmp_path / "out" / "grades_report.json").read_text())
    assert record["changes"][0]["exercises"] == {"90.weighted_mean": [["failed", 4.5], ["failed", 0.0]]}


def test_several_tables_count_together_and_none_is_lost_without_a_word(tmp_path):
    wrong = "def weighted_mean(values, weights):\n    return 0.0"
    folder = write(tmp_path / "in", {"ada.ipynb": notebook(), "ben.ipynb": notebook(weighted_mean=wrong)})
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(f"{HEADER}ben,90.weighted_mean,4.5,on paper\nada,90.model_delta,1,copied\n")
    two.write_text(f"{HEADER}ben,90.weighted_mean,4.5,the same\nada,90.largest_client,0,no words\n")
    options = {"exercises": EXERCISES, "output": tmp_path / "g.csv", **OPTIONS}
    both = grade(folder, overrides=[one, two], **options)
    assert (both.total("ada"), both.total("ben")) == (7, 9.5)
    assert rows(tmp_path / "g.csv")["ben", "90.weighted_mean"]["set_by_teacher"] == "on paper"

    again = grade(folder, resume=True, **options)
    assert (again.total("ada"), again.total("ben")) == (7, 9.5)
    assert f"as in the earlier run: --overrides {one}, --overrides {two}" in again.remarks
    assert not any("hold" in line for line in again.remarks)

    replaced = grade(folder, resume=True, overrides=two, anonymous=True, **options)
    [line] = [line for line in replaced.remarks if "hold" in line]
    [number] = [student for student in replaced.marks if replaced.total(student) == 9]
    assert line.startswith(
        f"1 mark of one.csv no longer holds: {number} 90.model_delta; to keep what it says, give that"
    )

    two.write_text(f"{HEADER}ada,90.largest_client,0,no words\n")
    edited = grade(folder, fresh=True, anonymous=False, **options)
    assert edited.total("ben") == 5
    assert "1 mark of two.csv no longer holds: ben 90.weighted_mean" in edited.remarks, "also where all is graded anew"
    dropped = grade(folder, resume=True, overrides="", **options)
    assert dropped.total("ada") == 11
    assert any(line.startswith("1 mark of two.csv no longer holds: ada 90.largest_client") for line in dropped.remarks)
    assert not any("hold" in line for line in grade(folder, resume=True, **options).remarks), "said once"


def test_two_tables_that_say_otherwise_are_refused_in_one_line(tmp_path):
    folder = write(tmp_path / "in", {"ada.ipynb": notebook()})
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(f"{HEADER}ada,90.model_delta,1,copied\n")
    two.write_text(f"{HEADER}ada,90.model_delta,2.5,seen\n")
    with pytest.raises(UsageError, match=r"one\.csv gives ada 90.model_delta 1 points, .*two\.csv gives 2.5; leave"):
        grade(folder, overrides=[one, two], output=tmp_path / "out" / "g.csv", exercises=EXERCISES, **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_the_command_takes_several_tables(monkeypatch):
    taken = {}
    monkeypatch.setattr(grading, "run_grading", lambda *_, **options: taken.update(options) or 0)
    CliRunner().invoke(cli, ["grade", "in", "--overrides", "a.csv", "--overrides", "b.csv"], catch_exceptions=False)
    assert [str(path) for path in taken["overrides"]] == ["a.csv", "b.csv"]
    CliRunner().invoke(cli, ["grade", "in"], catch_exceptions=False)
    assert taken["overrides"] is None, "as in the earlier run"


DUE = {"deadline": "2026-11-30 23:59 UTC"}
OTHER_COURSE = (
    "Identifier,Full name,Status,Grade,Maximum Grade,Grade can be changed,Last modified (submission),Last mod"
)
OTHER_COURSE += (
    'ified (grade),Feedback comments\nParticipant 4018,Grace,x,,10,Yes,"Friday, 27 November 2026, 9:58 AM",-,'
)


@pytest.mark.parametrize(
    ("option", "text", "others", "message"),
    [
        ("overrides", f"{HEADER}nobody,90.weighted_mean,4,x\n", {}, "nobody in this batch"),
        ("handed_in", "student,time\nada,yesterday\n", DUE, "expected a time such as"),
        ("moodle_worksheet", MOODLE, {}, "nobody who handed in is in it"),
        ("lessons", None, {}, "'77' has no exercises"),
        ("feedback", "a file", {}, "feedback: expected a folder"),
    ],
)
def test_what_is_wrong_stops_before_anything_is_read_or_written(tmp_path, monkeypatch, option, text, others, message):
    folder = write(tmp_path / "in", {"ada.ipynb": notebook()})
    value = ["77"] if text is None else tmp_path / "own.csv"
    if text is not None:
        value.write_text(text)
    given = {option: value} | others
    term = Term(**{name: given.pop(name) for name in list(given) if hasattr(Term, name)})
    monkeypatch.setattr(submissions, "read_student", lambda *_, **__: pytest.fail("a notebook was read"))
    with pytest.raises(UsageError, match=message):
        grade(folder, output=tmp_path / "out" / "g.csv", exercises=EXERCISES, term=term, **given, **OPTIONS)
    assert not (tmp_path / "out").exists()
