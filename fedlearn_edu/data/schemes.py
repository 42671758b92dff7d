"""The schemes by which examples are dealt out: IID, label skew, quantity skew, a minority, natural owners."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Protocol

import numpy as np

from fedlearn_edu.data.names import quoted
from fedlearn_edu.data.scheme_parameters import Checked, parameter, parameters_of
from fedlearn_edu.errors import UsageError, nearest_names


class Scheme(Protocol):
    """A way to deal examples out to clients that have no owners of their own."""

    name: ClassVar[str]
    label: ClassVar[str]

    def deal(self, labels: np.ndarray, num_clients: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Returns the row numbers of each client; together every row exactly once."""


def _concentration():
    # 0.3 = 0.05 * 6 lies on the slider's grid; a browser moves any other value onto it.
    return parameter(
        0.3, label="concentration", letter="C", low=1e-6, high=1e6, slider=(0.05, 100.0), step=math.log10(6) / 16,
        logarithmic=True,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class IID:
    """Every client holds a random sample of the whole; sizes differ by one at most.

    Text form: `iid`.
    """

    name: ClassVar[str] = "iid"
    label: ClassVar[str] = "IID (all alike)"

    def deal(self, labels, num_clients, rng):
        return np.array_split(rng.permutation(len(labels)), num_clients)


@dataclasses.dataclass(frozen=True)
class Dirichlet(Checked):
    """Label skew: each client draws its own class proportions; sizes differ by one at most.

    Clients are served one after the other. Each draws its proportions from Dir(concentration * num_classes * p),
    where p is how common the classes are among the examples that nobody holds yet, and then that many examples of
    each class; if a class runs out, the rest comes from its other classes, or from a second draw. While classes
    are equally common, this is the symmetric Dir(concentration, ..., concentration), and alpha in the paper, which
    writes Dir(alpha * p), is `concentration * num_classes`. Taking p from what is left rather than from the whole
    keeps the last clients as skewed as the first.

    Args:
        concentration: 1e-6 to 1e6. Near 0 a client has one class; at 0.3 the commonest of ten classes is about half
            of a client's examples; from 100 on the clients look alike.

    Text form: `dirichlet:0.3`.

    References:
        Hsu, Qi, Brown, Measuring the Effects of Non-Identical Data Distribution for Federated Visual
        Classification, 2019, arXiv:1909.06335.
    """

    concentration: float = _concentration()
    name: ClassVar[str] = "dirichlet"
    label: ClassVar[str] = "Dirichlet (label skew)"
    needs_classes: ClassVar[bool] = True

    def deal(self, labels, num_clients, rng):
        rows_of_class = _rows_by_class(labels, rng)
        left = np.array([len(rows) for rows in rows_of_class])
        held = []
        for part in np.array_split(labels, num_clients):
            taken = self._draw_counts(left, len(part), rng)
            held.append(
                np.concatenate([rows[n - t : n] for rows, n, t in zip(rows_of_class, left, taken, strict=True)])
            )
            left -= taken
        return held

    def _draw_counts(self, left: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Returns how many of each class one client takes: `size` together, of each at most what is `left`."""
        taken, proportions = np.zeros_like(left), np.zeros(len(left))
        while (missing := size - taken.sum()) > 0:  # each pass ends it or uses up a class
            room = left - taken
            proportions[room == 0] = 0.0
            if proportions.sum() == 0.0:  # at first, and when every class that this client drew is used up
                prior = room[room > 0] / room.sum()
                proportions[room > 0] = rng.dirichlet(self.concentration * len(left) * prior)
            taken += np.minimum(room, rng.multinomial(missing, proportions / proportions.sum()))
        return taken


@dataclasses.dataclass(frozen=True)
class Shards(Checked):
    """Pathological label skew: the examples, sorted by label, are cut into shards and each client is dealt a few.

    A client holds about `shards_per_client` classes, more where a shard lies across the border of two.

    Args:
        shards_per_client: >= 1.

    Text form: `shards:2`.

    References:
        McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017,
        arXiv:1602.05629.
    """

    shards_per_client: int = parameter(2, label="shards per client", letter="N", low=1, slider=(1, 10))
    name: ClassVar[str] = "shards"
    label: ClassVar[str] = "Shards (few classes each)"
    needs_classes: ClassVar[bool] = True

    def deal(self, labels, num_clients, rng):
        num_shards = num_clients * self.shards_per_client
        if num_shards > len(labels):
            raise UsageError(
                f"shards_per_client: {num_clients} clients x {self.shards_per_client} shards are more than the "
                f"{len(labels)} examples; use fewer shards or fewer clients"
            )
        shards = np.array_split(np.concatenate(_rows_by_class(labels, rng)), num_shards)
        hands = rng.permutation(num_shards).reshape(num_clients, self.shards_per_client)
        return [np.concatenate([shards[shard] for shard in hand]) for hand in hands]


@dataclasses.dataclass(frozen=True)
class Quantity(Checked):
    """Quantity skew: the client of rank r holds a share in proportion to r ** -skew; labels are IID.

    A power law (Zipf) with ranks dealt at random, so that which client is large depends on the seed but how unequal
    the sizes are does not.

    Args:
        skew: 0 to 100. At 0 sizes are equal, at 1 the largest client has twice the second's examples, at 2 four times.

    Text form: `quantity:1.5`.
    """

    skew: float = parameter(1.0, label="skew of sizes", letter="S", low=0.0, high=100.0, slider=(0.0, 3.0), step=0.1)
    name: ClassVar[str] = "quantity"
    label: ClassVar[str] = "Quantity (sizes differ)"

    def deal(self, labels, num_clients, rng):
        share = (rng.permutation(num_clients) + 1.0) ** -self.skew
        ends = np.rint(np.cumsum(share / share.sum()) * len(labels)).astype(int)
        return np.split(rng.permutation(len(labels)), ends[:-1])


@dataclasses.dataclass(frozen=True)
class Minority(Checked):
    """A few clients alone hold the last classes, and nothing else; the others share the rest as IID.

    As many clients are the minority as their classes are part of the examples (at least one, and not all), so that all
    clients are about equally large: of 20 clients of ten equally common classes, the last two hold the last class. What
    only they know, a server that mistrusts unusual updates may never learn.

    Args:
        num_classes: How many classes only the minority holds, >= 1 and fewer than there are.

    Text form: `minority:1`.
    """

    num_classes: int = parameter(1, label="classes of the minority", letter="N", low=1, slider=(1, 9))
    name: ClassVar[str] = "minority"
    label: ClassVar[str] = "Minority (alone with its classes)"
    needs_classes: ClassVar[bool] = True

    def deal(self, labels, num_clients, rng):
        classes = np.unique(labels)
        if self.num_classes >= len(classes) or num_clients < 2:
            raise UsageError(
                f"num_classes: expected a minority's classes, fewer than all {len(classes)}, and at least 2 clients, "
                f"got {self.num_classes} for {num_clients} clients; take fewer classes or more clients"
            )
        is_theirs = np.isin(labels, classes[-self.num_classes :])
        num_minority = min(max(1, round(is_theirs.mean() * num_clients)), num_clients - 1)
        parts = (~is_theirs, num_clients - num_minority), (is_theirs, num_minority)
        return [rows for kept, n in parts for rows in np.array_split(rng.permutation(np.flatnonzero(kept)), n)]


@dataclasses.dataclass(frozen=True)
class Natural:
    """Every example stays with its owner, as the data set knows it (`natural_client_ids`).

    Text form: `natural`.
    """

    name: ClassVar[str] = "natural"
    label: ClassVar[str] = "Natural (real owners)"
    needs_owners: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class NaturalDirichlet(Checked):
    """Two skews at once: each owner's examples are dealt out to clients of its own with a Dirichlet label skew.

    No client holds examples of two owners. Of `num_clients` clients each owner gets an equal number, the first ones
    one more where it does not come out even.

    Args:
        concentration: As of `Dirichlet`.

    Text form: `natural_dirichlet:0.3`.
    """

    concentration: float = _concentration()
    name: ClassVar[str] = "natural_dirichlet"
    label: ClassVar[str] = "Natural and Dirichlet (two skews)"
    needs_classes: ClassVar[bool] = True
    needs_owners: ClassVar[bool] = True


SCHEMES = {scheme.name: scheme for scheme in (IID, Dirichlet, Shards, Quantity, Minority, Natural, NaturalDirichlet)}


def parse_scheme(text: str) -> Scheme | Natural | NaturalDirichlet:
    """Reads a scheme from text, as on the command line.

    Args:
        text: A scheme's name and its number, such as `dirichlet:0.3`, see `text_forms`; without a number its default
            is taken.

    Raises:
        UsageError: No such scheme, or no such number.

    Example:
        >>> parse_scheme("dirichlet:0.1")
        Dirichlet(concentration=0.1)
    """
    if not isinstance(text, str):
        raise UsageError(f"partition: expected a scheme as text, such as 'dirichlet:0.3', got {quoted(text)}")
    name, colon, number = text.strip().partition(":")
    if name not in SCHEMES:
        raise UsageError(f"partition: no scheme {quoted(name)}; {nearest_names(name, SCHEMES)}")
    scheme = SCHEMES[name]
    if not colon:
        return scheme()
    known = parameters_of(scheme)
    if not known:
        raise UsageError(f"partition: {name!r} takes no number, got {quoted(text)}")
    kind = int if known[0].whole else float
    try:
        return scheme(kind(number))
    except UsageError as error:
        raise UsageError(f"partition: {quoted(text)}: {error}") from error
    except ValueError as error:
        expected = "a whole number" if kind is int else "a number"
        raise UsageError(f"partition: expected {expected} after '{name}:', got {quoted(number)}") from error


def text_forms() -> list[str]:
    """Returns how each scheme is written for `parse_scheme`, a letter in place of its number.

    Example:
        >>> text_forms()[:3]
        ['iid', 'dirichlet:C', 'shards:N']
    """
    return [":".join([name, *(p.letter for p in parameters_of(scheme))]) for name, scheme in SCHEMES.items()]


def format_scheme(scheme: Scheme | Natural | NaturalDirichlet) -> str:
    """Returns the text that `parse_scheme` reads back.

    Example:
        >>> format_scheme(Shards(3))
        'shards:3'
    """
    return ":".join([scheme.name, *(str(value) for value in dataclasses.astuple(scheme))])


def _rows_by_class(labels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Returns the row numbers of each class that occurs, in random order."""
    order = rng.permutation(len(labels))
    return [order[labels[order] == label] for label in np.unique(labels)]
