"""Tells whether a TF-Hub layer, as it is set, would normalise with the statistics of each training batch."""

from __future__ import annotations

from fedlearn_edu.backbone.tfhub import import_hub


def is_hub_layer(layer) -> bool:
    """Tells whether it is a `hub.KerasLayer`."""
    return isinstance(layer, import_hub()[1].KerasLayer)


def hub_layer_is_live(layer, *, training: bool = True) -> bool:
    """Tells whether calling this `hub.KerasLayer` with `training` runs a batch normalisation in training mode.

    Read from the graphs that were saved with the module, nothing is run: a `FusedBatchNorm` with `is_training`, or the
    update of a moving average (that of Keras' batch normalisation of vectors). The layer itself passes `training` on
    only if it is trainable, and not at all if the module has no such argument.

    Args:
        layer: A `hub.KerasLayer`.
        training: What its model calls it with.
    """
    tf, _ = import_hub()
    call = getattr(layer.resolved_object, "__call__", None)  # noqa: B004 - for the graphs behind it
    # What `arguments={"training": ...}` says is overruled by the layer, so it does not count (a test shows it).
    asked = bool(layer.trainable and training)
    for function in getattr(call, "concrete_functions", ()):
        given = [value for value in tf.nest.flatten(function.structured_input_signature) if isinstance(value, bool)]
        if given and asked not in given:
            continue  # saved for the other value of `training`
        if not given and not asked:
            continue  # one graph for both: what it does with training=False cannot be told apart
        if _normalises_live(function.graph.as_graph_def()):
            return True
    return False


def _normalises_live(definition) -> bool:
    """Looks through a graph and the functions that it calls, directly or not."""
    library = {function.signature.name: function.node_def for function in definition.library.function}
    bodies, seen = [definition.node], set()
    while bodies:
        for node in bodies.pop():
            # The operation's default is True, and defaults may have been left out on saving.
            if node.op.startswith("FusedBatchNorm") and ("is_training" not in node.attr or node.attr["is_training"].b):
                return True
            if node.op.startswith("Assign") and "AssignMovingAvg" in node.name:
                return True
            for attribute in node.attr.values():
                for name in [attribute.func.name, *(function.name for function in attribute.list.func)]:
                    if name in library and name not in seen:
                        seen.add(name)
                        bodies.append(library[name])
    return False
