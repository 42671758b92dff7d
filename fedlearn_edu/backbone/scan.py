"""Reads a SavedModel's graph before TensorFlow does, and says what in it reaches beyond a network."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

from fedlearn_edu.backbone.harmless_operations import HARMLESS, SAVER

ALLOW_UNSAFE_VARIABLE = "FEDLEARN_EDU_ALLOW_UNSAFE"
_MAX_GRAPH_BYTES = 2**30
_NAMED = 4


def allows_unsafe() -> bool:
    """Tells whether the environment variable FEDLEARN_EDU_ALLOW_UNSAFE is 1."""
    return os.environ.get(ALLOW_UNSAFE_VARIABLE) == "1"


def find_danger(folder: str | os.PathLike) -> str | None:
    """Says why loading or calling the SavedModel in a folder could do more than compute, or None.

    A SavedModel is a program: TensorFlow runs parts of it while it loads, with all of the user's rights. This reads the
    file as data and runs nothing. Every operation of the graph and of every function, called or not, has to be in
    `HARMLESS`; only what saves and restores the variables may write and read files, and only where nothing but
    TensorFlow's own saver, which gives it the folder's path, can call it. That keeps a module from files, processes,
    Python and other machines; it does not help against a fault inside a harmless operation of TensorFlow, nor against
    one that asks for too much memory or time, and it says nothing about what the features are good for.

    Args:
        folder: Holds `saved_model.pb`. Nobody else may change it between this and loading.

    Returns:
        What was found, to follow the word "a SavedModel", in one line.
    """
    # TensorFlow's generated protocol buffers; importing them takes seconds the first time.
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = pathlib.Path(folder) / "saved_model.pb"
    try:
        if file.stat().st_size > _MAX_GRAPH_BYTES:
            return f"whose graph takes more than {_MAX_GRAPH_BYTES / 2**30:.0f} GiB"
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except (DecodeError, OSError) as error:
        return f"that cannot be read: {' '.join(str(error).split())[:100]}"
    # TensorFlow loads anything else the way of version 1, which runs what the graph names as its start.
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        return "of TensorFlow 1; expected one that tf.saved_model.save has written"
    graph = saved.meta_graphs[0]
    for asset in graph.asset_file_def:
        path = pathlib.PurePosixPath(asset.filename)
        if path.is_absolute() or ".." in path.parts:
            return f"that reads a file outside its folder: {asset.filename[:80]!r}"
    try:
        operations = sorted(set(_beyond_a_network(graph)))
    except RecursionError:
        return "that cannot be read: functions within functions without end"
    if operations:
        more = f" and {len(operations) - _NAMED} more" if len(operations) > _NAMED else ""
        return (
            f"with operations that may reach beyond a network ({', '.join(operations[:_NAMED])}{more}); "
            f"{ALLOW_UNSAFE_VARIABLE}=1 allows them: only for makers whose programs you would run"
        )
    return None


def _beyond_a_network(graph) -> Iterator[str]:
    """Yields the operations that are not allowed where they stand, and what is called but not there."""
    from tensorflow.python.framework import op_def_registry

    library = graph.graph_def.library
    # Some graphs call a function by writing its name where an operation's stands.
    functions = {function.signature.name for function in library.function}
    allowed = HARMLESS | {name for name in functions if op_def_registry.get(name) is None}
    savers = _saver_functions(graph)
    bodies = [(allowed, graph.graph_def.node)]
    for function in library.function:
        is_saver = function.signature.name in savers
        bodies.append((allowed | SAVER if is_saver else allowed, function.node_def))
        yield from {name[:60] for name in _called(function) if name not in functions}
    for operations, nodes in bodies:
        yield from {node.op[:60] for node in nodes} - operations
        yield from {name[:60] for node in nodes for name in _called(node)} - functions


def _called(message) -> Iterator[str]:
    """Yields the names of the functions that the attributes of a node, function or attribute name."""
    for value in message.attr.values():
        for function in (*value.list.func, *([value.func] if value.HasField("func") else [])):
            yield function.name
            yield from _called(function)


def _saver_functions(graph) -> set[str]:
    """Returns the functions that only the nodes of TensorFlow's saver, which loading never runs, can call."""
    saver, functions = graph.saver_def, graph.graph_def.library.function
    places = {name.partition(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name) if name}
    names = {name for node in graph.graph_def.node if node.name in places for name in _called(node)}
    # TensorFlow may put a function with this attribute in the place of another.
    names -= {function.signature.name for function in functions if "api_implements" in function.attr}
    rest = type(graph)()
    rest.CopyFrom(graph)
    rest.graph_def.ClearField("node")
    rest.graph_def.node.extend(node for node in graph.graph_def.node if node.name not in places)
    rest.graph_def.library.ClearField("function")
    rest.graph_def.library.function.extend(f for f in functions if f.signature.name not in names)
    # By the name's bytes, so that no field in which a function can be named is overlooked.
    text = rest.SerializeToString()
    return {name for name in names if name.encode() not in text}
