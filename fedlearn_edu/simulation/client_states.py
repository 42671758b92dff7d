"""What clients keep for themselves between rounds: handed out with the cohort and taken back by client id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess
from fedlearn_edu.simulation.client_data import (
    CLIENT_TYPE,
    build_batches_computation,
    build_train_computation,
    target_dtype,
)


class ClientStates(Mapping):
    """The state of every client that has trained, by client id; of an ordinary process' clients there is none.

    In a real federation each state would lie on its client. Here all are kept in memory, which takes their size times
    the number of clients that have trained so far.

    Args:
        process: A stateful or an ordinary process.
    """

    def __init__(self, process: FederatedProcess | StatefulFederatedProcess):
        self._stateful = isinstance(process, StatefulFederatedProcess)
        self._process = process
        self._states = {}
        self._changed = set()

    def __getitem__(self, client_id: str):
        return self._states[client_id]

    def __iter__(self):
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def hand_out(self, cohort: Sequence[str], clients: list) -> list:
        """Returns what a round takes per client of the cohort: `clients` as they are, or each with its state.

        Raises:
            UsageError: The process' initial state for a client is not of the type that its round takes.
        """
        if not self._stateful:
            return clients
        states = [self.state_of(client_id) for client_id in cohort]
        return [{"data": client, "client_state": state} for client, state in zip(clients, states, strict=True)]

    def take_back(self, cohort: Sequence[str], output) -> None:
        """Keeps what each client of the cohort returned for itself."""
        if self._stateful:
            self._states.update(zip(cohort, output.client_states, strict=True))
            self._changed.update(cohort)

    def state_of(self, client_id: str):
        """Returns a client's state: what it kept when it last trained, else what it starts with."""
        if client_id in self._states:
            return self._states[client_id]
        initial = self._process.initial_client_state(client_id)
        expected = self._process.client_state_type
        found = tff.to_type(tf.nest.map_structure(_type_of, initial))
        if not expected.is_assignable_from(found):
            raise UsageError(
                f"initial_client_state: expected {expected.compact_representation()} for client {client_id!r}, "
                f"got {found.compact_representation()}; give NumPy values of these types in this order"
            )
        return initial

    def take_changed(self) -> list[str]:
        """Returns the sorted ids of the clients whose state has changed since the last call."""
        changed, self._changed = sorted(self._changed), set()
        return changed

    def restore(self, leaves: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Takes up states as they were saved: by client id, flattened."""
        self._states = {
            client_id: tf.nest.pack_sequence_as(self._process.initial_client_state(client_id), list(values))
            for client_id, values in leaves.items()
        }
        self._changed = set()


def _type_of(leaf) -> tff.TensorType:
    leaf = np.asarray(leaf)
    return tff.TensorType(leaf.dtype, leaf.shape)


def compose_with_client_files(process, feature_dim: int, *, num_epochs: int, batch_size: int):
    """Returns a process whose clients' batches are read on the worker, from what `ClientFiles.told` tells.

    Args:
        process: A stateful or an ordinary process.
        feature_dim: Numbers of an example.
        num_epochs: Local passes over a client's examples in a round.
        batch_size: Examples per batch.

    Returns:
        A process whose `next` takes `{C}@CLIENTS` of `CLIENT_TYPE`, that of a stateful process
        `{<data=C, client_state=S>}@CLIENTS`.
    """
    on_batches = process.next_on_batches is not None
    build = build_batches_computation if on_batches else build_train_computation
    read = build(feature_dim, num_epochs=num_epochs, batch_size=batch_size, target_dtype=target_dtype(process))
    next_on_data = process.next_on_batches if on_batches else process.next
    server_type = next_on_data.type_signature.parameter[0]
    if not isinstance(process, StatefulFederatedProcess):

        @tff.federated_computation(server_type, tff.FederatedType(CLIENT_TYPE, tff.CLIENTS))
        def next_fn(state, clients):
            return next_on_data(state, tff.federated_map(read, clients))

        return tff.templates.IterativeProcess(process.initialize, next_fn)
    client_type = tff.to_type({"data": CLIENT_TYPE, "client_state": process.client_state_type})

    @tff.federated_computation(server_type, tff.FederatedType(client_type, tff.CLIENTS))
    def stateful_next_fn(state, clients):
        data = tff.federated_map(read, clients.data)
        return next_on_data(state, tff.federated_zip({"data": data, "client_state": clients.client_state}))

    return tff.templates.IterativeProcess(process.initialize, stateful_next_fn)
