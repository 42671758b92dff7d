"""Moodle's worksheet and Canvas's gradebook come back filled in and otherwise byte for byte as they were."""

import csv
import dataclasses
import datetime
import io
import re
import stat
import time
import zipfile

import pytest
from click.testing import CliRunner
from grading_problems import make_exercises, notebook, write
from hypothesis import given, settings
from hypothesis import strategies as st
from lms_tables import BLIND, CANVAS, GERMAN, MOODLE, graded, put

from fedlearn_edu import cli
from fedlearn_edu.course.grading import GradingResult, Term, grade, report, run_grading
from fedlearn_edu.course.grading.canvas import Gradebook
from fedlearn_edu.course.grading.lms import fill, scaled
from fedlearn_edu.course.grading.marks import empty_mark
from fedlearn_edu.course.grading.moodle import Worksheet, feedback_zip
from fedlearn_edu.course.grading.sheet import Sheet
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.term import OpenTerm
from fedlearn_edu.errors import UsageError

OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 2, "progress": False}
COLUMN = "FL exercises (1234)"


def moodle(name, number, **fields):
    return Submission(
        name, name, "moodle", str(number), (), "handed in x.pdf", ascii(("moodle", str(number))), **fields
    )


def canvas(name, number, **fields):
    return Submission(
        name, name, "canvas", str(number), (), "handed in x.pdf", ascii(("canvas", str(number))), **fields
    )


def filled(tmp_path, submissions, points, *, term=None, **options):
    """What the LMS gets, and all that is said."""
    open_term = OpenTerm(term or Term(**options), tmp_path / "g.csv")
    enrolled = open_term.enrol(submissions)
    [text] = [text for text in open_term.exports(graded(enrolled, points)).values() if isinstance(text, str)]
    return text, "\n".join(open_term.said), enrolled


# --- A table of somebody else's ---


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=4),
                min_size=2, max_size=5), st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_ALL,
                csv.QUOTE_MINIMAL]), st.sampled_from(["", "\ufeff"]))  # fmt: skip
def test_what_python_writes_is_read_and_stays_as_it_is(tmp_path_factory, rows, end, quoting, mark):
    rows[0] = ["a,b", "c"]
    rows = [[rows[r][c] if r == 0 else f"x{cell}" for c, cell in enumerate(row)] for r, row in enumerate(rows)]
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, quoting=quoting).writerows(rows)
    text = mark + stream.getvalue()
    sheet = Sheet(put(tmp_path_factory.mktemp("sheet"), text), "table")
    assert sheet.rows == rows
    assert sheet.text() == text


def test_only_the_cell_that_is_set_changes(tmp_path):
    text = '\ufeffa;"b";c\r\n1;"2 ""x""";\r\n"4\n5";; 6 \n7;8'
    sheet = Sheet(put(tmp_path, text), "table")
    assert sheet.rows == [["a", "b", "c"], ["1", '2 "x"', ""], ["4\n5", "", " 6 "], ["7", "8"]]
    assert (sheet.cell(2, 2), sheet.cell(3, 2)) == ("6", "")
    sheet.set(1, 1, "9")
    sheet.set(1, 2, "1,5")
    sheet.set(3, 1, 'say "x"')
    assert sheet.text() == '\ufeffa;"b";c\r\n1;"9";"1,5"\r\n"4\n5";; 6 \n7;"say ""x"""'


@pytest.mark.parametrize(
    ("text", "header"),
    [("a,b;c\n1,2", ["a", "b;c"]), ('"x; y; z",b\n1,2', ["x; y; z", "b"]), ("a\tb\n1\t2", ["a", "b"]),
     ("a;b,c;d\n1;2;3", ["a", "b,c", "d"]), ('a;"b,b,b\nb,b";c\n1;2;3', ["a", "b,b,b\nb,b", "c"]), (" a \n1", ["a"])],
)  # fmt: skip
def test_what_stands_between_cells(tmp_path, text, header):
    sheet = Sheet(put(tmp_path, text), "table")
    assert sheet.header == header
    assert sheet.text() == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n", "expected a row of headers and rows below it"),
        (b"", "expected a row of headers and rows below it"),
        ("a,b\nZo\u00eb,1\n".encode("latin-1"), 'expected UTF-8; export it again, or save it as "CSV UTF-8"'),
        ("a,b\n1,2\n".encode("utf-16"), 'expected UTF-8; export it again, or save it as "CSV UTF-8"'),
        (b'a,b\n1,"2\n3,4\n', 'line 2: a quotation mark that is never closed, or not doubled: "2 3,4'),
        (b'a,b\n1,"2"x"\n', "line 2: a quotation mark"),
        (b"PK\x03\x04\0\0", "expected a table"),
        (None, "cannot be read: Is a directory"),
    ],
)
def test_files_that_are_no_table_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UsageError, match=f"^roster: {re.escape(str(path))}: ") as caught:
        Sheet(path, "roster")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- Moodle ---


def test_moodles_worksheet_comes_back_filled_in(tmp_path):
    students = [moodle("Lovelace, Ada", 4018), moodle("Zo\u00eb M\u00fcller", 4019)]
    text, said, enrolled = filled(
        tmp_path, students, {"Lovelace, Ada": 8.0, "Zo\u00eb M\u00fcller": 3.0}, moodle_worksheet=put(tmp_path, MOODLE)
    )
    assert text == MOODLE.replace(
        '"Submitted for grading -  - ",,', '"Submitted for grading -  - ",20,'
    ).replace('and went",-,\r\n', 'and went",-,"fedlearn-edu: 8 of 8; 2 of 2 exercises all right"\r\n').replace(
        "7.50,20.00", "7.5,20.00"
    ).replace(
        '"Well begun."',
        '"Well begun. fedlearn-edu: 3 of 8; 90.a 1.5/4 (a &amp; &lt;b&gt; is wrong); 1 of 2 exercises all right"',
    )  # fmt: skip
    assert "g_moodle.csv: 2 grades out of 20, rounded to two decimals; who handed in nothing gets none" in said
    assert "another grade" not in said, "7.5 is the grade that was there"
    assert "handed in nothing: 1 (O'Brien, =Bo)" in said
    [absent] = [one for one in enrolled if one.instead == "nothing was handed in"]
    assert (absent.student, absent.lms_id, absent.files) == ("O'Brien, =Bo", "4020", ())


