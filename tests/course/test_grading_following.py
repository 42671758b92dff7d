"""What follows from another answer: said to the learner, and not waited for twice."""

import json
import time

import pytest
from grading_problems import cell, insights, notebook, write

from fedlearn_edu.course.checks.checking import Case, Exercise
from fedlearn_edu.course.grading import grade, insight, reader, workers
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.notebooks import read_notebook
from fedlearn_edu.course.grading.plan import Task
from fedlearn_edu.course.grading.progress import Bar

OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 2, "progress": False, "seed": 5}
HALF, BOTH, ROUND = (
    "def half(x):\n    return x / 2",
    "def both_halves(x):\n    return [half(x), half(x)]",
    "def one_round(x):\n    parts = both_halves(x)\n    return sum(parts) + 1",
)
ALONE = "def alone(x):\n    return x * 3"
# Asleep, so that it is the same on a busy machine: who has no processor is given more time.
LOOP = "def half(x):\n    import time\n    time.sleep(1000)"


def is_(expected):
    return lambda got: None if got == expected else "another number"


def exercises():
    rights = {"half": lambda x: x / 2, "both_halves": lambda x: [x / 2, x / 2], "one_round": lambda x: x + 1}
    rights["alone"] = lambda x: x * 3

    def cases(right):
        def made(seed):
            inputs = [float(2 + seed % 97), float(3 + seed % 89)]
            return [Case(str(x), (x,), is_(right(x)), "a number", "h") for x in inputs]

        return made

    wrong = {"a": "pass", "b": "pass"}
    return {f"90.{n}": Exercise(f"90.{n}", 4, n, cases(right), wrong) for n, right in rights.items()}


def book(*sources):
    cells = [cell("# Lesson", "markdown"), *map(cell, sources)]
    cells += [cell(f'check("{id}", {id[3:]})', fedlearn={"id": id}) for id in exercises()]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def rows(result):
    return {mark.exercise_id[3:]: mark for row in result.marks.values() for mark in row}


def test_a_renamed_function_is_named_as_the_one_to_mend(tmp_path):
    renamed = "def my_half(x):\n    return x / 2"
    folder = write(tmp_path / "in", {"chen.ipynb": book(renamed, BOTH, ROUND, ALONE)})
    result = grade(folder, output=tmp_path / "g.csv", exercises=exercises(), **OPTIONS)
    marks = rows(result)
    assert {name: (mark.status, mark.follows) for name, mark in marks.items()} == {
        "half": ("missing", ()), "both_halves": ("failed", ("90.half",)),
        "one_round": ("failed", ("90.half",)), "alone": ("passed", ()),
    }  # fmt: skip
    assert marks["one_round"].message.startswith("uses your half (90.half), which is missing: mend that first (")
    assert "name 'half' is not defined" in marks["one_round"].message
    lines = [line.split(",") for line in (tmp_path / "g.csv").read_text().splitlines()]
    assert [line[-1] for line in lines] == ["follows_from", "", "90.half", "90.half", ""]


def test_what_is_right_in_spite_of_it_and_what_is_wrong_by_itself_is_not_blamed_on_others(tmp_path):
    wrong_half = "def half(x):\n    return x / 3"
    own = "def both_halves(x):\n    return [x / 2, x / 2]"
    late = "def alone(x):\n    half_of_it = 1\n    return x"
    folder = write(tmp_path / "in", {"dora.ipynb": book(wrong_half, own, ROUND, late)})
    marks = rows(grade(folder, output=tmp_path / "g.csv", exercises=exercises(), **OPTIONS))
    assert {name: mark.status for name, mark in marks.items()} == {
        "half": "failed", "both_halves": "passed", "one_round": "passed", "alone": "failed",
    }  # fmt: skip
    assert not any(mark.follows for mark in marks.values())
    assert marks["alone"].message == "another number"


def test_two_that_are_to_be_mended_are_both_named(tmp_path):
    both = "def one_round(x):\n    return half(x) + alone(x)"
    broken = "def alone(x):\n    raise NotImplementedError"
    folder = write(tmp_path / "in", {"dora.ipynb": book("def half(x):\n    return 0", broken, both)})
    marks = rows(grade(folder, output=tmp_path / "g.csv", exercises=exercises(), **OPTIONS))
    assert marks["one_round"].follows == ("90.half", "90.alone")
    assert "half (90.half) and alone (90.alone), which are not right yet: mend that first" in marks["one_round"].message
    assert [marks[name].follows for name in ("alone", "both_halves")] == [(), ()]
    stub = "def one_round(x):\n    parts = half(x) + alone(x)\n    raise NotImplementedError"
    folder = write(tmp_path / "in", {"dora.ipynb": book("def half(x):\n    return 0", broken, stub)})
    marks = rows(grade(folder, output=tmp_path / "g.csv", resume=True, exercises=exercises(), **OPTIONS))
    assert (marks["one_round"].follows, marks["one_round"].status) == ((), "todo"), "it is not written itself"


