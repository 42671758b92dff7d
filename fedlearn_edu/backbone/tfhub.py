"""TensorFlow and TF-Hub as the backbones use them: imported when first needed, refused where they could only hang."""

from __future__ import annotations

import os

from fedlearn_edu.errors import RunError

DEFAULT_IMAGE_SIZE = 224
# The process that used TensorFlow first; in a fork of it TensorFlow waits for threads that are not there.
_process: int | None = None


def import_hub():
    """Returns the modules `(tensorflow, tensorflow_hub)`: imported at first use, it takes seconds.

    Raises:
        RunError: In a process forked from one that had called this; TensorFlow would wait in it for ever.
    """
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise RunError(
            "backbone: this process was forked from one that had used TensorFlow, which cannot work in it; start "
            "processes with spawn: multiprocessing.get_context('spawn')"
        )
    import tensorflow
    import tensorflow_hub

    return tensorflow, tensorflow_hub
