"""What a backbone may be called: a known name, an https URL, or a folder; which of them it is."""

from __future__ import annotations

import os
import pathlib

from fedlearn_edu.errors import UsageError, nearest_names

BUNDLED_DIR = pathlib.Path(__file__).parent / "assets" / "bundled"

# Names a learner may type in place of a URL or a folder.
BACKBONES = {
    "bundled": str(BUNDLED_DIR),
    "mobilenet_v2": "https://tfhub.dev/google/tf2-preview/mobilenet_v2/feature_vector/4",
}
KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
FROM_KERAS = "load it with tf.keras.models.load_model and write a folder with fedlearn_edu.publish"


def backbone_names() -> list[str]:
    """Returns the names `load_backbone` knows besides URLs and folders.

    Example:
        >>> backbone_names()
        ['bundled', 'mobilenet_v2']
    """
    return sorted(BACKBONES)


def is_url(source: str) -> bool:
    """Tells whether `source` has to be fetched rather than opened as a folder."""
    return source.startswith("https://")


def source_of(name: str) -> str:
    """Returns the URL or the existing folder that `name` stands for."""
    if name in BACKBONES:
        return BACKBONES[name]
    if is_url(name):
        return name
    if "://" in name:
        raise UsageError(
            f"backbone: expected a URL that begins with https://, got {name!r}: anyone on the way could "
            "put another program in its place"
        )
    folder = pathlib.Path(os.path.expanduser(name))
    try:
        if folder.is_dir():
            return str(folder)
    except OSError as error:
        raise UsageError(f"backbone: cannot open the folder {name[:80]!r}: {error.strerror}") from None
    if folder.suffix in KERAS_SUFFIXES and folder.is_file():
        raise UsageError(f"backbone: expected a folder with a SavedModel, got the Keras file {name!r}; {FROM_KERAS}")
    if len(folder.parts) == 1 and not name.startswith("."):
        raise UsageError(
            f"backbone: expected a known name, a URL or a folder, got {name!r}; {nearest_names(name, backbone_names())}"
        )
    found = "a file" if folder.exists() else "nothing there"
    raise UsageError(f"backbone: expected a folder with a SavedModel at {name!r}, found {found}")
