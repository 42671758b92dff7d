"""A second run: nothing lost without a word, settings kept, and whose marks moved."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from grading_problems import HONEST, make_exercises, notebook, write
from lms_tables import MOODLE, put

from fedlearn_edu.cli import cli
from fedlearn_edu.course.grading import Term, batch, command, grade, run_grading, workers
from fedlearn_edu.course.grading.hidden import code_digest
from fedlearn_edu.course.grading.marking import Stopped
from fedlearn_edu.errors import UsageError

OPTIONS = {"memory_gb": 1.0, "jobs": 2, "progress": False}
WRONG = "def weighted_mean(values, weights):\n    return float(np.mean(values))"


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "in", {"ada.ipynb": notebook(), "ben.ipynb": notebook(weighted_mean=WRONG)})


@pytest.fixture
def options(tmp_path):
    return {"output": tmp_path / "out" / "grades.csv", "exercises": make_exercises(), **OPTIONS}


@pytest.fixture
def small(options):
    return options | {"exercises": {"90.weighted_mean": make_exercises()["90.weighted_mean"]}}


def test_marks_of_an_earlier_run_are_never_lost_silently(folder, options, monkeypatch):
    first = grade(folder, **options)
    files = {path: path.read_bytes() for path in options["output"].parent.iterdir()}
    os.utime(options["output"].with_name("grades_state.json"), (0, 86_400 * 332))
    with pytest.raises(
        UsageError, match=r"grades_state\.json holds 6 marks of 29 Nov; --resume .*, --fresh "
    ) as caught:
        grade(folder, **options)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"^resume: not together with fresh"):
        grade(folder, resume=True, fresh=True, **options)
    assert {path: path.read_bytes() for path in options["output"].parent.iterdir()} == files
    anew = grade(folder, fresh=True, **options)
    assert anew.seed != first.seed
    assert anew.num_resumed == 0


def test_whoever_goes_on_where_nothing_was_is_told_so(tmp_path, folder, small, capsys):
    grade(folder, resume=True, **small)
    assert f"--resume: no earlier run beside {small['output']}; beginning anew\n" in capsys.readouterr().err
    own = tmp_path / "own.csv"
    own.write_text("student,exercise,points,reason\nben,90.weighted_mean,1,late\n")
    grade(folder, resume=True, overrides=own, **small)
    assert "no earlier run" not in capsys.readouterr().err
    state = small["output"].with_name("grades_state.json")
    data = json.loads(state.read_text())
    assert data["settings"]["overrides"] == ["../own.csv"]
    data["settings"]["overrides"] = "../own.csv"  # as an earlier release kept it
    del data["own"]
    state.write_text(json.dumps(data))
    assert grade(folder, resume=True, **small).total("ben") == 1


def test_settings_are_those_of_the_earlier_run_and_said(tmp_path, folder, options, capsys):
    pages = tmp_path / "pages"
    grade(folder, feedback=pages, timeout=21.0, partial="half", **options)
    [before] = [path.read_text() for path in pages.glob("ben*")]
    write(folder, {"ben.ipynb": notebook()})
    again = grade(folder, resume=True, **options)
    assert again.num_resumed == 3
    [line] = [line for line in again.remarks if line.startswith("as in the earlier run")]
    assert line == f"as in the earlier run: --timeout 21, --partial half, --feedback {pages}"
    [after] = [path.read_text() for path in pages.glob("ben*")]
    assert after != before
    assert "11 of 11 points" in after, "pages do not stay those of yesterday"

    anew = grade(folder, resume=True, timeout=22.0, **options)
    assert anew.num_resumed == 0
    assert "--timeout is 22, it was 21: all is graded anew" in anew.remarks


def test_what_changes_points_alone_runs_nothing_anew(tmp_path, options, monkeypatch, capsys):
    some = (
        "def model_delta(initial, trained):\n    return [a - b if a.ndim < 3 else a for a, b in zip(initial, trained)]"
    )
    folder = write(
        tmp_path / "in", {"ada.ipynb": notebook(model_delta=some), "ben.ipynb": notebook(weighted_mean=WRONG)}
    )
    first = grade(folder, partial="none", **options)
    assert [first.total(student) for student in ("ada", "ben")] == [8, 5]
    monkeypatch.setattr(workers, "run_guarded", lambda *_, **__: pytest.fail("something was run again"))
    run_grading(folder, resume=True, partial="half", **options)
    said = capsys.readouterr().out
    assert "--partial is half, it was none: points are counted anew" in said
    assert "changed: ada 8 -> 9.5 (1 exercise)" in said

    own, times, sheet = tmp_path / "own.csv", tmp_path / "times.csv", put(tmp_path, MOODLE)
    own.write_text("student,exercise,points,reason\nben,90.weighted_mean,1,late\n")
    times.write_text("student,time\nada,2026-11-30 08:00\nben,2026-12-02 08:00\n")
    roster = put(tmp_path, "name,number\nada,4018\nben,4019\n", "roster.csv")
    late = Term(
        deadline="2026-12-01 00:00 UTC", handed_in=times, late_penalty="10%", roster=roster, moodle_worksheet=None
    )
    scaled = Term(moodle_worksheet=sheet, out_of=10.0, roster=roster)
    write(folder, {"Ada Lovelace.ipynb": b""})
    for given in ({"partial": "cases", "overrides": own}, {"term": late}, {"anonymous": True}, {"term": scaled}):
        again = grade(folder, resume=True, **options | given)
        assert again.num_resumed == 6, given
    assert "ada" not in again.marks


def test_a_folder_that_was_moved_as_a_whole_is_gone_on_with(tmp_path, folder, options):
    grade(folder, feedback=tmp_path / "pages", **options)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("in", "out", "pages"):
        (tmp_path / name).rename(moved / name)
    again = grade(moved / "in", resume=True, **options | {"output": moved / "out" / "grades.csv"})
    assert again.num_resumed == 6
    assert again.files["feedback"] == moved / "pages"


@pytest.mark.parametrize(("old", "new"), [("failed,0,6", "failed,1.5,6"), ("failed,0,6", "passed,0,6")])
def test_a_mark_changed_by_hand_is_not_written_over(tmp_path, folder, options, old, new):
    grade(folder, **options)
    table = options["output"]
    edited = table.read_bytes().replace(old.encode(), new.encode())
    assert edited != table.read_bytes()
    table.write_bytes(edited)
    what = "0 -> 1.5" if "1.5" in new else "'failed' -> 'passed'"
    with pytest.raises(UsageError, match=rf"changed by hand \(ben 90.weighted_mean {what}\); .*--overrides.*--fresh"):
        grade(folder, resume=True, **options)
    assert table.read_bytes() == edited

    own = tmp_path / "own.csv"
    own.write_text("student,exercise,points,reason\nben,90.weighted_mean,1.5,late\n")
    assert grade(folder, resume=True, overrides=own, **options).total("ben") == 6.5


def test_a_mark_changed_by_hand_after_it_was_overridden_is_not_written_over(tmp_path, folder, small):
    own = tmp_path / "own.csv"
    own.write_text("student,exercise,points,reason\nben,90.weighted_mean,1.5,late\n")
    grade(folder, overrides=own, **small)
    edited = small["output"].read_bytes().replace(b"failed,1.5,6", b"failed,3,6")
    small["output"].write_bytes(edited)
    with pytest.raises(UsageError, match=r"changed by hand \(ben 90.weighted_mean 1.5 -> 3\)"):
        grade(folder, resume=True, **small)
    assert small["output"].read_bytes() == edited
    own.write_text("student,exercise,points,reason\nben,90.weighted_mean,3,late\n")
    assert grade(folder, resume=True, **small).total("ben") == 3


@pytest.mark.parametrize("state", [None, "{}", "no marks"])
def test_a_table_that_no_known_run_wrote_is_not_written_over(folder, small, state):
    output = small["output"]
    write(output.parent, {output.name: b"name,points\nada,3\n"})
    if state == "no marks":
        output.unlink()
        grade(write(folder.parent / "other", {"cy.ipynb": b""}), **small)
        output.write_bytes(b"name,points\nada,3\n")
    elif state:
        write(output.parent, {"grades_state.json": state.encode()})
    with pytest.raises(UsageError, match=r"grades\.csv is there, and nothing .*another name, or --fresh"):
        grade(folder, **small)
    assert output.read_bytes() == b"name,points\nada,3\n"
    assert grade(folder, fresh=True, **small).total("ada") == 6


def test_a_total_changed_by_hand_is_not_written_over(tmp_path, small):
    folder, own = write(tmp_path / "in", {"0042.ipynb": b"", "ben.ipynb": b""}), tmp_path / "own.csv"
    grade(folder, **small)
    totals = small["output"].with_name("grades_totals.csv")
    saved = totals.read_text(encoding="utf-8-sig").replace("0042,", "42,").replace(",", ";")
    totals.write_text(saved, encoding="utf-8")
    grade(folder, resume=True, **small)
    edited = totals.read_text(encoding="utf-8-sig").replace("ben,,0,6", "ben,,1.5,6")
    totals.write_text(edited, encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"totals\.csv was changed by hand \(ben 0 -> 1.5\); put that into --overrides"
    ):
        grade(folder, resume=True, **small)
    assert totals.read_text(encoding="utf-8") == edited
    own.write_text("student,exercise,points,reason\nben,90.weighted_mean,1.5,seen\n")
    assert grade(folder, resume=True, overrides=own, **small).total("ben") == 1.5


def test_a_table_changed_while_a_batch_ran_is_not_written_over(folder, small, monkeypatch):
    grade(folder, **small)
    table = small["output"]
    edited = table.read_bytes().replace(b"failed,0,6", b"failed,2,6")
    real = batch.mark_tasks
    monkeypatch.setattr(batch, "mark_tasks", lambda *a, **k: (real(*a, **k), table.write_bytes(edited))[0])
    with pytest.raises(UsageError, match=r"changed by hand \(ben 90.weighted_mean 0 -> 2\)"):
        grade(folder, resume=True, **small)
    assert table.read_bytes() == edited


def test_whoever_is_ended_between_two_files_goes_on(tmp_path, small, monkeypatch):
    folder, output = write(tmp_path / "in", {"ada.ipynb": notebook()}), small["output"]
    real, left = os.replace, []

    def replace(source, target):
        if not left.pop():
            raise KeyboardInterrupt
        real(source, target)

    grade(folder, **small)
    # The first file is the state alone; then the changes, the state again, the table of marks and all others.
    for number in (1, 2, 3, 4):
        write(folder, {f"late{number}.ipynb": b""})
        left[:] = [False, *[True] * number]
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                grade(folder, resume=True, **small)
        assert not list(output.parent.glob(".tmp-*"))
        assert len(grade(folder, resume=True, **small).marks) == 1 + number
        told = output.with_name("grades_changes.csv").read_text(encoding="utf-8-sig")
        assert f",late{number},90.weighted_mean,,0,,unreadable" in told, "no change is lost"


def test_a_row_taken_away_by_hand_is_a_change_too(folder, options):
    grade(folder, **options)
    lines = options["output"].read_text(encoding="utf-8").splitlines(keepends=True)
    options["output"].write_text("".join(lines[:-2]), encoding="utf-8")
    with pytest.raises(UsageError, match=r"\(ben 90.model_delta is not there any more; and 1 more\)"):
        grade(folder, resume=True, **options)


def test_a_table_that_was_only_saved_by_a_spreadsheet_is_no_change(folder, options):
    grade(folder, **options)
    text = options["output"].read_text(encoding="utf-8-sig")
    options["output"].write_bytes(text.replace(",", ";").replace("\r\n", "\n").encode("cp1252"))
    assert grade(folder, resume=True, **options).num_resumed == 6
    assert options["output"].read_text(encoding="utf-8-sig") == text
    options["output"].unlink()
    assert grade(folder, resume=True, **options).num_resumed == 6


def test_a_spreadsheet_that_takes_a_name_for_a_number_has_changed_nothing(tmp_path, small):
    folder, own, table = write(tmp_path / "in", {"0042.ipynb": b""}), tmp_path / "own.csv", small["output"]
    own.write_text("student,exercise,points,reason\n0042,90.weighted_mean,1,seen\n")
    grade(folder, overrides=own, **small)
    text = table.read_text(encoding="utf-8-sig")
    assert "\n0042," in text
    table.write_text(text.replace("0042,", "42,"), encoding="utf-8")
    assert grade(folder, resume=True, **small).total("0042") == 1
    table.write_text(text.replace("0042,", "42,").replace("unreadable,1,", "unreadable,2,"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"changed by hand \(42 90.weighted_mean 1 -> 2\)"):
        grade(folder, resume=True, **small)


CHECK = """
from fedlearn_edu.course.checks.checking import Case, Exercise


