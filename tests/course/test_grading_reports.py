"""Tables, feedback, seeds and resuming."""

import csv
import dataclasses
import errno
import json
import os
import re
import resource
import stat
from unittest import mock

import pytest
from click.testing import CliRunner
from grading_problems import make_exercises, notebook, write
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn_edu.cli import cli
from fedlearn_edu.course.checks.registry import all_exercises
from fedlearn_edu.course.grading import GradingResult, grade, run_grading
from fedlearn_edu.course.grading.hidden import digest, hidden_cases
from fedlearn_edu.course.grading.marks import STATUSES, empty_mark
from fedlearn_edu.course.grading.state import State
from fedlearn_edu.course.grading.text import neutral
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import replace_files

WRONG = "def weighted_mean(values, weights):\n    return float(np.mean(values))"
ADA = "ada_78_assignsubmission_file_/03.ipynb"
OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 2, "progress": False}


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return list(csv.reader(stream))


@pytest.fixture
def folder(tmp_path):
    formula = "=cmd|'C calc'!A0_77_assignsubmission_file_"
    return write(tmp_path / "in", {ADA: notebook(), f"{formula}/nb.ipynb": notebook(weighted_mean=WRONG)})


def test_tables_pages_and_resuming(tmp_path, folder):
    output, pages = tmp_path / "out" / "grades.csv", tmp_path / "pages"
    first = grade(folder, output=output, feedback=pages, exercises=make_exercises(), seed=5, **OPTIONS)
    table = rows(output)
    header = "student exercise status points max_points message set_by_teacher follows_from"
    assert table[0] == header.split()
    assert table[1:4] == [
        ["'=cmd|'C calc'!A0", "90.weighted_mean", "failed", "0", "6", "not the weighted mean", "", ""],
        ["'=cmd|'C calc'!A0", "90.model_delta", "passed", "3", "3", "", "", ""],
        ["'=cmd|'C calc'!A0", "90.largest_client", "passed", "2", "2", "", "", ""],
    ]
    assert [row[3] for row in table[4:]] == ["6", "3", "2"]
    [page] = [path.name for path in pages.glob("ada_78-*.html")]
    assert rows(first.files["totals"])[2] == ["ada", "78", "11", "11", "3", "3", "", "0", ADA, page]
    assert output.read_bytes().startswith(b"\xef\xbb\xbf"), "Excel takes it for something else without"
    record = json.loads(first.files["report"].read_text())
    assert (record["seed"], record["isolation"]) == (5, first.isolation)
    assert record["statuses"] == {"failed": 1, "passed": 5}
    written = [path for purpose, path in first.files.items() if purpose != "feedback"] + list(pages.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert len(written) == 5 + 2
    assert stat.S_IMODE(pages.stat().st_mode) == 0o700
    page = pages / page
    assert "11 of 11 points" in page.read_text()
    [other] = [path.read_text() for path in pages.iterdir() if path != page]
    assert "not the weighted mean" in other
    assert "Divide by the weights." in other
    assert not re.search(r"<script|src=|href=.[^#]|javascript:", other)

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
    visible = digest(exercise.cases(0))
    one, same, other = (digest(hidden_cases(exercise, seed)) for seed in (1, 1, 2))
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


def test_hidden_seeds_are_too_wide_to_be_searched():
    seeds = []
    exercise = make_exercises()["90.weighted_mean"]
    watched = dataclasses.replace(exercise, cases=lambda seed: seeds.append(seed) or exercise.cases(seed))
    for seed in range(1, 101):
        hidden_cases(watched, seed)
    assert len(set(seeds)) == 200
    assert sum(seed.bit_length() > 248 for seed in seeds) > 190
    # Every bit is drawn: none is the same in all of 200 seeds.
    assert all(0 < sum(seed >> bit & 1 for seed in seeds) < 200 for bit in range(256))


def test_every_check_of_the_course_takes_seeds_of_full_width():
    for exercise in all_exercises().values():
        made = [digest(exercise.cases(seed)) for seed in (2**256 - 1, 2**256 - 1, 2**255 + 1)]
        assert made[0] == made[1] != made[2], exercise.id


def test_the_seed_stands_in_private_files_only(tmp_path, folder, capsys):
    file = tmp_path / "seed"
    options = {"exercises": make_exercises(), **OPTIONS}
    marks = []
    for output in (tmp_path / "a.csv", tmp_path / "b.csv"):
        run_grading(folder, output=output, seed_file=file, **options)
        marks.append(output.read_bytes())
        seed = json.loads(output.with_name(f"{output.stem}_state.json").read_text())["seed"]
        assert str(seed) == file.read_text().strip()
    assert marks[0] == marks[1]
    assert seed.bit_length() > 200
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = capsys.readouterr()
    assert str(seed) not in written.out + written.err
    assert "their seed is in b_state.json" in written.out
    assert str(seed) not in repr(GradingResult((), {}, seed, "limits", {}, 0, 0.0, {}))
    refused = CliRunner().invoke(cli, ["grade", str(folder), "--seed", "5"])
    assert (refused.exit_code, "No such option" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("5\n", 0o644, "others can read or write"),
        ("5\n", 0o620, "others can read or write"),
        ("", 0o600, "expected one whole number"),
        ("5 6", 0o600, "expected one whole number"),
        ("-5", 0o600, "expected one whole number"),
        ("\u0665", 0o600, "expected one whole number"),
        ("9" * 10_000, 0o600, "expected one whole number"),
        ("0", 0o600, r"seed: expected 1 to 2\*\*256"),
        (None, 0o700, "Is a directory"),
    ],
)
def test_a_seed_file_that_is_none_is_refused(tmp_path, folder, content, mode, message):
    file = tmp_path / "seed"
    file.mkdir() if content is None else file.write_text(content, encoding="utf-8")
    file.chmod(mode)
    with pytest.raises(UsageError, match=message) as caught:
        run_grading(folder, output=tmp_path / "g.csv", seed_file=file, exercises=make_exercises(), **OPTIONS)
    assert "\n" not in str(caught.value)