def test_one_reason_for_many_exercises_is_told_once(tmp_path):
    exercises = list((make_exercises() | make_exercises("91")).values())
    ada, zoe = moodle("Lovelace, Ada", 4018), moodle("Zo\u00eb M\u00fcller", 4019)
    result = graded([ada, zoe], {})
    result.marks[ada.student] = tuple(empty_mark(one, "missing", "handed in x.pdf") for one in exercises)
    result.marks[zoe.student] = tuple(empty_mark(one, "missing", f"no notebook of {one.lesson}") for one in exercises)
    table = Worksheet(put(tmp_path, MOODLE))
    fill(table, {ada.student: 1, zoe.student: 2}, result, out_of=20.0, name="x")
    comments = [text.partition("fedlearn-edu: ")[2] for text in (table._sheet.cell(row, 11) for row in (1, 2))]
    assert comments[0] == "0 of 22; all 6 exercises 0/22 (handed in x.pdf)"
    assert [comments[1].count(f"(no notebook of {lesson})") for lesson in ("90", "91")] == [1, 1]
    assert all(one.id in comments[1] for one in exercises)


def test_a_known_mistake_is_told_first(tmp_path):
    exercises = list(make_exercises().values())
    ada = moodle("Lovelace, Ada", 4018)
    marks = tuple(empty_mark(one, "failed", "8 of 8 entries are wrong") for one in exercises)
    marks = (*marks[:2], dataclasses.replace(marks[2], override="seen"))
    mistakes = {(ada.student, mark.exercise_id): "flipped sign" for mark in marks[1:]}
    files = {purpose: tmp_path / purpose for purpose in ("grades", "totals", "report")}
    result = GradingResult((ada,), {ada.student: marks}, 7, "limits", {}, 0, 1.0, files, mistakes=mistakes)
    table = Worksheet(put(tmp_path, MOODLE))
    fill(table, {ada.student: 1}, result, out_of=20.0, name="x")
    comment = table._sheet.cell(1, 11)
    assert f"{exercises[0].id} 0/6 (8 of 8 entries are wrong); " in comment
    assert f"{exercises[1].id} 0/3 (known mistake: flipped sign; 8 of 8 entries are wrong); " in comment
    assert f"{exercises[2].id} 0/2 (seen)" in comment
    table = report.make_tables(result, timeout=30.0, memory_gb=4.0)[files["grades"]]
    assert [row["message"] for row in csv.DictReader(io.StringIO(table))][:2] == [
        "8 of 8 entries are wrong", "known mistake: flipped sign; 8 of 8 entries are wrong",
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["\r\n", ",,,,,,,,,,,\r\n", "\r\n,,\r\n"])
def test_rows_without_anything_in_them_change_nothing(tmp_path, end):
    students, points = [moodle("Lovelace, Ada", 4018)], {"Lovelace, Ada": 8.0}
    options = {"deadline": "2026-11-30 23:59 Europe/Berlin"}
    before = filled(tmp_path, students, points, moodle_worksheet=put(tmp_path, MOODLE), **options)
    after = filled(tmp_path, students, points, moodle_worksheet=put(tmp_path, MOODLE + end), **options)
    assert after == (before[0] + end, *before[1:])


def test_what_the_teacher_set_is_told_by_itself_and_long_reasons_are_cut(tmp_path):
    ada = moodle("Lovelace, Ada", 4018)
    result = graded([ada], {})
    marks = [empty_mark(one, "missing", "no notebook") for one in make_exercises().values()]
    marks[1] = dataclasses.replace(marks[1], points=2.5, override=f"shown on paper {'x' * 200}")
    result.marks[ada.student] = tuple(marks)
    table = Worksheet(put(tmp_path, MOODLE))
    fill(table, {ada.student: 1}, result, out_of=20.0, name="x")
    first, second, third = (mark.exercise_id for mark in marks)
    assert table._sheet.cell(1, 11) == (
        f"fedlearn-edu: 2.5 of 11; {first}, {third} 0/{marks[0].max_points + marks[2].max_points} (no notebook); "
        f"{second} 2.5/{marks[1].max_points} (shown on paper {'x' * 82}...)"
    )


def test_a_worksheet_in_german_keeps_its_commas(tmp_path):
    students = [moodle("Ada Lovelace", 4018), moodle("fdsa \u00f6lkjh,g", 4019)]
    points = {"Ada Lovelace": 3.0, "fdsa \u00f6lkjh,g": 8.0}
    text, said, _ = filled(tmp_path, students, points, moodle_worksheet=put(tmp_path, GERMAN), out_of=10)
    ada, other = text.splitlines()[1:]
    assert ',"3,75","24,00",Ja,' in ada
    assert ',10,"24,00",Ja,' in other
    assert '19:59","fedlearn-edu: 3 of 8; 90.a 1.5/4 (a &amp; &lt;b&gt; is wrong); 1 of 2 exercises all right"' in ada
    assert text.splitlines()[0] == GERMAN.splitlines()[0]
    assert "2 grades out of 10" in said
    assert 'more recently in Moodle than in the spreadsheet": 1 (Ada Lovelace)' in said


