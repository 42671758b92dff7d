"""What a task measures (accuracy, loss) of the global model and of personal ones, per client and over all of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.data.metrics import METRICS
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess, compile_once
from fedlearn_edu.simulation.client_data import (
    CLIENT_TYPE,
    ClientFiles,
    build_test_computation,
    read_examples,
    target_dtype,
)
from fedlearn_edu.simulation.client_states import ClientStates

_CLIENTS_PER_CALL = 200  # what travels to the worker, and what it holds for a call, does not grow with the population


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What a model's task names, such as accuracy (0 to 1) and mean loss (nats), over `num_examples` test examples."""

    values: Mapping[str, float]
    num_examples: int

    @property
    def accuracy(self) -> float:
        return self.values["accuracy"]

    @property
    def loss(self) -> float:
        return self.values["loss"]

    def named(self, prefix: str = "") -> dict[str, float]:
        """Returns the values by the names that a history gives them."""
        return {f"{prefix}{name}": value for name, value in self.values.items()}


class FederatedEvaluation:
    """Evaluates a global model where the test data are.

    The model is broadcast, each client computes sums over its own test split, and the sums come back. TFF's own
    evaluation process aggregates them before anyone can tell clients apart, and its sampling aggregators return
    values without a client id; here the sums are returned per client, in the order of the ids, because showing
    each client's accuracy is the point. A real deployment would show the server only the total.

    Args:
        process: The process whose model is evaluated.
        files: The clients.
        feature_dim: Numbers of an example.
    """

    def __init__(self, process: FederatedProcess, files: ClientFiles, feature_dim: int):
        key = ("evaluation", feature_dim)
        self._evaluate = compile_once(process, key, lambda: _build_evaluation(process, feature_dim))
        self._files = files

    def __call__(self, weights, client_ids: list[str]) -> tuple[Metrics | None, dict[str, Metrics]]:
        """Returns the metrics over all clients' test examples, and those of each client that has any.

        Args:
            weights: `tff.learning.models.ModelWeights` of the global model.
            client_ids: Whom to ask.

        Returns:
            `(global, per_client)`. The global accuracy is that of the pooled test examples (a client with twice
            the examples counts twice); None if no client has a test example.
        """
        sums = []
        for start in range(0, len(client_ids), _CLIENTS_PER_CALL):
            told = self._files.told(client_ids[start : start + _CLIENTS_PER_CALL])
            size = -(-len(told) // (os.cpu_count() or 1))  # a group for each core
            groups = [np.stack(told[i : i + size]) for i in range(0, len(told), size)]
            for group, of_group in zip(groups, self._evaluate(weights, groups), strict=True):
                sums += [tf.nest.map_structure(lambda array, i=i: array[i], of_group) for i in range(len(group))]
        return metrics_of_sums(zip(client_ids, sums, strict=True))


class PersonalEvaluation:
    """Evaluates each client with its personal model: what the process makes of the global model and its state.

    Args:
        process: A stateful process with `personal_weights`.
        files: The clients.
        feature_dim: Numbers of an example.
        client_states: Clients that have never trained are evaluated with their initial state.
    """

    def __init__(
        self, process: StatefulFederatedProcess, files: ClientFiles, feature_dim: int, client_states: ClientStates
    ):
        self._evaluate = compile_once(
            process, ("personal evaluation", feature_dim), lambda: _build_personal_evaluation(process, feature_dim)
        )
        self._files, self._client_states = files, client_states

    def __call__(self, weights, client_ids: list[str]) -> tuple[Metrics | None, dict[str, Metrics]]:
        """Returns the metrics over all clients' test examples, each predicted by its client's model, and per client.

        Args:
            weights: `tff.learning.models.ModelWeights` of the global model.
            client_ids: Whom to ask.
        """
        sums = []
        for start in range(0, len(client_ids), _CLIENTS_PER_CALL):
            some = client_ids[start : start + _CLIENTS_PER_CALL]
            sums += self._evaluate(weights, self._client_states.hand_out(some, self._files.told(some)))
        return metrics_of_sums(zip(client_ids, sums, strict=True))


def _build_evaluation(process, feature_dim: int) -> tff.Computation:
    """Returns the evaluation of groups of clients: to hand over a client alone takes longer than to evaluate it."""
    weights_type = process.get_model_weights.type_signature.result
    group_type = tff.TensorType(CLIENT_TYPE.dtype, [None, *CLIENT_TYPE.shape])

    @tff.tensorflow.computation(weights_type, group_type)
    def count(weights, group):
        def count_one(client):
            examples = read_examples("test", client, feature_dim, target_dtype(process))
            return count_metrics(process.model, weights, examples)

        start = tf.nest.map_structure(tf.convert_to_tensor, process.model.initialize_metrics_state())
        sums_spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, start)
        return tf.map_fn(count_one, group, fn_output_signature=sums_spec, parallel_iterations=1)

    @tff.federated_computation(tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(group_type, tff.CLIENTS))
    def evaluate(weights, groups):
        return tff.federated_map(count, (tff.federated_broadcast(weights), groups))

    return evaluate


