"""Runs one process on several federations of the same examples; TFF compiles it once for all of them."""

from __future__ import annotations

import dataclasses

import numpy as np

import fedlearn_edu as fl
from fedlearn_edu.simulation.client_data import ClientFiles
from fedlearn_edu.simulation.client_states import ClientStates, compose_with_dataset_computation
from fedlearn_edu.simulation.cohorts import build_cohort_fn
from fedlearn_edu.simulation.evaluation import FederatedEvaluation


class SideBySide:
    """A process and the clients of several federations.

    Args:
        process: From a `build_*` function.
        features: Of any of the federations.
        clients_of: Key -> the federation; all hold the same examples, each over clients of its own.
        batch_size: Examples per local step; there is one local epoch a round.
    """

    def __init__(self, process, features, clients_of: dict, *, batch_size: int):
        self._process, self._clients_of = process, clients_of
        self._files = ClientFiles(_merged(features, clients_of))
        self._next = compose_with_dataset_computation(
            self._files.train_computation(num_epochs=1, batch_size=batch_size), process
        ).next
        self._evaluate = FederatedEvaluation(process, self._files.test_computation())

    def run(self, key, *, seed: int, num_rounds: int, clients_per_round: int, recorded) -> list[tuple[int, object]]:
        """Returns `(round_num, per-client metrics and those of all)` of each recorded round; as `run_rounds` would."""
        ids = [_merged_id(key, client_id) for client_id in self._clients_of[key].client_ids]
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
            if round_num in recorded:
                results.append((round_num, self._evaluate(self._process.get_model_weights(state), ids)))
        return results


def _merged(features, clients_of: dict):
    """Returns one federation with the clients of all, each with a copy of the examples."""
    count, merged = len(features.labels), {}
    for number, (key, clients) in enumerate(clients_of.items()):
        for client_id, rows in clients.clients.items():
            shifted = fl.ClientSplit(train=rows.train + number * count, test=rows.test + number * count)
            merged[_merged_id(key, client_id)] = shifted
    return dataclasses.replace(
        features,
        examples=np.tile(features.examples, (len(clients_of), 1)),
        labels=np.tile(features.labels, len(clients_of)),
        clients=merged,
    )


def _merged_id(key, client_id: str) -> str:
    return f"{key:g}-{client_id}"
