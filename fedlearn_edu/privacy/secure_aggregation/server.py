"""The server of secure aggregation: passes messages on, and takes the masks off the sum, never off one vector."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.privacy.secure_aggregation import primitives
from fedlearn_edu.privacy.secure_aggregation.fixed_point import FixedPoint, ring_sum
from fedlearn_edu.privacy.secure_aggregation.messages import STAGES
from fedlearn_edu.privacy.secure_aggregation.sharing import PRIME, lagrange_at_zero


class SecureAggregationServer:
    """Collects one message a client in each stage; everything it ever gets is in `received`.

    `receive` takes one message; `close` ends the stage and returns the answers. Clients that sent nothing in a stage
    have dropped out. With fewer than `threshold` messages a stage cannot be closed: the sum is given up.

    Attributes:
        received: stage -> client id -> message, for anybody who wants to see what a curious server could look at.
        total: The sum of the contributors' ring elements, after the last stage.

    Args:
        client_ids: Who is invited.
        threshold: How many clients must answer in every stage, see `check_threshold`.
        encoding: Of the vectors.
        shape: Of one vector.

    Raises:
        UsageError: The threshold does not fit, or the ring is too small for so many clients.
    """

    def __init__(
        self, client_ids: Collection[str], *, threshold: int, shape: tuple[int, ...], encoding: FixedPoint | None = None
    ):
        self._encoding = encoding or FixedPoint()
        check_threshold(threshold, num_clients=len(client_ids))
        self._encoding.check_num_clients(len(client_ids))
        self.threshold = threshold
        self.received: dict[str, dict] = {stage: {} for stage in STAGES}
        self.total: np.ndarray | None = None
        self._shape = tuple(shape)
        self._stage = 0
        self._awaited = set(client_ids)

    @property
    def stage(self) -> str | None:
        """The stage whose messages are awaited; None at the end."""
        return STAGES[self._stage] if self._stage < len(STAGES) else None

    @property
    def contributors(self) -> tuple[str, ...]:
        """Whose masked vectors are in the sum."""
        return tuple(sorted(self.received["masked_input"]))

    @property
    def shared_keys(self) -> tuple[str, ...]:
        """Who finished the second stage: with all of these, each client has a pairwise mask."""
        return tuple(sorted(self.received["share_keys"]))

    def receive(self, client_id: str, message) -> None:
        """Takes the message of a client in the current stage.

        Raises:
            RunError: The client was not awaited (unknown, dropped out before, or a second message), or the message is
                not what the stage asks for.
        """
        if self.stage is None or client_id not in self._awaited or client_id in self.received[self.stage]:
            raise RunError(f"message of {client_id!r}: not awaited in stage {self.stage!r}; it is not used")
        if problem := self._problem(client_id, message):
            raise RunError(f"message of {client_id!r} in stage {self.stage!r}: {problem}; it is not used")
        self.received[self.stage][client_id] = message

    def close(self) -> dict[str, object]:
        """Ends the current stage.

        Returns:
            client id -> what this client gets for the next stage: the roster of public keys, its encrypted shares, the
            list of contributors, and nothing at the end.

        Raises:
            RunError: Fewer clients than the threshold answered. Nothing about the sum is revealed.
        """
        stage, answered = self.stage, self.received[self.stage]
        if len(answered) < self.threshold:
            raise RunError(
                f"secure sum given up in stage {stage!r}: {len(answered)} clients answered, the threshold is "
                f"{self.threshold}; nothing was unmasked, start again with clients that stay"
            )
        self._awaited = set(answered)
        if stage == "unmask":
            self.total = self._unmasked_sum()
        self._stage += 1
        return {client_id: self._answer(stage, client_id) for client_id in answered}

    def _answer(self, stage: str, client_id: str):
        if stage == "advertise_keys":
            return dict(self.received[stage])
        if stage == "share_keys":
            return {sender: box[client_id] for sender, box in self.received[stage].items() if sender != client_id}
        return self.contributors if stage == "masked_input" else None

    def _unmasked_sum(self) -> np.ndarray:
        """The masked vectors' sum, minus each contributor's own mask, minus the pair masks that lost their partner."""
        total = ring_sum(self.received["masked_input"].values())
        roster = self.received["advertise_keys"]
        points = {client_id: point for point, client_id in enumerate(sorted(roster), start=1)}
        # Any `threshold` helpers will do; the same ones for all secrets, so that the weights are computed once.
        helpers = sorted(self.received["unmask"])[: self.threshold]
        weights = lagrange_at_zero([points[helper] for helper in helpers])

        def secret(kind: str, client_id: str) -> bytes:
            shares = {points[h]: getattr(self.received["unmask"][h], kind)[client_id] for h in helpers}
            number = sum(weights[point] * int.from_bytes(share, "big") for point, share in shares.items()) % PRIME
            if number.bit_length() > 8 * primitives.KEY_BYTES:
                raise RunError(f"shares of {kind} of {client_id!r} do not give back a key; the sum is given up")
            return number.to_bytes(primitives.KEY_BYTES, "big")

        for client_id in self.contributors:
            total -= self._expand(secret("self_mask", client_id))
        for dropped in sorted(set(self.shared_keys) - set(self.contributors)):
            key = secret("mask_key", dropped)
            if primitives.public_key(key) != roster[dropped].mask:
                raise RunError(f"shares of mask_key of {dropped!r} do not give back its key; the sum is given up")
            for client_id in self.contributors:
                mask = self._expand(primitives.agree(key, roster[client_id].mask, purpose=primitives.FOR_MASKS))
                if client_id < dropped:  # it added this mask
                    total -= mask
                else:
                    total += mask
        return total

    def _expand(self, key: bytes) -> np.ndarray:
        return primitives.mask_of(key, self._shape, self._encoding.dtype)

    def _problem(self, client_id: str, message) -> str | None:
        """What is wrong with a message of the current stage, or None."""
        others = set(self.received["advertise_keys"]) - {client_id}
        if self.stage == "share_keys" and set(message) != others:
            return "expected shares for every other client that sent keys"
        if self.stage == "masked_input" and (message.dtype, message.shape) != (self._encoding.dtype, self._shape):
            return (
                f"expected a vector of {self._encoding.dtype} and shape {self._shape}, "
                f"got {message.dtype} and {message.shape}"
            )
        if self.stage == "unmask":
            dropped = set(self.shared_keys) - set(self.contributors)
            if set(message.self_mask) != set(self.contributors) or set(message.mask_key) != dropped:
                return "expected a share of the own mask of each contributor and of the mask key of each dropped client"
        return None


def check_threshold(threshold: int, *, num_clients: int) -> None:
    """Refuses thresholds that do not fit or do not protect.

    More than half of the clients have to take part to the end. Otherwise a lying server could tell one half that a
    client dropped out and the other half that it did not, collect enough shares of both kinds, and unmask it. If m of
    the n clients help such a server, this takes a threshold above (n + m) / 2; the paper advises more than 2 n / 3.

    Raises:
        UsageError: The threshold is below 2, not more than half of the clients, or above their number.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | np.integer):
        raise UsageError(f"threshold: expected a whole number of clients, got {threshold!r}")
    if num_clients < 2:
        raise UsageError(f"client_ids: expected at least 2 (a sum over one client hides nothing), got {num_clients}")
    if threshold < 2:
        raise UsageError(f"threshold: expected at least 2 (a sum over one client hides nothing), got {threshold}")
    if threshold > num_clients:
        raise UsageError(f"threshold: expected at most the number of clients, {num_clients}, got {threshold}")
    if 2 * threshold <= num_clients:
        raise UsageError(
            f"threshold: expected more than half of the {num_clients} clients, so at least {num_clients // 2 + 1} "
            f"(else two separate groups could each reveal another kind of share), got {threshold}"
        )
