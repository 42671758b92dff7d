"""run_one_shot: one round over all clients, the head that the server computes from it, and what it is worth."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_federated as tff

from fedlearn_edu.checks import check_positive
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.engine.runtime import REFUSED, start_runtime
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.learning.one_shot.head import ABSENT_SCORE, OneShotHead, present_classes
from fedlearn_edu.learning.process import compile_once
from fedlearn_edu.simulation.client_data import ClientFiles, build_train_computation
from fedlearn_edu.simulation.communication import measure_message_sizes
from fedlearn_edu.simulation.evaluation import FederatedEvaluation
from fedlearn_edu.simulation.run_checks import check_features

# A client's examples are read at once up to this number; more only bound the memory.
_BATCH_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class OneShotResult:
    """A head computed in one round.

    Attributes:
        head: What was run; `head.model` is the functional model for `export_model`, and `head.solve(statistics)` can
            be called again, e.g. that of `one_shot_ridge(features, ridge=1.0)`, without a further round.
        model_weights: `[kernel, bias]`, float32, shapes as in `linear_head`.
        notes: What was chosen on the way, e.g. the ridge.
        statistics: What the server saw, float64 arrays: `class_sums` `[num_classes, feature_dim]`, `class_counts`
            `[num_classes]`, for ridge also `gram` (one half of X'X, see `learning.one_shot.statistics`). Sums over the
            clients; for FedCOF with a first axis of clients.
        accuracy: Over the pooled test examples of all clients (0 to 1); None if there are none.
        client_accuracy: The same for each client that has test examples.
        clients: Ids of the clients whose statistics were used.
        measurements: What the aggregator reports of itself; empty for plain sums.
        upload_bytes: One client to the server.
        broadcast_bytes: Server to one client: an empty message, since there is no model yet.
        seconds: Wall time of the round and of solving, without building, measuring and evaluating.
    """

    head: OneShotHead
    model_weights: list[np.ndarray]
    notes: Mapping[str, Any]
    statistics: Mapping[str, np.ndarray]
    accuracy: float | None
    client_accuracy: Mapping[str, float]
    clients: tuple[str, ...]
    measurements: Any
    upload_bytes: int
    broadcast_bytes: int
    seconds: float

    def summary(self) -> str:
        """Returns one line: method, accuracy, clients, bytes a client, seconds."""
        accuracy = "no test examples" if self.accuracy is None else f"accuracy {self.accuracy:.3f}"
        chosen = f", ridge {self.notes['ridge']:g}" if "ridge" in self.notes else ""
        return (
            f"{self.head.name}: {accuracy} after one round over {len(self.clients)} clients, "
            f"{self.upload_bytes:,} bytes up and {self.broadcast_bytes:,} down per client{chosen}, "
            f"{self.seconds:.1f} s"
        )

    def to_frame(self) -> pd.DataFrame:
        """Returns one row per client with test examples (index `client_id`): its accuracy, and whether it took part."""
        frame = pd.DataFrame({"accuracy": pd.Series(self.client_accuracy, dtype=float)})
        frame["took_part"] = frame.index.isin(self.clients)
        return frame.rename_axis("client_id")

    def initial_weights(self, *, temperature: float = 0.15) -> list[np.ndarray]:
        """Returns the weights to start federated training from: `linear_head(features, initial_weights=...)`.

        Scores of a one-shot head are no logits: those of ridge regression lie mostly between 0 and 1, and a softmax
        over them is almost uniform, as if the head knew nothing; those of class means grow with the features. Divided
        by a temperature (Fed3R calibrates one too) they predict the same classes with a sensible confidence, so that
        training does not begin by undoing them. A class that no client had starts with zeros, so that it can be
        learned.

        Args:
            temperature: What the weights are divided by, above 0, in units of the head's margin: how much higher a
                class mean scores for its own class than for the others, on average. On the bundled data the best start
                lies between 0.1 and 0.3 for ridge regression.

        Raises:
            UsageError: `temperature` is not a finite number above 0.
        """
        divisor = check_positive("temperature", temperature, hint="try 0.15") * self._margin()
        kernel, bias = self.model_weights
        bias = np.where(bias <= np.float32(ABSENT_SCORE), 0, bias)
        return [(kernel / divisor).astype(np.float32), (bias / divisor).astype(np.float32)]

    def _margin(self) -> float:
        kernel, bias = (w.astype(np.float64) for w in self.model_weights)
        sums, counts = self.statistics["class_sums"], self.statistics["class_counts"]
        if sums.ndim == 3:  # one entry per client
            sums, counts = sums.sum(axis=0), counts.sum(axis=0)
        present = present_classes(counts)
        means = sums[present] / counts[present, None]
        scores = means @ kernel[:, present] + bias[present]
        num_classes = len(scores)
        if num_classes == 1:
            return 1.0
        margin = (np.trace(scores) * num_classes - scores.sum()) / (num_classes * (num_classes - 1))
        return float(margin) if margin > 0 else 1.0


def run_one_shot(
    head: OneShotHead,
    features: FederatedDataset,
    *,
    clients: Iterable[str] | None = None,
) -> OneShotResult:
    """Gathers the clients' statistics in one round, lets the server solve for the head, and evaluates it.

    The worker reads each client's training features from its file and computes the statistics; they are aggregated as
    `head` says, and the server (this process) makes kernel and bias of them. The head is then evaluated on every
    client's test examples. Nothing is random but the order of a client's examples, which changes the last bits at most.

    Args:
        head: From `one_shot_ncm`, `one_shot_ridge` or `one_shot_cof`.
        features: Extracted features, from `extract_features`.
        clients: Ids of the clients that take part; all when not given. All are evaluated.

    Returns:
        The head and what was measured.

    Raises:
        UsageError: `head` was built for other features, a client is unknown, features are not finite, or the problem
            is singular (see `one_shot_ridge`).
        RunError: A client's statistics did not fit into a secure sum.

    Example:
        ```python
        result = fl.run_one_shot(fl.one_shot_ridge(features), features)
        print(result.summary())
        ```
    """
    features.task.require("classification", what="run_one_shot")
    kernel, _ = head.model.initial_weights[0]
    if kernel.shape != (features.feature_dim, features.num_classes):
        raise UsageError(
            f"head: expected one for {features.feature_dim} features and {features.num_classes} classes, got one for "
            f"{kernel.shape[0]} and {kernel.shape[1]}; build it from the features that it is run on"
        )
    check_features(features)
    taking_part = features.client_ids if clients is None else features.select_clients(clients).client_ids
    start_runtime()
    files = ClientFiles(features)
    round_process = compile_once(head, "round", lambda: _build_round(head, features.feature_dim))
    sizes = measure_message_sizes(round_process, clients_per_round=len(taking_part))
    started = time.monotonic()
    _, (sums, measurements) = round_process.next(round_process.initialize(), files.told(taking_part))
    refuse_clipped(measurements)
    statistics = _as_sums(sums, len(taking_part))
    kernel, bias, notes = head.solve(statistics)
    seconds = time.monotonic() - started

    weights = [kernel.astype(np.float32), bias.astype(np.float32)]
    evaluate = FederatedEvaluation(head, files, features.feature_dim)
    overall, per_client = evaluate(tff.learning.models.ModelWeights(tuple(weights), ()), features.client_ids)
    return OneShotResult(
        head=head,
        model_weights=weights,
        notes=notes,
        statistics=statistics,
        accuracy=None if overall is None else overall.accuracy,
        client_accuracy={client_id: metrics.accuracy for client_id, metrics in per_client.items()},
        clients=tuple(taking_part),
        measurements=measurements,
        upload_bytes=sizes.upload_bytes,
        broadcast_bytes=sizes.broadcast_bytes,
        seconds=seconds,
    )


def _build_round(head: OneShotHead, feature_dim: int) -> tff.templates.IterativeProcess:
    read = build_train_computation(feature_dim, num_epochs=1, batch_size=_BATCH_SIZE)
    return tff.simulation.compose_dataset_computation_with_iterative_process(read, head.process)


def _as_sums(aggregated: Mapping[str, np.ndarray], num_clients: int) -> dict[str, np.ndarray]:
    """Returns float64 statistics, as sums over the clients also if the aggregator averaged them."""
    statistics = {name: np.asarray(value, np.float64) for name, value in aggregated.items()}
    if not all(np.isfinite(value).all() for value in statistics.values()):
        raise UsageError("features: expected finite numbers, got infinity in the sum of their statistics")
    # Each client sent a 1 along. Of several clients' statistics stacked side by side, there is no sum to restore.
    ones = statistics.pop("num_clients")
    if ones.ndim == 0 and abs(ones - 1) < abs(ones - num_clients):
        statistics = {name: value * num_clients for name, value in statistics.items()}
    return statistics


def refuse_clipped(measurements: Any) -> None:
    """Raises if a secure sum has clipped a client's numbers, which would change the head without a word.

    Args:
        measurements: Of an aggregator, however deep they are nested.

    Raises:
        RunError: TFF's secure sum counted a client.
    """
    if not isinstance(measurements, Mapping):
        return
    for name, value in measurements.items():
        if name in ("secure_upper_clipped_count", "secure_lower_clipped_count") and value > 0:
            raise RunError(
                f"{REFUSED} {int(value)} client(s) or more sent a sum beyond the bound (choose a larger one for "
                "statistics_aggregator)"
            )
        refuse_clipped(value)
