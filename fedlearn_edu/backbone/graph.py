"""The graph of a TF-Hub module in inference mode: pure operations, any tensor of which can be replaced."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fedlearn_edu.errors import UsageError


class ModuleGraph:
    """What `run` computes with: nodes by name, variables as constants.

    Attributes:
        image: Tensor name of the input.
        output: Tensor name of the feature vector.
        constants: Tensor name of each variable's constant, by variable name.
        values: Each variable's value.
        trainable: Names of the module's trainable variables, in its order.
    """

    def __init__(self, backbone):
        module, size = backbone.layer.resolved_object, backbone.image_size
        spec = tf.TensorSpec([None, size, size, 3], tf.float32)
        # The layer knows whether the module takes an argument `training`.
        function = tf.function(backbone.layer.call, autograph=False).get_concrete_function(spec, training=False)
        try:
            frozen = convert_variables_to_constants_v2(function)
        except Exception as error:  # whatever an unknown graph makes of it
            reason = " ".join(str(error).split())[:120]
            raise UsageError(
                f"trainable: expected 'head'; the graph of {backbone.name!r} cannot be frozen: {reason}"
            ) from None
        definition = frozen.graph.as_graph_def()
        self._nodes = {node.name: node for node in definition.node}
        self._library = definition.library
        self._shapes = {
            tensor.name: tensor.shape for operation in frozen.graph.get_operations() for tensor in operation.outputs
        }
        self.image, self.output = frozen.inputs[0].name, frozen.outputs[0].name
        variables = {id(variable.handle): variable for variable in module.variables}
        captured = zip(function.captured_inputs, function.graph.internal_captures, strict=True)
        self.constants, self.values = {}, {}
        for handle, placeholder in captured:
            if id(handle) in variables and placeholder.op.name in self._nodes:
                name = variables[id(handle)].name.removesuffix(":0")
                self.constants[name] = placeholder.name
                self.values[name] = variables[id(handle)].numpy()
        self.trainable = [variable.name.removesuffix(":0") for variable in getattr(module, "trainable_variables", [])]
        if len(set(self.trainable)) < len(self.trainable):
            raise UsageError(f"trainable: expected 'head'; variables of {backbone.name!r} share their names")
        self._order = self._ancestors([self.output], set())

    def function(self, feeds: dict[str, tf.TensorSpec], fetches: list[str], *, live_batch_norm: bool = False):
        """Returns the part between `feeds` and `fetches` as a differentiable function of the fed tensors."""
        definition = tf.compat.v1.GraphDef(library=self._library)
        names = {_canonical(name): f"feed_{number}" for number, name in enumerate(feeds)}
        for spec, feed in zip(feeds.values(), names.values(), strict=True):
            definition.node.add(name=feed, op="Placeholder").attr["dtype"].type = spec.dtype.as_datatype_enum
        for name in self._ancestors(fetches, set(names)):
            node = definition.node.add()
            node.CopyFrom(self._nodes[name])
            del node.input[:]
            node.input.extend(names.get(_canonical(i), i) for i in self._nodes[name].input if not i.startswith("^"))
            if live_batch_norm and node.op.startswith("FusedBatchNorm"):
                node.attr["is_training"].b = True
                node.input[3:5] = ["no_statistics", "no_statistics"]
        if live_batch_norm:
            empty = definition.node.add(name="no_statistics", op="Const")
            empty.attr["dtype"].type = tf.float32.as_datatype_enum
            empty.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.zeros([0], np.float32)))
        wanted = [f"{names[_canonical(name)]}:0" if _canonical(name) in names else name for name in fetches]

        def imported(*tensors):
            mapped = {f"{feed}:0": tensor for feed, tensor in zip(names.values(), tensors, strict=True)}
            return tf.graph_util.import_graph_def(definition, input_map=mapped, return_elements=wanted, name="")

        # A GradientTape does not see operations that are imported; it does see a function of them.
        return tf.compat.v1.wrap_function(imported, list(feeds.values()))

    def frontier(self, trained: list[str]) -> list[tuple[str, tuple[int, ...]]]:
        """Returns name and shape, without the batch, of the last tensors made of the image but of nothing trained."""
        image, touched = self._descendants({self.image}), self._descendants(set(trained))
        found = {}
        for name in self._order:
            if name in touched:
                for tensor in self._nodes[name].input:
                    tensor = self._source(tensor)
                    if (node := _node(tensor)) in image and node not in touched:
                        found[tensor] = tuple(self._shapes[tensor][1:])
        if any(None in shape for shape in found.values()):
            return [(self.image, tuple(self._shapes[self.image][1:]))]
        return list(found.items())

    def batch_norm_affine(self) -> set[str]:
        """Returns the tensor names of all constants that are a batch normalisation's scale or offset."""
        norms = [node for node in self._nodes.values() if node.op.startswith("FusedBatchNorm")]
        return {self._source(tensor) for node in norms for tensor in node.input[1:3]}

    def position(self, name: str) -> int:
        """Returns how far from the input a variable is first used; larger is later."""
        constant = self.constants[name]
        return next(
            place
            for place, node in enumerate(self._order)
            if self._nodes[node].op != "Identity" and any(self._source(i) == constant for i in self._nodes[node].input)
        )

    def _source(self, tensor: str) -> str:
        """Returns the tensor that some `Identity` operations lead back to."""
        while self._nodes[_node(tensor)].op == "Identity":
            tensor = self._nodes[_node(tensor)].input[0]
        return _canonical(tensor)

    def _ancestors(self, fetches: list[str], stop: set[str]) -> list[str]:
        """Returns the nodes that compute `fetches`, each after its inputs; nothing behind the tensors in `stop`."""
        order, seen = [], set()
        stack = [(name, False) for name in reversed(fetches)]
        while stack:
            tensor, expanded = stack.pop()
            node = _node(tensor)
            if expanded:
                order.append(node)
            elif node not in seen and _canonical(tensor) not in stop:
                seen.add(node)
                stack.append((tensor, True))
                inputs = [i for i in self._nodes[node].input if not i.startswith("^")]
                stack.extend((i, False) for i in reversed(inputs))
        return order

    def _descendants(self, tensors: set[str]) -> set[str]:
        """Returns the nodes that depend on one of these tensors, their own included."""
        found = {_node(tensor) for tensor in tensors}
        for name in self._order:
            if any(_node(i) in found for i in self._nodes[name].input):
                found.add(name)
        return found


def _node(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]


def _canonical(tensor: str) -> str:
    """Writes a tensor name as `node:index`, as graphs leave out `:0`."""
    return tensor if ":" in tensor else f"{tensor}:0"
