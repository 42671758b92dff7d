"""All attacks in one batch, with honest submissions beside them: every mark is exact and nothing is left behind."""

import csv
import hashlib
import os
import pathlib
import socket
import threading

import psutil
import pytest
from grading_problems import POINTS, make_exercises, notebook, write
from hostile_submissions import CELLS, FUNCTIONS, READABLE, UNREADABLE, attacks, files

from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.isolation import _UIDS

pytestmark = pytest.mark.timeout(900)  # two minutes alone; more where other work shares the processor

HALF = "calls = []\ndef weighted_mean(values, weights):\n    calls.append(1)\n    while len(calls) > 3: pass\n"
HALF += "    return float(np.dot(values, weights) / np.sum(weights))"


def contents(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink() and (path.is_file() or path.is_dir())
    }


def guarded_processes() -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if "grading.inside" in line or process.uids().real in _UIDS:
                parents = {parent.pid for parent in process.parents()}
                if os.getpid() in parents or parents <= {0, 1}:  # others may be grading on this machine too
                    found.append(f"{process.pid} {line}")
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One batch of everything. The teacher's other files and a server lie in wait for whoever gets out."""
    teacher = tmp_path_factory.mktemp("teacher")
    (teacher / "private").mkdir()
    (teacher / "private" / "answers.txt").write_text("secret")
    (teacher / "private").chmod(0o777)
    submissions = teacher / "submissions"
    visitors = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"\0fedlearn-test-{server.getsockname()[1]}")
        local.listen()
        for line in (server, local):
            threading.Thread(target=lambda line=line: visitors.append(line.accept()), daemon=True).start()
        expected = {f"{name}.ipynb": made for name, made in attacks(
            outside=str(teacher), port=server.getsockname()[1]
        ).items()}  # fmt: skip
        write(submissions, {name: content for name, (content, _) in expected.items()})
        write(submissions, {f"{name}.ipynb": files(name) for name in READABLE + UNREADABLE})
        write(
            submissions,
            {f"honest_{i}.ipynb": notebook() for i in range(3)} | {"half.ipynb": notebook(weighted_mean=HALF)},
        )
        (submissions / "link.ipynb").symlink_to(teacher / "private" / "answers.txt")
        (submissions / "link_inside.ipynb").symlink_to(submissions / "honest_0.ipynb")
        (submissions / "linked_folder").symlink_to(teacher / "private")
        os.mkfifo(submissions / "pipe.ipynb")
        (submissions / "essay.docx").write_bytes(b"PK")
        before = contents(teacher)
        result = grade(
            submissions,
            output=teacher / "out" / "grades.csv",
            feedback=teacher / "feedback",
            timeout=2.5,
            memory_gb=1.0,
            jobs=2,
            exercises=make_exercises(),
            progress=False,
        )
    after = {
        name: digest for name, digest in contents(teacher).items() if name.split("/")[0] not in ("out", "feedback")
    }
    return result, {name.removesuffix(".ipynb"): s for name, (_, s) in expected.items()}, before, after, visitors


def test_every_attack_gets_its_status_and_the_rest_of_its_notebook_keeps_its_points(graded):
    result, expected, *_ = graded
    assert len(FUNCTIONS) + len(CELLS) >= 60
    wrong = []
    for student, statuses in expected.items():
        for mark in result.marks[student]:
            function = mark.exercise_id.split(".")[1]
            accepted = {statuses[function]}
            if function == "weighted_mean" and student.startswith("thread_bomb-"):
                accepted.add("timeout")  # on a busy machine, before it has as many threads as it may
            if mark.status not in accepted:
                wrong.append(f"{student}.{function}: {mark.status}, expected {statuses[function]} ({mark.message})")
            points = POINTS[function] if statuses[function] == "passed" else 0
            if mark.points != points:
                wrong.append(f"{student}.{function}: {mark.points} points, expected {points}")
    assert not wrong, "\n".join(wrong)


def test_honest_marks_are_exact(graded):
    result, *_ = graded
    for student in ["honest_0", "honest_1", "honest_2", *READABLE]:
        assert result.total(student) == result.max_total(student) == sum(POINTS.values()), student
    for student in UNREADABLE:
        assert [mark.status for mark in result.marks[student]] == ["unreadable"] * 3
        assert (result.total(student), result.max_total(student)) == (0, sum(POINTS.values()))


def test_what_was_answered_before_the_end_counts(graded):
    result, *_ = graded
    mark = result.marks["half"][0]
    assert (mark.status, mark.points) == ("timeout", 0.75), "half of a quarter of 6"
    assert [case["passed"] for case in mark.cases] == [True] * 3 + [False] * 3


def test_nothing_is_left_behind_and_nothing_was_touched(graded):
    _, _, before, after, visitors = graded
    assert guarded_processes() == []
    assert after == before
    assert not visitors, "somebody called home"
    assert not pathlib.Path("/tmp/escaped").exists()
    assert not pathlib.Path("/escaped").exists()


def test_what_was_left_out_is_reported(graded):
    result, *_ = graded
    text = "\n".join(result.problems)
    for line in ("link.ipynb: a symbolic link", "link_inside.ipynb: a symbolic", "linked_folder: a symbolic link",
                 "pipe.ipynb: no regular file", "essay.docx: no notebook", "empty.ipynb: cannot be read: the file",
                 "windows1252.ipynb: not UTF-8"):  # fmt: skip
        assert line in text
    assert not {"link", "link_inside", "pipe", "linked_folder"} & set(result.marks)
    assert "weigthed_mean" in result.marks["renamed"][0].message
    assert result.marks["syntax_error"][0].message == (
        "syntax error: mend code cell 2, line 1: 'def weighted_mean(values, weights)' (expected ':')"
    )


def test_poison_is_harmless_on_paper(graded):
    result, *_ = graded
    [page] = result.files["feedback"].glob("*poisonous_message*.html")
    page = page.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "default-src 'none'" in page
    for purpose in ("grades", "totals"):
        with open(result.files[purpose], newline="", encoding="utf-8-sig") as stream:
            for row in csv.reader(stream):
                assert not any(value.startswith(("=", "+", "@", "\t", "\r")) for value in row), row
                assert not any("\x1b" in value or "\u202e" in value for value in row)
