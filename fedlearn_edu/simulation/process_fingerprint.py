"""A fingerprint of all that a process computes, the same in every Python process that builds it alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow.core.framework import graph_pb2

from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess, compile_once
from fedlearn_edu.simulation.evaluation import local_sums, personal_sums

_DIGITS = 16  # of 64 in SHA-256: nobody forges a run of their own, and settings are read by people


def describe_computation(
    process: FederatedProcess | StatefulFederatedProcess, client_ids: Iterable[str]
) -> dict[str, Any]:
    """Returns what a run's settings say of the process besides its hyperparameters, which are what people read.

    Hyperparameters are what a builder chose to tell. Here the TensorFlow graphs themselves are compared: those of the
    initial state, the round and the evaluation, which hold the model's layers, its loss, every rate of every optimizer,
    and how updates are clipped, noised, attacked and aggregated.

    Args:
        process: Any learning process of this package.
        client_ids: Whose initial states are compared, if the process is stateful.

    Returns:
        `model_weights`: type and shape of each; `initial_weights` and `computation`: fingerprints.
    """
    weights = [np.asarray(w) for w in tf.nest.flatten(process.model.initial_weights)]
    digest = hashlib.sha256()
    if isinstance(process, StatefulFederatedProcess):
        for client_id in client_ids:
            _add_arrays(digest, tf.nest.flatten(process.initial_client_state(client_id)))
    for part in compile_once(process, "digests", lambda: _digest_parts(process)):
        digest.update(part)
    return {
        "model_weights": [f"{w.dtype}{list(w.shape)}" for w in weights],
        "initial_weights": _add_arrays(hashlib.sha256(), weights).hexdigest()[:_DIGITS],
        "computation": digest.hexdigest()[:_DIGITS],
    }


def _digest_parts(process) -> list[bytes]:
    computations = [process.initialize, process.next, process.get_model_weights, local_sums(process)]
    if getattr(process, "personal_weights", None):
        computations.append(personal_sums(process))
    return [_digest_computation(computation) for computation in computations]


def _add_arrays(digest, arrays):
    for array in map(np.asarray, arrays):
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest


def _digest_computation(computation: tff.Computation) -> bytes:
    original = tff.framework.serialize_computation(computation)
    proto = type(original)()
    proto.CopyFrom(original)
    parts = [proto]
    while parts:
        part = parts.pop()
        if part.DESCRIPTOR.name == "TensorFlow":
            part.graph_def.value = _digest_graph(graph_pb2.GraphDef.FromString(part.graph_def.value))
        for field, value in part.ListFields():
            if field.message_type is not None:
                parts.extend(value if field.label == field.LABEL_REPEATED else [value])
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).digest()


def _digest_graph(graph: graph_pb2.GraphDef) -> bytes:
    """Digests a graph up to the names of its functions, which hold numbers that count what was traced before."""
    functions = {function.signature.name: function for function in graph.library.function}
    reached = {}  # name -> number, in the order in which functions are first called
    digest = hashlib.sha256()

    def number_of(name):
        return str(reached.setdefault(name, len(reached))) if name in functions else name

    def add_nodes(nodes, renamed):
        for node in nodes:
            node.op, node.name = number_of(node.op), renamed(node.name)
            node.input[:] = [renamed(name) for name in node.input]
            node.ClearField("experimental_debug_info")
            for key in list(node.attr):
                if key.startswith("_") or key == "config_proto":  # hints for gradients and for placing on devices
                    del node.attr[key]
                    continue
                value = node.attr[key]
                for function in [value.func] if value.HasField("func") else value.list.func:
                    function.name = number_of(function.name)
            digest.update(node.SerializeToString(deterministic=True))

    add_nodes(graph.node, lambda name: name)
    for index, name in enumerate(_as_it_grows(reached)):
        function = functions[name]
        signature = function.signature
        names = [arg.name for arg in signature.input_arg] + [node.name for node in function.node_def]
        numbers = {name: str(number) for number, name in enumerate(names)}

        def renamed(reference, numbers=numbers):
            name, *output = reference.removeprefix("^").split(":")
            return "^" * reference.startswith("^") + ":".join([numbers[name], *output])

        digest.update(f"function {index} {[arg.type for arg in signature.input_arg]}".encode())
        add_nodes(function.node_def, renamed)
        results = [renamed(function.ret[arg.name]) for arg in signature.output_arg]
        effects = [renamed(function.control_ret[name]) for name in signature.control_output]
        digest.update(f"{results} {effects}".encode())
    return digest.digest()


def _as_it_grows(names: dict[str, int]) -> Iterable[str]:
    done = 0
    while done < len(names):
        yield list(names)[done]
        done += 1
