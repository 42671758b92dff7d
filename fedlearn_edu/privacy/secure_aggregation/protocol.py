"""secure_sum: the whole protocol in one call, clients and server in one process, with a transcript of what was sent."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.errors import RunError, UsageError, nearest_names
from fedlearn_edu.privacy.secure_aggregation.client import SecureAggregationClient
from fedlearn_edu.privacy.secure_aggregation.fixed_point import FixedPoint
from fedlearn_edu.privacy.secure_aggregation.messages import STAGES, wire_bytes
from fedlearn_edu.privacy.secure_aggregation.primitives import RandomSource
from fedlearn_edu.privacy.secure_aggregation.server import SecureAggregationServer


@dataclasses.dataclass(frozen=True)
class SecureSum:
    """What a secure sum gave.

    Attributes:
        total: The contributors' sum, float64, off by half a step of the encoding per contributor at most.
        contributors: Whose vectors are in it. Divide by their number for a mean.
        refused: client id -> why its own client software sent nothing (NaN, a value out of range).
        transcript: One row for each client and stage in which it sent something: `client_id`, `stage`, `upload_bytes`,
            `download_bytes` (the server's answer), `seconds` (the client's own work).
        server_seconds: The server's own work in all stages.
        server: The server with everything it received, see `SecureAggregationServer.received`.
    """

    total: np.ndarray
    contributors: tuple[str, ...]
    refused: dict[str, str]
    transcript: pd.DataFrame
    server_seconds: float
    server: SecureAggregationServer


def secure_sum(
    vectors: Mapping[str, np.ndarray],
    *,
    threshold: int,
    encoding: FixedPoint | None = None,
    dropouts: Mapping[str, str] | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> SecureSum:
    """Sums clients' vectors so that the server sees each of them only under masks; clients may drop out at any stage.

    Four stages after Bonawitz et al. (2017). Every client (1) publishes two keys, (2) hands out encrypted Shamir shares
    of its private mask key and of the seed of its own mask, (3) sends its vector under one mask per pair of clients and
    its own mask, (4) reveals, for each client, one share: of the own mask if that client's vector arrived, of the mask
    key if it did not. From `threshold` shares of
    a secret the server takes exactly those masks away that did not cancel.

    What it protects: a server that follows the protocol, alone or with fewer than `threshold` clients that tell it all
    they know, learns nothing about the vectors of the others but their sum. What it does NOT protect:

    - The sum itself, and differences of sums over almost the same clients. (Differential privacy is for that.)
    - Against a server that lies. It could hand out keys of its own in place of the clients', or tell clients different
      lists of contributors. The paper adds signed keys and a round in which clients compare lists; here both are
      missing. A threshold above one half and clients that answer once prevent the simplest such attack only.
    - Against clients that lie: a client may send any vector within the clip, or wrong shares that spoil the sum.

    Everything runs in one process, one client after the other: a simulation of who sends what, with real cryptography.

    Args:
        vectors: client id -> real numbers, all of one shape, at least 2 clients.
        threshold: How many clients must answer in every stage: more than half of all, at most all.
        encoding: Fixed-point numbers; default `FixedPoint()`, up to 8 in steps of 2**-16, 32 bits each.
        dropouts: client id -> stage in which it falls silent: `"advertise_keys"`, `"share_keys"`, `"masked_input"` or
            `"unmask"`. Who is silent in the last one is still in the sum.
        seed: None takes real randomness. A whole number makes keys, masks and shares repeatable: for simulations and
            tests only, since whoever knows it can unmask everyone. Give each sum a seed of its own: two sums under the
            same masks give away the difference of every client's vectors.
        progress: Show a progress bar if it takes longer than two seconds.

    Returns:
        The sum, who is in it, and what was sent. A client whose update cannot be encoded refuses to take part, with a
        warning; the others go on.

    Raises:
        UsageError: An argument is wrong, or the ring is too small for so many clients.
        RunError: Fewer than `threshold` clients are left in some stage; nothing is revealed.

    Example:
        >>> vectors = {"a": [0.5, 1.0], "b": [0.25, -1.0], "c": [4.0, 0.0]}
        >>> result = secure_sum(vectors, threshold=2, dropouts={"c": "masked_input"})
        >>> result.total.tolist(), result.contributors
        ([0.75, 0.0], ('a', 'b'))

    References:
        K. Bonawitz, V. Ivanov, B. Kreuter, A. Marcedone, H. B. McMahan, S. Patel, D. Ramage, A. Segal, K. Seth,
        Practical secure aggregation for privacy-preserving machine learning, CCS 2017, IACR eprint 2017/281; first
        version arXiv:1611.04482.
    """
    encoding = encoding or FixedPoint()
    shape = _common_shape(vectors)
    dropouts = _checked_dropouts(dropouts, vectors)
    RandomSource(seed, "")  # a bad seed is the caller's fault, no client's
    server = SecureAggregationServer(vectors, threshold=threshold, shape=shape, encoding=encoding)
    clients, refused = {}, {}
    for client_id in sorted(vectors):
        try:
            clients[client_id] = SecureAggregationClient(
                client_id, vectors[client_id], threshold=threshold, encoding=encoding, seed=seed
            )
        except UsageError as error:
            refused[client_id] = str(error)
            warnings.warn(f"{client_id} takes no part in the secure sum: {error}", stacklevel=2)

    rows, answers, server_seconds = [], {}, 0.0
    with progress_bar(
        total=len(STAGES) * len(clients), unit="message", delay=2, leave=False, disable=not progress
    ) as bar:
        for stage in STAGES:
            for client_id in [c for c in clients if dropouts.get(c) == stage]:
                del clients[client_id]
            sent = []
            for client_id, client in clients.items():
                started = time.perf_counter()
                message = getattr(client, stage)(*([] if stage == STAGES[0] else [answers[client_id]]))
                sent.append((client_id, stage, wire_bytes(message), time.perf_counter() - started))
                server.receive(client_id, message)
                bar.update()
            started = time.perf_counter()
            try:
                answers = server.close()
            except RunError as error:
                raise RunError(f"{error}{_who_left(refused, dropouts, stage)}") from None
            server_seconds += time.perf_counter() - started
            rows += [(*facts[:3], wire_bytes(answers[facts[0]]), facts[3]) for facts in sent]
    columns = ["client_id", "stage", "upload_bytes", "download_bytes", "seconds"]
    return SecureSum(
        total=encoding.decode(server.total),
        contributors=server.contributors,
        refused=refused,
        transcript=pd.DataFrame(rows, columns=columns),
        server_seconds=server_seconds,
        server=server,
    )


def _common_shape(vectors: Mapping) -> tuple[int, ...]:
    if not isinstance(vectors, Mapping) or not all(isinstance(client_id, str) for client_id in vectors):
        raise UsageError(f"vectors: expected a mapping of client id -> vector, got {type(vectors).__name__}")
    shapes = {}
    for client_id, vector in vectors.items():
        try:
            shapes.setdefault(np.shape(vector), client_id)
        except ValueError:
            raise UsageError(f"vectors: {client_id!r} is a list of rows of different lengths; flatten it") from None
    if len(shapes) > 1:
        (one, first), (other, second) = list(shapes.items())[:2]
        raise UsageError(f"vectors: expected one shape, got {one} from {first!r} and {other} from {second!r}")
    return next(iter(shapes), ())


def _checked_dropouts(dropouts: Mapping[str, str] | None, vectors: Mapping) -> dict[str, str]:
    dropouts = dict(dropouts or {})
    for client_id, stage in dropouts.items():
        if client_id not in vectors:
            raise UsageError(f"dropouts: {client_id!r} is no client; {nearest_names(client_id, vectors)}")
        if stage not in STAGES:
            raise UsageError(f"dropouts: {stage!r} (of {client_id!r}) is no stage; {nearest_names(stage, STAGES)}")
    return dropouts


def _who_left(refused: Mapping, dropouts: Mapping, stage: str) -> str:
    """Why so few were left, for the end of an error's line."""
    silent = sorted(c for c, when in dropouts.items() if STAGES.index(when) <= STAGES.index(stage))
    parts = [("refused to take part", sorted(refused)), ("dropped out", silent)]
    return "".join(f" ({what}: {', '.join(names)})" for what, names in parts if names)