def _build_personal_evaluation(process: StatefulFederatedProcess, feature_dim: int) -> tff.Computation:
    weights_type = process.get_model_weights.type_signature.result
    read, count = build_test_computation(feature_dim, target_dtype=target_dtype(process)), personal_sums(process)
    client_type = tff.to_type({"data": CLIENT_TYPE, "client_state": process.client_state_type})

    @tff.federated_computation(tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(client_type, tff.CLIENTS))
    def evaluate(weights, clients):
        test_data = tff.federated_map(read, clients.data)
        return tff.federated_map(count, (tff.federated_broadcast(weights), clients.client_state, test_data))

    return evaluate


def local_sums(process: FederatedProcess | StatefulFederatedProcess) -> tff.Computation:
    """Returns what a client counts on its test examples: `(<weights, <x, y>> -> sums of the model's metrics)`."""

    def make():
        weights_type = process.get_model_weights.type_signature.result

        @tff.tensorflow.computation(weights_type, _examples_type(process))
        def count(weights, examples):
            return count_metrics(process.model, weights, examples)

        return count

    return compile_once(process, "local sums", make)


def personal_sums(process: StatefulFederatedProcess) -> tff.Computation:
    """As `local_sums` with the client's own model: `(<weights, client state, <x, y>> -> sums)`."""

    def make():
        weights_type = process.get_model_weights.type_signature.result

        @tff.tensorflow.computation(weights_type, process.client_state_type, _examples_type(process))
        def count(weights, client_state, examples):
            return count_metrics(
                process.model, tf.function(process.personal_weights, autograph=False)(weights, client_state), examples
            )

        return count

    return compile_once(process, "personal sums", make)


def _examples_type(process) -> tff.Type:
    return tff.types.tensorflow_to_type(process.model.input_spec)


def count_metrics(model, weights, examples):
    """Returns the sums of the model's own metrics over examples `(x, y)`, in TensorFlow, on the worker."""
    x, y = examples
    output = model.predict_on_batch((weights.trainable, weights.non_trainable), x, training=False)
    batch = tff.learning.models.BatchOutput(loss=model.loss(output, y), predictions=output, num_examples=tf.size(y))
    return model.update_metrics_state(model.initialize_metrics_state(), labels=y, batch_output=batch)


def metrics_of_sums(sums_of_clients) -> tuple[Metrics | None, dict[str, Metrics]]:
    """Returns the metrics over all, and by client, of `(client_id, sums of the model's metrics)`."""
    sums = {}
    for client_id, state in sums_of_clients:
        if num_examples := int(state["num_examples"]):
            names = [name for name in METRICS if name in state]
            sums[client_id] = ({name: np.asarray(state[name][0], np.float64) for name in names}, num_examples)
    if not sums:
        return None, {}
    parts, counts = zip(*sums.values(), strict=True)
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    return _metrics(total, sum(counts)), {client_id: _metrics(*s) for client_id, s in sums.items()}


def _metrics(sums, num_examples: int) -> Metrics:
    values = {name: METRICS[name].value_of(value, num_examples) for name, value in sums.items()}
    return Metrics({name: value for name, value in values.items() if value is not None}, num_examples)
