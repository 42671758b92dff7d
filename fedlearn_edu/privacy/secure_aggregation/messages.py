"""What clients and server send each other: the four stages, their messages, and how many bytes these take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

# In each stage every client sends one message, and the server answers those that did.
STAGES = ("advertise_keys", "share_keys", "masked_input", "unmask")

_ID_BYTES = 2  # a client's number in the roster is enough on the wire: 65,536 clients


@dataclasses.dataclass(frozen=True)
class PublicKeys:
    """Stage 1, client to server, and the roster of all of them back.

    Attributes:
        encryption: X25519 key under which other clients encrypt shares for this one.
        mask: X25519 key from which pairs of clients derive their common mask.
    """

    encryption: bytes
    mask: bytes


@dataclasses.dataclass(frozen=True)
class RevealedShares:
    """Stage 4, client to server: one share for each client that took part, of one kind or the other, never both.

    Attributes:
        mask_key: dropped client -> share of its private mask key, so that its pairwise masks can be taken away.
        self_mask: contributing client -> share of the seed of its own mask, so that this mask can be taken away.
    """

    mask_key: dict[str, bytes]
    self_mask: dict[str, bytes]


def wire_bytes(message) -> int:
    """Returns the bytes of a message's contents, with two for every client that it names; no framing, no TLS.

    Args:
        message: bytes, an array, a client id, one of the classes above, or a mapping or tuple of these.

    Example:
        >>> wire_bytes({"client_1": b"1234"}), wire_bytes(("client_1", "client_2")), wire_bytes(np.zeros(3, np.uint32))
        (6, 4, 12)
    """
    if message is None:
        return 0
    if isinstance(message, bytes):
        return len(message)
    if isinstance(message, str):
        return _ID_BYTES
    if isinstance(message, np.ndarray):
        return message.nbytes
    if isinstance(message, Mapping):
        return sum(_ID_BYTES + wire_bytes(value) for value in message.values())
    if isinstance(message, tuple):
        return sum(wire_bytes(item) for item in message)
    return sum(wire_bytes(getattr(message, field.name)) for field in dataclasses.fields(message))
