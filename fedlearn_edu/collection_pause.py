"""Keeps Python's garbage collection from the million objects that TensorFlow and TFF load, which stay."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

_MANY = 1_000  # modules: NumPy, pandas and Matplotlib together are fewer, TensorFlow and TFF 2,000 and more each


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Collects no garbage in the block, and never searches what a large library left: a fifth of the time to load one.

    Without the second, the next full collection takes a second, which a process that ends soon never gets back.

    Example:
        >>> import gc
        >>> with garbage_collection_paused():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    was_enabled, num_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) - num_modules > _MANY:
            gc.freeze()
        if was_enabled:
            gc.enable()
