"""Grades answers that fork without end at one level, as the user who runs it; prints the marks and who is left.

    python tests/course/fork_bombs.py LEVEL FOLDER

Run it only as a user who has no other process: the user's processes are counted, and limited to a few hundred.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import threading

import psutil
from grading_problems import HONEST, make_exercises, notebook, write

from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.inside import ending
from fedlearn_edu.course.grading.walls import prepare

_MOST_PROCESSES = 300
LOOP = """\
    while True:
        try:
            {}
        except OSError: pass
"""
BOMBS = {
    "all": "os.fork()",
    "parents_leave": "os.fork() and os._exit(0)",
    "own_sessions": "os.fork() or os.setsid()",
    "own_sessions_and_parents_leave": "os._exit(0) if os.fork() else os.setsid()",
    "wake_each_other": "os.fork() or os.setpgid(0, 0); os.kill(os.getppid(), 18)",
}
START = "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
ANSWER = "def weighted_mean(values, weights):\n"


def kill_a_guard(killed: list[int]) -> None:
    """Does what the system does where memory is short, once, and when its learner has begun to fork."""
    while not killed:
        for process in psutil.process_iter(["cmdline"]):
            if "guard.main()" in " ".join(process.info["cmdline"] or ()) and len(ending.below(process.pid)) > 4:
                process.kill()
                killed.append(process.pid)
                break


def main() -> None:
    level, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NPROC, (_MOST_PROCESSES, _MOST_PROCESSES))
    answers = {name: START + ANSWER + LOOP.format(step) for name, step in BOMBS.items()}
    answers["outside"] = (
        START + "found = []\nif True:\n" + LOOP.format("found.append(os.fork())") + ANSWER + "    return found"
    )
    answers["honest"] = HONEST["weighted_mean"]
    write(folder / "in", {f"{name}.ipynb": notebook(weighted_mean=code) for name, code in answers.items()})
    with prepare(level=level) as walls, subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        limits = [walls.guard_config(home=folder, result=1, memory_bytes=2**30)["limits"]["NPROC"]]
        child.communicate()
        limits.append(walls.guard_config(home=folder, result=1, memory_bytes=2**30)["limits"]["NPROC"])
    options = {"timeout": 3.0, "memory_gb": 1.0, "jobs": 2, "isolation": level, "progress": False}
    killed = []
    threading.Thread(target=kill_a_guard, args=[killed], daemon=True).start()
    exercises = {name: made for name, made in make_exercises().items() if name.endswith("weighted_mean")}
    result = grade(folder / "in", output=folder / "grades.csv", exercises=exercises, **options)
    left = [
        f"{process.pid} {process.info['status']}"
        for process in psutil.process_iter(["uids", "status"])
        if process.info["uids"].real == os.getuid() and process.pid != os.getpid()
    ]
    statuses = {name: marks[0].status for name, marks in result.marks.items()}
    print(json.dumps({"left": left, "guards_killed": len(killed), "statuses": statuses, "limits": limits}))


if __name__ == "__main__":
    main()
