"""What a demo run works on, decided from its options and the data: clients, features, process, learning rate."""

from __future__ import annotations

import dataclasses
import pathlib

import click
import numpy as np

import fedlearn_edu as fl
from fedlearn_edu.backbone.sources import source_of
from fedlearn_edu.data.names import quoted
from fedlearn_edu.data.partition import parse_scheme
from fedlearn_edu.demo_options import DEFAULT_LR, DEFAULT_PARTITION, DemoOptions
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.catalogue import by_name, trainable_by_demo
from fedlearn_edu.simulation.learning_rate import steady_client_lr

_NUM_CLIENTS, _MIN_SIZE = 50, 5  # _MIN_SIZE as `partition` has it
_IMAGES_PER_CLIENT = 10  # at least, where the number of clients is ours to choose
_FEW_FOR_SKEW = 20  # images a client; of fewer, skewed labels leave some clients next to nothing to learn or test
_CENTRAL_LR, _CENTRAL_BATCH, _CENTRAL_EPOCHS, _CENTRAL_STEPS = 1e-3, 64, 15, 300
_FEW_TEST_IMAGES = 100


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run works on.

    Attributes:
        dataset: What was dealt out.
        clients: Who holds which image.
        features: The same with features in place of images.
        backbone: What made them.
        process: The TFF process.
        config: What the run does.
        title: The run in one line.
    """

    dataset: fl.ImageDataset
    clients: fl.FederatedDataset
    features: fl.FederatedDataset
    backbone: fl.Backbone
    process: object
    config: fl.RunConfig
    title: str

    @property
    def num_test(self) -> int:
        """Test images of all clients together."""
        return int(self.clients.summary()["num_test"].sum())


def prepare(options: DemoOptions) -> tuple[DemoOptions, Experiment]:
    """Loads, deals out, extracts features and builds the process, saying what is used.

    Returns:
        The options with the partition and the learning rate that were chosen, and the experiment.

    Raises:
        FedlearnError: An option does not fit the data, or something cannot be loaded.
    """
    if options.partition is not None:
        parse_scheme(options.partition)
    source_of(options.backbone.partition("#sha256=")[0])  # a wrong name is answered before anything is loaded
    # What may fail goes before what takes long: the bundled backbone can do neither.
    backbone = None if options.backbone == "bundled" else fl.load_backbone(options.backbone)
    dataset = fl.load_dataset(options.dataset)
    options, clients = _deal_out(options, dataset)
    clients_per_round = options.clients_per_round or min(20, clients.num_clients)
    if clients_per_round > clients.num_clients:
        raise UsageError(
            f"--clients-per-round: expected at most the number of clients ({clients.num_clients}), "
            f"got {clients_per_round}"
        )
    if not clients.summary()["num_test"].any():
        raise UsageError(f"--dataset: no client of {dataset.name} has a test image, so that nothing could be measured")
    backbone = backbone or fl.load_backbone(options.backbone)
    click.echo(
        f"backbone {backbone.name}: {backbone.image_size} px -> {backbone.feature_dim} features, "
        f"{backbone.num_parameters:,} frozen parameters"
    )
    features = fl.extract_features(clients, backbone)
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
    return options, Experiment(dataset, clients, features, backbone, process, config, title)


def train_ceiling(options: DemoOptions, experiment: Experiment) -> float:
    """Trains the same head on all training images in one place and returns its accuracy on all test images.

    Its rate follows the scale of the features as the clients' does (Adam's steps with the root of what SGD can bear),
    and of few images it makes as many passes as 300 steps need.
    """
    features = experiment.features
    steady = steady_client_lr(features, default=DEFAULT_LR, batch_size=_CENTRAL_BATCH, pooled=True)
    steps_per_epoch = -(-int(features.summary()["num_train"].sum()) // _CENTRAL_BATCH)
    return fl.train_centrally(
        experiment.process.model,
        features,
        num_epochs=max(_CENTRAL_EPOCHS, -(-_CENTRAL_STEPS // steps_per_epoch)),
        batch_size=_CENTRAL_BATCH,
        learning_rate=_CENTRAL_LR * (steady / DEFAULT_LR) ** 0.5,
        seed=options.seed,
    ).value


def _deal_out(options: DemoOptions, dataset: fl.ImageDataset) -> tuple[DemoOptions, fl.FederatedDataset]:
    """Deals the images out; who holds them and how many clients there are is decided here, if nobody said it."""
    num_owners = _num_owners(dataset)
    is_folder = options.dataset not in fl.dataset_names().index and pathlib.Path(options.dataset).expanduser().is_dir()
    chosen, why, fewer = options.partition, "", ""
    if chosen is None:
        natural = is_folder and num_owners > 1 and (options.num_clients or 0) <= num_owners
        num_each = len(dataset.labels) // (options.num_clients or _free_num_clients(dataset))
        if natural:
            chosen, why = "natural", "one client an owner; "
        elif is_folder and num_each < _FEW_FOR_SKEW:
            chosen, why = "iid", "since there are few images; "
        else:
            chosen = DEFAULT_PARTITION
        why = f" ({why}--partition sets it)"
    scheme, num_clients = parse_scheme(chosen), options.num_clients
    if num_clients is None and not isinstance(scheme, fl.Natural):
        fewest = num_owners if isinstance(scheme, fl.NaturalDirichlet) else 1
        num_clients = _free_num_clients(dataset, fewest=fewest)
        if num_clients < _NUM_CLIENTS:
            fewer = f"; fewer than {_NUM_CLIENTS} clients, the images are few: --num-clients sets it"
    try:
        clients = fl.partition(dataset, scheme, num_clients=num_clients, seed=options.seed)
    except UsageError as error:
        if is_folder and num_owners > 1 and chosen != "natural":
            raise UsageError(
                f"{dataset.name} has {num_owners} owners: --partition natural keeps them; otherwise: {error}"
            ) from None
        raise
    sizes = clients.summary()["num_train"]
    each = f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
    images = "image" if sizes.max() == 1 else "images"
    click.echo(
        f"{dataset.name}: {len(dataset.labels):,} images of {clients.num_classes} classes, {chosen}{why}, over "
        f"{clients.num_clients} client{'s' * (clients.num_clients > 1)} ({each} training {images} each{fewer})"
    )
    num_test = int(clients.summary()["num_test"].sum())
    if 0 < num_test <= _FEW_TEST_IMAGES:
        points = f"{100 / num_test:.1f}".removesuffix(".0")
        click.echo(f"{num_test} test images in all: one of them is {points} points of accuracy")
    return dataclasses.replace(options, partition=chosen), clients


def _free_num_clients(dataset: fl.ImageDataset, *, fewest: int = 1) -> int:
    """Returns among how many clients the images go, where the number is ours to choose."""
    return min(_NUM_CLIENTS, max(fewest, len(dataset.labels) // _IMAGES_PER_CLIENT))


def _num_owners(dataset: fl.ImageDataset) -> int:
    """Returns how many owners have enough images to be clients."""
    if dataset.natural_client_ids is None:
        return 0
    return int((np.unique(dataset.natural_client_ids, return_counts=True)[1] >= _MIN_SIZE).sum())


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
