"""Who holds which example: a data set dealt out to clients, each with its own training and test examples."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from fedlearn_edu.checks import check_count, check_number, check_seed
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.federated import ClientSplit, FederatedDataset
from fedlearn_edu.data.lazy_images import only_rows
from fedlearn_edu.data.names import one_line, quoted
from fedlearn_edu.data.schemes import (
    IID,
    SCHEMES,
    Dirichlet,
    Minority,
    Natural,
    NaturalDirichlet,
    Quantity,
    Scheme,
    Shards,
    format_scheme,
    parse_scheme,
)
from fedlearn_edu.errors import UsageError

__all__ = [
    "IID",
    "Dirichlet",
    "Minority",
    "Natural",
    "NaturalDirichlet",
    "Quantity",
    "Shards",
    "format_scheme",
    "parse_scheme",
    "partition",
]


def partition(
    dataset: Dataset,
    scheme: Scheme | Natural | NaturalDirichlet,
    *,
    num_clients: int | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
    min_size: int = 5,
) -> FederatedDataset:
    """Deals a data set out to clients, each with its own training and test examples.

    Every example goes to exactly one client. A client that a scheme leaves below `min_size` is filled up with random
    examples of the largest client, one at a time. `Natural` never moves an example: owners below `min_size` stay
    out, with a warning that names them.

    Args:
        dataset: What is dealt out.
        scheme: `IID()`, `Dirichlet(...)`, `Shards(...)`, `Quantity(...)`, `Minority(...)`, `Natural()` or
            `NaturalDirichlet(...)`.
        num_clients: >= 1. For `Natural` optional: so many owners are drawn by `seed`, None takes all.
        seed: 0 to 2**31 - 1; the same seed gives the same clients.
        test_fraction: Part of each client's examples that it evaluates on, 0.01 to 0.99; a client of at least
            two examples has at least one of each kind, a client of one only trains. A data set with a split of its own
            (`emoji`: no emoji on both sides) keeps it, and this is not used.
        min_size: The fewest examples, training and test together, that a client may hold, >= 1.

    Returns:
        The clients, `client_00`, `client_01`, ... or for `Natural` the owners' names, with "/" written as "_"; how they
        were dealt out is in their `provenance`. The examples are the data set's own array, unless owners stayed out:
        then a copy of the rows that are held.

    Raises:
        UsageError: An argument out of range, more clients than `min_size` allows, or `Natural` on a data set whose
            owners are not known.

    Example:
        >>> from fedlearn_edu.data.images import ImageDataset
        >>> dataset = ImageDataset("zeros", np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 2, ("even", "odd"))
        >>> clients = partition(dataset, IID(), num_clients=2, seed=0)
        >>> clients.client_ids, len(clients.clients["client_00"].train)
        (['client_00', 'client_01'], 8)
    """
    if not isinstance(dataset, Dataset):
        raise UsageError(f"dataset: expected a Dataset, as load_dataset returns it, got {quoted(dataset)}")
    if not isinstance(scheme, tuple(SCHEMES.values())):
        raise UsageError(
            f"scheme: expected one like Dirichlet(0.3) or parse_scheme('dirichlet:0.3'), got {quoted(scheme)}"
        )
    if num_clients is not None:
        check_count("num_clients", num_clients)
    check_seed(seed)
    check_count("min_size", min_size)
    check_number("test_fraction", test_fraction, low=0.01, high=0.99)
    if getattr(scheme, "needs_classes", False):
        dataset.task.require("classification", "binary", what=format_scheme(scheme))
    rng = np.random.default_rng(seed)
    if isinstance(scheme, Natural):
        held = _natural(dataset, num_clients, min_size, rng)
    elif isinstance(scheme, NaturalDirichlet):
        held = _dealt_by_owner(dataset, scheme, num_clients, min_size, rng)
    else:
        held = _dealt(dataset, scheme, num_clients, min_size, rng)
    if dataset.is_test is None:
        clients = {client_id: _split(rows, test_fraction, rng) for client_id, rows in held.items()}
    else:
        clients = {client_id: _own_split(rows, dataset.is_test, rng) for client_id, rows in held.items()}
    dealt = {
        "scheme": {"name": scheme.name, **dataclasses.asdict(scheme)},
        "num_clients": None if num_clients is None else int(num_clients),
        "seed": int(seed),
        "test_fraction": float(test_fraction),
        "min_size": int(min_size),
    }
    origin = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    return _federated(dataset, clients, {"dataset": origin, "partition": dealt})


def _dealt(dataset, scheme, num_clients, min_size, rng) -> dict[str, np.ndarray]:
    if num_clients is None:
        raise UsageError(f"num_clients: expected a number of clients for {scheme}, got None")
    held = _deal(dataset.labels, scheme, num_clients, min_size, rng, name=quoted(dataset.name))
    return {_client_id("client", number, num_clients): rows for number, rows in enumerate(held)}


def _deal(labels, scheme, num_clients, min_size, rng, *, name) -> list[np.ndarray]:
    if num_clients * min_size > len(labels):
        raise UsageError(
            f"num_clients: {num_clients} clients of at least {min_size} examples (min_size) need "
            f"{num_clients * min_size}, {name} has {len(labels)}; use at most {len(labels) // min_size}"
        )
    return _fill_up(scheme.deal(labels, num_clients, rng), min_size, rng)


def _client_id(prefix: str, number: int, num_clients: int) -> str:
    return f"{prefix}_{number:0{max(2, len(str(num_clients - 1)))}}"  # so that they sort as their numbers do


def _dealt_by_owner(dataset, scheme, num_clients, min_size, rng) -> dict[str, np.ndarray]:
    owners = _natural(dataset, None, min_size, rng)
    if num_clients is None or num_clients < len(owners):
        raise UsageError(
            f"num_clients: expected at least {len(owners)} (one for each owner in {quoted(dataset.name)}), "
            f"got {num_clients}"
        )
    held = {}
    within, shares = Dirichlet(scheme.concentration), np.array_split(np.arange(num_clients), len(owners))
    for (owner, rows), share in zip(owners.items(), shares, strict=True):
        dealt = _deal(dataset.labels[rows], within, len(share), min_size, rng, name=f"the owner {quoted(owner)}")
        held |= {_client_id(owner, number, len(share)): rows[part] for number, part in enumerate(dealt)}
    return held


def _natural(dataset, num_clients, min_size, rng) -> dict[str, np.ndarray]:
    if dataset.natural_client_ids is None:
        raise UsageError(
            f"partition: 'natural' needs a data set that knows its owners, {quoted(dataset.name)} does not; use a "
            "folder DIR/<client>/<class>/image, 'emnist' or 'cifar100', or another scheme"
        )
    owners, owner_of_row = np.unique(dataset.natural_client_ids, return_inverse=True)
    order = np.argsort(owner_of_row, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(owner_of_row))[:-1])
    held = {}
    for owner, rows in zip(owners.tolist(), rows_of, strict=True):
        client_id = str(owner).replace("/", "_")
        if client_id in held:
            raise UsageError(
                f"natural_client_ids: two owners would both be called {quoted(client_id)}; rename {quoted(owner)}"
            )
        held[client_id] = rows
    small = {client_id: len(rows) for client_id, rows in held.items() if len(rows) < min_size}
    if len(small) == len(held):
        raise UsageError(
            f"min_size: none of the {len(held)} owners in {quoted(dataset.name)} has {min_size} examples, "
            f"the largest has {max(small.values())}"
        )
    if small:
        named = ", ".join(f"{one_line(client_id)} ({size})" for client_id, size in list(small.items())[:20])
        named += f" and {len(small) - 20} more" if len(small) > 20 else ""
        warnings.warn(
            f"{len(small)} of {len(held)} owners have fewer than {min_size} examples (min_size) and stay out: {named}",
            stacklevel=3,
        )
    kept = [client_id for client_id in held if client_id not in small]
    if num_clients is not None:
        if num_clients > len(kept):
            raise UsageError(
                f"num_clients: expected 1 to {len(kept)} (owners in {quoted(dataset.name)}), got {num_clients}"
            )
        kept = sorted(rng.choice(kept, num_clients, replace=False).tolist())
    return {client_id: held[client_id] for client_id in kept}


def _fill_up(held: list[np.ndarray], min_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Moves random examples from the largest clients to those below `min_size`, and no more than they need.

    It ends: there are `min_size` examples for everyone, so while one client is below, the largest is above.
    """
    sizes = np.array([len(rows) for rows in held])
    target = sizes.copy()
    while target.min() < min_size:
        target[target.argmax()] -= 1
        target[target.argmin()] += 1
    held = [rng.permutation(rows) for rows in held]
    surplus = rng.permutation(np.concatenate([rows[n:] for rows, n in zip(held, target, strict=True)]))
    ends = np.cumsum(np.maximum(target - sizes, 0))
    given = np.split(surplus, ends[:-1])
    return [np.concatenate([rows[:n], extra]) for rows, n, extra in zip(held, target, given, strict=True)]