def largest_cases(seed):
    def verify(got):
        return None if {condition} else "another client has more"

    sizes = {{"a": 1 + seed % 7, "b": 9 + seed % 7}}
    return [Case("two", (sizes,), verify, "a name", "h"), Case("one", ({{"c": seed % 7}},), lambda got: None, "c", "h")]


EXERCISE = Exercise("90.largest_client", 2, "largest", largest_cases, {{"a": "pass", "b": "pass"}})
"""


def test_a_mended_check_grades_anew_and_says_whose_mark_moved(tmp_path, folder, options, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "toy_check_of_lesson_90.py"

    def exercises(condition):
        file.write_text(CHECK.format(condition=condition))
        os.utime(file, ns=(0, hash(condition) % 10**15))
        importlib.invalidate_caches()
        module = sys.modules.get(file.stem)
        module = importlib.reload(module) if module else importlib.import_module(file.stem)
        return {"90.model_delta": make_exercises()["90.model_delta"], "90.largest_client": module.EXERCISE}

    options = options | {"exercises": exercises('got == "a"')}
    first = grade(folder, **options)
    assert [first.total(student) for student in ("ada", "ben")] == [3, 3], "the check is wrong: b has more"
    assert first.changes == ()

    mended = options | {"exercises": exercises('got == "b"')}
    write(folder, {"nora.ipynb": b""})
    run_grading(folder, resume=True, **mended)
    out = capsys.readouterr().out
    assert "changed: ada 3 -> 5 (1 exercise); ben 3 -> 5 (1 exercise)\nnew: nora 0\n" in out
    table = (tmp_path / "out" / "grades_changes.csv").read_text(encoding="utf-8-sig").splitlines()
    assert table[0] == "when,student,exercise,points_before,points_now,status_before,status_now"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d,ada,90.largest_client,0,2,failed,passed", table[1])
    assert len(table) == 1 + 2 + 2
    record = json.loads((tmp_path / "out" / "grades_report.json").read_text())
    assert [(one["student"], one["before"], one["now"]) for one in record["changes"]] == [
        ("ada", 3, 5), ("ben", 3, 5), ("nora", None, 0),
    ]  # fmt: skip

    same = grade(folder, resume=True, **mended)
    assert (same.num_resumed, same.changes) == (4, ())
    (folder / "ben.ipynb").unlink()
    gone = grade(folder, resume=True, **mended)
    assert "not there any more: ben 5" in gone.remarks
    assert len((tmp_path / "out" / "grades_changes.csv").read_text().splitlines()) == 5 + 2, "added to what was there"


def test_the_source_of_a_check_counts_with_what_it_imports(monkeypatch):
    from fedlearn_edu.course.checks.registry import find_exercise
    from fedlearn_edu.course.grading import hidden

    read = []
    monkeypatch.setattr(hidden, "_file_digest", lambda path: read.append(os.path.basename(path)) or path)
    one, same, other = (
        code_digest(find_exercise(id)) for id in ("04.server_update", "04.client_update", "05.hold_out")
    )
    assert one == same != other
    assert {"lesson_04.py", "compare.py", "data.py", "checking.py"} <= set(read)
    assert not [name for name in read if name.startswith(("wrong_", "view", "session", "registry"))]


def test_a_student_who_is_called_otherwise_now_is_not_new(tmp_path, options):
    folder = write(tmp_path / "in", {"Wei Li_11_assignsubmission_file_/90.ipynb": notebook()})
    grade(folder, **options)
    write(folder, {"Wei Li_12_assignsubmission_file_/90.ipynb": notebook(weighted_mean=WRONG)})
    again = grade(folder, resume=True, **options)
    assert [(one.student, one.before, one.now) for one in again.changes] == [("Wei Li [12]", None, 5.0)]


def test_ctrl_c_says_the_command_that_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "grade", lambda *_, **__: (_ for _ in ()).throw(Stopped(151, 520)))
    monkeypatch.setattr(sys, "argv", ["fedlearn-edu", "grade", "my work/", "--fresh", "--lesson", "4"])
    monkeypatch.delenv("UV", raising=False)
    ran = CliRunner().invoke(cli, ["grade", "my work/", "--fresh", "--lesson", "4"])
    assert ran.exit_code == 130
    expected = "151 of 520 marks are kept; go on with: fedlearn-edu grade 'my work/' --lesson 4 --resume"
    assert (ran.output + getattr(ran, "stderr", "")).splitlines()[-1] == expected
    assert "Aborted" not in ran.output
    monkeypatch.setattr(command, "grade", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run_grading("x", command=["fedlearn-edu", "grade", "x"]) == 130
    assert capsys.readouterr().err.endswith("nothing was lost, go on with: fedlearn-edu grade x --resume\n")


RUN = """
import sys
sys.path.insert(0, sys.argv[3])
from grading_problems import make_exercises
from fedlearn_edu.course.grading import run_grading
options = {"exercises": make_exercises(), "jobs": 1, "timeout": 60, "command": ["grade"]}
sys.exit(run_grading(sys.argv[1], output=sys.argv[2], **options))
"""


def test_a_batch_that_is_really_stopped_keeps_its_marks(tmp_path):
    sleeps = "def largest_client(sizes):\n    import time\n    time.sleep(1000)"
    folder, output = write(tmp_path / "in", {"a.ipynb": notebook(largest_client=sleeps)}), tmp_path / "g.csv"
    arguments = [sys.executable, "-c", RUN, str(folder), str(output), os.path.dirname(__file__)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True) as grader:
        text = ""
        while "90.largest_client of a: " not in text:  # the bar says what it waits for
            text += (part := grader.stderr.read(1))
            assert part, text
        os.kill(grader.pid, signal.SIGINT)
        text = grader.stderr.read()
        assert grader.wait(60) == 130
    assert text.splitlines()[-1] == "2 of 3 marks are kept; go on with: grade --resume"
    assert not output.exists()
    write(folder, {"a.ipynb": notebook(largest_client=sleeps + "\n" + HONEST["largest_client"])})
    state = json.loads((tmp_path / "g_state.json").read_text())
    assert len(state["marks"]) == 2


def test_old_states_are_read(tmp_path, folder, options):
    grade(folder, seed=7, **options)
    path = tmp_path / "out" / "grades_state.json"
    data = json.loads(path.read_text())
    old = {"format": 1, "seed": data["seed"], "marks": {}}
    for key, fields in data["marks"].items():
        old["marks"][key] = {name: fields[name] for name in fields if name not in ("override", "seconds", "follows")}
    path.write_text(json.dumps(old))
    path.chmod(0o600)
    again = grade(folder, resume=True, timeout=30.0, **options)
    assert (again.seed, again.num_resumed, again.changes) == (7, 6, ())
