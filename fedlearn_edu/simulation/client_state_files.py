"""Clients' states on disk, as part of a checkpoint: a round writes what changed in it."""

from __future__ import annotations

import copy
import os
import pathlib

import numpy as np
import tensorflow as tf

from fedlearn_edu.files import write_whole
from fedlearn_edu.simulation.client_states import ClientStates
from fedlearn_edu.simulation.state_files import numbered, pack, stack, unpack

_PREFIX = "client_states_"


class ClientStateFiles:
    """One file a round with the states that changed in it; now and then one that holds everyone's.

    So a round writes about as much as its cohort keeps, whatever the number of clients, and all files together hold at
    most some three times what is alive. A file counts from the moment when the checkpoint of its round is complete.

    Args:
        directory: The folder of the run's checkpoints.
    """

    def __init__(self, directory: os.PathLike):
        self._directory = pathlib.Path(directory)
        self._num_saved = 0  # states in all files, replaced ones included
        self._whole_round = 0  # of the newest file with everyone's

    def save(self, round_num: int, client_states: ClientStates) -> None:
        """Writes the states that changed since the last call."""
        client_ids = client_states.take_changed()
        if not client_ids:
            return
        if self._num_saved + len(client_ids) > 2 * len(client_states):
            client_ids, self._num_saved, self._whole_round = sorted(client_states), 0, round_num
        self._num_saved += len(client_ids)
        leaves = zip(*(tf.nest.flatten(client_states[client_id]) for client_id in client_ids), strict=True)
        arrays = pack(map(stack, leaves))
        write_whole(self._path(round_num), lambda file: np.savez(file, client_ids=client_ids, **arrays), to_disk=False)

    def remove_replaced(self) -> None:
        """Removes the files before the newest with everyone's; to be called once its checkpoint is complete."""
        for round_num in self._rounds():
            if round_num < self._whole_round:
                self._path(round_num).unlink()

    def load(self, round_num: int, client_states: ClientStates) -> None:
        """Restores everyone's state as it was after a round, and removes files of rounds after it."""
        newest = {}
        for saved in self._rounds():
            if saved > round_num:
                self._path(saved).unlink()
                continue
            with np.load(self._path(saved), allow_pickle=False) as arrays:
                client_ids, leaves = arrays["client_ids"].tolist(), unpack(arrays)
            # copies, so that what one client keeps does not keep the whole file's array
            newest.update(
                {client_id: [copy.copy(leaf[i]) for leaf in leaves] for i, client_id in enumerate(client_ids)}
            )
            self._num_saved += len(client_ids)
        client_states.restore(newest)

    def _rounds(self) -> list[int]:
        return numbered(self._directory, _PREFIX)

    def _path(self, round_num: int) -> pathlib.Path:
        return self._directory / f"{_PREFIX}{round_num}.npz"