def test_points_of_the_teacher_for_the_first_function_ends_the_blame(tmp_path):
    wrong_half = "def half(x):\n    return x / 3"
    folder = write(tmp_path / "in", {"dora.ipynb": book(wrong_half, BOTH, ROUND, ALONE)})
    (tmp_path / "own.csv").write_text("student,exercise,points,reason\ndora,90.half,4,read the task differently\n")
    result = grade(folder, output=tmp_path / "g.csv", overrides=tmp_path / "own.csv", exercises=exercises(), **OPTIONS)
    assert rows(result)["both_halves"].follows == ()
    assert rows(result)["one_round"].follows == ("90.both_halves",)


def test_one_loop_is_waited_for_once_and_then_shortly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, "FOLLOWING_SECONDS", 1.0)
    books = {"fatima.ipynb": book(LOOP, BOTH, ROUND, ALONE), "gus.ipynb": book(HALF, BOTH, ROUND, ALONE)}
    options = OPTIONS | {"timeout": 6.0}
    result = grade(write(tmp_path / "in", books), output=tmp_path / "g.csv", exercises=exercises(), **options)
    mine = {mark.exercise_id[3:]: mark for mark in result.marks["fatima"]}
    assert [mark.status for mark in mine.values()] == ["timeout", "timeout", "timeout", "passed"]
    assert 6.0 <= mine["half"].seconds < 9.0
    assert all(1.0 <= mine[name].seconds < 3.0 for name in ("both_halves", "one_round"))
    assert "no answer within 1 s" in mine["both_halves"].message
    assert "uses your half (90.half)" in mine["both_halves"].message
    assert [mark.status for mark in result.marks["gus"]] == ["passed"] * 4
    [line] = [line for line in result.remarks if line.startswith("waited")]
    assert line.startswith("waited 8 s for fatima (3 timeouts); --timeout 5 is enough for all who passed (slowest: ")

    # What is known not to end is known in a resumed run too.
    write(tmp_path / "in", {"gus.ipynb": book(HALF, BOTH, ROUND, ALONE, "x = 1")})
    again = grade(
        tmp_path / "in", output=tmp_path / "g.csv", exercises=exercises(), resume=True, jobs=2, progress=False
    )
    assert again.num_resumed == 4
    assert not [line for line in again.remarks if line.startswith("waited")], "nobody was waited for in this run"


class Silent:
    def __init__(self):
        self.order = []

    def started(self, index, seconds, longest):
        self.order.append(index)

    def stopped(self, index, mark):
        pass

    def tick(self):
        pass


def pass_at_once(exercise_id, cells, seconds):
    return Mark(exercise_id, "", "passed", 1, 1), False


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ({"a": "b", "b": "c"}, ["c", "b", "a"]),  # the last one is needed first
        ({"a": "b", "b": "a"}, ["c", "a", "b"]),  # a circle is begun somewhere, after all else
        ({"a": "c"}, ["b", "c", "a"]),
        ({"a": "unknown"}, ["a", "b", "c"]),
    ],
)
def test_a_function_waits_for_those_that_it_uses(monkeypatch, uses, expected):
    made = {f"90.{name}": Exercise(f"90.{name}", 1, name, lambda seed: [], {"x": "", "y": ""}) for name in "abc"}
    used = {name: frozenset([uses[name]] if name in uses else []) for name in "abc"}
    tasks = {n: Task("s", f"90.{name}", (), uses=used[name]) for n, name in enumerate("abc")}
    others = Task("t", "90.b", (), uses=frozenset())  # somebody else's function of that name: nobody waits for it
    monkeypatch.setattr(workers, "_grade_one", pass_at_once)
    watcher, marks = Silent(), {}
    batch = workers.Batch(made, {}, None, 1.0, 1.0)
    workers.run_tasks(batch, tasks | {9: others}, jobs=1, done=marks.__setitem__, watcher=watcher)
    assert ["abc"[n] for n in watcher.order if n < 9] == expected
    assert sorted(marks) == [0, 1, 2, 9]


