"""From data and settings to a run that is ready to start; each step that an earlier run has done is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.data.partition import partition
from fedlearn_edu.data.schemes import Natural, Scheme
from fedlearn_edu.simulation.config import RunConfig

if TYPE_CHECKING:
    from fedlearn_edu.learning.process import FederatedProcess

# Images per step of extraction: after each the progress bar moves, and Stop is heard.
_CHUNK_IMAGES = 256

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
    """What `iter_rounds` needs, and the ceiling it is compared with."""

    process: FederatedProcess
    features: FederatedDataset
    central_accuracy: float


class Pipeline:
    """Deals out, extracts, builds the process and trains the central ceiling; in the thread that trains.

    Args:
        dataset: Images to be dealt out; or
        clients: images that are dealt out already; or
        features: extracted features.
        backbone: A `Backbone`, or a name for `load_backbone`; not needed with `features`.
        build_model: `features -> model`, e.g. `linear_head`.
        build_process: Any `build_*` function, e.g. `build_unweighted_fed_avg`; see `build_for_run`.
    """

    def __init__(
        self,
        *,
        dataset: ImageDataset | None,
        clients: FederatedDataset | None,
        features: FederatedDataset | None,
        backbone,
        build_model: Callable | None,
        build_process: Callable | None,
    ):
        self._dataset, self._clients, self._features = dataset, clients, features
        self._backbone, self._build_model, self._build_process = backbone, build_model, build_process
        self._extracted: tuple | None = None  # (images, their features), of the last extraction
        self._central: dict[str, float] = {}  # fingerprint of the features -> accuracy

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
        from fedlearn_edu.simulation.central import train_centrally

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
            self._central[fingerprint] = train_centrally(process.model, features, seed=settings.config.seed).accuracy
        return PreparedRun(process, features, self._central[fingerprint])

    def _extract(self, clients: FederatedDataset, report: Report) -> FederatedDataset:
        from fedlearn_edu.backbone.features import cached_features
        from fedlearn_edu.backbone.hub import Backbone, load_backbone

        images = clients.examples
        if self._extracted is None or self._extracted[0] is not images:
            if not isinstance(self._backbone, Backbone):
                report("loading the backbone", 0, 0)
                self._backbone = load_backbone(self._backbone)
            # Through the cache on disk piece by piece, because one call would neither report nor stop.
            for start in range(0, len(images), _CHUNK_IMAGES):
                report("extracting features", start, len(images))
                cached_features(images[start : start + _CHUNK_IMAGES], self._backbone, progress=False)
            report("extracting features", len(images), len(images))
            self._extracted = (images, cached_features(images, self._backbone, progress=False))
        return clients.with_examples(self._extracted[1])
