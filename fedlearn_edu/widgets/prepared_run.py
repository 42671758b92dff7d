"""From data and settings to a run that is ready to start; each step that an earlier run has done is kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.partition import partition
from fedlearn_edu.data.schemes import Natural, Scheme
from fedlearn_edu.simulation.config import RunConfig

if TYPE_CHECKING:
    from fedlearn_edu.backbone.encoder import Encoder
    from fedlearn_edu.learning.process import FederatedProcess

# Examples per step of extraction: after each the progress bar moves, and Stop is heard.
_CHUNK = 256

Report = Callable[[str, int, int], None]  # (what is being done, steps done, steps in all; 0 for unknown)


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What the controls of a dashboard show: who holds what, how a process is built, and what its run does.

    Attributes:
        scheme: How the dataset is dealt out; None if the clients are given.
        num_clients: To how many clients; None if they are given.
        partition_seed: Of dealing out.
        learning_rates: By the names of the builder's arguments.
        config: Rounds, cohort, local epochs, seed.
    """

    scheme: Scheme | Natural | None
    num_clients: int | None
    partition_seed: int
    learning_rates: Mapping[str, float]
    config: RunConfig


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """What `iter_rounds` needs, and the ceiling it is compared with: the task's primary metric, None if undefined."""

    process: FederatedProcess
    features: FederatedDataset
    central_accuracy: float | None


class Pipeline:
    """Deals out, extracts, builds the process and trains the central ceiling; in the thread that trains.

    Args:
        dataset: Images, texts or a table to be dealt out; or
        clients: such examples that are dealt out already; or
        features: extracted features.
        backbone: An encoder such as a `Backbone`, or a name for `load_backbone`; not needed with `features`.
        build_model: `features -> model`, e.g. `linear_head`.
        build_process: Any `build_*` function, e.g. `build_unweighted_fed_avg`; see `build_for_run`.
    """

    def __init__(
        self,
        *,
        dataset: Dataset | None,
        clients: FederatedDataset | None,
        features: FederatedDataset | None,
        backbone,
        build_model: Callable | None,
        build_process: Callable | None,
    ):
        self._dataset, self._clients, self._features = dataset, clients, features
        self._backbone, self._build_model, self._build_process = backbone, build_model, build_process
        self._extracted: tuple | None = None  # (examples, encoder's fingerprint, features), of the last extraction
        self._central: dict[str, float | None] = {}  # fingerprint of the features -> ceiling

    def prepare(self, settings: RunSettings, report: Report) -> PreparedRun:
        """Does what has to be done before the first round.

        Args:
            settings: What the controls show.
            report: Called before and during each step that may take a while; may raise to stop.
        """
        # Here, because these import TensorFlow and TFF, which looking at a finished run does not need.
        from fedlearn_edu.learning.algorithms.fed_avg import build_unweighted_fed_avg
        from fedlearn_edu.learning.building import build_for_run
        from fedlearn_edu.learning.models import linear_head
        from fedlearn_edu.simulation.central import central_ceiling

        clients = self._clients
        if self._dataset is not None:
            clients = partition(
                self._dataset, settings.scheme, num_clients=settings.num_clients, seed=settings.partition_seed
            )
        features = self._features if clients is None else self._extract(clients, report)
        report("building the process", 0, 0)
        process = build_for_run(
            self._build_process or build_unweighted_fed_avg,
            (self._build_model or linear_head)(features),
            num_clients=features.num_clients,
            clients_per_round=settings.config.clients_per_round,
            **settings.learning_rates,
        )
        fingerprint = features.fingerprint()
        if fingerprint not in self._central:
            report("training the central ceiling", 0, 0)
            self._central[fingerprint] = central_ceiling(process.model, features, seed=settings.config.seed).value
        return PreparedRun(process, features, self._central[fingerprint])

    def _extract(self, clients: FederatedDataset, report: Report) -> FederatedDataset:
        from fedlearn_edu.backbone.features import cached_features, check_encoder, with_features

        encoder, inputs = self._encoder_of(clients, report), clients.examples
        check_encoder(clients, encoder)
        last = self._extracted
        if last is None or last[0] is not inputs or last[1] != encoder.fingerprint:
            # Through the cache on disk piece by piece, because one call would neither report nor stop.
            for start in range(0, len(inputs), _CHUNK):
                report("extracting features", start, len(inputs))
                cached_features(inputs[start : start + _CHUNK], encoder, progress=False)
            report("extracting features", len(inputs), len(inputs))
            self._extracted = (inputs, encoder.fingerprint, cached_features(inputs, encoder, progress=False))
        return with_features(clients, self._extracted[2], encoder)

    def _encoder_of(self, clients: FederatedDataset, report: Report) -> Encoder:
        """Returns the encoder that was given, or is the package's own for such examples."""
        if not isinstance(self._backbone, str | os.PathLike):
            return self._backbone
        if clients.modality == "table" and self._backbone == "bundled":
            from fedlearn_edu.backbone.table_encoder import build_table_encoder

            report("summing up the clients' columns", 0, 0)
            return build_table_encoder(clients)  # of these clients: not kept for others
        report("loading the backbone", 0, 0)
        if clients.modality == "text" and self._backbone == "bundled":
            from fedlearn_edu.backbone.text_encoder import HashedTextEncoder

            self._backbone = HashedTextEncoder()
        else:
            from fedlearn_edu.backbone.hub import load_backbone

            self._backbone = load_backbone(self._backbone)
        return self._backbone
