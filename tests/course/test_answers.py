"""Answers in words: found whatever became of the notebook, shown as they were written, never run or rendered."""

import csv
import io
import json
import re

import pytest
from grading_problems import make_exercises, notebook, write
from lms_tables import put
from shared import REPOSITORY
from test_pages import NASTY, Page
from toy_exercises import write_solution

from fedlearn_edu.course.authoring import build
from fedlearn_edu.course.grading import answers, grade
from fedlearn_edu.course.grading.answers import HEADER, collect, make_csv, make_page
from fedlearn_edu.course.grading.notebooks import MAX_ANSWER
from fedlearn_edu.course.grading.submissions import read_submissions
from fedlearn_edu.course.grading.worksheets import Question, lesson_title, questions_of
from fedlearn_edu.errors import UsageError

GUESS, WORDS = "98.answer_1", "98.answer_2"


@pytest.fixture
def course(tmp_path):
    """The toy lesson as learners and teachers have it: a guess, and a question to answer in words."""
    write_solution(tmp_path / "solutions")
    build(tmp_path / "solutions", tmp_path / "exercises")
    return tmp_path


def asked(course):
    return questions_of("98", course / "exercises", course / "solutions")


def answered(course, *, guess=None, words=None, change=lambda cells: None):
    """The exercise notebook as bytes, filled in."""
    book = json.loads((course / "exercises" / "98_toy.ipynb").read_bytes())
    for one in book["cells"]:
        if "answer" in one["metadata"].get("tags", []):
            text = guess if one["cell_type"] == "code" else words
            one["source"] = one["source"] if text is None else text
    change(book["cells"])
    return json.dumps(book).encode()


def read(course, books):
    found, _ = read_submissions(write(course / "in", {f"{name}/98_toy.ipynb": book for name, book in books.items()}))
    sources = {one.student: {"98": one.files[-1].path} for one in found if one.files}
    return collect(found, asked(course), sources)


def by_student(answers, question):
    return {one.student: (one.status, one.text) for one in answers if one.question == question}


def test_the_questions_are_those_of_the_notebook(course):
    guess, words = asked(course)
    assert (guess.name, guess.kind, guess.exercise_id, guess.model) == (
        GUESS, "code", "98.upload_bytes", "my_guess = 48  # secret",
    )  # fmt: skip
    assert (words.name, words.kind, words.prompt) == (WORDS, "markdown", "*Write your answer here.*")
    assert words.model == "Because of the secret."
    assert questions_of("98", course / "exercises", course / "nowhere")[1].model == "", "only teachers have solutions"
    assert questions_of("97", course / "exercises", course / "solutions") == ()


def test_the_course_asks_what_its_notebooks_ask():
    """Every cell tagged for an answer is a question, with the words above it and a model answer."""
    tagged = []
    for path in sorted((REPOSITORY / "exercises").glob("*.ipynb")):
        cells = json.loads(path.read_bytes())["cells"]
        tagged += [(path.name[:2], one["id"]) for one in cells if "answer" in one["metadata"].get("tags", [])]
        assert lesson_title(path.name[:2]).startswith(f"{path.name[:2]}: "), path.name
    questions = [one for lesson in {lesson for lesson, _ in tagged} for one in questions_of(lesson)]
    assert sorted((one.lesson, one.key) for one in questions) == sorted(tagged)
    for one in questions:
        assert one.text.strip()
        assert one.model.strip()
        assert one.model != one.prompt
    assert lesson_title("77") == "77"


def test_answers_are_found_whatever_an_editor_did_to_the_notebook(course):
    def without_ids(cells):
        for one in cells:
            del one["id"]

    def below(cells):
        cells.insert(
            next(n for n, one in enumerate(cells) if one["source"] == ["*Write your answer here.*"]) + 1,
            {"cell_type": "markdown", "metadata": {}, "source": ["Written ", "below."]},
        )

    def gone(cells):
        cells[:] = [one for one in cells if "answer" not in one["metadata"].get("tags", [])]

    answers = read(
        course,
        {
            "ada": answered(course, guess="my_guess = 40", words="First line\n\n  second  "),
            "bo": answered(course),
            "cy": answered(course, words="No ids.", guess="my_guess = 41", change=without_ids),
            "di": answered(course, change=below),
            "ed": answered(course, change=gone),
            "fa": answered(course, words="*Write your answer here.* I did."),
            "gi": b"{",
        },
    )
    assert by_student(answers, WORDS) == {
        "ada": ("answered", "First line\n\n  second"), "bo": ("empty", ""), "cy": ("answered", "No ids."),
        "di": ("answered", "Written below."), "ed": ("missing", ""),
        "fa": ("answered", "I did."), "gi": ("missing", ""),
    }  # fmt: skip
    guesses = by_student(answers, GUESS)
    assert (guesses["ada"], guesses["bo"], guesses["cy"]) == (
        ("answered", "my_guess = 40"), ("empty", ""), ("answered", "my_guess = 41"),
    )  # fmt: skip


