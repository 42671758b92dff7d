"""Tables, feedback, seeds and resuming."""

import csv
import json
import re
import stat

import pytest
from grading_problems import make_exercises, notebook, write

from fedlearn_edu.course.grading import batch, grade, run_grading
from fedlearn_edu.course.grading.state import State
from fedlearn_edu.course.grading.text import neutral
from fedlearn_edu.errors import RunError, UsageError

WRONG = "def weighted_mean(values, weights):\n    return float(np.mean(values))"
ADA = "ada_78_assignsubmission_file_/03.ipynb"
OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 2, "progress": False}


def rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


@pytest.fixture
def folder(tmp_path):
    formula = "=cmd|'C calc'!A0_77_assignsubmission_file_"
    return write(tmp_path / "in", {ADA: notebook(), f"{formula}/nb.ipynb": notebook(weighted_mean=WRONG)})


def test_tables_pages_and_resuming(tmp_path, folder):
    output, pages = tmp_path / "out" / "grades.csv", tmp_path / "pages"
    first = grade(folder, output=output, feedback=pages, exercises=make_exercises(), seed=5, **OPTIONS)
    table = rows(output)
    assert table[0] == ["student", "exercise", "status", "points", "max_points", "message"]
    assert table[1:4] == [
        ["'=cmd|'C calc'!A0", "90.weighted_mean", "failed", "0.0", "6", "not the weighted mean"],
        ["'=cmd|'C calc'!A0", "90.model_delta", "passed", "3.0", "3", ""],
        ["'=cmd|'C calc'!A0", "90.largest_client", "passed", "2.0", "2", ""],
    ]
    assert [row[3] for row in table[4:]] == ["6.0", "3.0", "2.0"]
    assert rows(first.files["totals"])[2] == ["ada", "78", "11.0", "11", "3", "3", ADA]
    lms = rows(first.files["lms"])
    assert lms[1][:4] == ["Participant 77", "'=cmd|'C calc'!A0", "5.0", "11"]
    record = json.loads(first.files["report"].read_text())
    assert (record["seed"], record["isolation"]) == (5, first.isolation)
    assert record["statuses"] == {"failed": 1, "passed": 5}
    written = [path for purpose, path in first.files.items() if purpose != "feedback"] + list(pages.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert len(written) == 5 + 2
    assert stat.S_IMODE(pages.stat().st_mode) == 0o700
    [page] = pages.glob("ada-*.html")
    assert "11 of 11 points" in page.read_text()
    [other] = [path.read_text() for path in pages.iterdir() if path != page]
    assert "not the weighted mean" in other
    assert "Hint: Divide by the weights." in other
    assert not re.search(r"<script|src=|href=|javascript:", other)

    before = output.read_bytes()
    write(folder, {ADA: notebook(largest_client="def largest_client(sizes):\n    return min(sizes)")})
    again = grade(folder, output=output, exercises=make_exercises(), resume=True, **OPTIONS)
    assert again.seed == 5
    assert again.num_resumed == 3, "the other student's; a changed notebook is graded anew"
    assert again.marks["ada"][2].status == "failed"
    assert again.marks["ada"][:2] == first.marks["ada"][:2]
    write(folder, {ADA: notebook()})
    last = grade(folder, output=output, exercises=make_exercises(), resume=True, **OPTIONS)
    assert last.num_resumed == 6
    assert output.read_bytes() == before, "resumed = uninterrupted"


def test_hidden_cases_follow_the_seed_and_are_secret_by_default():
    [exercise] = [e for e in make_exercises().values() if e.function_name == "weighted_mean"]
    visible = batch._digest(exercise.cases(0))
    one, same, other = (batch._digest(batch._hidden_cases(exercise, seed)) for seed in (1, 1, 2))
    assert one == same
    assert len({visible, one, other}) == 3


def test_the_seed_is_random_without_one(tmp_path):
    folder = write(tmp_path / "in", {"a.ipynb": b"", "b.ipynb": b""})
    seeds = {
        grade(folder, output=tmp_path / f"{i}.csv", exercises=make_exercises(), **OPTIONS).seed for i in range(2)
    }  # fmt: skip
    assert len(seeds) == 2
    assert min(seeds) > 2**200


def test_an_exit_code_and_a_summary(tmp_path, folder, capsys):
    assert run_grading(folder, output=tmp_path / "grades.csv", exercises=make_exercises(), **OPTIONS) == 0
    out = capsys.readouterr().out
    assert "2 submissions, 6 exercises: 5 passed, 1 failed" in out
    assert "Walls around learner code: " in out


@pytest.mark.parametrize(
    ("option", "value"),
    [("timeout", 0), ("timeout", float("nan")), ("memory_gb", 0.5), ("jobs", 0), ("seed", 0), ("seed", 2**256),
     ("isolation", "nothing"), ("output", "grades.txt"), ("lessons", ["17"])],
)  # fmt: skip
def test_wrong_arguments_are_named(tmp_path, folder, option, value):
    options = {"output": tmp_path / "grades.csv", "exercises": make_exercises(), **OPTIONS} | {option: value}
    with pytest.raises(UsageError, match=f"^{option}: "):
        grade(folder, **options)
    assert not (tmp_path / "grades.csv").exists()


def test_checks_that_fail_are_the_teachers_to_know(tmp_path, folder):
    exercises = make_exercises()
    broken = exercises["90.model_delta"]
    object.__setattr__(broken, "cases", lambda seed: 1 / 0)
    with pytest.raises(
        RunError, match=r"the checks of 90\.model_delta fail for one of the hidden seeds: Z.*: division"
    ):
        grade(folder, output=tmp_path / "grades.csv", exercises=exercises, **OPTIONS)


def test_a_damaged_state_is_not_guessed_at(tmp_path):
    path = tmp_path / "state.json"
    for text in ("{", "[]", '{"format": 0}', ""):
        path.write_text(text)
        with pytest.raises(RunError, match="holds no state of a batch"):
            State(path, resume=True)
        assert len(State(path, resume=False)) == 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "\x00=1", "\uff1d1"])
def test_formulas_are_neutralised(text):
    assert neutral(text).startswith("'")
