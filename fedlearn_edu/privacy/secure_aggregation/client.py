"""The client of secure aggregation: masks its vector, shares the keys to its masks, reveals one kind of share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from fedlearn_edu.errors import RunError
from fedlearn_edu.privacy.secure_aggregation import primitives
from fedlearn_edu.privacy.secure_aggregation.fixed_point import FixedPoint
from fedlearn_edu.privacy.secure_aggregation.messages import STAGES, PublicKeys, RevealedShares
from fedlearn_edu.privacy.secure_aggregation.sharing import SHARE_BYTES, shamir_shares


class SecureAggregationClient:
    """One client in one secure sum; it is made anew for every sum, since no key may be used twice.

    The vector is encoded at once, so that a NaN or a value that could overflow is refused before anything is sent.
    What is sent is the vector plus two kinds of masks: one that this client shares with each other client (they cancel
    in the sum), and one of its own. The own one is there because "you dropped out" may be a mistake or a lie: if a late
    vector arrives after the others gave away the pairwise masks, it is still masked.

    Methods are the four stages, each called once and in order with the server's last answer.

    Args:
        client_id: Its name; the order of names decides who adds a pairwise mask and who subtracts it.
        vector: What it contributes: real numbers of any shape.
        threshold: How many clients must take part to the end; more than half of all.
        encoding: Shared by all clients.
        seed: None for real randomness; a whole number makes a repeatable simulation that hides nothing.

    Raises:
        UsageError: The vector cannot be encoded, see `FixedPoint.encode`.

    References:
        K. Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017
        (IACR eprint 2017/281; first version arXiv:1611.04482), figure 4 without its signatures.
    """

    def __init__(
        self, client_id: str, vector, *, threshold: int, encoding: FixedPoint | None = None, seed: int | None = None
    ):
        self.client_id = client_id
        self._encoding = encoding or FixedPoint()
        self._vector = self._encoding.encode(vector)
        self._threshold = threshold
        self._random = primitives.RandomSource(seed, f"client {client_id}")
        self._pair_keys: dict[str, bytes] = {}
        self._next_stage = 0

    def advertise_keys(self) -> PublicKeys:
        """Stage 1: makes two key pairs and publishes the public halves."""
        self._enter("advertise_keys")
        self._encryption_key = self._random.draw(primitives.KEY_BYTES)
        self._mask_key = self._random.draw(primitives.KEY_BYTES)
        self._public = PublicKeys(primitives.public_key(self._encryption_key), primitives.public_key(self._mask_key))
        return self._public

    def share_keys(self, roster: Mapping[str, PublicKeys]) -> dict[str, bytes]:
        """Stage 2: draws the seed of its own mask, and gives each client a share of it and of its mask key.

        Args:
            roster: Public keys of all clients that sent any.

        Returns:
            Other client -> both shares, encrypted so that the server, which passes them on, cannot read them.

        Raises:
            RunError: The roster is too small, lacks this client, or holds a key twice.
        """
        self._enter("share_keys")
        self._check_enough(roster, "sent keys")
        if 2 * self._threshold <= len(roster):
            self._refuse(f"a threshold of {self._threshold} is not more than half of {len(roster)} clients")
        keys = [key for public in roster.values() for key in dataclasses.astuple(public)]
        if roster.get(self.client_id) != self._public or len(set(keys)) < len(keys):
            self._refuse("the roster of keys lacks this client's own keys or holds a key twice")
        self._encoding.check_num_clients(len(roster))
        self._roster = dict(roster)
        self._self_mask_seed = self._random.draw(primitives.KEY_BYTES)
        sizes = dict(threshold=self._threshold, num_shares=len(roster), seed=self._random)
        of_key = shamir_shares(int.from_bytes(self._mask_key, "big"), **sizes)
        of_seed = shamir_shares(int.from_bytes(self._self_mask_seed, "big"), **sizes)
        shares = {
            other: b"".join(part[point].to_bytes(SHARE_BYTES, "big") for part in (of_key, of_seed))
            for point, other in enumerate(sorted(roster), start=1)
        }
        self._own_share = shares.pop(self.client_id)
        return {
            other: primitives.encrypt(
                self._pair_key(other), share, sender=self.client_id, receiver=other, random=self._random
            )
            for other, share in shares.items()
        }

    def masked_input(self, inbox: Mapping[str, bytes]) -> np.ndarray:
        """Stage 3: adds all masks to the vector.

        Args:
            inbox: Sender -> its encrypted shares for this client. Who is absent has dropped out and gets no mask.

        Returns:
            The masked vector, ring elements of the vector's shape: by itself as good as random numbers.

        Raises:
            RunError: Too few clients are left, or somebody unknown wrote.
        """
        self._enter("masked_input")
        self._check_enough({*inbox, self.client_id}, "shared their keys")
        if unknown := set(inbox) - set(self._roster):
            self._refuse(f"shares came from {sorted(unknown)}, who sent no keys")
        self._inbox = dict(inbox)
        masked = self._vector.copy()  # in place from here on: a single number stays an array, and may wrap around
        masked += self._mask(self._self_mask_seed)
        for other in sorted(set(inbox) - {self.client_id}):
            mask = self._mask(primitives.agree(self._mask_key, self._roster[other].mask, purpose=primitives.FOR_MASKS))
            if self.client_id < other:
                masked += mask
            else:
                masked -= mask
        return masked

    def unmask(self, contributors: tuple[str, ...]) -> RevealedShares:
        """Stage 4: reveals one share about every client: of the own mask if it contributed, else of the mask key.

        Both kinds about one client would unmask that client alone. This is why the stage answers once: a server that
        asked twice, with other contributors, would get both.

        Args:
            contributors: Whose masked vectors the server has.

        Raises:
            RunError: Too few contributed, an unknown client is named, or shares do not decrypt.
        """
        self._enter("unmask")
        self._check_enough(contributors, "sent their masked vectors")
        took_part = {*self._inbox, self.client_id}
        if not {self.client_id} <= set(contributors) <= took_part:
            self._refuse("the list of contributors lacks this client or names one that shared no keys")
        revealed = RevealedShares({}, {})
        for other in sorted(took_part):
            of_key, of_seed = self._shares_of(other)
            if other in contributors:
                revealed.self_mask[other] = of_seed
            else:
                revealed.mask_key[other] = of_key
        return revealed

    def _shares_of(self, other: str) -> tuple[bytes, bytes]:
        share = self._own_share
        if other != self.client_id:
            share = primitives.decrypt(self._pair_key(other), self._inbox[other], sender=other, receiver=self.client_id)
        return share[:SHARE_BYTES], share[SHARE_BYTES:]

    def _pair_key(self, other: str) -> bytes:
        if other not in self._pair_keys:  # used in two stages, costly to make
            public = self._roster[other].encryption
            self._pair_keys[other] = primitives.agree(self._encryption_key, public, purpose=primitives.FOR_SHARES)
        return self._pair_keys[other]

    def _mask(self, key: bytes) -> np.ndarray:
        return primitives.mask_of(key, self._vector.shape, self._encoding.dtype)

    def _enter(self, stage: str) -> None:
        expected = STAGES[self._next_stage] if self._next_stage < len(STAGES) else "nothing more"
        if stage != expected:
            self._refuse(f"it was asked for {stage!r}; expected {expected!r} (each stage once, in order)")
        self._next_stage += 1

    def _check_enough(self, clients, did: str) -> None:
        if len(set(clients)) < self._threshold:
            self._refuse(f"only {len(set(clients))} clients {did}, the threshold is {self._threshold}")

    def _refuse(self, why: str) -> None:
        raise RunError(f"{self.client_id} goes no further: {why}; start a new sum with new clients")
