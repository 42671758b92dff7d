"""Whose file is whose: every student has a row, and no name that a student chooses makes or changes another's."""

import csv
import os
import string
import time
import unicodedata
import zipfile

import pytest
from grading_problems import make_exercises, notebook, write, zipped
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedlearn_edu.course.grading import Term, grade
from fedlearn_edu.course.grading.feedback import file_name
from fedlearn_edu.course.grading.owners import labels_of, owners_of
from fedlearn_edu.course.grading.plan import make_plan
from fedlearn_edu.course.grading.submissions import Submission, read_submissions
from fedlearn_edu.errors import UsageError

BOOK = notebook()
OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 2, "progress": False}


def found_in(path):
    submissions, problems = read_submissions(path)
    return {s.student: s for s in submissions}, problems


# Names that students and teachers choose: any text, and text made to look like an LMS's, one another's, or a trick.
_ANY = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=30)
_PERSON = st.sampled_from(
    ["Ada", "ada", "\u0410da", "A\u0308da", "\u00c4da", "Ada\u202e", "CON", "\u674e\u96f7", "=1", ".", "a b"]
)
_NUMBER = st.sampled_from(["1", "77", "077", "1001", "\u0661\u0660\u0660\u0661", "12345"])
_ENDING = st.sampled_from(["", ".ipynb", ".IPYNB", ".zip", ".pdf", ".ipynb.txt", " (1).ipynb", "."])
_LIKE_MOODLE = st.builds("{}_{}_assignsubmission_file_{}".format, _PERSON, _NUMBER, _ENDING)
_LIKE_CANVAS = st.builds("{}_{}{}_{}_x{}".format, _PERSON, st.sampled_from(["", "LATE_"]), _NUMBER, _NUMBER, _ENDING)
_PLAIN = st.builds("{}{}".format, _PERSON, _ENDING)
_KIND = st.sampled_from(["file", "folder"])


def _names(*of):
    return st.dictionaries(st.one_of(*of), _KIND, min_size=1, max_size=8).map(lambda names: list(names.items()))


def submission(owner, label=None):
    return Submission(label or owner.name, owner.name, owner.lms, owner.lms_id, (), identity=owner.identity)


@settings(max_examples=150, deadline=None)
@given(st.one_of(_names(_ANY, _PLAIN, _LIKE_MOODLE, _LIKE_CANVAS), _names(_LIKE_MOODLE), _names(_LIKE_CANVAS)))
@example([("Ada_77_assignsubmission_file_", "folder"), ("Eve_77_assignsubmission_file_", "folder")])
@example([("Ada.ipynb", "file"), ("ada.ipynb", "file"), ("Ada\u202e.ipynb", "file"), ("\uff21da.ipynb", "file")])
@example([("Eve_1_assignsubmission_file_Ada_77_assignsubmission_file_x.ipynb", "file")])
def test_nobody_is_lost_and_nobody_is_merged(names):
    problems = []
    owned = owners_of(names, problems)
    assert len(owned) + sum("nobody's" in line or "beside one of" in line for line in problems) >= len(names)
    assert {name for _, name, kind in owned if kind == "folder"} == {name for name, kind in names if kind == "folder"}
    by_owner = {}
    for owner, name, _ in owned:
        by_owner.setdefault(owner, []).append(name)
    for owner, held in by_owner.items():
        # Several files are one student's only where one LMS wrote the same name and number before all of them.
        assert len(held) == 1 or (owner.lms and all(owner.lms_id in name for name in held)), held
    numbers = [(owner.lms, owner.lms_id) for owner in by_owner if owner.lms_id]
    assert len(set(numbers)) == len(numbers), "two students have one number"
    labels = labels_of(by_owner, problems)
    assert len({unicodedata.normalize("NFKC", label).casefold() for label in labels.values()}) == len(by_owner)
    assert len({owner.identity for owner in by_owner}) == len(by_owner)