def test_hostile_cells_cost_nobody_an_answer(course):
    def hostile(cells):
        for metadata in ({"tags": "answer"}, {"tags": ["answer"], "fedlearn": [1]}, {"tags": {"answer": 1}}):
            cells.append({"cell_type": "markdown", "metadata": metadata, "source": ["x"], "id": 7})
        cells.append({"cell_type": "markdown", "metadata": [], "source": {"a": 1}})
        cells += [{"cell_type": "markdown", "metadata": {"tags": ["answer"]}, "source": "y", "id": "z" * 9_999}] * 500

    answers = read(
        course,
        {
            "ada": answered(course, words="Mine."),
            "mal": answered(course, words="x" * 500_000, change=hostile),
            "nul": answered(course, words="a\x00b\u202ec\x1b[31m\ud800\r\nd\r\te"),
        },
    )
    found = by_student(answers, WORDS)
    assert found["ada"] == ("answered", "Mine.")
    assert len(found["mal"][1]) < MAX_ANSWER + 100
    assert found["mal"][1].endswith("the rest is in the notebook)")
    assert found["nul"][1].split("\n") == ["a b c [31m?", "d", "    e"]
    make_page(answers, asked(course)).encode()


def test_the_page_has_the_question_the_model_and_all_answers_as_text(course):
    answers = read(
        course,
        {
            "ada": answered(course, words=NASTY, guess="my_guess = 40"),
            "bo": answered(course, words="# Big **bold** [x](http://evil)", guess="my_guess = 40"),
            "cy": answered(course, guess="my_guess = 7"),
        },
    )
    page = Page(make_page(answers, asked(course))).check()
    assert "ada, bo (2 wrote the same) my_guess = 40" in page.text
    assert NASTY in page.text
    assert "# Big **bold** [x](http://evil)" in page.text, "no Markdown is rendered"
    assert "Because of the secret." in page.text
    assert "Left empty (1): cy" in page.text
    first, second = page.text.index(GUESS), page.text.index(WORDS)
    assert first < page.text.index("my_guess = 7") < second < page.text.index("# Big")


def test_the_table_has_room_for_points_and_no_formula(course):
    answers = read(
        course,
        {
            "=ada": answered(course, words='=HYPERLINK("http://evil")\nmore', guess="my_guess = 40"),
            "bo": answered(course, words="- first\n- second, " + "long " * 1_000),
        },
    )
    mark, text = make_csv(answers)[:1], make_csv(answers)[1:]
    assert mark == "\ufeff", "or Excel shows ZoÃ«"
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == HEADER
    assert {"student", "exercise", "points", "reason"} <= set(HEADER), "the columns of a table of overrides"
    table = {(row[0], row[2]): row for row in rows[1:]}
    assert len(table) == 4
    assert table["'=ada", WORDS] == [
        "'=ada", "98.upload_bytes", WORDS, "answered", "'=HYPERLINK(\"http://evil\") more", "", "",
    ]  # fmt: skip
    assert table["bo", GUESS][3:] == ["empty", "", "", ""]
    assert table["bo", WORDS][4].startswith("'- first - second, long long")
    assert len(table["bo", WORDS][4]) > 4_000, "an answer is not cut at the length of a message"


@pytest.fixture
def asking(monkeypatch):
    """The small course asks one question, at an exercise of 6 points."""
    question = Question("q", "90", "90.weighted_mean", 1, "markdown", "Why?", "Because", "")
    monkeypatch.setattr(answers, "questions_of", lambda lesson: (question,))
    return {"90.weighted_mean": make_exercises()["90.weighted_mean"]}


