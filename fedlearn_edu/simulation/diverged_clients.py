"""Whose update TFF replaced by zeros: looked up by repeating a round's client work, when its metrics show a gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_federated as tff

from fedlearn_edu.engine.map_reduce import split_round
from fedlearn_edu.learning.process import compile_once


class DivergedClients:
    """Finds the clients of a cohort that trained to NaN or infinity.

    A client whose update is not finite sends zeros with weight 0 and no metrics, in TFF's own client work as in that of
    this package, and nothing in the round's result names it. But examples are missing in the sum of the local metrics
    (FedSGD and Mime Lite leave them in: there the loss is not finite). Then each client's part of the round is computed
    once more, alone, and what it would upload is looked at; the server of a real deployment, which receives the
    uploads, need not repeat anything. Rounds without a gap cost nothing.

    FedSGD and Mime Lite hide a client whose only local loss is finite and whose gradient is not.

    Args:
        process: The process that is run, with which what is compiled is kept.
        training: The same, composed with its clients' data.
        num_examples: What each client trains on in a round, local epochs counted.
    """

    def __init__(self, process, training, num_examples: Mapping[str, int]):
        self._process, self._training = process, training
        self._num_examples = num_examples
        self._counts_all = True

    def find(self, state, cohort: Sequence[str], clients: list, train_metrics: Mapping) -> list[str]:
        """Returns the ids of those whose update was replaced in the round that began with `state`.

        Args:
            state: The server's, before the round.
            cohort: The ids, in the order of
            clients: what the round was given.
            train_metrics: What it returned of the local training.
        """
        expected = sum(self._num_examples[client_id] for client_id in cohort)
        gap = self._counts_all and int(train_metrics.get("num_examples", expected)) != expected
        if not gap and np.isfinite(train_metrics["loss"]):
            return []
        next_fn = self._training.next
        upload = compile_once(self._process, ("upload", next_fn), lambda: _build_upload(next_fn))
        uploads = upload(state, clients)
        found = [c for c, upload in zip(cohort, uploads, strict=True) if self._num_examples[c] and _is_without(upload)]
        self._counts_all = not gap or bool(found)  # a process that counts otherwise is not asked again
        return found


def _build_upload(next_fn: tff.Computation) -> tff.Computation:
    """Returns `(<state@SERVER, {C}@CLIENTS> -> {what a client uploads}@CLIENTS)`."""
    form = split_round(next_fn).form

    @tff.federated_computation(next_fn.type_signature.parameter)
    def upload(arg):
        state, clients = arg
        broadcast = tff.federated_broadcast(tff.federated_map(form.prepare, state))
        return tff.federated_map(form.work, tff.federated_zip((clients, broadcast)))

    return upload


def _is_without(upload) -> bool:
    """Whether a client uploads no example; or a loss that is not finite, and a weight of 0."""
    [metrics] = [part for part in _parts(upload) if isinstance(part, Mapping) and "num_examples" in part]
    if not metrics["num_examples"]:
        return True
    numbers = [part for part in _parts(upload) if isinstance(part, float | np.float32 | np.ndarray)]
    return not np.isfinite(metrics["loss"][0]) and any(np.ndim(number) == 0 and number == 0 for number in numbers)


def _parts(value) -> Iterator:
    yield value
    if isinstance(value, Mapping):
        if "num_examples" not in value:
            for part in value.values():
                yield from _parts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
