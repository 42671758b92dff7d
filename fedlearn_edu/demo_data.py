"""The data of a demo run: loaded as its options say, dealt out to clients, and turned into features."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import warnings
from collections.abc import Iterator

import click
import numpy as np

import fedlearn_edu as fl
from fedlearn_edu.backbone.encoder import Encoder
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.names import quoted
from fedlearn_edu.data.partition import parse_scheme
from fedlearn_edu.data.texts import holds_texts
from fedlearn_edu.demo_options import DEFAULT_PARTITION, OF_TABLE, DemoOptions
from fedlearn_edu.errors import FedlearnError, UsageError

_NUM_CLIENTS, _MIN_SIZE = 50, 5  # _MIN_SIZE as `partition` has it
_EXAMPLES_PER_CLIENT = 10  # at least, where the number of clients is ours to choose
_FEW_FOR_SKEW = 20  # examples a client; of fewer, skewed labels leave some clients next to nothing to learn or test
_FEW_TEST_EXAMPLES = 100
_MOST_CATEGORIES = 4096  # of all columns together; the message that finds them takes 0.9 MB
_CALLED = {"image": "images", "text": "texts", "table": "rows", "ids": "examples"}


def called(modality: str, count: int = 2) -> str:
    """Returns what examples of a kind are called where they are counted.

    Example:
        >>> called("table"), called("image", 1)
        ('rows', 'image')
    """
    return _CALLED[modality].removesuffix("s" if count == 1 else "")


def refuse_backbone(options: DemoOptions) -> None:
    """Raises UsageError if a network for images was named for what is none, before it is downloaded."""
    if options.backbone is None:
        return
    folder = os.path.expanduser(options.dataset)
    texts = options.text is not None or (options.dataset not in fl.dataset_names().index and holds_texts(folder))
    if texts or options.target is not None:
        raise UsageError(
            f"--backbone: a network for images, and {options.dataset} holds {'texts' if texts else 'a table'}; "
            "leave it out"
        )


def load(options: DemoOptions) -> Dataset:
    """Loads the data set; what the library says of its arguments is said of the options.

    Raises:
        FedlearnError: No such data set, or options that do not suit it.
    """
    with _of_options():
        return fl.load_dataset(options.dataset, **options.of_table)


def deal_out(options: DemoOptions, dataset: Dataset) -> tuple[DemoOptions, fl.FederatedDataset]:
    """Deals the examples out; who holds them and how many clients there are is decided here, if nobody said it.

    Returns:
        The options with the partition that was chosen, and the clients.

    Raises:
        UsageError: The partition or the number of clients does not suit the data, or nothing could be measured.
    """
    num_owners = _num_owners(dataset)
    is_folder = options.dataset not in fl.dataset_names().index and pathlib.Path(options.dataset).expanduser().is_dir()
    is_own = is_folder or options.target is not None
    examples, is_number = called(dataset.modality), dataset.task.kind == "regression"
    chosen, why, fewer = options.partition, "", ""
    if chosen is None:
        natural = is_folder and num_owners > 1 and (options.num_clients or 0) <= num_owners
        num_each = len(dataset.targets) // (options.num_clients or _free_num_clients(dataset))
        if natural:
            chosen, why = "natural", "one client an owner; "
        elif options.client is not None:
            chosen, why = "natural", f"one client for each {options.client}; "
        elif is_number:
            chosen, why = "iid", "since a number is predicted; "
        elif is_own and num_each < _FEW_FOR_SKEW:
            chosen, why = "iid", f"since there are few {examples}; "
        else:
            chosen = DEFAULT_PARTITION
        why = f" ({why}--partition sets it)"
    scheme, num_clients = parse_scheme(chosen), options.num_clients
    if is_number and not isinstance(scheme, fl.IID | fl.Quantity | fl.Natural):
        raise UsageError(
            f"--partition: {chosen} deals classes out, and {options.target} is a number; take iid, quantity:1 or, with "
            "--client, natural"
        )
    if num_clients is None and not isinstance(scheme, fl.Natural):
        fewest = num_owners if isinstance(scheme, fl.NaturalDirichlet) else _fewest(dataset)
        num_clients = _free_num_clients(dataset, fewest=fewest)
        if num_clients < _NUM_CLIENTS:
            fewer = f"; fewer than {_NUM_CLIENTS} clients, the {examples} are few: --num-clients sets it"
    clients = _partition(options, dataset, scheme, num_clients, num_owners=num_owners if is_own else 0)
    sizes = clients.summary()["num_train"]
    each = f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
    asked = f"{clients.num_classes} classes"
    if is_number:
        asked = f"{options.target} in {dataset.task.unit}" if dataset.task.unit else f"{options.target}, a number"
    click.echo(
        f"{dataset.name}: {len(dataset.targets):,} {examples} {'for' if is_number else 'of'} {asked}, {chosen}{why}, "
        f"over {clients.num_clients} client{'s' * (clients.num_clients > 1)} "
        f"({each} training {called(dataset.modality, sizes.max())} each{fewer})"
    )
    _say_of_test(dataset, clients)
    return dataclasses.replace(options, partition=chosen), clients


def encode(options: DemoOptions, clients: fl.FederatedDataset, backbone: Encoder | None) -> fl.FederatedDataset:
    """Turns the clients' examples into features, saying by what.

    Args:
        options: The run's options.
        clients: Who holds which example.
        backbone: What was loaded before, of images; None to choose here.

    Raises:
        FedlearnError: There are too many categories, or the features cannot be kept.
    """
    if clients.modality == "text":
        encoder = fl.HashedTextEncoder()
        click.echo(
            f"text encoder: runs of 1 to {encoder.longest} letters, counted in {encoder.feature_dim} features; not "
            "pre-trained, it knows no language"
        )
    elif clients.modality == "table":
        click.echo("standardising the columns over all clients ...", err=True)
        _check_categories(clients)
        with _of_options():
            encoder = fl.build_table_encoder(clients, capacity=_MOST_CATEGORIES)
        click.echo(_sent_for(encoder))
    else:
        encoder = backbone or fl.load_backbone(options.backbone)
        click.echo(
            f"backbone {encoder.name}: {encoder.image_size} px -> {encoder.feature_dim} features, "
            f"{encoder.num_parameters:,} frozen parameters"
        )
    return fl.extract_features(clients, encoder)


def _check_categories(clients: fl.FederatedDataset) -> None:
    """Refuses a column with thousands of categories by its name, before anything is sent."""
    rows = clients.pooled("train")[0]
    counts = {name: len(np.unique(rows[name])) for name in rows.dtype.names if rows.dtype[name].kind == "U"}
    if (total := sum(counts.values())) > _MOST_CATEGORIES:
        most = max(counts, key=counts.get)
        raise UsageError(
            f"--ignore: {total:,} different categories are more than a round can count ({_MOST_CATEGORIES:,}); leave "
            f"out column {quoted(most)}, which has {counts[most]:,} of them"
        )


def _sent_for(encoder: fl.TableEncoder) -> str:
    """Returns what the clients told of their rows, so that their columns are comparable."""
    statistics, num_columns = encoder.statistics, len(encoder.columns)
    sent = ["how many values each column has"]
    if statistics.means:
        sent.append("the sums of its numbers and of their squares")
    if statistics.categories:
        sent.append("its categories with their counts")
    rounds = "1 round" if statistics.num_rounds == 1 else f"{statistics.num_rounds} rounds"
    return (
        f"table encoder: {num_columns} column{'s' * (num_columns > 1)} -> {encoder.feature_dim} features; in {rounds} "
        f"each client sent {', '.join(sent[:-1])}, and {sent[-1]}, which the server added up: it saw no row"
    )


def _partition(options, dataset, scheme, num_clients, *, num_owners: int) -> fl.FederatedDataset:
    try:
        with _of_options():
            return fl.partition(dataset, scheme, num_clients=num_clients, seed=options.seed)
    except UsageError as error:
        if num_owners > 1 and scheme.name != "natural":
            raise UsageError(
                f"{dataset.name} has {num_owners} owners: --partition natural keeps them; otherwise: {error}"
            ) from None
        raise


def _say_of_test(dataset: Dataset, clients: fl.FederatedDataset) -> None:
    """Says how much a result on few test examples tells; refuses where nothing could be measured."""
    num_test, examples = int(clients.summary()["num_test"].sum()), called(dataset.modality)
    if not num_test:
        one = called(dataset.modality, 1)
        raise UsageError(f"--dataset: no client of {dataset.name} has a test {one}, so that nothing could be measured")
    if clients.task.kind == "binary":
        positive = quoted(clients.task.class_names[1])
        num_positive = int(clients.pooled("test")[1].sum())
        if clients.baseline() is None:
            raise UsageError(
                f"--target: {'every' if num_positive else 'no'} test example is {positive}, so that there is no AUC; "
                "take more rows, another --seed or --task classification"
            )
        if min(num_positive, num_test - num_positive) <= _FEW_TEST_EXAMPLES // 10:
            click.echo(f"{num_test:,} test {examples} in all, {num_positive:,} of them {positive}: their AUC is rough")
    elif num_test <= _FEW_TEST_EXAMPLES and clients.task.primary.is_share:
        points = f"{100 / num_test:.1f}".removesuffix(".0")
        click.echo(f"{num_test} test {examples} in all: one of them is {points} points of accuracy")


def _free_num_clients(dataset: Dataset, *, fewest: int = 1) -> int:
    """Returns among how many clients the examples go, where the number is ours to choose."""
    return min(_NUM_CLIENTS, max(fewest, len(dataset.targets) // _EXAMPLES_PER_CLIENT))


def _fewest(dataset: Dataset) -> int:
    """Returns 2, since one client is no federation, or 1 where the examples are too few for that."""
    return 2 if len(dataset.targets) >= 2 * _MIN_SIZE else 1


def _num_owners(dataset: Dataset) -> int:
    """Returns how many owners have enough examples to be clients."""
    if dataset.natural_client_ids is None:
        return 0
    return int((np.unique(dataset.natural_client_ids, return_counts=True)[1] >= _MIN_SIZE).sum())


@contextlib.contextmanager
def _of_options() -> Iterator[None]:
    """Writes what the library warns of or refuses in the words of the command line: `--target`, not `target=`."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    except FedlearnError as error:
        raise type(error)(as_options(str(error))) from None
    for warning in caught:
        warnings.warn(as_options(str(warning.message)), warning.category, stacklevel=2)


def as_options(message: str) -> str:
    """Returns a message of the library with its arguments called as on the command line.

    Example:
        >>> as_options("target: no numbers; say task='classification' or leave it out with ignore=['zip code']")
        "--target: no numbers; say --task classification or leave it out with --ignore 'zip code'"
    """
    names = "|".join(OF_TABLE)
    message = message.removesuffix(" (see the report of the dataset)")
    message = re.sub(r"^table: ", "--dataset: ", message)
    message = re.sub(rf"^({names}): ", r"--\1: ", message)
    message = re.sub(rf"\b({names})=\[?'([\w-]+)'\]?", r"--\1 \2", message)
    return re.sub(rf"\b({names})=\[?('[^']*')?\]?", lambda found: f"--{found[1]} {found[2] or ''}".rstrip(), message)
