"""Fixtures of all tests, and in which order and how many at a time they run."""

import gc
import os

import psutil
import pytest
from shared import make_features
from xdist.scheduler import LoadScopeScheduling

_WORKER_BYTES = 2.5 * 2**30  # of a process of tests once it has traced some hundred computations, and its kernel
# What takes longest begins first, so that at the end nobody waits for it.
_LONGEST = (
    "tests/test_notebooks.py::test_runs", "tests/browser/test_lab.py", "tests/course/test_grading_hostile.py",
    "tests/course/test_grading_levels.py", "tests/test_cli.py", "tests/course/test_grading_honest.py",
    "tests/engine/test_runtime.py", "tests/learning/test_catalogue.py", "tests/test_wheel.py",
)  # fmt: skip
_SHARE_NOTHING = ("tests/test_notebooks.py", "tests/course/test_grading_levels.py")


gc.disable()  # until all is imported: what is loaded stays, see `fedlearn_edu.collection_pause`


@pytest.fixture(scope="session")
def features():
    return make_features()


class _FileByFile(LoadScopeScheduling):
    """Gives each file to one process of tests, which then makes what its tests share once."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return nodeid if file in _SHARE_NOTHING else file


def pytest_xdist_make_scheduler(config, log):
    return _FileByFile(config, log)


def pytest_xdist_auto_num_workers():
    """One more than there are cores: many tests wait, for a browser, a kernel, TFF's worker or learner code."""
    return max(1, min(len(os.sched_getaffinity(0)) + 1, int(psutil.virtual_memory().available / _WORKER_BYTES)))


def pytest_collection_finish():
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # tracing makes many objects and little garbage
    gc.enable()


def pytest_collection_modifyitems(items):
    rank = {start: i for i, start in enumerate(_LONGEST)}
    items.sort(key=lambda item: next((i for start, i in rank.items() if item.nodeid.startswith(start)), len(rank)))