@settings(max_examples=150, deadline=None)
@given(_names(_ANY, _PLAIN), _names(_ANY, _PLAIN))
def test_feedback_names_are_unique_portable_and_do_not_depend_on_others(names, others):
    pages = {name: file_name(submission(owner)) for owner, name, _ in owners_of(names, [])}
    assert len({unicodedata.normalize("NFD", page).casefold() for page in pages.values()}) == len(pages)
    for page in pages.values():
        page = f"{page}.html"
        assert page == unicodedata.normalize("NFC", page)
        assert len(page.encode()) <= 240
        assert not set(page) & set('<>:"/\\|?*\0' + string.whitespace)
        assert not page.startswith((".", "-", "~"))
        assert page.partition(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
        assert all(unicodedata.category(character)[0] not in "CZ" for character in page)
    known = {name for name, _ in names}
    together = owners_of(names + [(name, kind) for name, kind in others if name not in known], [])
    later = {name: file_name(submission(owner)) for owner, name, _ in together}
    assert {name: later[name] for name in pages if name in later} == {
        name: pages[name] for name in pages if name in later
    }


def test_readable_parts_of_feedback_names():
    names = [
        "Ada Lovelace.ipynb",
        "\u674e\u96f7.ipynb",
        "\u97d3\u6885\u6885.ipynb",
        "..ipynb",
        "Zoe\u0308" * 80 + ".ipynb",
    ]
    pages = {name: file_name(submission(owner)) for owner, name, _ in owners_of([(n, "file") for n in names], [])}
    assert [pages[name].rpartition("-")[0] for name in names[:4]] == [
        "Ada_Lovelace", "\u674e\u96f7", "\u97d3\u6885\u6885", "student",
    ]  # fmt: skip
    assert pages[names[4]].startswith("Zo\u00ebZo\u00eb")


def test_pages_of_two_of_one_name_are_told_apart_by_people_and_listed_in_the_totals(tmp_path):
    moodle = {f"Wei Li_{number}_assignsubmission_file_/90.ipynb": BOOK for number in (4011, 4012)}
    plain = {"ada.ipynb": BOOK, "ada/90.ipynb": BOOK, "ben.ipynb": BOOK}
    only = {"90.largest_client": make_exercises()["90.largest_client"]}
    expected = {"Wei Li [4011]": "Wei_Li_4011", "Wei Li [4012]": "Wei_Li_4012"}
    for name, books, readable in (
        ("moodle", moodle, expected),
        ("plain", plain, {"ada [ada]": "ada_ada", "ada [ada.ipynb]": "ada_ada_ipynb", "ben": "ben"}),
    ):
        folder, pages = write(tmp_path / name, books), tmp_path / f"{name}_pages"
        result = grade(folder, output=tmp_path / f"{name}.csv", feedback=pages, exercises=only, **OPTIONS)
        with open(result.files["totals"], newline="", encoding="utf-8-sig") as stream:
            listed = {row["student"]: row["feedback"] for row in csv.DictReader(stream)}
        assert sorted(listed.values()) == sorted(path.name for path in pages.iterdir())
        assert {student: page.rpartition("-")[0] for student, page in listed.items()} == readable
        assert all(f"Feedback for {student}<" in (pages / page).read_text() for student, page in listed.items())
    without = grade(folder, output=tmp_path / "g.csv", exercises=only, **OPTIONS)
    assert without.files["totals"].read_text().splitlines()[0].endswith(",files,feedback")
    assert without.files["totals"].read_text().splitlines()[3].endswith("ben.ipynb,")


@pytest.mark.parametrize("layout", ["zip in a folder", "zip in a zip", "zip in an LMS's zip"])
def test_a_students_zip_writes_nobody_elses_row(tmp_path, layout):
    forged = ["Ada Lovelace_1001_assignsubmission_file_/00.ipynb", "anna/00.ipynb", "bert.ipynb"]
    path = tmp_path / "in"
    if layout == "zip in a folder":
        write(path, {"late/Mallory.zip": zipped(dict.fromkeys(forged, BOOK).items())})
    else:
        name = "Mallory.zip" if layout == "zip in a zip" else "Mallory_55_assignsubmission_file_/x.zip"
        path = tmp_path / "in.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, zipped(dict.fromkeys(forged, BOOK).items()))
    found, _ = found_in(path)
    [mallory] = found.values()
    assert mallory.name == ("late" if layout == "zip in a folder" else "Mallory")
    assert mallory.lms_id == ("55" if "LMS" in layout else "")
    assert len(mallory.files) == 3


def test_no_name_is_taken_for_a_number_of_the_lms(tmp_path):
    # Moodle's import drops twelve characters of an identifier, whatever they are, and takes the rest for a participant.
    names = [
        "Participant 1001.ipynb",
        "mallory_the_1001.ipynb",
        "\uff30articipant 1001.ipynb",
        "participant\u00a01001.pdf",
        "1001.ipynb",
        "Ada Lovelace_1001_assignsubmission_file_.ipynb",
        "Ben Bo.ipynb",
    ]
    folder = write(tmp_path / "in", dict.fromkeys(names, b""))
    worksheet = tmp_path / "w.csv"
    worksheet.write_text(
        "Identifier,Full name,Status,Grade,Maximum Grade,Grade can be changed,Last modified (grade)\n"
        "Participant 1001,Ada Lovelace,,,10.00,Yes,-\nParticipant 1002,Ben Bo,,,10.00,Yes,-\n"
    )
    term = Term(moodle_worksheet=worksheet)
    result = grade(folder, output=tmp_path / "g.csv", exercises=make_exercises(), term=term, **OPTIONS)
    with open(result.files["lms"], newline="", encoding="utf-8") as stream:
        rows = {row["Full name"]: row["Grade"] for row in csv.DictReader(stream)}
    assert rows == {"Ada Lovelace": "", "Ben Bo": "0"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # One name that no LMS made: none counts as one.
        (["anna_2024_9900_x.ipynb", "anna_2024_9901_x.ipynb", "bert.ipynb"], [""] * 3),
        (["Ada_77_assignsubmission_file_/a.ipynb", "lovelaceada_1200_3450_nb.ipynb"], [""] * 2),
        (["Ada_1001_assignsubmission_file_/a.ipynb", "Eve_1001_assignsubmission_file_/b.ipynb"], [""] * 2),
        (["Ada_1001_assignsubmission_file_/a.ipynb", "Eve_01001_assignsubmission_file_/b.ipynb"], [""] * 2),
        (["Ada_7_assignsubmission_file_/a", "Eve_8_assignsubmission_file_Ada_7_assignsubmission_file_.zip"], ["7", ""]),
        # A README and tables of the teacher's are nobody's and change nothing.
        (["Ada_77_assignsubmission_file_/a.ipynb", "README.md", "roster.csv"], ["77"]),
        (["Ada_77_assignsubmission_file_a.ipynb", "Ada_77_assignsubmission_onlinetext_x.html"], ["77"]),
        (["Ada_77_assignsubmission_file_/a.ipynb", "Ben_78_assignsubmission_file_data.csv"], ["77", "78"]),
        (["lovelaceada_1200_3450_x.ipynb", "lovelaceada_LATE_1200_3460_x-1.ipynb"], ["1200"]),
    ],
)  # fmt: skip
def test_numbers_of_an_lms_count_only_where_nobody_can_have_made_them(tmp_path, names, expected):
    found, _ = found_in(write(tmp_path, dict.fromkeys(names, BOOK)))
    assert [s.lms_id for s in found.values()] == expected


