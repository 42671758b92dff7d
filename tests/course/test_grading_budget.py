"""Reading has limits: whatever one student hands in costs that student only, and bounded time and memory."""

import contextlib
import json
import os
import pathlib
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import pytest
from grading_problems import cell, notebook, write, zipped
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedlearn_edu.course.grading import limited, notebooks, reader, submissions
from fedlearn_edu.course.grading.isolation import remove_folder
from fedlearn_edu.course.grading.limited import OverLimit, call_limited
from fedlearn_edu.course.grading.notebooks import Notebook, UnreadableNotebook, read_notebook
from fedlearn_edu.course.grading.submissions import read_submissions

BOOK = notebook()
BOOK_CELLS = read_notebook(BOOK).cells


def code(*sources) -> bytes:
    return json.dumps({"cells": [cell(source) for source in sources]}, ensure_ascii=False).encode()


def test_limited_work_returns_or_says_why_not(monkeypatch):
    monkeypatch.setattr(limited, "CPU_SECONDS", 1)
    assert call_limited(lambda: {"a": ["\ud800", 1.5, None]}) == {"a": ["\ud800", 1.5, None]}

    def spin():
        while True:
            pass

    def write_file():
        with open(pathlib.Path(tempfile.gettempdir(), f"planted-{os.getpid()}"), "w") as stream:
            stream.write("x" * 100_000)

    for work, reason in {
        spin: "more than 1 s of processor time",
        lambda: len(bytearray(3 * 2**30)): "more than 2048 MiB of memory",
        lambda: "x" * (65 * 2**20): "more than 64 MiB",
        lambda: os.kill(os.getpid(), signal.SIGKILL): "or more than this machine has",
        lambda: os.kill(os.getpid(), signal.SIGTERM): "ended with -15",
        lambda: {}["key"]: "KeyError: 'key'",
        write_file: "OSError",
    }.items():
        with pytest.raises(OverLimit, match=reason):
            call_limited(work)

    monkeypatch.setattr(limited, "_work", lambda work, writer: os.write(writer, b"[1,") and os.kill(os.getpid(), 15))
    with pytest.raises(OverLimit, match="ended with -15"):
        call_limited(lambda: 1)
    monkeypatch.undo()
    monkeypatch.setattr(limited, "_PATIENCE", 1 / limited.CPU_SECONDS)
    with pytest.raises(OverLimit, match="no end in time"):
        call_limited(lambda: time.sleep(600))


BOMBS = {
    "metadata": zipped([("x.ipynb", b'{"cells": [], "metadata": [' + b"{}," * 4_000_000 + b"{}]}")]),
    "cells": zipped([("x.ipynb", b'{"cells": [' + b"{}," * 4_000_000 + b"{}]}")]),
    "zip in zip": zipped([("in.zip", zipped([(f"{i}.ipynb", BOOK) for i in range(60)] + [("pad", bytes(10**7))]))]),
    "many": zipped([(f"{i}.ipynb", code(*["x" * 190_000 + "\U0001f600"] * 10)) for i in range(6)]),
    "magics": zipped([("x.ipynb", code(*["%time 1\n!ls\n" * 6_000] * 3))]),
    "deep": zipped([("x.ipynb", b"[" * 5_000_000)]),
    "a path of 30,000 folders": zipped([("/".join("a" * 30_000)[:60_000] + "/x.ipynb", BOOK)]),
    "names": zipped([(f"{i}.txt", b"") for i in range(21_000)]),
}


READ_BOMBS = """
import pathlib, pickle, re, sys
from fedlearn_edu.course.grading import limited
from fedlearn_edu.course.grading.submissions import read_submissions

def peak_mib():
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 2**10

limited.MEMORY_BYTES = 300 * 2**20
before = peak_mib()
found, problems = read_submissions(pathlib.Path(sys.argv[1]))
pickle.dump(({s.student: s for s in found}, problems, peak_mib() - before), sys.stdout.buffer)
"""