def _split(rows: np.ndarray, test_fraction: float, rng: np.random.Generator) -> ClientSplit:
    rows = rng.permutation(rows)
    num_test = min(max(1, round(test_fraction * len(rows))), len(rows) - 1)
    return ClientSplit(train=rows[num_test:], test=rows[:num_test])


def _own_split(rows: np.ndarray, is_test: np.ndarray, rng: np.random.Generator) -> ClientSplit:
    rows = rng.permutation(rows)
    return ClientSplit(train=rows[~is_test[rows]], test=rows[is_test[rows]])


def _federated(dataset: Dataset, clients: dict[str, ClientSplit], provenance: dict) -> FederatedDataset:
    inputs, targets = dataset.inputs, dataset.targets
    kept = np.sort(np.concatenate([split.all for split in clients.values()]))
    if len(kept) < len(targets):
        inputs, targets = only_rows(inputs, kept), targets[kept]
        clients = {
            client_id: ClientSplit(np.searchsorted(kept, split.train), np.searchsorted(kept, split.test))
            for client_id, split in clients.items()
        }
    return FederatedDataset(
        name=dataset.name,
        examples=inputs,
        labels=targets,
        class_names=dataset.class_names,
        clients=clients,
        task=dataset.task,
        modality=dataset.modality,
        provenance=provenance,
    )
