"""Bytes of a round, measured on messages that are really serialised."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.engine.map_reduce import split_round


@dataclasses.dataclass(frozen=True)
class MessageSizes:
    """What one client receives and sends in one round.

    Attributes:
        broadcast_bytes: Server to one client.
        upload_bytes: One client to the server, before any aggregation on the way.
        secure_bits: Of these, the bits of values that are summed securely; 0 for ordinary processes.
    """

    broadcast_bytes: int
    upload_bytes: int
    secure_bits: int = 0


def measure_message_sizes(
    process: tff.learning.templates.LearningProcess, *, clients_per_round: int = 1
) -> MessageSizes:
    """Returns the size of the two messages of a round, without running one.

    TFF splits `process.next` into what the server prepares, what a client computes, and what the server does with
    the results (the "map-reduce form", which deployments of TFF use). The first part's result is what is
    broadcast; the second part's is what a client uploads: model delta, client weight and local metrics. A message
    of each type is serialised as TFF sends it to a worker and its bytes are counted. All tensors are dense and of
    known shape, so the size does not depend on their values.

    What is summed securely is not counted as TFF's local runtime holds it (int32 or int64) but in the bits that a
    protocol has to carry: those of the value, and ceil(log2(clients_per_round)) more, so that the sum of the
    cohort fits as well. (A modular sum wraps around by design and needs no more.) The keys and shares with which a
    real protocol hides the values come on top and are not counted.

    Args:
        process: Any learning process, stateful or not, on client datasets or on what they are made from.
        clients_per_round: Clients whose values are added up; matters for secure sums only.

    Returns:
        The sizes in bytes. Transport framing and encryption are not included.

    References:
        `tff.backends.mapreduce.get_map_reduce_form_for_computation`.
    """
    split = split_round(process.next)
    form = split.form
    broadcast_bytes = serialized_bytes(form.prepare.type_signature.result)
    if not form.securely_aggregates_tensors:
        _, *nothing = form.work.type_signature.result
        return MessageSizes(broadcast_bytes, serialized_bytes(tff.StructType([(None, split.upload_type), *nothing])))
    _, bitwidth_sums, max_input_sums, modular_sums = form.work.type_signature.result
    room = math.ceil(math.log2(clients_per_round))
    secure_bits = sum(
        [
            _total_bits(bitwidth_sums, form.secure_sum_bitwidth(), lambda bits: bits + room),
            _total_bits(max_input_sums, form.secure_sum_max_input(), lambda most: int(most).bit_length() + room),
            _total_bits(modular_sums, form.secure_modular_sum_modulus(), lambda m: (int(m) - 1).bit_length()),
        ]
    )
    return MessageSizes(broadcast_bytes, serialized_bytes(split.upload_type) + math.ceil(secure_bits / 8), secure_bits)


def _total_bits(type_spec: tff.Type, parameters, bits_of) -> int:
    """Sums up the bits of all numbers in `type_spec`, whose tensors have the matching `parameters`."""
    shapes = [tensor.shape for tensor in tff.structure.flatten(type_spec)]
    return sum(
        math.prod(shape) * int(bits_of(parameter))
        for shape, parameter in zip(shapes, tf.nest.flatten(parameters), strict=True)
    )


def serialized_bytes(type_spec: tff.Type) -> int:
    """Returns the size in bytes of a message of this type, as TFF serialises it.

    Example:
        >>> serialized_bytes(tff.TensorType(np.float32, [1000])) - 4000 < 50
        True
    """
    proto, _ = tff.framework.serialize_value(_zeros(type_spec), type_spec)
    return proto.ByteSize()


def _zeros(type_spec: tff.Type):
    if isinstance(type_spec, tff.TensorType):
        return np.zeros(type_spec.shape, type_spec.dtype)
    return [_zeros(member) for _, member in tff.structure.iter_elements(type_spec)]
