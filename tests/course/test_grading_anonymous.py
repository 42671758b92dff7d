"""Numbers in place of names: nothing but the key, the state and the teacher's own tables knows a name."""

import csv
import shutil
import stat

from grading_problems import make_exercises, notebook, write

from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.anonymous import numbered, without_names
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
    books |= {f"{WEI}{mark}notes of Wei Li.pdf": b"%PDF", f"{ZOE}{mark}broken.ipynb": b"{"}
    folder, output, pages = write(tmp_path / "in", books), tmp_path / "out" / "g.csv", tmp_path / "pages"
    options = {"output": output, "exercises": make_exercises(), "feedback": pages, **OPTIONS}
    first = grade(folder, anonymous=True, **options)
    public = [path for path in [*output.parent.iterdir(), *pages.iterdir()] if path.stem not in ("g_names", "g_state")]
    text = "\n".join(f"{path} {path.read_text(encoding='utf-8')}" for path in public) + str(first.remarks)
    for name in ("Ada", "Lovelace", "Zoë", "Müller", "Wei", "4001", "4002", "4003"):
        assert name not in text, name
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
    assert "pages/ still holds 1 older page: delete it" in grade(folder, resume=True, **options).remarks
    hidden = grade(folder, resume=True, anonymous=True, **options)
    assert "pages/ still holds 3 older pages with names: delete them" in hidden.remarks
    assert "there is another" not in (tmp_path / "g_report.json").read_text()
    for page in pages.glob("*o*-*.html"):
        page.unlink()
    assert not any("older" in line for line in grade(folder, resume=True, anonymous=True, **options).remarks)


def test_numbers_are_unlike_and_do_not_follow_names():
    people = [Submission(f"s{n}", f"s{n}", "", "", (), identity=f"s{n}") for n in range(500)]
    one, other = numbered(people, 7), numbered(people, 8)
    assert len(one) == len(other) == 500
    assert numbered(people[::-1], 7) == one
    assert [s.student for s in one.values()] != [s.student for s in people]
    assert not set(one) >= set(other), "another seed, other numbers"


def test_paths_keep_the_lesson_and_lose_the_name():
    files = [
        Handed(f"lovelaceada_1_2_{name}", None, "lovelaceada_1_2_x: bad") for name in ("04_fedavg-1.ipynb", "x.ipynb")
    ]
    ada = Submission("lovelaceada", "lovelaceada", "canvas", "1234", (*files, Handed("ada/04_x.ipynb", None)))
    [hidden] = without_names({"student 00001": ada})
    assert [file.path for file in hidden.files] == [
        "student 00001/04_fedavg.ipynb", "student 00001/notebook.ipynb", "student 00001/04_x.ipynb",
    ]  # fmt: skip
    assert hidden.files[0].problem == "student 00001: bad"
    assert (hidden.lms, hidden.lms_id, hidden.name, hidden.identity) == ("", "", "student 00001", "student 00001")


def test_a_short_number_of_a_roster_hides_no_other_number():
    ada = Submission("Ada", "Ada", "", "7", (), problems=("Ada: code cell 7 was left out",))
    [hidden] = without_names({"student 00001": ada})
    assert hidden.problems == ("student 00001: code cell 7 was left out",)
