"""Real numbers as whole numbers in a ring of 2**bits, with refusal of everything that could overflow."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from fedlearn_edu.errors import UsageError

_BITS = (16, 32, 64)


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """How clients write their numbers down for a secure sum: as multiples of `step`, in a ring of 2**bits.

    Masks are uniform over a finite set, and no such set of floats exists; whole numbers modulo 2**bits form one.
    A negative number x is written as 2**bits + x. Whoever encodes refuses what lies outside [-clip, clip], so that a
    sum over at most `max_clients` clients never wraps around: a secure sum is right or refused, never silently wrong.

    Attributes:
        clip: Largest absolute value that may be encoded, above 0.
        step: Distance of neighbouring numbers, above 0 and at most `clip`. An encoded number is off by half a step
            at most, a sum over n clients by n half steps.
        bits: 16, 32 or 64; what one number costs to send.

    Raises:
        UsageError: An argument is out of range, or one value alone would fill the ring.

    Example:
        >>> encoding = FixedPoint(clip=1.0, step=0.25, bits=16)
        >>> encoding.encode([0.5, -0.25]).tolist()
        [2, 65535]
        >>> encoding.decode(encoding.encode([0.5, -0.25])).tolist()
        [0.5, -0.25]
        >>> encoding.max_clients
        8191
    """

    clip: float = 8.0
    step: float = 2.0**-16
    bits: int = 32

    def __post_init__(self):
        for name, value in (("clip", self.clip), ("step", self.step)):
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise UsageError(f"{name}: expected a finite number above 0, got {value!r}")
        if self.bits not in _BITS:
            raise UsageError(f"bits: expected 16, 32 or 64, got {self.bits!r}")
        if self.step > self.clip:
            raise UsageError(f"step: expected at most clip = {self.clip:g}, got {self.step:g}")
        if self.clip / self.step > 2**52:
            raise UsageError(
                f"step: expected at least clip / 2**52 = {self.clip / 2**52:.3g} (float64 is not finer), "
                f"got {self.step:.3g}"
            )
        if self.max_clients < 2:
            raise UsageError(
                f"bits: {self.bits} bits cannot hold two clients' numbers up to clip = {self.clip:g} in steps of "
                f"{self.step:.3g}; use more bits, a larger step or a smaller clip"
            )

    @property
    def dtype(self) -> np.dtype:
        """Unsigned integers whose own overflow is the ring's arithmetic; little-endian on every machine."""
        return np.dtype(f"<u{self.bits // 8}")

    @property
    def max_clients(self) -> int:
        """Over how many clients a sum cannot overflow, even if all of them send `clip` everywhere."""
        return (2 ** (self.bits - 1) - 1) // round(self.clip / self.step)

    def check_num_clients(self, num_clients: int) -> None:
        """Refuses a sum over more clients than the ring has room for.

        Raises:
            UsageError: `num_clients` is above `max_clients`.
        """
        if num_clients > self.max_clients:
            raise UsageError(
                f"bits: a ring of 2**{self.bits} has room for {self.max_clients} clients with clip = {self.clip:g} and "
                f"step = {self.step:.3g}, got {num_clients}; use more bits, a larger step or a smaller clip"
            )

    def encode(self, values) -> np.ndarray:
        """Returns the values rounded to steps, as elements of the ring.

        Args:
            values: Real numbers, any shape, all within [-clip, clip].

        Returns:
            Array of the same shape, dtype uint16, uint32 or uint64.

        Raises:
            UsageError: A value is NaN, infinite or outside [-clip, clip]; nothing is rounded into range silently.
        """
        values = _real_array(values)
        if bad := int(np.count_nonzero(~np.isfinite(values))):
            raise UsageError(
                f"values: expected finite numbers, got {bad} of {values.size} NaN or infinite; leave this update out "
                "and look for what made it (a learning rate that is too high?)"
            )
        if (largest := float(np.abs(values).max(initial=0))) > self.clip:
            raise UsageError(
                f"values: expected at most clip = {self.clip:g} in absolute value, got {largest:.6g}; it could "
                "overflow the ring: clip the update first or use an encoding with a larger clip"
            )
        whole = np.asarray(np.rint(values / self.step)).astype(np.int64)
        return whole.astype(self.dtype)  # modulo 2**bits: a negative number becomes 2**bits + it

    def decode(self, ring: np.ndarray) -> np.ndarray:
        """Returns the real numbers that elements of the ring stand for, float64: the upper half is negative.

        Raises:
            UsageError: The array has another dtype than `encode` gives.
        """
        ring = np.asarray(ring)
        if ring.dtype != self.dtype:
            raise UsageError(f"ring: expected an array of {self.dtype}, as encode returns, got {ring.dtype}")
        return np.asarray(ring.astype(f"i{self.bits // 8}") * self.step)


def _real_array(values) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:  # nested lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"values: expected an array of real numbers, got {type(values).__name__} of {array.dtype}")
    return array.astype(np.float64)


def ring_sum(vectors) -> np.ndarray:
    """Returns the sum of vectors of ring elements, in the ring (NumPy's own `sum` would widen the type).

    Args:
        vectors: Arrays of one shape and one unsigned dtype; the sum runs over the first axis.

    Raises:
        UsageError: These are no unsigned integers of one dtype, or there is none.

    Example:
        >>> ring_sum(np.array([[65535], [2]], np.uint16)).tolist()
        [1]
    """
    arrays = [np.asarray(vector) for vector in vectors]
    if not arrays or len({(a.dtype, a.shape) for a in arrays}) != 1 or arrays[0].dtype.kind != "u":
        kinds = sorted({f"{a.dtype}{list(a.shape)}" for a in arrays})
        raise UsageError(
            f"vectors: expected unsigned integers of one dtype and shape, got {', '.join(kinds) or 'none'}"
        )
    return np.asarray(np.sum(arrays, axis=0, dtype=arrays[0].dtype))
