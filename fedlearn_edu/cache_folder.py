"""Where this package keeps what it need not compute or fetch again: features, downloads, modules, the worker's copy."""

from __future__ import annotations

import os
import pathlib

import platformdirs

CACHE_VARIABLE = "FEDLEARN_EDU_CACHE"


def cache_root(cache_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Returns the cache's folder: the argument, else the variable FEDLEARN_EDU_CACHE, else the user's own."""
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("fedlearn_edu")
    return pathlib.Path(chosen).expanduser()