@pytest.fixture(scope="module")
def bombed(tmp_path_factory):
    """In a process of its own, as for a teacher: a child of one that has traced many computations has less room."""
    folder = tmp_path_factory.mktemp("bombs")
    write(folder, {"ada.ipynb": BOOK, "zoe/03.ipynb": BOOK} | {f"{name}.zip": bomb for name, bomb in BOMBS.items()})
    done = subprocess.run([sys.executable, "-c", READ_BOMBS, str(folder)], stdout=subprocess.PIPE, check=True)
    return pickle.loads(done.stdout)


def test_bombs_cost_their_students_only(bombed):
    found, problems, grown_mib = bombed
    assert set(found) == {"ada", "zoe", *BOMBS}
    assert problems == []
    for student in ("ada", "zoe"):
        [file] = found[student].files
        assert file.problem == ""
        assert file.notebook.cells == BOOK_CELLS
        assert found[student].problems == ()
    assert grown_mib < 150, "the grader itself reads nothing that a student handed in"


@pytest.mark.parametrize(
    ("student", "reasons"),
    [
        # Where this process has much free memory of its own, the bomb fits into it, and then it is no notebook.
        ("metadata", {"it takes too much memory", "it has no code cells"}),
        ("cells", {"it takes too much memory", "it has no code cells"}),
        ("deep", {"not JSON (RecursionError)"}),
    ],
)
def test_what_a_bomb_was_is_said(bombed, student, reasons):
    [file] = bombed[0][student].files
    assert file.notebook is None
    assert file.problem in reasons


def test_the_budget_of_many_files(bombed):
    found = bombed[0]
    assert len(found["zip in zip"].files) == reader.MAX_NOTEBOOKS
    assert any("60 notebooks; only 50 were read" in line for line in found["zip in zip"].problems)
    read = [file for file in found["many"].files if file.notebook]
    assert 500_000 < sum(len(source) for file in read for source in file.notebook.cells) <= 2_000_000
    assert read == list(found["many"].files[-len(read) :]), "the last of several counts, so it is read first"
    assert {file.problem for file in found["many"].files if not file.notebook} == {
        "more than 2,000,000 characters of code in all notebooks together"
    }
    assert any("too many magics" in line for line in found["magics"].problems)
    assert found["a path of 30,000 folders"].problems[0].endswith("deeper than 32 folders; left out")
    assert found["names"].instead.startswith("handed in names.zip/")
    assert any("names.zip: 21,000 entries; only the first 20,000" in line for line in found["names"].problems)
    assert all(len(one.problems) <= 201 for one in found.values())


def test_notebooks_named_like_lessons_are_read_before_others(tmp_path):
    names = ["03_clients.ipynb", *(f"z{number}.ipynb" for number in range(60))]
    write(tmp_path, {f"a/{name}": code("x = 1") for name in names} | {"b/x.ipynb": BOOK})
    found, _ = read_submissions(tmp_path)[0]
    assert len(found.files) == 50
    assert "a/03_clients.ipynb" in [file.path for file in found.files]


def test_outputs_of_any_size_that_fits_are_dropped(tmp_path):
    data = json.loads(BOOK)
    data["cells"][1]["outputs"] = [{"output_type": "stream", "text": "y" * (60 * 2**20)}]
    [found], _ = read_submissions(write(tmp_path, {"a.ipynb": json.dumps(data).encode()}))
    assert found.files[0].notebook.cells == BOOK_CELLS


READ = """
import os, sys, time
from fedlearn_edu.course.grading.submissions import read_submissions
started = time.process_time()
found, _ = read_submissions(sys.argv[1])
print(sum(bool(one.files[0].notebook.cells) for one in found), time.process_time() - started + sum(os.times()[2:4]))
"""