def test_a_resubmission_comes_after_the_first(tmp_path):
    names = ["lovelaceada_1200_3450_x.ipynb", "lovelaceada_LATE_1200_3460_x-1.ipynb"]
    found, _ = found_in(write(tmp_path, dict.fromkeys(names, BOOK)))
    assert [file.path for file in found["lovelaceada"].files] == names


@pytest.mark.parametrize("kind", ["folders", "side by side", "zip"])
def test_who_handed_in_no_notebook_is_in_the_tables(tmp_path, kind):
    strange = {
        "ann": "report.pdf", "ben": "03_clients.py", "cat": "essay.docx", "dan": "data.json", "eve": "no_suffix",
        "fay": "03.ipynb.pdf", "gil": "x.rar", "hal": "notes.txt",
    }  # fmt: skip
    books = {f"zoe{i}/03.ipynb": BOOK for i in range(2)}
    if kind == "side by side":
        files = {f"{student}{os.path.splitext(name)[1]}": b"{}" for student, name in strange.items()}
        path = write(tmp_path / "in", books | files)
    else:
        files = {f"{student}/{name}": b"{}" for student, name in strange.items()}
        path = write(tmp_path / "in", books | files)
        (path / "ida").mkdir()
        (path / "jan.zip").write_bytes(zipped([]))
        if kind == "zip":
            archive = tmp_path / "in.zip"
            with zipfile.ZipFile(archive, "w") as made:
                for file in sorted(path.rglob("*")):
                    made.write(file, file.relative_to(path))
            path = archive
    submissions, _ = read_submissions(path)
    tasks, _ = make_plan(submissions, make_exercises())
    messages = {task.student: task.message for task in tasks if task.status == "missing"}
    assert set(messages) == set(strange) | ({"ida", "jan"} if kind != "side by side" else set())
    assert {task.student for task in tasks if task.cells} == {"zoe0", "zoe1"}
    if kind != "side by side":
        assert messages["ann"] == "handed in ann/report.pdf, which is no notebook"
        assert messages["ida"] == "nothing was handed in but an empty folder"
        assert messages["jan"] == "handed in jan.zip, which is no notebook"


