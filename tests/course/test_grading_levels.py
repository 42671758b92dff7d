"""Each level of walls, with and without root and on older kernels: what it holds back, and that marks are kept."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

import psutil
import pytest
from another_user import NOBODY, run_python
from shared import REPOSITORY

from fedlearn_edu.course.grading.isolation import SAFE_LEVELS

HERE = pathlib.Path(__file__).parent
NEWEST, OLDEST = 99, 1  # Landlock of this kernel, and that of Linux 5.13
ROOT = 0
WALLS = [
    (ROOT, "namespaces", NEWEST), (NOBODY, "namespaces", NEWEST), (ROOT, "user+landlock", NEWEST),
    (ROOT, "user+landlock", OLDEST), (NOBODY, "landlock", NEWEST), (NOBODY, "landlock", OLDEST),
]  # fmt: skip
# One that needs nothing; those of the libraries beside it need the package, TensorFlow, SciPy and processes.
SAMPLE = ("00.model_delta",)


@pytest.fixture
def folder():
    """A folder that every user may enter and write; those of pytest are closed to others again and again."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path:
        os.chmod(path, 0o777)
        yield pathlib.Path(path)


def answer_of(script, *arguments, uid, folder, **options):
    """What a script of this folder printed, run as another user whose scratch files lie in `folder`."""
    paths = os.pathsep.join([str(REPOSITORY / "tests"), str(HERE)])
    environment = os.environ | {"TMPDIR": str(folder), "HOME": str(folder), "PYTHONPATH": paths}
    done = run_python(HERE / script, *arguments, uid=uid, env=environment, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("uid", "level", "newest"), WALLS)
def test_nothing_gets_through(folder, uid, level, newest):
    found = answer_of("level_attacks.py", level, newest, uid=uid, folder=folder)
    assert (found["level"], found["ending"], found["detail"]) == (level, "ended", "")
    [frame] = found["frames"]
    reached, honest = frame["value"]["list"]
    assert reached == {"list": []}
    assert found["harm"] == []
    assert honest == "honest25", "copies, renames and a pool of processes work at every level"


def test_the_same_attacks_reach_what_they_can_without_walls(folder):
    found = answer_of("level_attacks.py", "limits", NEWEST, uid=NOBODY, folder=folder)
    reached, _ = found["frames"][0]["value"]["list"]
    assert {"reads a file", "writes a file", "lists a folder", "makes a file", "reads the checks"} <= set(
        reached["list"]
    )
    assert {"changed answers.txt", "planted", "left in /tmp"} <= set(found["harm"])


@pytest.mark.timeout(900)
def test_the_courses_own_solutions_get_all_points_under_roots_strictest_umask(folder):
    found = answer_of(
        "course_solutions.py", "namespaces", folder / "work", uid=ROOT, folder=folder, umask=0o077, timeout=800.0
    )
    assert found["wrong"] == {}
    total, possible, count = found["points"]
    assert total == possible >= 305
    assert count >= 83


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("uid", "level"), [(ROOT, "user+landlock"), (NOBODY, "landlock"), (NOBODY, "limits")])
def test_honest_marks_are_kept_at_every_other_level(folder, uid, level):
    found = answer_of(
        "course_solutions.py", level, folder / "work", *SAMPLE, uid=uid, folder=folder, umask=0o077, timeout=500.0
    )
    assert found["wrong"] == {}
    assert (found["level"], found["points"][2]) == (level, 5)


@pytest.mark.parametrize(("uid", "level"), [(60_571, "landlock"), (60_572, "limits")])  # users whom nobody else is
def test_nothing_forks_on_when_the_batch_has_ended(folder, uid, level):
    end = f"import os; os.setresuid({uid}, {uid}, {uid}); os.kill(-1, 19); os.kill(-1, 9)"
    watchdog = threading.Timer(90.0, subprocess.run, [[sys.executable, "-c", end]])
    watchdog.start()
    try:
        found = answer_of("fork_bombs.py", level, folder, uid=uid, folder=folder)
        left = [process.pid for process in psutil.process_iter(["uids"]) if process.info["uids"].real == uid]
    finally:
        watchdog.cancel()
        subprocess.run([sys.executable, "-c", end], stderr=subprocess.DEVNULL)
    assert (found["left"], left) == ([], [])
    assert found["guards_killed"] == 1, "one guard was ended by somebody else"
    assert found["statuses"] == {
        "all": "processes", "outside": "processes", "own_sessions": "processes", "wake_each_other": "processes",
        "parents_leave": "crashed", "own_sessions_and_parents_leave": "crashed", "honest": "passed",
    }  # fmt: skip
    with_child, without = found["limits"]
    assert with_child == without, "what a learner starts does not raise the limit of the next one"


def test_every_safe_level_is_tested():
    assert {level for _, level, _ in WALLS} == set(SAFE_LEVELS)


def test_the_reason_is_told_when_others_cannot_reach_python():
    if os.geteuid() != 0:
        pytest.skip("only root can change the user")
    if all(folder.stat().st_mode & 0o001 for folder in pathlib.Path(sys.executable).resolve().parents):
        pytest.skip("here everybody can reach Python")
    from fedlearn_edu.course.grading.walls import prepare
    from fedlearn_edu.errors import RunError

    with pytest.raises(RunError, match=r"\S+ lies below \S+, which only its owner can enter"):
        with prepare(level="user+landlock"):
            pass