def test_a_worksheet_that_a_spreadsheet_saved_keeps_its_decimal_sign(tmp_path):
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=";").writerows(csv.reader(io.StringIO(GERMAN, newline="")))
    text = stream.getvalue().replace("24,00", "24").replace("13,50", "13,5")
    worksheet = Worksheet(put(tmp_path, text))
    worksheet.fill(2, "3.75", "x")
    assert worksheet.text().count(";3,75;24;") + worksheet.text().count(';"3,75";24;') == 1


@pytest.mark.parametrize(
    ("text", "identifier", "word", "grade", "modified", "sign"),
    [
        (MOODLE, "Identifier", "Participant ", "Grade", "Last modified (grade)", "."),
        (GERMAN, "ID", "Teilnehmer/in", "Bewertung", "Zuletzt geändert (Bewertung)", ","),
    ],
)
def test_moodles_importer_would_take_all_of_it(tmp_path, text, identifier, word, grade, modified, sign):
    # What `feedback/offline` does: three columns by exact name, the number after the word, silence above the maximum.
    maximum = 20 if sign == "." else 24
    students = [moodle(f"s{number}", number) for number in (4018, 4019)]
    found, _, _ = filled(tmp_path, students, {"s4018": 8.0, "s4019": 2.7}, moodle_worksheet=put(tmp_path, text))
    header, *rows = list(csv.reader(io.StringIO(found.removeprefix("\ufeff"), newline="")))
    assert {identifier, grade, modified} <= set(header)
    taken = {}
    for row in rows:
        assert len(row) == len(header), "csvweirdcolumns"
        number = row[header.index(identifier)][len(word) :]
        if value := row[header.index(grade)].replace(" ", "").replace(sign, "."):
            assert 0 <= float(value) <= maximum
            taken[int(number)] = float(value)
    assert taken == {4018: maximum, 4019: pytest.approx(2.7 / 8 * maximum, abs=0.005)}


def test_our_words_are_replaced_and_the_teachers_stay(tmp_path):
    students = [moodle("Zo\u00eb M\u00fcller", 4019)]
    path = put(tmp_path, MOODLE)
    for points in (3.0, 8.0, 8.0):
        text, _, _ = filled(tmp_path, students, {"Zo\u00eb M\u00fcller": points}, moodle_worksheet=path)
        path = put(tmp_path, text)
    assert '"Well begun. fedlearn-edu: 8 of 8; 2 of 2 exercises all right"\r\n' in text
    assert text.count("fedlearn-edu: ") == 1


def test_a_blind_worksheet_has_no_names_and_no_place_for_comments(tmp_path):
    worksheet = Worksheet(put(tmp_path, BLIND))
    assert [(one.name, one.number) for one in worksheet.people] == [
        ("Participant 4018", "4018"), ("Participant 4019", "4019"), ("Participant 4020", "4020")
    ]  # fmt: skip
    assert worksheet.maximum == 100
    assert worksheet.submitted(datetime.UTC) == ({}, False)
    graded_on = put(tmp_path, BLIND.replace("Yes,-", 'Yes,"Friday, 4 December 2026, 8:00 AM"'))
    assert Worksheet(graded_on).submitted(datetime.UTC) == ({}, False), "when it was graded says nothing of lateness"
    text, _, enrolled = filled(
        tmp_path, [moodle("Participant", 4018)], {"Participant 4018": 5.0}, moodle_worksheet=put(tmp_path, BLIND)
    )
    assert text == BLIND.replace("grading,,,100.00", "grading,,62.5,100.00", 1)
    assert [one.student for one in enrolled] == ["Participant 4018", "Participant 4019", "Participant 4020"]


@pytest.mark.parametrize("extra", ["Group,Marker", "Allow submissions from,Due date,Cut-off date"])
def test_columns_are_found_by_what_stands_in_them(tmp_path, extra):
    # Moodle leaves columns out and puts others in, as the assignment is set up, and its words are in many languages.
    more = "," if extra.startswith("G") else ',"Friday, 12 June 2026, 5:00 PM",'
    rest = ',100.00,Yes,"Wednesday, 10 June 2026, 2:14 PM",-,'
    lines = [f"Participant {number},Name {number},777,{more},{rest}\n" for number in (5001, 5002, 5003)]
    before = f"A,B,C,{extra},D,E,F,G,H,I\n" + "".join(lines)
    worksheet = Worksheet(put(tmp_path, before))
    worksheet.fill(2, "33.3", "x")
    assert worksheet.text() == before.replace(
        lines[1], lines[1].replace(",100.00", "33.3,100.00")[:-1] + "fedlearn-edu: x\n"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("Participant ", "K"), None),
        (lambda t: t.replace("Participant 4018", "4018"), '"Participant 4018" or such in its first column'),
        (lambda t: t.replace("Participant 4018", "Student 4018"), '"Participant 4018" or such in its first column'),
        (lambda t: t.replace("4019", "4018"), "the number 4018 is there twice; leave each person in once"),
        (lambda t: t.replace("20.00", "A B C"), "an assignment marked with a scale has none"),
        (lambda t: t.replace("20.00,Yes", "20.00,20.00"), "several columns could be it"),
        (lambda t: re.sub('"Last modified.*', '"x"\r\n"Participant 1",A,,,,,20.00,Yes,\r\n', t, flags=re.DOTALL),
         "no column of dates after the grades"),
        (lambda t: t.replace("7.50,20.00", "7.50"), "row 3 has 11 cells, its header 12"),
        (lambda t: "name,points\nAda,3\n", '"Participant 4018" or such in its first column'),
    ],
)  # fmt: skip
def test_what_is_no_worksheet_is_refused_in_one_line(tmp_path, change, message):
    path = put(tmp_path, change(MOODLE))
    if message is None:  # any word may stand before the number
        assert len(Worksheet(path).people) == 3
        return
    with pytest.raises(UsageError, match=r"^moodle_worksheet: ") as caught:
        Worksheet(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [MOODLE, GERMAN, BLIND])