def test_a_notebook_under_another_name_is_read_but_never_before_a_plain_one(tmp_path):
    names = ["ann/03.ipynb.txt", "ben/03.json", "cat/03 notebook", "dan/03.ipynb", "dan/03.ipynb.txt", "dan/zz.json"]
    found, _ = found_in(write(tmp_path, dict.fromkeys(names, BOOK) | {"ben/03.json": b"\xef\xbb\xbf\r\n" + BOOK}))
    assert {student: [file.path for file in s.files] for student, s in found.items()} == {
        "ann": ["ann/03.ipynb.txt"], "ben": ["ben/03.json"], "cat": ["cat/03 notebook"],
        "dan": ["dan/03.ipynb.txt", "dan/zz.json", "dan/03.ipynb"],
    }  # fmt: skip
    assert found["ann"].problems == ("ann/03.ipynb.txt: read as a notebook, which it is in spite of its name",)


def test_what_the_grader_wrote_is_nobodys_submission(tmp_path):
    folder = write(tmp_path, {"anna.ipynb": b"", "bert/nb.ipynb": b""})
    exercises = make_exercises()
    for output in ("grades.csv", "grades.csv", "out/grades.csv", "out/grades.csv"):
        pages = folder / output.replace("grades.csv", "pages")
        result = grade(folder, output=folder / output, feedback=pages, exercises=exercises, resume=True, **OPTIONS)
        assert set(result.marks) - {"pages"} == {"anna", "bert"}
        assert ("pages" in result.marks) == (output != "grades.csv"), "another run's pages may be anybody's folder"