def test_points_that_a_teacher_filled_in_stay_in_the_table_and_count(tmp_path, asking):
    folder = write(tmp_path / "in", {"=ada.ipynb": notebook(), "ben.ipynb": notebook()})
    options = {"output": tmp_path / "g.csv", "exercises": asking, "memory_gb": 1.0, "progress": False}
    grade(folder, **options)
    table = tmp_path / "g_answers.csv"
    reason = f"weighs by clients; {'word ' * 200}end"
    empty = "'=ada,90.weighted_mean,90.answer_1,missing,,,"
    text = table.read_text(encoding="utf-8-sig").replace(empty, f'{empty[:-1]}"4,5",{reason}')
    assert reason in text
    table.write_text(text.replace("\r\n", "\n"), encoding="utf-8")
    write(folder, {"cy.ipynb": notebook()})
    for given in (table, None):
        assert grade(folder, resume=True, overrides=given, **options).total("=ada") == 4.5
        lines = table.read_text(encoding="utf-8-sig").splitlines()
        assert lines[1] == f'{empty[:-1]}"4,5",{reason}'
        assert lines[2:] == [f"{name},90.weighted_mean,90.answer_1,missing,,," for name in ("ben", "cy")]

    # What would have no place in the next table is not lost either.
    (folder / "=ada.ipynb").rename(folder / "ada.ipynb")
    before = table.read_bytes()
    for others in ({"resume": True}, {"fresh": True}):
        with pytest.raises(UsageError, match=r"line 2: '=ada 90\.answer_1 was filled in and has no place"):
            grade(folder, overrides=put(tmp_path, "student,exercise,points,reason\n"), **options, **others)
        assert table.read_bytes() == before
    table.write_text("my notes\n1\n")
    with pytest.raises(UsageError, match=r"g_answers\.csv is no table of answers that grading wrote"):
        grade(folder, overrides=put(tmp_path, "student,exercise,points,reason\n"), resume=True, **options)
    assert table.read_text() == "my notes\n1\n"


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ("Zo\u00eb,90.weighted_mean,90.answer_1,answered,x,1,y", ("1", "y")),
        ('Zo\u00eb ,90.weighted_mean,90.answer_1 ,answered,x,"1,5",', ("1,5", "")),
        ("=x,90.weighted_mean,90.answer_1,answered,x,,see me", ("", "see me")),
        ("Zo\u00eb,90.weighted_mean,90.answer_1,answered,x,,", None),
        (
            "Zo\u00eb,90.weighted_mean,90.answer_1,answered,x,1,5,y",
            "line 2: Zo\u00eb 90.answer_1 was filled in and has",
        ),
        ("Zo\u00eb,90.weighted_mean,90.answer_2,answered,x,1,y", "line 2: Zo\u00eb 90.answer_2 was filled in and has"),
        ("=x,90.w,90.answer_1,,,1,y\n=x,90.w,90.answer_1,,,2,y", "line 3: '=x 90.answer_1 was filled in"),
        ("Zo\u00eb,90.weighted_mean,,,,1,y", "line 2: Zo\u00eb was filled in and has no place"),
    ],
)
@pytest.mark.parametrize("change", [str, lambda t: t.replace("\n", ",,\n"), lambda t: t.replace("\n", "\r\n")])
def test_what_was_filled_in_is_found_or_refused(tmp_path, asking, row, kept, change):
    path = put(tmp_path, change(f"{','.join(HEADER)}\n{row}\n"))
    if isinstance(kept, str):
        with pytest.raises(UsageError, match=re.escape(kept)):
            answers.filled_in(path, ["Zo\u00eb", "=x"], ["90"])
    else:
        assert list(answers.filled_in(path, ["Zo\u00eb", "=x"], ["90"]).values()) == ([kept] if kept else [])
    assert answers.filled_in(tmp_path / "none.csv", ["Zo\u00eb"], ["90"]) == {}


def test_grading_writes_the_answers_of_a_lesson_that_asks(tmp_path):
    """Lesson 00 asks for a guess and for a few sentences."""
    book = json.loads((REPOSITORY / "exercises" / "00_welcome.ipynb").read_bytes())
    for one in book["cells"]:
        if "answer" in one["metadata"].get("tags", []) and one["cell_type"] == "markdown":
            one["source"] = ["The server, ", "mostly."]
    write(tmp_path / "in", {"ada/00.ipynb": json.dumps(book).encode()})
    only = {"00.weighted_mean": make_exercises("00")["00.weighted_mean"]}
    result = grade(tmp_path / "in", output=tmp_path / "g.csv", exercises=only, memory_gb=1.0, progress=False)
    assert result.marks["ada"][0].status == "missing"
    assert "The server, mostly." in Page(result.files["answers"].read_text(encoding="utf-8")).check().text
    assert result.files["answers"].name == "g_answers.html"
    assert result.files["answers_table"].name == "g_answers.csv"
    assert "The server, mostly." in result.files["answers_table"].read_text(encoding="utf-8")
