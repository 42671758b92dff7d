"""Puts off loading a library until something of it is used."""

from __future__ import annotations

import importlib.util
import sys
import threading
import types

_lock = threading.RLock()
_loading: set[str] = set()


class _Later(types.ModuleType):
    """A library that is found, but not loaded yet.

    `importlib.util.LazyLoader` does this too, but up to Python 3.11 already the next `import` of it loads it.
    """

    def __getattr__(self, name: str):
        if name.startswith("__"):  # of which whoever looks through all modules asks
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _lock:
            if type(self) is _Later:  # else another thread has loaded it meanwhile
                if self.__name__ in _loading:  # the library itself asks, whether it has got that far
                    raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
                _loading.add(self.__name__)
                try:
                    self.__spec__.loader.exec_module(self)
                finally:
                    _loading.discard(self.__name__)
                self.__class__ = types.ModuleType
        return getattr(self, name)


def load_when_used(name: str) -> None:
    """Lets `import name` find the library, and load it only when something of it is used.

    Nothing is done if it is loaded already or not installed.

    Args:
        name: Of a top-level package.
    """
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Later
    sys.modules[name] = module
