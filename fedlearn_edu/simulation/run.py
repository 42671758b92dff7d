"""Run: trains a process round by round and measures it; what runs have in common is compiled once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np

from fedlearn_edu.data.metrics import METRICS
from fedlearn_edu.engine.runtime import start_runtime
from fedlearn_edu.learning.process import compile_once
from fedlearn_edu.learning.requirements import required_sampling
from fedlearn_edu.simulation.client_data import ClientFiles
from fedlearn_edu.simulation.client_reports import client_reports
from fedlearn_edu.simulation.client_states import ClientStates, compose_with_client_files
from fedlearn_edu.simulation.cohorts import build_cohort_fn
from fedlearn_edu.simulation.communication import measure_message_sizes
from fedlearn_edu.simulation.diverged_clients import DivergedClients
from fedlearn_edu.simulation.evaluation import FederatedEvaluation, PersonalEvaluation
from fedlearn_edu.simulation.history import GLOBAL, PRIVACY_METRICS, History


class Run:
    """One run; iterating trains it, round by round, and yields its history.

    Args:
        process: What is trained. What it compiles is kept with it: the next run of the same process on examples of the
            same size compiles nothing.
        features: The clients' examples.
        config: What the run does.
        settings: Of the history.
        checkpoints: Where to go on from and what to write, or None.
    """

    def __init__(self, process, features, config, settings, checkpoints):
        self._process, self._features, self._config = process, features, config
        self._settings, self._checkpoints = settings, checkpoints
        self._history = History(settings)

    def __iter__(self) -> Iterator[History]:
        start_runtime()
        self._prepare()
        self._state, self._seconds_before = self._process.initialize(), 0.0
        if self._checkpoints and self._checkpoints.exist:
            self._go_on()
        else:
            self._finish_round(0)
        yield self._history
        for round_num in range(self._history.num_rounds + 1, self._config.num_rounds + 1):
            self._train(round_num)
            yield self._history

    def _prepare(self):
        process, features, config = self._process, self._features, self._config
        self._started = time.monotonic()
        self._files = ClientFiles(features)
        self._training = self._compose()
        self._client_states = ClientStates(process)
        self._evaluations = {"": FederatedEvaluation(process, self._files, features.feature_dim)}
        if getattr(process, "personal_weights", None):
            self._evaluations["personal_"] = PersonalEvaluation(
                process, self._files, features.feature_dim, self._client_states
            )
        self._draw_cohort = build_cohort_fn(
            features.client_ids,
            clients_per_round=config.clients_per_round,
            seed=config.seed,
            sampling=required_sampling(process.requirements),
        )
        num_examples = {c: config.num_epochs * len(split.train) for c, split in features.clients.items()}
        self._diverged = DivergedClients(process, self._training, num_examples)
        cohort_size = config.clients_per_round
        self._sizes = compile_once(
            process,
            ("message sizes", self._training.next, cohort_size),
            lambda: measure_message_sizes(self._training, clients_per_round=cohort_size),
        )

    def _compose(self):
        """Returns the process whose clients' batches are built on the worker."""
        process, feature_dim = self._process, self._features.feature_dim
        num_epochs, batch_size = self._config.num_epochs, self._config.batch_size

        def make():
            return compose_with_client_files(process, feature_dim, num_epochs=num_epochs, batch_size=batch_size)

        return compile_once(process, ("training", feature_dim, num_epochs, batch_size), make)

    def _go_on(self):
        """Takes up the newest checkpoint."""
        self._state, history = self._checkpoints.load(self._state, self._client_states)
        if history.num_rounds < self._config.num_rounds and history.num_rounds % self._config.evaluate_every:
            history.forget_evaluation(history.num_rounds)  # it was the last round, which a longer run has not
        history.client_states = dict(self._client_states)
        history.status = "finished" if history.num_rounds >= self._config.num_rounds else "running"
        self._history, self._seconds_before = history, history.seconds

    def _train(self, round_num: int):
        """Runs a round on its cohort."""
        cohort = self._draw_cohort(round_num)
        shuffle_seed = int(np.random.default_rng([self._config.seed, round_num]).integers(2**31))
        clients = self._client_states.hand_out(cohort, self._files.told(cohort, shuffle_seed=shuffle_seed))
        before, output = self._state, self._training.next(self._state, clients)
        self._state = output.state
        self._client_states.take_back(cohort, output)
        reports = client_reports(output.metrics, cohort)
        train = {}
        if cohort:  # over nobody, TFF reports an accuracy of 0
            measured = output.metrics["client_work"]["train"]
            for client_id in self._diverged.find(before, cohort, clients, measured):
                reports[client_id]["excluded"] = 1
            values = {name: float(measured[name]) for name in METRICS if name in measured}
            # AUC is not defined where all examples are of one class; a loss that is not finite is worth recording.
            train = {f"train_{n}": value for n, value in values.items() if n == "loss" or np.isfinite(value)}
        self._finish_round(
            round_num,
            cohort,
            reports,
            **train,
            broadcast_bytes_total=self._sizes.broadcast_bytes * len(cohort),
            upload_bytes_total=self._sizes.upload_bytes * len(cohort),
            **_privacy_metrics(self._process, output),
        )

    def _finish_round(self, round_num: int, cohort=(), reports=None, **train_metrics):
        """Evaluates if it is time to, and puts the whole round into the history and the checkpoint."""
        process, client_ids = self._process, self._features.client_ids
        weights = process.get_model_weights(self._state)
        due = round_num % self._config.evaluate_every == 0 or round_num == self._config.num_rounds
        results = {name: e(weights, client_ids) for name, e in self._evaluations.items()} if due else {}
        measured = History(self._settings)
        for name, (overall, _) in results.items():
            if overall is not None:  # else nobody has a test example
                measured.add(round_num, GLOBAL, **overall.named(name))
        measured.add(round_num, GLOBAL, **train_metrics)
        if process.privacy is not None:
            measured.add(round_num, GLOBAL, epsilon=process.privacy.epsilon(round_num))
        for client_id in cohort:
            measured.add(round_num, client_id, in_cohort=1, **reports[client_id])
        for name, (_, per_client) in results.items():
            for client_id, metrics in per_client.items():
                measured.add(round_num, client_id, **metrics.named(name))
        self._history.add_round(
            measured.rows,
            model_weights=[np.asarray(w) for w in weights.trainable],
            client_states=dict(self._client_states),
            seconds=self._seconds_before + time.monotonic() - self._started,
            status="finished" if round_num >= self._config.num_rounds else "running",
        )
        if self._checkpoints:
            self._checkpoints.save(self._state, self._history, self._client_states)


def _privacy_metrics(process, output) -> dict[str, float]:
    """Finds what a private process' aggregator reports about its noise, however deep aggregators are nested."""

    def find(metrics):
        for name, value in metrics.items():
            if isinstance(value, Mapping):
                yield from find(value)
            elif name in PRIVACY_METRICS:
                yield name, float(value)

    if process.privacy is None:
        return {}
    return dict(find({"aggregator": output.metrics.get("aggregator", ())}))
