"""Numbers in place of names: nothing but the key, the state and the teacher's own tables knows a name."""

import csv
import dataclasses
import shutil
import stat
import zipfile

import pytest
from grading_problems import make_exercises, notebook, write
from lms_tables import put

from fedlearn_edu.course.grading import Term, grade
from fedlearn_edu.course.grading.anonymous import number_of, numbered, without_names
from fedlearn_edu.course.grading.notebooks import Notebook
from fedlearn_edu.course.grading.plan import make_plan
from fedlearn_edu.course.grading.reader import Handed
from fedlearn_edu.course.grading.submissions import Submission

OPTIONS = {"memory_gb": 1.0, "jobs": 2, "progress": False}
WRONG = "def weighted_mean(values, weights):\n    return float(np.mean(values))"
ADA, ZOE, WEI = "Ada Lovelace_4001", "Zoë Müller_4002", "Wei Li_4003"


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def test_tables_and_pages_know_nobody_and_the_key_knows_all(tmp_path):
    mark = "_assignsubmission_file_/"
    books = {f"{ADA}{mark}90_x.ipynb": notebook(), f"{ZOE}{mark}90_x.ipynb": notebook(weighted_mean=WRONG)}
    books |= {f"{WEI}{mark}wei_li_notes.pdf": b"%PDF", f"{ZOE}{mark}LovelaceAda_Zoë.ipynb": b"{"}
    books |= {f"{ADA}{mark}AdaLovelace.pdf": b"%PDF", f"{WEI}{mark}x: Wei Li.docx": b"x"}
    folder, output, pages = write(tmp_path / "in", books), tmp_path / "out" / "g.csv", tmp_path / "pages"
    options = {"output": output, "exercises": make_exercises(), "feedback": pages, **OPTIONS}
    first = grade(folder, anonymous=True, **options)
    public = [path for path in [*output.parent.iterdir(), *pages.iterdir()] if path.stem not in ("g_names", "g_state")]
    text = "\n".join(f"{path} {path.read_text(encoding='utf-8')}" for path in public) + str(first.remarks)
    for name in ("Ada", "Lovelace", "Zoë", "Müller", "Wei", "4001", "4002", "4003"):
        assert name not in text, name
    assert not any(name in text.casefold() for name in ("lovelace", "zoë", "wei_li", "wei li"))
    messages = {row["message"] for row in rows(output) if row["status"] == "missing"}
    assert messages == {"handed in no notebook"}
    key = tmp_path / "out" / "g_names.csv"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    who = {row["name"]: row["student"] for row in rows(key)}
    assert list(who.values()) == sorted(who.values()), "the order tells nothing"
    points = {row["student"]: row["points"] for row in rows(output.with_name("g_totals.csv"))}
    assert [points[who[name]] for name in ("Ada Lovelace", "Zoë Müller", "Wei Li")] == ["11", "5", "0"]

    # A late one changes nobody's number; marks are taken over; the teacher's own marks go by name or number.
    write(folder, {f"Bo Ek_4004{mark}90_x.ipynb": notebook()})
    own = tmp_path / "own.csv"
    zoe = who["Zoë Müller"]
    own.write_text(f"student,exercise,points,reason\nAda Lovelace,90.model_delta,1,a\n{zoe},90.weighted_mean,2,b\n")
    again = grade(folder, resume=True, overrides=own, **options)
    assert "--anonymous" in " ".join(again.remarks)
    assert {row["name"]: row["student"] for row in rows(key)}.items() >= who.items()
    assert again.num_resumed == 6
    assert [(one.student, one.before, one.now) for one in again.changes if one.student in who.values()] == sorted(
        [(who["Ada Lovelace"], 11, 9), (zoe, 5, 7)]
    )

    named = grade(folder, resume=True, anonymous=False, **options)
    assert named.num_resumed == 9, "marks do not depend on what a student is called"
    assert named.total("Zoë Müller") == 7
    assert named.changes == ()


def test_pages_that_an_earlier_run_left_are_named(tmp_path):
    books = {f"{name}/90_x.ipynb": notebook() for name in ("Ada Lovelace", "ada lovelace", "Bo Ek")}
    folder, pages = write(tmp_path / "in", books), tmp_path / "pages"
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    options = {"output": tmp_path / "g.csv", "exercises": only, "feedback": pages, **OPTIONS}
    assert not any("older" in line for line in grade(folder, **options).remarks)
    (pages / "index.html").write_text("the teacher's own")
    shutil.rmtree(folder / "Bo Ek")
    [left] = [path.name for path in pages.glob("Bo_Ek-*.html")]
    assert f"pages/ still holds 1 older page: delete it ({left})" in grade(folder, resume=True, **options).remarks
    hidden = grade(folder, resume=True, anonymous=True, **options)
    assert "pages/ still holds 3 older pages with names: delete them" in hidden.remarks
    assert "another is called" not in (tmp_path / "g_report.json").read_text()
    for page in pages.glob("*o*-*.html"):
        page.unlink()
    assert not any("older" in line for line in grade(folder, resume=True, anonymous=True, **options).remarks)


