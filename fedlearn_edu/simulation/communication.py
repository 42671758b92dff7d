"""Bytes of a round, measured on messages that are really serialised."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow_federated as tff


@dataclasses.dataclass(frozen=True)
class MessageSizes:
    """What one client receives and sends in one round.

    Attributes:
        broadcast_bytes: Server to one client.
        upload_bytes: One client to the server, before any aggregation on the way.
    """

    broadcast_bytes: int
    upload_bytes: int


def measure_message_sizes(process: tff.learning.templates.LearningProcess) -> MessageSizes:
    """Returns the size of the two messages of a round, without running one.

    TFF splits `process.next` into what the server prepares, what a client computes, and what the server does with
    the results (the "map-reduce form", which deployments of TFF use). The first part's result is what is
    broadcast; the second part's is what a client uploads: model delta, client weight and local metrics. A message
    of each type is serialised as TFF sends it to a worker and its bytes are counted. All tensors are dense and of
    known shape, so the size does not depend on their values.

    Args:
        process: Any learning process that works on client datasets.

    Returns:
        The sizes in bytes. Transport framing and encryption are not included.

    References:
        `tff.backends.mapreduce.get_map_reduce_form_for_computation`.
    """
    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(process.next)
    return MessageSizes(
        broadcast_bytes=serialized_bytes(form.prepare.type_signature.result),
        upload_bytes=serialized_bytes(form.work.type_signature.result),
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