def test_reading_fifty_students_is_quick(tmp_path):
    """In a process of its own, as for a teacher: one that has traced many computations takes long to fork."""
    write(tmp_path, {f"s{number}.ipynb": BOOK for number in range(50)})
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=True)
    num_read, seconds = done.stdout.split()
    assert int(num_read) == 50
    assert float(seconds) < 10


# What may happen to a file between the look at its folder and the reading of it.


def unlink(path):
    path.unlink()


def to_pipe(path):
    path.unlink()
    os.mkfifo(path)


def to_link(path):
    path.unlink()
    path.symlink_to(path.parent.parent / "secret" / "x.ipynb")


def to_folder(path):
    path.unlink()
    path.mkdir()


def folder_to_link(path):
    shutil.rmtree(path.parent)
    path.parent.symlink_to(path.parent.parent / "secret")


@pytest.mark.parametrize("change", [unlink, to_pipe, to_link, to_folder, folder_to_link])
@pytest.mark.parametrize("name", ["x.ipynb", "x.zip"])
def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch, change, name):
    secret = notebook(before=["secret = 1"])
    write(tmp_path / "secret", {"x.ipynb": secret, "x.zip": zipped([("x.ipynb", secret)])})
    folder = write(tmp_path / "in", {"anna.ipynb": BOOK, "eve/y.txt": b"", f"eve/{name}": BOOK})
    (tmp_path / "in" / "secret").symlink_to(tmp_path / "secret")
    walk = reader.walk

    def walk_then_change(*args, **options):
        names = list(walk(*args, **options))  # in the child, which has listed the folder by now
        change(folder / "eve" / name)
        yield from names

    monkeypatch.setattr(reader, "walk", walk_then_change)
    found = {s.student: s for s in read_submissions(folder)[0]}
    assert found["anna"].files[0].notebook.cells == BOOK_CELLS
    assert "secret" not in found
    assert [file.notebook for file in found["eve"].files] == [None]
    assert "cannot be read" in "\n".join(found["eve"].problems)


def test_files_that_another_user_closed(tmp_path):
    folder = pathlib.Path(tempfile.mkdtemp())  # which anybody can reach, unlike tmp_path
    try:
        folder.chmod(0o755)
        write(folder, {"anna.ipynb": BOOK, "ben.ipynb": BOOK, "cat/x.ipynb": BOOK, "dan/x.ipynb": BOOK})
        (folder / "ben.ipynb").chmod(0)
        (folder / "cat").chmod(0)
        (folder / "dan" / "x.ipynb").chmod(0)

        def read_as_somebody():
            if os.geteuid() == 0:
                os.seteuid(65_534)
            return {s.student: [file.problem for file in s.files] for s in read_submissions(folder)[0]}

        denied = ["Permission denied"]
        assert call_limited(read_as_somebody) == {"anna": [""], "ben": denied, "cat": denied, "dan": denied}
    finally:
        (folder / "cat").chmod(0o700)
        shutil.rmtree(folder)


def test_names_that_are_no_text(tmp_path):
    with contextlib.suppress(OSError):
        (tmp_path / os.fsdecode(b"Ren\xe9.ipynb")).write_bytes(BOOK)
        (tmp_path / ("x" * 249 + ".ipynb")).write_bytes(BOOK)
        found, _ = read_submissions(tmp_path)
        assert [one.files[0].notebook.cells for one in found] == [BOOK_CELLS] * 2
        assert found[0].student.encode() == b"Ren?"


def test_folders_without_end(tmp_path):
    deep = tmp_path / "eve"
    deep.mkdir()
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(1_500):  # longer than any path may be
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    write(tmp_path, {"anna.ipynb": BOOK, "eve/03.ipynb": BOOK})
    found = {s.student: s for s in read_submissions(tmp_path)[0]}
    assert found["eve"].files[-1].notebook.cells == BOOK_CELLS
    assert any("deeper than 32 folders" in line for line in found["eve"].problems)
    remove_folder(deep)  # pytest's own way to clean up does not reach the end
    assert not deep.exists()