def test_a_thousand_files_of_one_student_are_one_line_on_the_terminal(tmp_path, capsys):
    books = {f"s{number:02}.ipynb": b"" for number in range(14)} | {f"aaa/{n}.pdf": b"" for n in range(1_000)}
    folder = write(tmp_path / "in", books)
    run_grading(folder, output=tmp_path / "g.csv", exercises=make_exercises(), **OPTIONS)
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 20
    assert out.count("aaa/") == 1
    assert "more lines in the report" in out
    assert "s08.ipynb: cannot be read: the file is empty" in out
    assert "and 5 more students" in out
    lines = json.loads((tmp_path / "g_report.json").read_text())["problems"]
    assert sum("aaa/" in line for line in lines) == 200
    assert any("801 more lines" in line or "800 more lines" in line for line in lines)
    assert sum("the file is empty" in line for line in lines) == 14


def test_a_syntax_error_is_what_is_to_be_mended(tmp_path):
    broken = "def weighted_mean(values, weights):\n    return float(sum(values)\n"
    folder = write(tmp_path / "in", {"ada.ipynb": notebook(weighted_mean=broken)})
    only = {"90.weighted_mean": make_exercises()["90.weighted_mean"]}
    result = grade(folder, output=tmp_path / "g.csv", feedback=tmp_path / "f", exercises=only, **OPTIONS)
    [mark] = result.marks["ada"]
    assert (mark.status, mark.points) == ("failed", 0)
    assert re.fullmatch(
        r"syntax error: mend code cell \d, line 2: 'return float\(sum\(values\)' \('\(' was never closed\)",
        mark.message,
    )
    page = next((tmp_path / "f").glob("ada*")).read_text()
    assert "line 2: &#x27;return float(sum(values)&#x27;" in page
    assert "keep the names" not in page
    assert "Your functions ran" not in page, "nothing ran"
    assert "not found" not in (tmp_path / "g_overview.html").read_text()


def test_the_umask_does_not_open_what_is_written(tmp_path, folder):
    before = os.umask(0)
    try:
        result = grade(folder, output=tmp_path / "o" / "g.csv", feedback=tmp_path / "f", exercises=make_exercises(),
                       **OPTIONS)  # fmt: skip
    finally:
        os.umask(before)
    for path in [*(tmp_path / "o").iterdir(), *(tmp_path / "f").iterdir(), *(tmp_path / "f").parent.glob("[of]")]:
        assert not path.stat().st_mode & 0o077, path
    assert set(result.files) == {"grades", "totals", "overview", "report", "state", "feedback"}


def test_a_full_disk_leaves_every_old_file_as_it_was(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    replace_files(dict.fromkeys(paths, "old"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limit[1]))
    try:
        with pytest.raises(RunError, match=r"b cannot be written: File too large"):
            replace_files({paths[0]: "new", paths[1]: "x" * 100_000, paths[2]: "new"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old", "b": "old", "c": "old"}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(
            RunError, match=r"a cannot be written: No space .* device; make room, then go on with --res"
        ):
            replace_files({paths[0]: "new"})
    (tmp_path / "d").mkdir()
    with pytest.raises(RunError, match="d cannot be written: a folder of this name is there"):
        replace_files({paths[0]: "new", tmp_path / "d": "new", paths[2]: "new"})
    assert [path.read_text() for path in paths] == ["old"] * 3
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c", "d"}
    blocked = tmp_path / "a" / "below" / "x"
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        replace_files({blocked: "x"})


def test_a_batch_that_could_not_be_written_goes_on(tmp_path, folder):
    (tmp_path / "g_totals.csv").mkdir()  # in the way of a table
    options = {"output": tmp_path / "g.csv", "exercises": make_exercises(), **OPTIONS}
    with pytest.raises(RunError, match=r"g_totals\.csv cannot be written"):
        grade(folder, **options)
    (tmp_path / "g_totals.csv").rmdir()
    assert grade(folder, resume=True, **options).num_resumed == 6


def test_a_state_that_others_may_have_written_is_not_taken_over(tmp_path):
    path = tmp_path / "state.json"
    state = State(path, resume=False)
    state.seed = 5
    state.save()
    assert State(path, resume=True).seed == 5
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(RunError, match="may have been written by others"):
            State(path, resume=True)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_damage_to_a_state_is_one_line_or_none(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("state") / "s.json"
    state = State(path, resume=False)
    state.seed = 7
    state.put("k", empty_mark(make_exercises()["90.model_delta"], "failed", "wrong"))
    state.save()
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(data.draw(st.sampled_from([bytes(text), bytes(text[: len(text) // 2])])))
    try:
        read = State(path, resume=True)
    except RunError as error:
        assert "holds no state of a batch" in str(error)  # noqa: PT017
        return
    mark = read.get("k")
    assert read.seed >= 1
    assert mark is None or (mark.status in STATUSES and 0 <= mark.points <= mark.max_points)
