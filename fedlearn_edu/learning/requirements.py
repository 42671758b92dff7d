"""Requirements: what a process, an aggregation factory or an accountant needs of the run it is part of."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Protocol

from fedlearn_edu.errors import UsageError

DEFAULT_SAMPLING = "fixed_size"


class _Config(Protocol):
    clients_per_round: int


class _Data(Protocol):
    client_ids: list[str]
    num_clients: int


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What somebody needs of a run; whatever is not stated may be anything.

    Attributes:
        stated_by: Who needs it, as messages name it: `"scaffold"`, `"krum(clients_per_round=9, num_attackers=2)"`.
        num_clients: Clients in all.
        clients_per_round: Size of the cohort (with Poisson sampling the expected one).
        client_ids: Clients that must be there.
        sampling: How cohorts must be drawn, see `fedlearn_edu.simulation.cohorts`.

    Example:
        >>> Requirements("scaffold", num_clients=6).num_clients
        6
    """

    stated_by: str
    num_clients: int | None = None
    clients_per_round: int | None = None
    client_ids: Collection[str] = ()
    sampling: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "client_ids", tuple(sorted(self.client_ids)))

    def check(self, config: _Config, data: _Data) -> None:
        """Refuses a run that is not as it must be.

        Args:
            config: The run's `RunConfig`.
            data: The clients.

        Raises:
            UsageError: The number of clients, the size of the cohort or an id differs.
        """
        if self.num_clients not in (None, data.num_clients):
            raise UsageError(
                f"num_clients: {self.stated_by} was built for {self.num_clients} clients, but there are "
                f"{data.num_clients}; build the process for features.num_clients"
            )
        if self.clients_per_round not in (None, config.clients_per_round):
            raise UsageError(
                f"clients_per_round: {self.stated_by} was built for {self.clients_per_round} clients a round, got "
                f"{config.clients_per_round} for the run; give both the same number"
            )
        unknown = sorted(set(self.client_ids) - set(data.client_ids))
        if unknown:
            raise UsageError(
                f"{self.stated_by}: expected ids of these {data.num_clients} clients such as {data.client_ids[0]!r}, "
                f"got {unknown[0]!r}"
            )


def required_sampling(requirements: Iterable[Requirements]) -> str:
    """Returns how cohorts must be drawn: as somebody requires, else uniformly without replacement.

    Raises:
        UsageError: Two require different ways.
    """
    demands = {stated.sampling: stated.stated_by for stated in requirements if stated.sampling}
    if len(demands) > 1:
        listed = " and ".join(f"{who} needs {sampling!r}" for sampling, who in demands.items())
        raise UsageError(f"sampling: cohorts can be drawn in one way only, but {listed}")
    return next(iter(demands), DEFAULT_SAMPLING)
