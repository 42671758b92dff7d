"""What a demo run works on, decided from its options and the data: clients, features, process, learning rate."""

from __future__ import annotations

import dataclasses

import click

import fedlearn_edu as fl
from fedlearn_edu.backbone.encoder import Encoder
from fedlearn_edu.backbone.sources import source_of
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.names import quoted
from fedlearn_edu.data.partition import parse_scheme
from fedlearn_edu.demo_data import deal_out, encode, load, refuse_backbone
from fedlearn_edu.demo_options import DEFAULT_LR, DemoOptions
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.catalogue import by_name, trainable_by_demo
from fedlearn_edu.simulation.central import BATCH_SIZE, CentralResult, central_ceiling
from fedlearn_edu.simulation.learning_rate import steady_client_lr


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run works on.

    Attributes:
        dataset: What was dealt out.
        clients: Who holds which example.
        features: The same with features in place of examples.
        process: The TFF process.
        config: What the run does.
        title: The run in one line.
    """

    dataset: Dataset
    clients: fl.FederatedDataset
    features: fl.FederatedDataset
    process: object
    config: fl.RunConfig
    title: str

    @property
    def encoder(self) -> Encoder:
        """What made the features."""
        return self.features.encoder

    @property
    def modality(self) -> str:
        """Of the examples: `"image"`, `"text"` or `"table"`."""
        return self.clients.modality

    @property
    def num_test(self) -> int:
        """Test examples of all clients together."""
        return int(self.clients.summary()["num_test"].sum())


def prepare(options: DemoOptions) -> tuple[DemoOptions, Experiment]:
    """Loads, deals out, extracts features and builds the process, saying what is used.

    Returns:
        The options with the backbone, partition and learning rate that were chosen, and the experiment.

    Raises:
        FedlearnError: An option does not fit the data, or something cannot be loaded.
    """
    if options.partition is not None:
        parse_scheme(options.partition)
    refuse_backbone(options)
    backbone = None
    if options.backbone is not None:
        source_of(options.backbone.partition("#sha256=")[0])  # a wrong name is answered before anything is loaded
        if options.backbone != "bundled":  # what may fail goes before what takes long
            backbone = fl.load_backbone(options.backbone)
    dataset = load(options)
    if dataset.modality == "image":
        options = dataclasses.replace(options, backbone=options.backbone or "bundled")
    options, clients = deal_out(options, dataset)
    clients_per_round = options.clients_per_round or min(20, clients.num_clients)
    if clients_per_round > clients.num_clients:
        raise UsageError(
            f"--clients-per-round: expected at most the number of clients ({clients.num_clients}), "
            f"got {clients_per_round}"
        )
    features = encode(options, clients, backbone)
    options, why = _decide_rate(options, features, clients_per_round)
    head = fl.linear_head(features)
    config = fl.RunConfig(
        options.num_rounds,
        clients_per_round,
        num_epochs=options.num_epochs,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    process = _build_process(options, head, num_clients=features.num_clients, clients_per_round=clients_per_round)
    epochs = "1 epoch" if options.num_epochs == 1 else f"{options.num_epochs} epochs"
    title = (
        f"{options.algorithm}, {clients_per_round} of {clients.num_clients} clients a round, {epochs}, "
        f"rate {options.client_lr:g}"
    )
    click.echo(f"algorithm {title}{why}")
    title = f"{dataset.name}, {options.partition}: {title}"
    return options, Experiment(dataset, clients, features, process, config, title)


def train_ceiling(options: DemoOptions, experiment: Experiment) -> CentralResult:
    """Trains the same head on all training examples in one place and measures it on all test examples.

    Its rate follows the scale of the features as the clients' does: Adam's steps with the root of what SGD can bear.
    """
    steady = steady_client_lr(experiment.features, default=DEFAULT_LR, batch_size=BATCH_SIZE, pooled=True)
    factor = (steady / DEFAULT_LR) ** 0.5
    return central_ceiling(experiment.process.model, experiment.features, rate_factor=factor, seed=options.seed)


def _decide_rate(options: DemoOptions, features: fl.FederatedDataset, cohort: int) -> tuple[DemoOptions, str]:
    """Returns the options with a learning rate, and a remark on it: what was given or recorded stands."""
    if options.client_lr is not None:
        return options, ""
    click.echo("trying the learning rate ...", err=True)
    one_step = options.algorithm == "fed_sgd"
    rate = steady_client_lr(
        features,
        default=DEFAULT_LR,
        clients_per_round=cohort,
        num_epochs=1 if one_step else options.num_epochs,
        batch_size=None if one_step else options.batch_size,
        seed=options.seed,
    )
    why = (
        "" if rate == DEFAULT_LR else f" (chosen for these features, {DEFAULT_LR:g} does not suit; --client-lr sets it)"
    )
    return dataclasses.replace(options, client_lr=rate), why


def _build_process(options: DemoOptions, head, *, num_clients: int, clients_per_round: int):
    if (
        options.algorithm not in trainable_by_demo()
    ):  # the command line knows its names, a file that was edited does not
        raise UsageError(f"--algorithm: expected a name that --help lists, got {quoted(options.algorithm)}")
    return by_name(options.algorithm).build(
        head, client_lr=options.client_lr, num_clients=num_clients, clients_per_round=clients_per_round
    )