def test_a_locked_grade_stays_as_it_is_and_is_named(tmp_path, text):
    row = next(line for line in text.splitlines(keepends=True) if "4019" in line)
    locked = row.replace(",Yes,", ",No,").replace(",Yes\r\n", ",No\r\n").replace(",Ja,", ",Nein,")
    assert locked != row
    worksheet = Worksheet(put(tmp_path, text))
    assert not any(worksheet.kept(one.row) for one in worksheet.people)
    text = text.replace(row, locked)
    worksheet = Worksheet(put(tmp_path, text))
    students = [moodle(one.name, one.number) for one in worksheet.people[:2]]
    after, said, _ = filled(tmp_path, students, {}, moodle_worksheet=put(tmp_path, text))
    assert locked in after
    assert f"left as it was: 1 ({students[1].student}: locked in Moodle)" in said
    assert "1 grade out of" in said


def test_another_courses_worksheet_is_refused_and_one_that_fits_in_part_is_said(tmp_path):
    path = put(tmp_path, MOODLE)
    with pytest.raises(UsageError, match="nobody who handed in is in it"):
        filled(tmp_path, [canvas("lovelaceada", 4018)], {}, moodle_worksheet=path)
    strangers = [moodle("Lovelace, Ada", 77), moodle("Zo\u00eb M\u00fcller", 78)]
    with pytest.raises(UsageError, match="nobody who handed in is in it; export that of this course and assignment"):
        filled(tmp_path, strangers, {}, moodle_worksheet=path)
    few = [moodle("Lovelace, Ada", 4018), *(moodle(f"Stranger {number}", number) for number in range(80, 90))]
    with pytest.raises(UsageError, match="only 1 of the 11 who handed in are in it; export that of this course"):
        filled(tmp_path, few, {}, moodle_worksheet=path)
    text, said, _ = filled(tmp_path, [moodle("Lovelace, Ada", 4018), strangers[1]], {}, moodle_worksheet=path)
    assert "not on the roster, graded all the same: 1 (Zo\u00eb M\u00fcller [78])" in said
    assert "not in g_moodle.csv, since the LMS's table has no row: 1 (Zo\u00eb M\u00fcller [78])" in said
    assert '-  - ",0,20.00' in text.splitlines()[1]


def test_a_roster_beside_the_table_of_an_lms(tmp_path):
    two = MOODLE.replace("Zo\u00eb M\u00fcller", "O'Brien, =Bo")
    roster = put(tmp_path, 'name,number\n"Lovelace, Ada",7\n"O\'Brien, =Bo",8\n', "roster.csv")
    options = {"roster": roster, "moodle_worksheet": put(tmp_path, two)}
    ada = [moodle("Lovelace, Ada", 4018)]
    _, said, _ = filled(tmp_path, ada, {}, **options)
    assert "could be" not in said, "whoever handed in nothing gets no grade, and needs no row"
    bo = Submission("=Bo O'Brien", "=Bo O'Brien", "", "", (), "x", "bo")
    _, said, _ = filled(tmp_path, [*ada, bo], {}, **options)
    assert "could be =Bo O'Brien [4019], =Bo O'Brien [4020] of the LMS's table; taken for none" in said.replace(
        "O'Brien, =Bo", "=Bo O'Brien"
    )


def test_times_of_submission_come_from_the_worksheet(tmp_path):
    students = [moodle("Lovelace, Ada", 4018), moodle("Zo\u00eb M\u00fcller", 4019)]
    points = {"Lovelace, Ada": 8.0, "Zo\u00eb M\u00fcller": 8.0}
    options = {"moodle_worksheet": put(tmp_path, MOODLE), "deadline": "2026-11-30 23:59 Europe/Berlin"}
    text, said, enrolled = filled(tmp_path, students, points, late_penalty="10%/day", **options)
    late = {one.student: one.late for one in enrolled}
    assert late == {
        "Lovelace, Ada": "",
        "O'Brien, =Bo": "",
        "Zo\u00eb M\u00fcller": "2 days 1 h; 30 % of the points that could be had are taken off",
    }
    assert ",14,20.00" in text
    assert (
        "fedlearn-edu: 5.6 of 8; handed in late: 2 days 1 h; 30 % of the points that could be had are taken off" in text
    )
    assert "times in the worksheet were read as those of Europe/Berlin, like the deadline" in said
    assert "late: 1 (Zo\u00eb M\u00fcller)" in said
    german = {"moodle_worksheet": put(tmp_path, GERMAN), "deadline": "2026-12-01T00:00Z"}
    _, _, enrolled = filled(tmp_path, [moodle("Ada Lovelace", 4018), moodle("F", 4019)], {}, **german)
    assert [one.late for one in enrolled] == ["", "2 days 1 h"]


