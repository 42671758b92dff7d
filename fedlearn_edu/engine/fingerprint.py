"""A fingerprint of what a TFF computation computes, the same in every Python process that builds it alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import tensorflow_federated as tff
from tensorflow.core.framework import graph_pb2

DIGITS = 16  # of 64 in SHA-256: nobody forges a run of their own, and settings are read by people


def digest_arrays(arrays: Iterable) -> bytes:
    """Returns a digest of types, shapes and numbers of arrays."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.digest()


def digest_computation(computation: tff.Computation) -> bytes:
    """Returns a digest of a computation's graphs and of how they are put together."""
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