def test_a_lessons_name_is_no_students():
    names = ["00_welcome (1).ipynb", "01_federate_a_pretrained_model-2.ipynb", "01_anna.ipynb", "00_Welcome.ipynb"]
    owned = owners_of([(name, "file") for name in [*names, "Ada Lovelace.ipynb"]], problems := [])
    assert [owner.name for owner, *_ in owned] == ["01_anna", "Ada Lovelace"]
    assert sorted(problems) == [
        f"{name}: a lesson's name, no student's; put it into a folder per student"
        for name in ("00_Welcome.ipynb", "00_welcome (1).ipynb", "01_federate_a_pretrained_model-2.ipynb")
    ]
    assert [owner.name for owner, *_ in owners_of([("00_welcome.ipynb", "file")], [])] == ["00_welcome"]
    started = time.process_time()
    owners_of([(f"{'-1' * 30_000}{n}x.ipynb", "file") for n in range(3)], [])
    assert time.process_time() - started < 5


def test_nothing_but_lessons_side_by_side_is_refused(tmp_path):
    folder = write(tmp_path, dict.fromkeys(["00_welcome (1).ipynb", "00_welcome.ipynb", "x/readme.txt"], BOOK))
    with pytest.raises(UsageError, match=r"found none; 00_welcome\.ipynb: a lesson's name, no student's; put it into"):
        read_submissions(folder, ignore=[folder / "x"])


def test_canvas_says_who_is_late_and_nobody_else_can(tmp_path):
    names = ["lovelaceada_LATE_1001_5001_00_a.ipynb", "hopper_1002_5002_LATE_1_2.ipynb", "bo_LATE_1003_link.html"]
    found, _ = found_in(write(tmp_path / "a", dict.fromkeys(names, BOOK)))
    assert {s.name: s.late for s in found.values()} == {
        "lovelaceada": "as Canvas says", "hopper": "", "bo": "as Canvas says"
    }  # fmt: skip
    found, _ = found_in(write(tmp_path / "b", dict.fromkeys([names[0], "anna.ipynb"], BOOK)))
    assert {s.late for s in found.values()} == {""}


def test_who_handed_in_nothing_that_is_graded_is_told_so(tmp_path):
    books = {f"{name}/90.ipynb": BOOK for name in ("ann", "ben", "cat")} | {"nora/91.ipynb": notebook(lesson="91")}
    submissions, _ = read_submissions(write(tmp_path, books))
    _, notes = make_plan(submissions, make_exercises() | make_exercises("91"))
    assert notes == {
        "ann": [], "ben": [], "cat": [],
        "nora": ["nora: 0 points, since nothing but lesson 91, not graded in this batch, was handed in"],
    }  # fmt: skip


def test_what_canvas_students_type_in_takes_no_number_from_the_others():
    names = ["lovelaceada_1001_5001_00_a.ipynb", "lovelaceada_LATE_1001_5002_01_b.ipynb", "hopper_1002_text.html"]
    names += ["noether_LATE_1003_link.html"]
    owned = owners_of([(name, "file") for name in names], problems := [])
    assert [(owner.name, owner.lms_id) for owner, *_ in owned] == [
        ("hopper", "1002"), ("lovelaceada", "1001"), ("lovelaceada", "1001"), ("noether", "1003")
    ]  # fmt: skip
    assert problems == []


@pytest.mark.parametrize("forged", ["lovelaceada_1001_5555_6666_x.ipynb", "lovelaceada_1001_5555_text.html"])
def test_who_takes_another_ones_number_into_a_name_in_canvas_takes_no_row(forged):
    names = ["lovelaceada_1001_5001_00_a.ipynb", "lovelaceada_1001_5002_01_b.ipynb", "hopper_1002_5003_2024_x.ipynb"]
    problems = []
    owned = {name: owner for owner, name, _ in owners_of([(name, "file") for name in [*names, forged]], problems)}
    assert {owned[name].lms_id for name in names[:2]} == {"1001"}
    assert owned[forged] != owned[names[0]]
    assert owned[forged].lms_id == ""
    assert owned[names[2]].lms_id == "1002", "a file's own name may begin with a number"
    assert [line.partition(":")[0] for line in problems] == [forged]