def test_the_teachers_own_times_go_before_those_of_the_worksheet(tmp_path):
    students = [moodle("Lovelace, Ada", 4018), moodle("Zo\u00eb M\u00fcller", 4019)]
    options = {"deadline": "2026-11-30 12:00 Europe/Berlin", "late_penalty": "10%/day"}
    options["handed_in"] = put(tmp_path, "student,time\n4019,2026-11-30 12:00\n", "extended.csv")
    # A date of hers that nobody can read does not matter then.
    for text in (MOODLE, MOODLE.replace("Thursday, 3 December 2026, 1:15 AM", "03/12/2026 1:15")):
        _, said, enrolled = filled(tmp_path, students, {}, moodle_worksheet=put(tmp_path, text), **options)
        assert [(one.student, one.late_share) for one in enrolled] == [
            ("Lovelace, Ada", 0.1), ("O'Brien, =Bo", 0.0), ("Zo\u00eb M\u00fcller", 0.0)
        ]  # fmt: skip
        assert "times in the worksheet were read as those of Europe/Berlin" in said
        assert "taken for on time" not in said
    blind, ada = put(tmp_path, BLIND), moodle("Participant", 4018)
    options["handed_in"] = put(tmp_path, "student,time\n4018,2026-12-01 12:00\n", "extended.csv")
    _, said, enrolled = filled(tmp_path, [ada, moodle("B", 4019)], {}, moodle_worksheet=blind, **options)
    assert {one.student: one.late_share for one in enrolled if one.late} == {"Participant 4018": 0.1}
    assert "no time of submission, so taken for on time: 1 (B)" in said


def test_a_time_that_cannot_be_read_is_nobodys_guess(tmp_path):
    path = put(tmp_path, MOODLE.replace("Thursday, 3 December 2026, 1:15 AM", "03/12/2026 1:15"))
    students = [moodle("Lovelace, Ada", 4018), moodle("Zo\u00eb M\u00fcller", 4019)]
    with pytest.raises(
        UsageError, match=r"no certain time of submission for 1 \(Zo. M.ller\): '03/12/2026 1:15'; give"
    ):
        filled(tmp_path, students, {}, moodle_worksheet=path, deadline="2026-11-30 23:59 Europe/Berlin")
    with pytest.raises(UsageError, match="it has no times of submission; give --handed-in"):
        filled(tmp_path, students, {}, moodle_worksheet=put(tmp_path, BLIND), deadline="2026-11-30T23:59Z")


def test_a_grade_that_the_grader_owes_is_not_sent(tmp_path):
    term = OpenTerm(Term(moodle_worksheet=put(tmp_path, MOODLE)), tmp_path / "g.csv")
    enrolled = term.enrol([moodle("Lovelace, Ada", 4018)])
    [text] = term.exports(graded(enrolled, {"Lovelace, Ada": 4.0}, status="ungraded")).values()
    assert text == MOODLE
    assert "g_moodle.csv: no grade, since the grader could not grade all: 1 (Lovelace, Ada)" in term.said
    result = graded(enrolled, {"Lovelace, Ada": 4.0}, status="ungraded")
    result.marks["Lovelace, Ada"] = tuple(
        dataclasses.replace(mark, override="seen by me") for mark in result.marks["Lovelace, Ada"]
    )
    [text] = term.exports(result).values()
    assert '-  - ",10,20.00' in text, "nothing is owed of what the teacher has marked"


def test_feedback_files_are_packed_as_moodle_splits_names():
    # explode('_', part, 5): name, participant, type and plugin.
    names = {"4018": "Lovelace, Ada", "4019": "a_b_../c", "4020": "...", "4021": "Zo\u00eb"}
    packed = feedback_zip([(moodle(name, number), f"<p>{number}") for number, name in names.items()])
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        found = {path: archive.read(path).decode() for path in archive.namelist()}
    for path, page in found.items():
        name, number, kind, plugin, rest = path.split("_", 4)
        assert (kind, plugin, rest) == ("assignfeedback", "file", "/feedback.html")
        assert page == f"<p>{number}"
        assert not set(name) & set("./\\")
    assert next(iter(found)) == "Lovelace Ada_4018_assignfeedback_file_/feedback.html"
    assert packed == feedback_zip([(moodle(name, number), f"<p>{number}") for number, name in names.items()])


def test_what_students_typed_in_costs_no_time_and_moves_no_column(tmp_path):
    words = '"He said ""=1+1"",\r\nand went"'
    assert words in MOODLE
    for typed in ("1" * 120_000, '"Monday, 30 November 2026, 9:14 PM"', "20.00", "Participant 4019"):
        text = MOODLE.replace(words, typed)
        started = time.process_time()
        found, _, _ = filled(
            tmp_path, [moodle("Lovelace, Ada", 4018)], {"Lovelace, Ada": 8.0}, moodle_worksheet=put(tmp_path, text)
        )
        assert time.process_time() - started < 2
        row = next(csv.DictReader(io.StringIO(found.removeprefix("\ufeff"), newline="")))
        assert (row["Grade"], row["Maximum Grade"]) == ("20", "20.00")
        assert row["Feedback comments"].startswith("fedlearn-edu: 8 of 8")


# --- Canvas ---


@pytest.mark.parametrize("column", [COLUMN, "FL exercises", "1234"])
def test_canvas_gradebook_comes_back_with_one_column_filled_in(tmp_path, column):
    students = [
        canvas("lovelaceada", 1001),
        canvas("garc\u00edam\u00e1rquezjos\u00e9", 1002),
        canvas("hoppergrace", 1003),
        canvas("m\u00fcllerzo\u00eb", 1004),
    ]
    points = {"Ada Lovelace": 8.0, "Jos\u00e9 Garc\u00eda M\u00e1rquez": 3.0, "Grace Hopper": 8.0}
    text, said, enrolled = filled(
        tmp_path, students, points, canvas_gradebook=put(tmp_path, CANVAS), canvas_column=column
    )
    assert text == CANVAS.replace("5.00,,88.00", "5.00,10,88.00").replace(",,,4.50,", ",,,3.75,")
    assert [one.student for one in enrolled] == [
        "Ada Lovelace", "Grace Hopper", "Jos\u00e9 Garc\u00eda M\u00e1rquez", "Zo\u00eb M\u00fcller"
    ]  # fmt: skip
    assert "g_canvas.csv: left as it was: 2 (Grace Hopper: EX, Zo\u00eb M\u00fcller: N/A)" in said
    assert "another grade was there: 1 (Jos\u00e9 Garc\u00eda M\u00e1rquez)" in said
    assert "Test" not in said, "the test student is no student"