def never(*_):
    while True:
        pass


def test_a_notebook_that_holds_up_its_reader_costs_no_mark(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_INSIGHT_SECONDS", 1)
    monkeypatch.setattr(insight, "_shapes", never)
    folder = write(tmp_path / "in", {"a.ipynb": book(HALF, BOTH, ROUND, ALONE)})
    result = grade(folder, output=tmp_path / "g.csv", exercises=exercises(), **OPTIONS)
    assert result.total("a") == 16
    [file] = result.submissions[0].files
    assert (file.notebook.insight.uses, file.notebook.insight.shapes) == ({}, {})


@pytest.mark.parametrize(
    "source",
    ["x = " + "(" * 5_000 + ")" * 5_000, "def half(x):\n    return " + "-" * 50_000 + "x", "\0", "def half(",
     "x = " + "f(" * 90 + ")" * 90, "\udcff = 1", "def half(x): return " + "x.a" * 60_000, "import *"],
    ids=["deep", "minus signs", "null", "cut off", "calls", "surrogate", "attributes", "star"],
)  # fmt: skip
def test_what_no_parser_takes_hides_no_other_function(source):
    [found, other] = insights([((source, HALF, BOTH), ("half", "both_halves")), ((BOTH,), ("both_halves",))])
    assert found.uses in ({"both_halves": {"half"}, "half": set()}, {})
    assert other.uses in ({"both_halves": {"half"}}, {})


def test_what_is_kept_of_a_student_is_bounded_and_the_last_notebook_comes_first():
    names = [f"n{number}_{'x' * 50}" for number in range(400)]
    functions = [f"f{number:03}" for number in range(200)]
    greedy = [f"def {name}():\n    return [{', '.join(names)}]" for name in functions]
    found = insights(
        [((BOTH,), ("both_halves",)), (greedy, functions), (greedy, functions), ((BOTH,), ("both_halves",))]
    )
    assert found[3].uses == {"both_halves": {"half"}}
    kept = [name for one in found for used in one.uses.values() for name in used]
    assert len(kept) <= insight._MAX_ALL_NAMES
    assert all(len(used) <= 301 for one in found for used in one.uses.values())
    assert max(map(len, kept)) <= 64


def test_names_reach_through_helpers_aliases_and_closures():
    read = read_notebook(notebook(before=[
        "def base(x): return x", "alias = base", "def helper(y):\n    return alias(y)",
        "def top(z):\n    def inner():\n        return helper(z)\n    return inner()",
        "def other(q):\n    base = 1\n    return base",
    ]))  # fmt: skip
    [found] = insights([(read.cells, sorted(read.functions))])
    assert {"helper", "alias", "base"} <= found.uses["top"]
    assert "base" not in found.uses["other"], "a local name of its own"


def test_the_bar_says_whom_it_waits_for_and_does_not_count_loops(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tasks = [Task(f"s{n}", "12.clip_delta", ()) for n in range(9)] + [Task("Fatima Al-Sayed", "12.clip_delta", ())]
    bar = Bar(tasks, num_done=0, jobs=2, shown=False)
    assert bar.text() == ""
    bar.started(9, 30.0, 90.0)
    for n in range(3):
        bar.started(n, 30.0, 90.0)
        now[0] += 2.0
        bar.stopped(n, Mark("12.clip_delta", "", "passed", 1, 1))
        bar.done(n)
        bar._bar.n += 1
    assert bar.text() == "about 0:24 left; 12.clip_delta of Fatima Al-Sayed: 6 of 30 s", "its loop may last that long"
    now[0] += 20.0
    assert bar.text() == "about 0:07 left; 12.clip_delta of Fatima Al-Sayed: 26 of 30 s"
    now[0] += 14.0
    assert bar.text() == "up to 0:50 left; 12.clip_delta of Fatima Al-Sayed: 40 s, 30 s of its own"
    bar.stopped(9, Mark("12.clip_delta", "", "timeout", 0, 1))
    assert bar.text() == "about 0:36 left", "it is to be run again: six others of 2 s on two cores, then all its time"
    bar.started(9, 30.0, 90.0)
    now[0] += 1.0
    assert bar.text() == "about 0:29 left; 12.clip_delta of Fatima Al-Sayed: 1 of 30 s"
    bar.stopped(9, Mark("12.clip_delta", "", "timeout", 0, 1))
    bar.done(9)
    bar._bar.n += 1
    assert bar.text() == "about 0:06 left", "a loop says nothing of the others"
