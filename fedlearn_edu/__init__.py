"""fedlearn_edu: how pre-trained models and federated learning work together.

Importing this package is cheap: a name is loaded from its module when it is first used, and TensorFlow with it. The
names stand in `__init__.pyi`, room by room.
"""

from __future__ import annotations

import lazy_loader

from fedlearn_edu.collection_pause import garbage_collection_paused
from fedlearn_edu.later import load_when_used
from fedlearn_edu.quiet import silence_import_noise

__version__ = "0.1.0"

silence_import_noise()
load_when_used("tensorflow_probability")  # 550 modules, of which TFF uses two distributions, for discrete noise

_load, _list_names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'fedlearn_edu' has no attribute {name!r}")
    with garbage_collection_paused():
        value = _load(name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_list_names()])
