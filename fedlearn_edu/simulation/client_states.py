"""What clients keep for themselves between rounds: handed out with the cohort and taken back by client id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess


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


def compose_with_dataset_computation(dataset_computation: tff.Computation, process):
    """Returns a process whose clients' data are built on the worker from what `dataset_computation` takes.

    Args:
        dataset_computation: `(C -> <x, y>*)`, from `build_train_computation`.
        process: A stateful or an ordinary process.

    Returns:
        A process whose `next` takes `{C}@CLIENTS`, that of a stateful process `{<data=C, client_state=S>}@CLIENTS`.
    """
    if not isinstance(process, StatefulFederatedProcess):
        return tff.simulation.compose_dataset_computation_with_learning_process(dataset_computation, process)
    client_type = tff.to_type(
        {"data": dataset_computation.type_signature.parameter, "client_state": process.client_state_type}
    )

    @tff.federated_computation(process.next.type_signature.parameter[0], tff.FederatedType(client_type, tff.CLIENTS))
    def next_fn(state, clients):
        data = tff.federated_map(dataset_computation, clients.data)
        return process.next(state, tff.federated_zip({"data": data, "client_state": clients.client_state}))

    return tff.templates.IterativeProcess(process.initialize, next_fn)
