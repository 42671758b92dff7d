"""The guarded process: each level of walls that this machine allows, what crosses, and what a dying grader leaves."""

import json
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import sysconfig
import time

import numpy as np
import psutil
import pytest
from grading_problems import make_exercises, notebook, write

from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.isolation import LEVELS, _own_uid
from fedlearn_edu.course.grading.sandbox import _Watch, run_guarded
from fedlearn_edu.course.grading.usage import Usage
from fedlearn_edu.course.grading.walls import prepare
from fedlearn_edu.errors import RunError

ESCAPE = """\
import os, socket
def escape(outside, port, pid):
    found = []
    try: found.append(open(outside).read())
    except OSError: pass
    try:
        open(outside, "a").write("x")
        found.append("wrote")
    except OSError: pass
    try: found.append(str(socket.create_connection(("127.0.0.1", port), 1)))
    except OSError: pass
    try:
        os.kill(pid, 0)
        found.append("signal")
    except OSError: pass
    if os.fork() == 0:
        os.setsid()
        os.execv("/bin/sleep", ["sleep", "1234.5"])
    open("mine", "w").write("x")
    return [found, os.listdir("."), sorted(os.environ)]
"""


def run(job_cells, function, *arguments, level="auto", timeout=10.0, private=()):
    job = {"function": function, "cells": job_cells, "arguments": [[wire.encode(a) for a in arguments]]}
    with prepare(level=level, private=private) as walls:
        outcome = run_guarded(job, walls, timeout=timeout, memory_gb=4.0)
    assert outcome.started, outcome.detail
    return outcome, {frame["case"]: frame for frame in outcome.frames if "case" in frame}.get(0, {})


def test_nothing_of_ours_is_compiled_anew_in_each_guarded_process():
    source = "import sys; sys.path[:0] = sys.argv[1:]; from fedlearn_edu.course.grading.inside import guard, runner"
    with prepare(level="limits") as walls:
        paths = [walls.code, sysconfig.get_paths()["purelib"]]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-v", "-c", source, *paths], capture_output=True, text=True
        )
    assert done.returncode == 0
    ours = [line for line in done.stderr.splitlines() if "# code object from" in line and str(walls.code) in line]
    assert len(ours) >= 10
    assert all(line.endswith(".pyc'") for line in ours), ours


FILES = {
    "large files": """
def write():
    for number in range(12):
        open(str(number), "wb").write(bytes(30_000_000))
    while True: pass
""",
    "files without names": """
import os
held = []
def write():
    for number in range(12):
        held.append(open("file", "wb"))
        os.unlink("file")
        held[-1].write(bytes(30_000_000))
        held[-1].flush()
    while True: pass
""",
    "files that only memory shows": """
import ctypes, os
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def write():
    for number in range(12):
        with open("file", "wb+") as stream:
            os.unlink("file")
            stream.write(bytes(30_000_000))
            libc.mmap(None, 4096, 1, 1, stream.fileno(), 0)
    while True: pass
""",
    "many files": """
def write():
    for number in range(5000): open(str(number), "w").close()
    while True: pass
""",
}


@pytest.mark.parametrize("what", list(FILES))
def test_a_home_on_the_disk_has_a_size_too(what):
    outcome, _ = run([FILES[what]], "write", level="limits", timeout=30.0)
    assert outcome.ending == "files"


def test_waiting_for_the_processor_is_told_from_sleep():
    core = min(os.sched_getaffinity(0))
    spin = "import os, time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    start = f"import os, sys; os.sched_setaffinity(0, [{core}])\n"
    parents = {
        "spins": f"import subprocess, sys\nfor _ in 'ab': subprocess.Popen([sys.executable, '-c', {start + spin!r}])",
        "sleeps": "import subprocess\nsubprocess.Popen(['sleep', '60'])",
    }
    waited = {}
    for name, code in parents.items():
        with subprocess.Popen([sys.executable, "-c", code + "\ninput()"], stdin=subprocess.PIPE) as parent:
            usage = Usage(parent.pid, None)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and usage.cpu_seconds < (1.0 if name == "spins" else 1e9):
                time.sleep(0.1)
                usage.look()
                if name == "sleeps" and usage.num_processes == 1:
                    time.sleep(1)
                    usage.look()
                    break
            waited[name] = usage.waited_seconds
            for child in psutil.Process(parent.pid).children():
                child.kill()
            parent.kill()
    assert waited["spins"] > 0.3, "two on one core: each waits while the other has it"
    assert waited["sleeps"] < 0.2


