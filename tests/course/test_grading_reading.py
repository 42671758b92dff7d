"""What was handed in: layouts, LMS names, zips, damaged notebooks."""

import json
import stat
import zipfile

import pytest
from grading_problems import LARGEST_CLIENT, cell, make_exercises, notebook, write, zipped
from hostile_submissions import READABLE, UNREADABLE, files

from fedlearn_edu.course.grading.notebooks import UnreadableNotebook, read_notebook
from fedlearn_edu.course.grading.plan import make_plan
from fedlearn_edu.course.grading.submissions import read_submissions
from fedlearn_edu.errors import UsageError

BOOK = notebook()


def students(path):
    submissions, problems = read_submissions(path)
    problems = problems + [line for s in submissions for line in s.problems]
    return {s.student: [file.path for file in s.files] for s in submissions}, problems


@pytest.mark.parametrize("name", READABLE)
def test_notebooks_of_other_tools_are_read(name):
    read = read_notebook(files(name))
    assert {"weighted_mean", "model_delta", "largest_client"} <= read.functions
    assert "90.weighted_mean" in read.exercise_ids


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_notebook_is_refused_in_one_line(name):
    with pytest.raises(UnreadableNotebook) as caught:
        read_notebook(files(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b10.ipynb", "b2.ipynb", "a.ipynb"], ["a", "b2", "b10"]),
        (["anna/nb.ipynb", "bert/deep/er/nb.ipynb", "carl.ipynb"], ["anna", "bert", "carl"]),
        (["Lesson/anna/nb.ipynb", "Lesson/bert/nb.ipynb"], ["anna", "bert"]),
        (["Lesson/anna.ipynb", "Lesson/bert.ipynb"], ["anna", "bert"]),
        (["anna/03_clients.ipynb", "anna/04_average.ipynb"], ["anna"]),
        (["anna.ipynb", ".ipynb_checkpoints/x.ipynb", "__MACOSX/y.ipynb", ".hidden.ipynb"], ["anna"]),
        (
            ["Ada Lovelace_123_assignsubmission_file_/nb.ipynb", "Alan_Turing_77_assignsubmission_file_nb.ipynb"],
            ["Ada Lovelace", "Alan_Turing"],
        ),
        (
            ["Jo Li_1_assignsubmission_file_/nb.ipynb", "Jo Li_2_assignsubmission_file_/nb.ipynb"],
            ["Jo Li [1]", "Jo Li [2]"],
        ),
        (
            ["Ada Lovelace_123_assignsubmission_file_a.ipynb", "Ada Lovelace_123_assignsubmission_file_b.ipynb"],
            ["Ada Lovelace"],
        ),
        (["lovelaceada_1200_3450_nb.ipynb", "turingalan_LATE_1300_3460_nb-1.ipynb"], ["lovelaceada", "turingalan"]),
        (["meier_1_03_clients.ipynb", "meier_1_17_hans.ipynb"], ["meier_1_03_clients", "meier_1_17_hans"]),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_layouts(tmp_path, names, expected, kind):
    if kind == "folder":
        path = write(tmp_path / "in", dict.fromkeys(names, BOOK))
    else:
        path = tmp_path / "in.zip"
        path.write_bytes(zipped([(name, BOOK) for name in names]))
    assert list(students(path)[0]) == expected


def test_duplicate_names_are_told_apart_and_reported(tmp_path):
    write(tmp_path, {"anna.ipynb": BOOK, "anna/nb.ipynb": BOOK, "Anna.IPYNB": BOOK})
    found, problems = students(tmp_path)
    assert found == {
        "anna [anna]": ["anna/nb.ipynb"],
        "Anna [Anna.IPYNB]": ["Anna.IPYNB"],
        "anna [anna.ipynb] (2)": ["anna.ipynb"],
    }
    assert sum("another is called" in problem for problem in problems) == 3
    assert students(tmp_path) == (found, problems)


def test_hostile_zips(tmp_path):
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    inner = zipped([("answers/nb.ipynb", BOOK), ("../../escaped.ipynb", BOOK)])
    bomb = zipped([("big.ipynb", b" " * (201 * 2**20))])
    path = tmp_path / "lms.zip"
    deep = zipped([("d.zip", zipped([("e.zip", zipped([("f.ipynb", BOOK)]))]))])
    names = ("../slip.ipynb", "/abs.ipynb", "C:\\win.ipynb", "a\\..\\..\\b.ipynb", "eve.ipynb")
    entries = [(name, BOOK) for name in names] + [(link, b"/etc/passwd"), ("notes.txt", b""), ("eve.ipynb", b"{}")]
    entries += [("anna.zip", inner), ("bomb.zip", bomb), ("broken.zip", b"PK\x03\x04 no zip"), ("deep.zip", deep)]
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped(entries)
    path.write_bytes(content)
    found, problems = students(path)
    text = "\n".join(problems)
    assert found == {
        "anna": ["anna.zip/answers/nb.ipynb"],
        "bomb": ["bomb.zip/big.ipynb"],
        "broken": ["broken.zip"],
        "deep": ["deep.zip/d.zip/e.zip"],
        "eve": ["eve.ipynb"],
        "notes": [],
    }
    for name in ("../slip.ipynb", "/abs.ipynb", "C:/win.ipynb", "a/../../b.ipynb", "../../escaped.ipynb"):
        assert f"{name}: refused, its name leads outside the zip" in text
    for line in (
        "link.ipynb: a symbolic link",
        "broken.zip: cannot be read: cannot be read as a zip",
        "notes.txt: no notebook",
        "eve.ipynb: this name is in the zip more than once",
        "larger than 200 MiB",
        "too deep within",
    ):
        assert line in text
    assert [path.name for path in tmp_path.iterdir()] == ["lms.zip"], "a zip is never unpacked"


def test_a_name_with_tricks_is_shown_clean(tmp_path):
    write(tmp_path, {"\u202eevil\x1b[2J\n.ipynb": BOOK, "b.ipynb": BOOK})
    assert list(students(tmp_path)[0]) == ["b", "evil [2J"]


@pytest.mark.parametrize("what", ["missing", "text", "empty folder"])
def test_wrong_paths_are_refused(tmp_path, what):
    path = tmp_path / "x.txt"
    if what == "text":
        path.write_text("x")
    with pytest.raises(UsageError, match="submissions: expected"):
        read_submissions(tmp_path if what == "empty folder" else path)


def plan(tmp_path, notebooks, exercises, lessons=None):
    submissions, _ = read_submissions(write(tmp_path, notebooks))
    tasks, problems = make_plan(submissions, exercises, lessons)
    return {(task.student, task.exercise_id): task.status for task in tasks}, problems


def test_everybody_owes_what_half_of_the_students_handed_in(tmp_path):
    exercises = make_exercises("90") | make_exercises("91")
    extra = notebook(lesson="91")
    anonymous = json.dumps({"cells": [cell(LARGEST_CLIENT.replace("largest", "big"))]}).encode()
    books = {"a.ipynb": BOOK, "b.ipynb": BOOK, "c/90_x.ipynb": BOOK, "c/91_x.ipynb": extra}
    books |= {"d.ipynb": b"", "e.ipynb": anonymous}
    statuses, problems = plan(tmp_path, books, exercises)
    assert {id.split(".")[0] for _, id in statuses} == {"90"}
    assert statuses["d", "90.weighted_mean"] == "unreadable"
    assert statuses["e", "90.weighted_mean"] == ""
    assert problems["c"] == ["c: lesson 91 is not graded in this batch"]
    statuses, _ = plan(tmp_path, books, exercises, ["91"])
    assert statuses["a", "91.weighted_mean"] == "missing"
    assert statuses["c", "91.weighted_mean"] == ""
    with pytest.raises(UsageError, match="lessons: '92' has no exercises"):
        plan(tmp_path, books, exercises, ["92"])


def test_no_lesson_of_half_the_students_is_a_question_for_the_teacher(tmp_path):
    exercises = {k: v for lesson in ("90", "91", "92") for k, v in make_exercises(lesson).items()}
    books = {f"s{lesson}.ipynb": notebook(lesson=lesson) for lesson in ("90", "91", "92")}
    with pytest.raises(UsageError, match="90: 1, 91: 1, 92: 1"):
        plan(tmp_path, books, exercises)


@pytest.mark.parametrize(
    "below", ["A/Ada/x.ipynb A/Bo/x.ipynb B/Cy/x.ipynb B/Di/x.ipynb", "A/1.ipynb A/2.ipynb A/3.ipynb"]
)
def test_sections_of_a_class_are_not_taken_for_students(tmp_path, below):
    books = dict.fromkeys([*below.split(), *(path.replace("A/", "C/") for path in below.split())], BOOK)
    with pytest.raises(UsageError, match=r"look like folders of several students; grade each folder or zip by itself"):
        plan(tmp_path, books, make_exercises())


def test_the_last_of_several_notebooks_counts(tmp_path):
    books = {"a/x.ipynb": BOOK, "a/x (10).ipynb": BOOK, "a/x (9).ipynb": BOOK, "b/x.ipynb": BOOK}
    _, problems = plan(tmp_path, books, make_exercises())
    assert problems == {
        "a": ["a: several notebooks for lesson 90; graded a/x.ipynb, not a/x (9).ipynb, a/x (10).ipynb"],
        "b": [],
    }
