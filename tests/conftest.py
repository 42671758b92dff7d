"""Fixtures of all tests, and in which order and how many at a time they run."""

import gc
import os

import psutil
import pytest
from shared import make_features

_WORKER_BYTES = 2.5 * 2**30  # of a process of tests once it has traced some hundred computations, and its kernel


gc.disable()  # until all is imported: what is loaded stays, see `fedlearn_edu.collection_pause`


@pytest.fixture(scope="session")
def features():
    return make_features()


def pytest_xdist_auto_num_workers():
    """One more than there are cores: many tests wait, for a browser, a kernel, TFF's worker or learner code."""
    return max(1, min(len(os.sched_getaffinity(0)) + 1, int(psutil.virtual_memory().available / _WORKER_BYTES)))


def pytest_collection_finish():
    gc.enable()


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that at the end nobody waits for it."""
    long = ("tests/test_notebooks.py::test_runs", "tests/browser/")
    items.sort(key=lambda item: next((i for i, start in enumerate(long) if item.nodeid.startswith(start)), len(long)))