@pytest.mark.parametrize(
    ("worked", "waited", "starved"), [(0.2, 0.1, False), (0.2, 1.0, True), (0.9, 3.0, False), (0.0, 0.0, False)]
)
def test_who_sleeps_or_works_all_the_time_is_not_starved(worked, waited, starved):
    usage = Usage(os.getpid(), None)
    watch = _Watch(None, -1, usage, 1.0, 1e9, 3.0)
    usage.cpu_seconds, usage.waited_seconds = worked, waited
    assert watch._starved() is starved


def _take_uid(_):
    time.sleep(0.5)  # so that each of the three processes gets one
    return _own_uid(os.getpid())


def test_each_process_of_graders_takes_a_user_id_of_its_own():
    if os.geteuid() != 0:
        pytest.skip("only root changes users")
    used = {uid for process in psutil.process_iter(["uids"]) for uid in process.info["uids"]}
    _own_uid.cache_clear()
    with multiprocessing.get_context("fork").Pool(3) as graders:
        uids = graders.map(_take_uid, range(3), chunksize=1)
    assert len(set(uids)) == 3
    assert not set(uids) & used
    assert all(60_578 <= uid <= 61_183 for uid in uids), "61184 and up are systemd's dynamic users"


def sleepers():
    found = []
    for process in psutil.process_iter():
        try:
            found += [process.pid] if "1234.5" in process.cmdline() else []
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("level", list(LEVELS))
def test_each_level_holds_what_it_promises(tmp_path, level):
    secret = tmp_path / "answers.txt"
    secret.write_text("secret")
    secret.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            port = server.getsockname()[1]
            _, frame = run([ESCAPE], "escape", str(secret), port, os.getpid(), level=level)
        except RunError as error:
            pytest.skip(str(error))
    found, files, environment = wire.decode(frame["value"])
    if level != "limits":
        assert found == []
    assert not any("refused" in line for line in found)
    assert not any("socket" in line for line in found), "no network at any level"
    assert files == ["mine"]
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "SSH_AUTH_SOCK", "LOGNAME"} & set(environment)
    assert sleepers() == []
    assert secret.read_text() in ("secret", "secretx" if level == "limits" else "secret")


def test_the_learner_sees_nothing_of_the_grader():
    code = """
import os, sys
def look():
    found = []
    for folder, names, files in os.walk("/"):
        if folder.startswith(("/proc", "/usr", "/dev")): names[:] = []; continue
        if folder.endswith("/course") and names + files and "/grader" not in folder: found.append(folder)
        if "site-packages" not in folder:
            found += [file for file in files if file.startswith("lesson_") or file.endswith(".ipynb")]
    try:
        import fedlearn_edu.course.checks.registry
        found.append("registry")
    except ImportError: pass
    import fedlearn_edu
    return found + [name for name in dir(fedlearn_edu) if name == "check_function"]
"""
    with prepare() as walls:
        level = walls.level
    if level != "namespaces":
        pytest.skip(f"only with a file system of its own; here: {level}")
    outcome, frame = run([code], "look", timeout=60.0)
    assert frame.get("value") == {"list": []}, (outcome, frame)