def test_numbers_are_unlike_and_do_not_follow_names():
    people = [Submission(f"s{n}", f"s{n}", "", "", (), identity=f"s{n}") for n in range(500)]
    one, other = numbered(people, 7), numbered(people, 8)
    assert len(one) == len(other) == 500
    assert all(number_of(s.identity, 7) == number for number, s in one.items()), "whoever else is there"
    assert numbered(people[::-1], 7) == one
    assert [s.student for s in one.values()] != [s.student for s in people]
    assert not set(one) >= set(other), "another seed, other numbers"


def test_who_is_not_there_any_more_has_a_number_too(tmp_path):
    books = {f"{name}/90_x.ipynb": b"" for name in ("Ada Lovelace", "Bo Ek", "Cy Dee")}
    folder = write(tmp_path / "in", books)
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    options = {"output": tmp_path / "g.csv", "exercises": only, "seed": 5, "resume": True, **OPTIONS}
    changes = tmp_path / "g_changes.csv"
    first = grade(folder, **options)
    shutil.rmtree(folder / "Ada Lovelace")
    hidden = grade(folder, anonymous=True, **options)
    assert len([one for one in hidden.changes if one.now is None]) == 1
    assert "Ada" not in changes.read_text() + (tmp_path / "g_report.json").read_text() + str(hidden.remarks)
    assert not any("still holds names" in line for line in hidden.remarks)
    named = grade(write(folder, {"Ada Lovelace/90_x.ipynb": b""}), anonymous=False, **options)
    assert set(named.marks) == set(first.marks)
    assert [one.student for one in named.changes] == ["Ada Lovelace"]
    again = grade(folder, anonymous=True, **options)
    assert "g_changes.csv still holds names, of changes in earlier runs: move it away" in again.remarks


def test_names_are_hidden_before_a_long_line_is_cut(tmp_path):
    names = [f"{'Abcdefghij' * 5} {chr(65 + n)}" for n in range(10)]
    roster = put(tmp_path, "\n".join(["name", *names, "Bo"]))
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    options = {"output": tmp_path / "g.csv", "exercises": only, **OPTIONS}
    result = grade(write(tmp_path / "in", {"Bo.ipynb": b""}), anonymous=True, term=Term(roster=roster), **options)
    assert any(line.startswith("handed in nothing: 10 (student") for line in result.remarks)
    assert "Abc" not in str(result.remarks) + (tmp_path / "g_report.json").read_text()


def test_what_an_lms_gets_knows_the_mistake_of_everyone(tmp_path):
    book = notebook(weighted_mean=WRONG)
    folder = write(tmp_path / "in", {f"{ADA}_assignsubmission_file_/90_x.ipynb": book})
    exercise = make_exercises()["90.weighted_mean"]
    exercise = dataclasses.replace(exercise, wrong_answers=exercise.wrong_answers | {"counts clients": WRONG})
    options = {"output": tmp_path / "g.csv", "exercises": {exercise.id: exercise}, **OPTIONS}
    grade(folder, anonymous=True, term=Term(moodle_feedback_zip=True), **options)
    with zipfile.ZipFile(tmp_path / "g_moodle_feedback.zip") as archive:
        [page] = archive.namelist()
        assert b"counts clients" in archive.read(page)


def test_paths_keep_the_lesson_and_lose_the_name():
    names = ("04_fedavg_ada.ipynb", "x.ipynb", "lovelace.ipynb", "04 ada.ipynb")
    files = [Handed(f"lovelaceada_1001_2002_{name}", None, "lovelaceada_1001_2002_x: bad") for name in names]
    files.append(Handed("ada/03_lovelace.ipynb", None))
    ada = Submission("lovelaceada", "lovelaceada", "canvas", "1234", tuple(files))
    [hidden] = without_names({"student 00001": ada})
    assert [file.path for file in hidden.files] == [
        "student 00001/04.ipynb", "student 00001/notebook.ipynb", "student 00001/notebook (2).ipynb",
        "student 00001/04 (2).ipynb", "student 00001/03.ipynb",
    ]  # fmt: skip
    assert hidden.files[0].problem == "student 00001: bad"
    assert (hidden.lms, hidden.lms_id, hidden.name, hidden.identity) == ("", "", "student 00001", "student 00001")


def test_a_short_number_of_a_roster_hides_no_other_number():
    ada = Submission("Ada", "Ada", "", "7", (), problems=("Ada/x.ipynb: code cell 7 was left out",))
    [hidden] = without_names({"student 00001": ada})
    assert hidden.problems == ("student 00001: code cell 7 was left out",)


@pytest.mark.parametrize("name", ["lovelaceada_1001_5555_91_ada.ipynb", "lovelaceada_1001_5555_ada.ipynb"])
def test_a_notebook_answers_the_same_lesson_under_a_name_and_under_a_number(name):
    # Nothing in it tells a lesson but its name, or else its functions, which both lessons have.
    book = Notebook(("x = 1",), frozenset(), frozenset({"weighted_mean"}))
    ada = Submission("lovelaceada", "lovelaceada", "canvas", "1001", (Handed(name, book),))
    [hidden] = without_names({"student 00001": ada})
    exercises = make_exercises() | make_exercises("91")
    lessons = {
        task.exercise_id[:2]
        for one in (ada, hidden)
        for task in make_plan([one], exercises)[0]
        if task.cells is not None
    }
    assert lessons == ({"91"} if "91" in name else {"90"})