def _with_semicolons(text):
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=";").writerows(csv.reader(io.StringIO(text, newline="")))
    return stream.getvalue().replace("5.00;10.00", "5,00;10,00").replace("4.50", "4,50")


@pytest.mark.parametrize("text", [CANVAS, _with_semicolons(CANVAS)])
def test_canvas_importer_would_take_all_of_it(tmp_path, text):
    # What `gradebook_importer.rb` does: it guesses the delimiter from three lines, skips what is no student's, finds
    # people by "ID", and takes the last comma or point of a number for the decimal one.
    students = [canvas("lovelaceada", 1001), canvas("garc\u00edam\u00e1rquezjos\u00e9", 1002)]
    points = {"Ada Lovelace": 3.0, "Jos\u00e9 Garc\u00eda M\u00e1rquez": 8.0}
    options = {"canvas_gradebook": put(tmp_path, text), "canvas_column": COLUMN}
    found, _, _ = filled(tmp_path, students, points, **options)
    sizes = {sep: {len(next(csv.reader([line], delimiter=sep))) for line in found.split("\r\n")[:3]} for sep in ";,"}
    delimiter = max((min(size), sep) for sep, size in sizes.items() if len(size) == 1)[1]
    header, *rows = list(csv.reader(io.StringIO(found, newline=""), delimiter=delimiter))
    assert ("Student" in header[0], "ID" in header[1], header[4]) == (True, True, "Section")
    column = header.index(COLUMN)
    grades = {}
    for row in rows:
        if "Points Possible" in row[0]:
            assert not re.search(r"read\s+only", row[column])
        elif row[1]:
            *whole, last = re.split("[,.]", row[column])
            is_number = re.fullmatch(r"-?[0-9.,]+%?", row[column])
            grades[row[1]] = float(f"{''.join(whole)}.{last}" if whole else last) if is_number else row[column]
    assert grades == {"1001": 3.75, "1002": 10.0, "1003": "EX", "1004": "N/A", "1999": ""}


def test_a_gradebook_with_semicolons_and_commas_in_numbers(tmp_path):
    text = (
        "LastName;FirstName;ID;SIS Login ID;Section;FL (7);Slutpo\u00e4ng\n"
        '    Points Possible;;;;;10,00;"(l\u00e4s endast)"\n'
        "Lovelace;Ada;1001;ada;FL101;;88,00\nHopper;Grace;1003;g;FL101;;\n"
    )
    options = {"canvas_gradebook": put(tmp_path, text), "canvas_column": "FL"}
    found, said, _ = filled(tmp_path, [canvas("lovelaceada", 1001)], {"Ada Lovelace": 5.0}, **options)
    assert found == text.replace("FL101;;88", 'FL101;"6,25";88')
    assert "handed in nothing: 1 (Grace Hopper)" in said


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "FL exercise (1234)",
            r"no column 'FL exercise \(1234\)' .*did you mean 'FL exercises \(1234\)'\? Known: FL exer",
        ),
        ("Final Score", "'Final Score' is no assignment's, so Canvas would not take it"),
        ("Notes", "'Notes' is no assignment's"),
        ("ID", "'ID' is no assignment's"),
        ("9", "no column '9'"),
    ],
)
def test_columns_that_canvas_would_not_take_are_refused_in_one_line(tmp_path, column, message):
    with pytest.raises(UsageError, match=f"^canvas_column: {message}|^canvas_column: .*{message}") as caught:
        Gradebook(put(tmp_path, CANVAS), column)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="row 4 has 9 cells, its header 10"):
        Gradebook(put(tmp_path, CANVAS.replace("88.00,88.00", "88.00")), COLUMN)
    with pytest.raises(UsageError, match="expected a gradebook of Canvas"):
        Gradebook(put(tmp_path, MOODLE), column)


def test_canvas_late_marks_and_penalties(tmp_path):
    students = [canvas("lovelaceada", 1001, late="as Canvas says"), canvas("hoppergrace", 1003)]
    options = {"canvas_gradebook": put(tmp_path, CANVAS), "canvas_column": COLUMN}
    text, _, enrolled = filled(tmp_path, students, {"Ada Lovelace": 8.0}, late_penalty="25%", **options)
    assert text == CANVAS.replace("5.00,,88.00", "5.00,7.5,88.00")
    assert enrolled[0].late == "as Canvas says; 25 % of the points that could be had are taken off"
    with pytest.raises(UsageError, match="late_penalty: Canvas says that Ada Lovelace is late, not how late"):
        filled(tmp_path, students, {}, late_penalty="10%/day", **options)
    with pytest.raises(UsageError, match="deadline: Canvas's names tell who was late, not when"):
        filled(tmp_path, students, {}, deadline="2026-11-30T23:59Z", **options)
    times = put(tmp_path, "student,time\nAda Lovelace,2026-12-01T23:00Z\n1003,2026-11-30T23:00Z\n", "times.csv")
    options |= {"deadline": "2026-11-30T23:59Z", "handed_in": times}
    _, _, enrolled = filled(tmp_path, students, {}, late_penalty="10%/day", **options)
    assert [(one.student, one.late_share) for one in enrolled][:2] == [("Ada Lovelace", 0.1), ("Grace Hopper", 0.0)]


# --- Scales and options ---