def test_tensorflow_and_the_package_work_inside():
    code = """
import numpy as np
import tensorflow as tf
import fedlearn_edu as fl
def train(x):
    dataset = fl.ImageDataset
    return tf.reduce_mean(tf.constant(x)), fl.Dirichlet(concentration=0.5).concentration
"""
    _, frame = run([code], "train", np.array([1.0, 2.0, 6.0]), timeout=60.0)
    assert wire.decode(frame["value"]) == (3.0, 0.5)


@pytest.mark.parametrize(
    "value",
    [
        None, True, -7, 2**70, 0.1, float("inf"), "t\udc80ext\x00", [], (1, [2, (3,)]), {"a": {1: ()}},
        np.arange(6, dtype="<i2").reshape(2, 3).T, np.zeros((0, 4)), np.array(3.5), np.array(["a", "bcd"]),
        np.array([True]), np.array([1, 2], dtype=">f8"), np.float16([0.5]),
    ],
)  # fmt: skip
def test_data_crosses_unchanged(value):
    back = wire.decode(json.loads(json.dumps(wire.encode(value))))
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert (back.dtype, back.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(back, value)
    else:
        assert back == value


EIGHT = "AAAAAAAAAAA="  # eight bytes
DEEP = {"list": []}
for _ in range(100):
    DEEP = {"list": [DEEP]}


@pytest.mark.parametrize(
    "node",
    [
        [], {}, {"list": 3}, {"list": [], "tuple": []}, {"set": [1]}, DEEP, {"list": [0] * 300_000},
        {"dict": [[1]]}, {"dict": [[None, 1]]}, {"dict": [[True, 1]]}, {"array": [1, 2, 3]},
        {"array": ["|O8", [1], EIGHT]}, {"array": ["<f8", [10**15], ""]}, {"array": ["<f8", [-1], ""]},
        {"array": ["<f8", [True], EIGHT]}, {"array": ["<f8", [1], "!"]}, {"array": ["<f8", [1.0], EIGHT]},
        {"array": ["<U0", [5], ""]}, {"array": ["<f8", [0] * 33, ""]}, {"array": ["f8,f8", [1], ""]},
    ],
)  # fmt: skip
def test_forged_data_is_refused(node):
    with pytest.raises(wire.WireError):
        wire.decode(node)


GRADER = """\
import sys
sys.path.insert(0, sys.argv[3])
from grading_problems import make_exercises
from fedlearn_edu.course.grading import grade
grade(sys.argv[1], output=sys.argv[2], timeout=60, jobs=2, exercises=make_exercises(), progress=False)
"""


def runs_learner_code(process):
    try:
        return "runner.main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_grader_that_ends_takes_all_with_it_and_can_go_on(tmp_path, number):
    hang = "def weighted_mean(values, weights):\n    import os\n    os.fork()\n    os.setsid()\n    while True: pass"
    books = {"a.ipynb": notebook(), "b.ipynb": notebook(weighted_mean=hang), "c.ipynb": notebook(weighted_mean=hang)}
    folder, output = write(tmp_path / "in", books), tmp_path / "grades.csv"
    arguments = [sys.executable, "-c", GRADER, str(folder), str(output), str(pathlib.Path(__file__).parent)]
    scratch = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, start_new_session=True, env=scratch) as grader:
        deadline, tree = time.monotonic() + 120, []
        while sum(map(runs_learner_code, tree)) < 4 and time.monotonic() < deadline:  # b and c, and what they forked
            time.sleep(0.2)
            tree = psutil.Process(grader.pid).children(recursive=True)
        os.kill(grader.pid, number)
        grader.wait(30)
    assert len(tree) >= 8, "two workers, two guards, and the hanging ones"
    _, alive = psutil.wait_procs(tree, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not output.exists(), "no half-written table"
    if number == signal.SIGINT:
        books |= {"b.ipynb": notebook(), "c.ipynb": notebook()}
        write(folder, books)
        result = grade(folder, output=output, exercises=make_exercises(), resume=True, timeout=60, progress=False)
        assert result.num_resumed >= 1
        assert [result.total(student) for student in "abc"] == [11.0] * 3
