"""States on disk as plain arrays: what a server or a client holds after a round, in one file a round."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from fedlearn_edu.files import write_whole

_PREFIX = "round_"
_KEPT = 2  # if the newest is damaged, there is one to go on from


class StateFiles:
    """One file a round with the server's state; the two newest are kept.

    Args:
        directory: The folder of the run's checkpoints.
    """

    def __init__(self, directory: os.PathLike):
        self._directory = pathlib.Path(directory)

    @property
    def rounds(self) -> list[int]:
        """The rounds whose states there are, oldest first."""
        return numbered(self._directory, _PREFIX)

    def path(self, round_num: int) -> pathlib.Path:
        """Returns the file of a round's state."""
        return self._directory / f"{_PREFIX}{round_num}.npz"

    def save(self, round_num: int, state) -> None:
        """Writes the state after a round, whole or not at all, and then removes those it replaces."""
        arrays = pack(tf.nest.flatten(state))
        write_whole(self.path(round_num), lambda file: np.savez(file, **arrays), to_disk=False)
        for replaced in self.rounds[:-_KEPT]:
            self.path(replaced).unlink()

    def load(self, round_num: int, structure):
        """Returns the state after a round.

        Args:
            round_num: One of `rounds`.
            structure: A state of the same process.

        Raises:
            ValueError: The file holds no state of this structure. Of a damaged one, NumPy raises many kinds.
        """
        with np.load(self.path(round_num), allow_pickle=False) as arrays:
            leaves = unpack(arrays)
        expected = tf.nest.flatten(structure)
        if [_kind(leaf) for leaf in leaves] != [_kind(leaf) for leaf in expected]:
            raise ValueError("a state of another structure")
        return tf.nest.pack_sequence_as(structure, leaves)

    def find_old_layout(self) -> pathlib.Path | None:
        """Returns a state in the form that was written before there were these files: a SavedModel, in a folder."""
        return next((path.parent for path in self._directory.glob(f"{_PREFIX}*/saved_model.pb")), None)


def numbered(directory: pathlib.Path, prefix: str) -> list[int]:
    """Returns the numbers `n` of all files `<prefix>n.npz` in a folder, in order."""
    names = (path.stem.removeprefix(prefix) for path in directory.glob(f"{prefix}*.npz"))
    return sorted(int(name) for name in names if name.isdecimal())


def pack(leaves: Iterable) -> dict[str, np.ndarray]:
    """Returns numbers, booleans and texts of any shape as arrays that a file can hold without pickling.

    Args:
        leaves: Arrays and scalars. Texts are bytes, as TFF returns them, or str.

    Returns:
        One array a leaf; of texts two, all their bytes and how long each is, since NumPy's own kind of text loses
        zeros at the end.

    Raises:
        TypeError: A leaf is neither numbers nor texts.
    """
    arrays = {}
    for i, leaf in enumerate(leaves):
        array = np.asarray(leaf, dtype=object if isinstance(leaf, bytes | str) else None)
        if array.dtype.kind in "OSU":
            texts = [text.encode() if isinstance(text, str) else memoryview(text) for text in array.flat]
            arrays[f"text_{i}"] = np.frombuffer(b"".join(texts), np.uint8)
            arrays[f"lengths_{i}"] = np.reshape([len(text) for text in texts], array.shape).astype(np.int64)
        else:
            arrays[f"leaf_{i}"] = array
    return arrays


def unpack(arrays: np.lib.npyio.NpzFile) -> list:
    """Returns the leaves that `pack` was given; texts as bytes."""
    leaves = []
    while True:
        i = len(leaves)
        if f"leaf_{i}" in arrays:
            leaves.append(arrays[f"leaf_{i}"][()])
        elif f"text_{i}" in arrays:
            content, lengths = arrays[f"text_{i}"].tobytes(), arrays[f"lengths_{i}"]
            ends = np.cumsum(lengths, dtype=np.int64)
            texts = np.empty(lengths.size, object)
            texts[:] = [content[end - size : end] for end, size in zip(ends, lengths.flat, strict=True)]
            leaves.append(texts.reshape(lengths.shape)[()])
        else:
            return leaves


def stack(leaves: Sequence):
    """Returns the same leaf of several states as one array, `[num_states, ...]`."""
    return np.array(leaves, dtype=object) if isinstance(leaves[0], bytes | str) else np.stack(leaves)


def _kind(leaf) -> str:
    dtype = np.asarray(leaf).dtype
    return "text" if dtype.kind in "OSU" else dtype.str