@pytest.mark.parametrize(
    ("points", "possible", "out_of", "grade"),
    [(68, 68, 20, "20"), (34, 68, 20, "10"), (1, 3, 10, "3.33"), (2, 3, 10, "6.67"), (0.125, 1, 1, "0.13"),
     (67.999, 68, 20, "20"), (68, 68, 12.345, "12.345"), (0, 0, 10, "0"), (0, 5, 100, "0"), (100, 100, 100, "100"),
     (1.005, 2.01, 2.01, "1.01"), (15.5, 150, 7.5, "0.78")],
)  # fmt: skip
def test_the_scale_of_the_lms(points, possible, out_of, grade):
    assert scaled(points, possible, out_of) == grade


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1), st.integers(1, 500), st.floats(0.5, 1000))
def test_never_above_the_maximum_and_never_below_zero(share, possible, out_of):
    grade = float(scaled(share * possible, possible, out_of))
    assert 0 <= grade <= out_of
    assert abs(grade - share * out_of) < 0.0051


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_of": 10.0}, "out_of: it scales what an LMS gets; give --moodle-worksheet or --canvas-gradebook too"),
        ({"moodle_worksheet": MOODLE, "out_of": 20.5}, "out_of: expected above 0 and at most 20, .* got 20.5"),
        ({"moodle_worksheet": MOODLE, "out_of": 0.0}, "out_of: expected above 0"),
        ({"moodle_worksheet": MOODLE, "out_of": float("nan")}, "out_of: expected above 0"),
        (
            {"moodle_worksheet": MOODLE, "canvas_gradebook": CANVAS, "canvas_column": COLUMN},
            "canvas_gradebook: give --canvas-gradebook or",
        ),
        (
            {"canvas_gradebook": CANVAS},
            r"^--canvas-column is missing; the columns are: Warm-up \(1233\), FL exercises \(1234\)$",
        ),
        ({"canvas_column": COLUMN}, "canvas_column: .* give --canvas-gradebook too"),
        ({"handed_in": "student,time\na,2026-11-30 10:00\n"}, "deadline: give --deadline; --handed-in alone"),
        ({"late_penalty": "10%"}, "late_penalty: give --deadline too"),
        ({"moodle_feedback_zip": True}, "moodle_feedback_zip: no submission has a number of Moodle's"),
        ({"deadline": "2026-11-30 23:59"}, "deadline: '2026-11-30 23:59' is in no time zone"),
    ],
)
def test_options_that_lack_another_are_refused_before_anything_is_graded(tmp_path, options, message):
    files = {
        name: put(tmp_path, text, f"{name}.csv")
        for name, text in options.items()
        if name in ("moodle_worksheet", "canvas_gradebook", "handed_in")
    }
    folder = write(tmp_path / "in", {"ann.ipynb": b""})
    with pytest.raises(UsageError, match=message) as caught:
        grade(folder, output=tmp_path / "g.csv", exercises=make_exercises(), term=Term(**options | files), **OPTIONS)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "g.csv").exists()


class SomePoints(dict):
    """The same for everybody, whatever damage made of their names; no grade that stands in the tables."""

    def get(self, *_):
        return 2.7


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_to_a_table_is_one_line_or_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    text = data.draw(st.sampled_from([MOODLE, GERMAN, BLIND, CANVAS]))
    damaged = bytearray(text.encode("utf-8"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 20))] = data.draw(
            st.sampled_from([b"", b",", b'"', b"\n", b"\r", b"7", b"-", b"(", b"\xff", b"0,0", b"Participant 9"])
        )
        damaged = damaged or bytearray(b"x")
    path = folder / "t.csv"
    path.write_bytes(damaged)
    students = [moodle("Ada Lovelace", 4018), canvas("lovelaceada", 1001)]
    options = {"canvas_gradebook": path, "canvas_column": "1234"} if text == CANVAS else {"moodle_worksheet": path}
    options |= {"deadline": "2026-11-30T23:59Z"} if text in (MOODLE, GERMAN) else {}
    for others in ({}, {"roster": path}):
        try:
            found, _, _ = filled(folder, students, SomePoints(), **(options | others))
        except UsageError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert found.encode("utf-8") != damaged, "a grade was filled in"


# --- From the folder to the LMS ---


