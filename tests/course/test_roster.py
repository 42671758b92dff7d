"""A roster gives everyone a row and a name, and refuses in one line what could be two people."""

import csv

import pytest
from grading_problems import make_exercises, notebook, write
from lms_tables import CANVAS, put

from fedlearn_edu.course.grading import Term, grade
from fedlearn_edu.course.grading.canvas import Gradebook
from fedlearn_edu.course.grading.roster import Person, enrol, listed, match, read_roster
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.errors import UsageError


def plain(name, **fields):
    return Submission(name, name, "", "", (), "x", ascii(name), **fields)


def numbered(lms, name, number):
    return Submission(name, name, lms, number, (), "x", ascii((lms, number)))


def names(enrolled):
    return [one.student for one in enrolled]


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("name\nAda Lovelace\n\nBen Bo\n", [("Ada Lovelace", "", ""), ("Ben Bo", "", "")]),
        ('\ufeffNumber;"Full Name";E-Mail\n7;"Lovelace, Ada";a@b.c\n', [("Ada Lovelace", "7", "a@b.c")]),
        ("name,number,email\n,7,\n,,a@b.c\n,,\n", [("7", "7", ""), ("a@b.c", "", "a@b.c")]),
        ("Vorname\tNachname\tMatrikelnummer\nZo\u00eb\tM\u00fcller\t12\n", [("Zo\u00eb M\u00fcller", "12", "")]),
        ("Student,ID,Section\n    Points Possible,,\n\"Hopper, Grace\",3,x\n", [("Grace Hopper", "3", "")]),
    ],
)  # fmt: skip
def test_rosters_of_many_kinds(tmp_path, text, people):
    assert [(one.name, one.number, one.email) for one in read_roster(put(tmp_path, text))] == people


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,number\nAda,7\nBen,7\n", "the number 7 is there twice; leave each person in once"),
        ("name,email\nAda,a@b.c\nBen,A@B.C\n", "the email a@b.c is there twice"),
        ("name\nAda Lovelace\nADA  lovelace\n", "Ada Lovelace is there twice; give both a number, or leave one out"),
        ("name,number\nWei Li,1\nWei Li,\n", "Wei Li is there twice; give both a number"),
        (
            "points,first name\n3,Ada\n",
            'expected a column "name", or "first name" and "last name"; found points, first',
        ),
        ("name,number\n,\n", "nobody is in it"),
        ("name,number\nLovelace, Ada,7\n", "row 2 has 3 cells, its header 2; what holds a ',' needs quotation marks"),
        ("name,number,Name\nAda,7,Ben\n", "the column 'name' is there twice; leave one in"),
    ],
)
def test_rosters_that_are_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=r"^roster: ") as caught:
        read_roster(put(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_everyone_has_a_row_and_a_name(tmp_path):
    roster = read_roster(
        put(tmp_path, "name,number,email\nAda Lovelace,1001,\nJos\u00e9 Garc\u00eda,1002,\nGrace Hopper,1003,\n")
    )
    given = [numbered("canvas", "garc\u00edajos\u00e9", "1002"), numbered("canvas", "lovelaceada", "9")]
    enrolled, persons, notes = enrol([*given, numbered("canvas", "eve", "66")], roster)
    assert names(enrolled) == ["Ada Lovelace", "eve", "Grace Hopper", "Jos\u00e9 Garc\u00eda"]
    assert {student: person.number for student, person in persons.items()} == {
        "Ada Lovelace": "1001", "Jos\u00e9 Garc\u00eda": "1002", "Grace Hopper": "1003"
    }  # fmt: skip
    assert notes == ["not on the roster, graded all the same: 1 (eve)", "handed in nothing: 1 (Grace Hopper)"]
    by_name = {one.student: one for one in enrolled}
    assert by_name["Grace Hopper"].instead == "nothing was handed in"
    # A page keeps its own name, whoever is on the roster.
    assert {one.identity for one in given} <= {one.identity for one in enrolled}
    assert len({one.identity for one in enrolled}) == 4


@pytest.mark.parametrize(
    "called", ["Ada Lovelace", "lovelace_ada", "LOVELACE, Ada", "ada-lovelace", "K12345", "ada@uni.example"]
)
def test_what_a_file_may_be_called(called):
    person = Person("Ada Lovelace", "k12345", "ada@uni.example")
    found, doubtful, notes = match([plain(called)], [person, Person("Ben Bo")])
    assert (found, doubtful, notes) == ({called: person}, set(), [])


@pytest.mark.parametrize("called", ["Ada", "Lovelace", "Ada Lovelaces", "Participant 4018", "", "\u0410da Lovelace"])
def test_nobody_is_taken_for_another(called):
    people = [Person("Ada Lovelace", "4018"), Person("Ben Bo", "")]
    assert match([plain(called)], people) == ({}, set(), [])


def test_the_number_of_an_lms_is_no_name_that_a_student_may_take():
    people = [Person("Ada Lovelace", "4018", lms="moodle")]
    assert match([plain("4018")], people) == ({}, set(), [])
    assert match([plain("Ada Lovelace [4018]")], people)[0], "with her name it is what the tables call her"


def test_two_of_one_name_are_told_apart_by_number_or_not_at_all():
    people = [Person("Wei Li", "4001", lms="moodle"), Person("Wei Li", "4002", lms="moodle")]
    enrolled, persons, notes = enrol([numbered("moodle", "Wei Li", "4002")], people)
    assert names(enrolled) == ["Wei Li [4001]", "Wei Li [4002]"]
    assert {student: one.number for student, one in persons.items()} == {
        "Wei Li [4001]": "4001", "Wei Li [4002]": "4002"
    }  # fmt: skip
    assert "handed in nothing: 1 (Wei Li [4001])" in notes
    enrolled, persons, notes = enrol([plain("Wei Li")], people)
    assert names(enrolled) == ["Wei Li"], "neither is said to have handed in nothing, since one of them has"
    assert persons == {}
    assert (
        "Wei Li: could be Wei Li [4001], Wei Li [4002] of the roster; taken for none of them; call the folder "
        "'Wei Li [4001]'"
    ) in notes


@pytest.mark.parametrize("called", ["Wei Li [4002]", "Wei Li 4002", "4002 Wei Li", "4002", "li_wei-4002"])
def test_a_folder_with_the_rosters_number_is_one_of_two_of_a_name(called):
    people = [Person("Wei Li", "4001"), Person("Wei Li", "4002")]
    given = [plain(called), plain("Wei Li [4001]")]
    enrolled, _, _ = enrol(given, people)
    assert names(enrolled) == ["Wei Li [4001]", "Wei Li [4002]"]
    assert [one.lms_id for one in enrolled] == ["4001", "4002"]
    assert [one.instead for one in enrolled] == ["x", "x"], "nobody has a row besides for having handed in nothing"
    assert {one.identity for one in enrolled} == {one.identity for one in given}
    # The LMS's table tells them apart by the same number; by another one it tells nobody.
    table = [Person("Wei Li", number, lms="moodle") for number in ("4001", "4002")]
    found, doubtful, _ = match(enrolled, table)
    assert {student: one.number for student, one in found.items()} == {"Wei Li [4001]": "4001", "Wei Li [4002]": "4002"}
    assert not doubtful
    assert match(enrolled, [Person("Ben Bo", "4001", lms="moodle")])[0] == {}
    _, _, notes = enrol([plain("Wei Li")], people)
    assert any(note.endswith("taken for none of them; call the folder 4001 or 'Wei Li [4001]'") for note in notes)


def test_moodles_names_stay_but_for_groups_and_blind_marking():
    called = {"Group A-Ada Lovelace": "Ada Lovelace", "Participant": "Participant 4002", "OBrien": "O'Brien"}
    people = [Person(name, f"400{number}", lms="moodle") for number, name in enumerate(called.values(), 1)]
    people.append(Person("Submitted for grading", "4004", lms="moodle"))
    given = [numbered("moodle", name, f"400{number}") for number, name in enumerate([*called, "Zoe"], 1)]
    enrolled, _, notes = enrol(given, people)
    assert names(enrolled) == ["Ada Lovelace", "OBrien", "Participant 4002", "Zoe"]
    assert notes == []


def test_the_numbers_of_a_roster_are_none_of_moodles():
    people = [Person("Ada Lovelace", "7"), Person("Ben Bo", "8"), Person("Wei Li", "9"), Person("Wei Li", "10")]
    given = [numbered("moodle", name, number) for name, number in (("Ada Lovelace", "8"), ("Eve", "7"))]
    enrolled, persons, notes = enrol(given, people)
    assert names(enrolled) == ["Ada Lovelace", "Ben Bo", "Eve", "Wei Li [9]", "Wei Li [10]"]
    assert persons["Ada Lovelace"] is people[0], "not Ben, whose number on the roster is hers in Moodle"
    assert "not on the roster, graded all the same: 1 (Eve)" in notes, "not Ada, who has handed in herself"


def test_a_number_and_a_name_that_contradict_each_other_are_nobodys():
    people = [Person("Ada Lovelace", "7"), Person("Ben Bo", "8")]
    found, doubtful, notes = match([numbered("canvas", "Ada Lovelace", "8")], people)
    assert found == {}
    assert doubtful == set(people)
    assert notes == [
        "Ada Lovelace: could be Ada Lovelace [7], Ben Bo [8] of the roster; taken for none of them; call the folder "
        "7 or 'Ada Lovelace [7]'"
    ]


def test_two_files_that_could_be_one_persons_are_named():
    person = Person("Ada Lovelace", "7")
    enrolled, persons, notes = enrol([plain("Ada Lovelace"), plain("lovelace ada")], [person, Person("Ben Bo")])
    assert names(enrolled) == ["Ada Lovelace", "Ben Bo", "lovelace ada"]
    assert list(persons) == ["Ben Bo"]
    assert "lovelace ada: 2 submissions could be Ada Lovelace's; none is taken for it" in notes


def test_the_lms_numbers_of_a_table_decide_alone():
    people = [Person("Ada Lovelace", "4018", lms="moodle"), Person("Eve", "4019", lms="moodle")]
    found, _, _ = match([numbered("moodle", "Ada Lovelace", "4019"), numbered("moodle", "Eve", "5")], people)
    assert found == {"Ada Lovelace": people[1]}
    found, _, _ = match([numbered("canvas", "eve", "4018")], people)
    assert found == {}, "a number of Canvas's is none of Moodle's, and contradicts the name"


def test_a_stranger_who_is_called_like_an_absent_one_keeps_a_row_of_its_own():
    people = [Person("Ada Lovelace", "4018", lms="moodle"), Person("Bo", "4019", lms="moodle")]
    enrolled, persons, _ = enrol([numbered("moodle", "Ada Lovelace", "99"), numbered("moodle", "Bo", "4019")], people)
    assert sorted(names(enrolled)) == ["Ada Lovelace [4018]", "Ada Lovelace [99]", "Bo"]
    assert persons["Ada Lovelace [4018]"] is people[0]


def test_the_gradebook_is_a_roster_without_its_test_student(tmp_path):
    people = Gradebook(put(tmp_path, CANVAS), "1234").people
    assert [(one.name, one.number) for one in people] == [
        ("Ada Lovelace", "1001"), ("Jos\u00e9 Garc\u00eda M\u00e1rquez", "1002"), ("Grace Hopper", "1003"),
        ("Zo\u00eb M\u00fcller", "1004"),
    ]  # fmt: skip


def test_the_rosters_number_is_in_the_totals_and_names_its_student_in_the_teachers_tables(tmp_path):
    folder = write(tmp_path / "in", {"Ada Lovelace/90_x.ipynb": notebook(), "Wei Li 4002/90_x.ipynb": notebook()})
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    options = {"output": tmp_path / "g.csv", "exercises": only, "feedback": tmp_path / "pages", "memory_gb": 1.0}
    options |= {"progress": False, "seed": 9}
    own = put(tmp_path, "student,exercise,points,reason\n4002,90.weighted_mean,1,seen\n", "own.csv")
    times = put(tmp_path, "student,time\n7,2026-11-30 08:00\n4002,2026-12-02 08:00\n", "times.csv")
    plain_roster = put(tmp_path, "name\nAda Lovelace\n", "names.csv")
    first = grade(folder, term=Term(roster=plain_roster), **options)
    roster = put(tmp_path, "name,number\nAda Lovelace,7\nWei Li,4001\nWei Li,4002\n", "roster.csv")
    term = Term(roster=roster, handed_in=times, deadline="2026-12-01 08:00 UTC")
    again = grade(folder, term=term, overrides=own, resume=True, **options)
    assert (first.num_resumed, again.num_resumed) == (0, 2), "a number makes nobody another student"
    assert len(list((tmp_path / "pages").glob("Ada*"))) == 1, "nor does it rename a page"
    with open(tmp_path / "g_totals.csv", newline="", encoding="utf-8-sig") as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    assert {name: row["lms_id"] for name, row in rows.items()} == {
        "Ada Lovelace": "7", "Wei Li [4001]": "4001", "Wei Li [4002]": "4002"
    }  # fmt: skip
    assert [rows["Wei Li [4002]"]["points"], rows["Wei Li [4002]"]["late"]] == ["1", "1 day"]


def test_long_lists_are_cut():
    assert listed([str(n) for n in range(12)]) == "12 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)"
