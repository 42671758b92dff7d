"""The building blocks that nobody should write: key agreement, encryption and random streams from `cryptography`."""

from __future__ import annotations

import hashlib
import os

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedlearn_edu.errors import RunError, UsageError

KEY_BYTES = 32
# One pair of clients needs keys for two purposes; HKDF keeps them apart.
FOR_MASKS, FOR_SHARES = "fedlearn_edu secure aggregation: masks", "fedlearn_edu secure aggregation: shares"
_NONCE_BYTES = 12


class RandomSource:
    """Random bytes: from the operating system, or for a simulation from a seed.

    Args:
        seed: None takes `os.urandom`. A whole number >= 0 makes the same bytes each time: whoever knows it knows every
            key, so it protects nobody and is for simulations and tests only.
        label: Sources with the same seed and other labels are independent, e.g. one a client.

    Raises:
        UsageError: The seed is neither None nor a whole number >= 0.

    Example:
        >>> RandomSource(0, "a").draw(4) == RandomSource(0, "a").draw(4) != RandomSource(0, "b").draw(4)
        True
    """

    def __init__(self, seed: int | None, label: str):
        if seed is None:
            self.draw = os.urandom
            return
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise UsageError(f"seed: expected a whole number >= 0, or None for real randomness, got {seed!r}")
        key = hashlib.sha256(f"fedlearn_edu simulation only|{int(seed)}|{label}".encode()).digest()
        stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
        self.draw = lambda num_bytes: stream.update(bytes(num_bytes))

    def below(self, bound: int) -> int:
        """Returns a whole number from 0 to bound - 1, all equally likely."""
        num_bits = (bound - 1).bit_length()
        while True:  # reducing modulo `bound` would favour small numbers; half of the draws fit at least
            number = int.from_bytes(self.draw(-(-num_bits // 8)), "big") >> (-num_bits % 8)
            if number < bound:
                return number

    def ring(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Returns uniform elements of the ring of an unsigned integer dtype."""
        num = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self.draw(num * np.dtype(dtype).itemsize), dtype).reshape(shape)


def public_key(private_key: bytes) -> bytes:
    """Returns the X25519 public key of 32 private bytes."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def agree(private_key: bytes, other_public_key: bytes, *, purpose: str) -> bytes:
    """Returns the key that two parties share, each from its own private and the other's public key.

    X25519 and then HKDF, so that the key is uniform and keys for two purposes have nothing in common.

    Raises:
        RunError: The public key is none that a sound client makes.
    """
    try:
        shared = X25519PrivateKey.from_private_bytes(private_key).exchange(
            X25519PublicKey.from_public_bytes(other_public_key)
        )
    except ValueError:
        raise RunError(
            "public_key: expected 32 bytes of an X25519 key, got bytes that no key agreement can use"
        ) from None
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(shared)


def mask_of(key: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Expands a key to a vector of uniform ring elements: ChaCha20's key stream.

    The nonce is fixed because a key masks one vector and is then thrown away. Using a key for a second vector would
    give away the difference of the two.
    """
    num_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(num_bytes)), dtype).reshape(shape)


def encrypt(key: bytes, message: bytes, *, sender: str, receiver: str, random: RandomSource) -> bytes:
    """Returns nonce, ciphertext and tag; who wrote to whom is authenticated with the message."""
    nonce = random.draw(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, message, _route(sender, receiver))


def decrypt(key: bytes, ciphertext: bytes, *, sender: str, receiver: str) -> bytes:
    """Returns the message.

    Raises:
        RunError: It was changed on the way, or was written by or for somebody else.
    """
    nonce, rest = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, rest, _route(sender, receiver))
    except (InvalidTag, ValueError):
        raise RunError(
            f"shares from {sender!r} for {receiver!r}: they do not decrypt, so somebody changed or swapped them on the "
            "way; the round is given up"
        ) from None


def _route(sender: str, receiver: str) -> bytes:
    return repr((sender, receiver)).encode()  # repr: no two pairs of names give the same bytes