def test_a_moodle_course_from_its_zip_to_its_worksheet(tmp_path, capsys):
    folder = write(
        tmp_path / "in",
        {
            "Lovelace, Ada_4018_assignsubmission_file_/90.ipynb": notebook(),
            "Zo\u00eb M\u00fcller_4019_assignsubmission_file_/90.ipynb": b"",
        },
    )
    term = Term(
        moodle_worksheet=put(tmp_path, MOODLE),
        moodle_feedback_zip=True,
        deadline="2026-11-30 23:59 Europe/Berlin",
        late_penalty="10%",
    )
    output = folder / "g.csv"
    options = {"output": output, "exercises": make_exercises(), "term": term, **OPTIONS}
    assert run_grading(folder, **options) == 0
    out = capsys.readouterr().out
    assert "g_moodle.csv: 2 grades out of 20, rounded to two decimals" in out
    assert "handed in nothing: 1 (O'Brien, =Bo)" in out
    assert str(output.with_name("g_moodle.csv")) in out.splitlines()[-1]
    with open(output.with_name("g_totals.csv"), newline="", encoding="utf-8-sig") as stream:
        totals = {row["student"]: row for row in csv.DictReader(stream)}
    assert {student: (row["points"], row["late"]) for student, row in totals.items()} == {
        "Lovelace, Ada": ("11", ""),
        "O'Brien, =Bo": ("0", ""),
        "Zo\u00eb M\u00fcller": ("0", "2 days 1 h; 10 % of the points that could be had are taken off"),
    }
    with open(output, newline="", encoding="utf-8-sig") as stream:
        messages = {row["message"] for row in csv.DictReader(stream) if row["student"] == "O'Brien, =Bo"}
    assert messages == {"nothing was handed in"}
    # Nobody reads what Moodle put before the name of a file.
    assert "0/11 (90.ipynb cannot be read: " in output.with_name("g_moodle.csv").read_text(encoding="utf-8")
    assert '-  - ",20,20.00' in output.with_name("g_moodle.csv").read_text(encoding="utf-8")
    packed = output.with_name("g_moodle_feedback.zip")
    with zipfile.ZipFile(packed) as archive:
        people = ("Lovelace Ada_4018", "Zo\u00eb M\u00fcller_4019")
        assert archive.namelist() == [f"{person}_assignfeedback_file_/feedback.html" for person in people]
        assert b"11 of 11 points" in archive.read(archive.namelist()[0])
    for path in (packed, output.with_name("g_moodle.csv")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # What was written into the folder is nobody's submission, whatever is asked for next time.
    again = grade(folder, output=output, exercises=make_exercises(), resume=True, **OPTIONS)
    assert set(again.marks) == {"Lovelace, Ada", "Zo\u00eb M\u00fcller", "O'Brien, =Bo"}
    assert again.taken_off("Zo\u00eb M\u00fcller") == 0, "of nothing nothing can be taken"
    assert any("as in the earlier run" in line and "--late-penalty 10%" in line for line in again.remarks)

    # Numbers in place of names in the tables; the LMS still gets names.
    hidden = grade(folder, output=output, exercises=make_exercises(), resume=True, anonymous=True, **OPTIONS)
    assert "Lovelace" not in output.read_text(encoding="utf-8-sig") + " ".join(hidden.remarks)
    assert '-  - ",20,20.00' in output.with_name("g_moodle.csv").read_text(encoding="utf-8")
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == [f"{person}_assignfeedback_file_/feedback.html" for person in people]


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("moodle_worksheet", "g_moodle.csv", MOODLE),
        ("moodle_worksheet", "g_totals.csv", MOODLE),
        ("roster", "g.csv", "name\nann\n"),
        ("roster", "g_names.csv", "name\nann\n"),
        ("handed_in", "g_changes.csv", "student,time\n"),
        ("overrides", "g_similar.csv", "student,exercise,points,reason\n"),
    ],
)
def test_the_teachers_own_file_is_never_replaced(tmp_path, option, name, text):
    folder = write(tmp_path / "in", {"ann.ipynb": b""})
    (tmp_path / "x").mkdir()
    options = {"output": tmp_path / "g.csv", "exercises": make_exercises(), **OPTIONS}
    put(tmp_path, text, name)
    path = tmp_path / "x" / ".." / name
    if option == "overrides":
        options["overrides"] = path
    else:
        options["term"] = Term(**{option: path}, deadline="2026-11-30T23:59Z" if option == "handed_in" else None)
    with pytest.raises(UsageError, match=rf"^output: .*{name} would replace your own file \({option}\); give another"):
        grade(folder, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "x", name}
    assert (tmp_path / name).read_bytes().decode() == text


def test_points_taken_off_are_never_more_than_there_are(tmp_path):
    students = [moodle("a", 1, late_share=0.5), moodle("b", 2, late_share=0.5), moodle("c", 3)]
    result = graded(students, {"a": 3.0, "b": 8.0, "c": 8.0})
    assert [(result.total(one), result.taken_off(one)) for one in "abc"] == [(0.0, 3.0), (4.0, 4.0), (8.0, 0.0)]
    first, second = result.marks["c"]
    tenths = (dataclasses.replace(first, points=0.1), dataclasses.replace(second, points=0.2))
    assert dataclasses.replace(result, marks=result.marks | {"c": tenths}).total("c") == 0.3, "to two decimals"


def test_the_command_passes_every_option_on(tmp_path, monkeypatch):
    given = {
        "roster": tmp_path / "r.csv", "moodle_worksheet": tmp_path / "w.csv", "moodle_feedback_zip": True,
        "canvas_gradebook": tmp_path / "c.csv", "canvas_column": "FL (7)", "out_of": 12.5,
        "deadline": "2026-11-30T10:00Z", "handed_in": tmp_path / "t.csv", "late_penalty": "10%/day",
    }  # fmt: skip
    assert set(given) == {field.name for field in dataclasses.fields(Term)}
    terms = []
    monkeypatch.setattr("fedlearn_edu.course.grading.run_grading", lambda *_, term, **__: terms.append(term) or 0)
    options = [f"--{name.replace('_', '-')}" for name in given]
    words = [word for option, value in zip(options, given.values(), strict=True)
             for word in ([option] if value is True else [option, str(value)])]  # fmt: skip
    for line, expected in ((words, Term(**given)), ([], Term())):
        assert CliRunner().invoke(cli.cli, ["grade", str(tmp_path), *line]).exit_code == 0
        assert terms.pop() == expected


def test_the_command_refuses_in_one_line(tmp_path, monkeypatch, capsys):
    folder = write(tmp_path / "in", {"ann.ipynb": b""})
    for options, message in (
        (["--deadline", "2026-11-30 23:59"], "in no time zone"),
        (["--roster", str(tmp_path / "none.csv")], "cannot be read: No such file"),
        (["--moodle-worksheet", str(put(tmp_path, CANVAS))], "expected Moodle's grading worksheet"),
        (["--canvas-gradebook", str(put(tmp_path, CANVAS)), "--canvas-column", "FL"], "no column 'FL'"),
    ):
        command = ["fedlearn-edu", "grade", str(folder), "--output", str(tmp_path / "g.csv"), *options]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as left:
            cli.main()
        error = capsys.readouterr().err
        assert left.value.code == 2
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "g.csv").exists()
