"""Runs processes on several federations; TFF compiles a process once for all of them, and examples are written once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

import fedlearn_edu as fl
from fedlearn_edu.simulation.client_data import ClientFiles
from fedlearn_edu.simulation.client_states import ClientStates, compose_with_dataset_computation
from fedlearn_edu.simulation.cohorts import build_cohort_fn
from fedlearn_edu.simulation.evaluation import FederatedEvaluation


class Federations:
    """Several federations of the same kind of examples.

    Args:
        clients_of: Key (a number or text) -> the features of one federation.
    """

    def __init__(self, clients_of: dict):
        self.client_ids = {key: _merged_ids(key, clients) for key, clients in clients_of.items()}
        self.files = ClientFiles(_merged(clients_of))


class SideBySide:
    """A process, to be run on each of some federations.

    Args:
        process: From a `build_*` function; where it names clients, by the ids in `federations.client_ids`.
        federations: All of them.
        batch_size: Examples per local step; there is one local epoch a round.
    """

    def __init__(self, process, federations: Federations, *, batch_size: int):
        self._process, self._federations, files = process, federations, federations.files
        self._next = compose_with_dataset_computation(
            files.train_computation(num_epochs=1, batch_size=batch_size), process
        ).next
        self._evaluate = FederatedEvaluation(process, files.test_computation())

    def run(
        self,
        key,
        *,
        seed: int,
        num_rounds: int,
        clients_per_round: int,
        recorded,
        on_round: Callable | None = None,
    ) -> list[tuple[int, object]]:
        """Returns `(round_num, metrics of all and per client)` of each recorded round; as `run_rounds` would.

        Only the order of a client's examples is another: it depends on the client's id, of which the key is a part.
        After each round `on_round(cohort, output)` is called with what the process returned.
        """
        ids = self._federations.client_ids[key]
        draw_cohort = build_cohort_fn(ids, clients_per_round=clients_per_round, seed=seed)
        state, states, results = self._process.initialize(), ClientStates(self._process), []
        for round_num in range(num_rounds + 1):
            if round_num:
                shuffle_seed = int(np.random.default_rng([seed, round_num]).integers(2**31))
                cohort = draw_cohort(round_num)
                clients = [{"client_id": c, "shuffle_seed": shuffle_seed} for c in cohort]
                output = self._next(state, states.hand_out(cohort, clients))
                states.take_back(cohort, output)
                state = output.state
                if on_round is not None:
                    on_round(cohort, output)
            if round_num in recorded:
                results.append((round_num, self._evaluate(self._process.get_model_weights(state), ids)))
        return results


def _merged(clients_of: dict) -> fl.FederatedDataset:
    """Returns one federation with the clients of all, each with a copy of the examples."""
    start, merged = 0, {}
    for key, data in clients_of.items():
        for client_id, rows in zip(_merged_ids(key, data), data.clients.values(), strict=True):
            merged[client_id] = fl.ClientSplit(train=rows.train + start, test=rows.test + start)
        start += len(data.labels)
    return dataclasses.replace(
        next(iter(clients_of.values())),
        examples=np.concatenate([data.examples for data in clients_of.values()]),
        labels=np.concatenate([data.labels for data in clients_of.values()]),
        clients=merged,
    )


def _merged_ids(key, data: fl.FederatedDataset) -> list[str]:
    prefix = key if isinstance(key, str) else f"{key:g}"
    return [f"{prefix}-{client_id}" for client_id in data.client_ids]