_KEYS = st.sampled_from(
    ["cells", "worksheets", "cell_type", "source", "input", "code", "metadata", "fedlearn", "id"]
)  # fmt: skip
_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("code"))
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
_CODE = st.one_of(
    st.text(max_size=60), st.sampled_from(["%%time\ndef f(): pass", "x = !ls", "def f(:", "await f()", "\0", "\ud800"])
)
_CELL = st.fixed_dictionaries(
    {"cell_type": st.just("code"), "source": st.one_of(_CODE, st.lists(_CODE, max_size=3), _JSON)}
)
_BOOKS = st.fixed_dictionaries({"cells": st.lists(st.one_of(_CELL, _JSON), max_size=5)}, optional={"metadata": _JSON})


@settings(max_examples=200, deadline=5_000)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.one_of(_JSON, _BOOKS).map(lambda data: json.dumps(data).encode()),
        st.one_of(_BOOKS).map(lambda data: json.dumps(data, ensure_ascii=False).encode("utf-16", "replace")),
    )
)
@example(b'{"cells": [{"cell_type": "code", "source": "1' + b"1" * 5_000 + b'"}]}')
@example(b'{"cells": ' + b"1" * 5_000 + b"}")
def test_any_bytes_are_a_notebook_or_an_unreadable_one(content):
    try:
        read = read_notebook(content)
    except UnreadableNotebook:
        return
    assert isinstance(read, Notebook)
    assert read.cells
    assert all(isinstance(source, str) for source in read.cells)
    assert all(len(name) <= 67 for name in read.exercise_ids | read.functions)


@pytest.fixture(scope="module")
def good_zip():
    return zipped([("a/03.ipynb", BOOK), ("in.zip", zipped([("b.ipynb", BOOK)])), ("b.txt", b"x")])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_damage_to_a_zip_costs_its_student_only(tmp_path_factory, good_zip, data):
    damaged = bytearray(good_zip)
    for _ in range(data.draw(st.integers(1, 6))):
        # Names, sizes and flags stand in the directory at the end.
        place = data.draw(
            st.one_of(st.integers(0, len(damaged) - 1), st.integers(len(damaged) - 250, len(damaged) - 1))
        )
        damaged[place] = data.draw(st.integers(0, 255))
    folder = write(tmp_path_factory.mktemp("in"), {"anna.ipynb": BOOK, "eve.zip": bytes(damaged)})
    found = {s.student: s for s in read_submissions(folder)[0]}
    assert set(found) == {"anna", "eve"}
    assert found["anna"].files[0].notebook.cells == BOOK_CELLS
    eve = found["eve"]
    assert eve.files or eve.instead


def test_a_zip_of_students_that_is_no_zip_or_too_much_is_one_line(tmp_path):
    path = tmp_path / "lms.zip"
    path.write_bytes(b"PK no zip")
    with pytest.raises(submissions.UsageError, match=r"lms\.zip: cannot be read as a zip"):
        read_submissions(path)
    one = zipped([("x.ipynb", b"")])
    start, end = one.index(b"PK\1\2"), one.index(b"PK\5\6")
    names = one[start:end] * 300_000
    path.write_bytes(one[:start] + names + one[end : end + 12] + struct.pack("<IIH", len(names), start, 0))
    small = (
        "import sys; from fedlearn_edu.course.grading import limited, submissions; limited.MEMORY_BYTES = 2**20; "
        "submissions.read_submissions(sys.argv[1])"
    )  # a process that has no free memory of its own
    run = subprocess.run([sys.executable, "-c", small, str(path)], capture_output=True, text=True, timeout=100)
    assert "UsageError: submissions:" in run.stderr
    assert "lms.zip: it takes more than 1 MiB of memory" in run.stderr


def test_limits_are_what_the_messages_say():
    assert notebooks.MAX_BYTES < limited.MEMORY_BYTES / 4, "text takes up to four bytes a character"
