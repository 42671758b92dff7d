"""RunConfig: what a run does, however it is trained: rounds, cohorts, local passes, batches, seed, evaluation."""

from __future__ import annotations

import dataclasses
from typing import Any

from fedlearn_edu.checks import check_count, check_seed
from fedlearn_edu.errors import UsageError


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a run does, as one object: `run_rounds(process, features, config=config)`.

    Attributes:
        num_rounds: Rounds in all, at least 1. On resuming, rounds already done count.
        clients_per_round: Size of the cohort (with Poisson sampling the expected size), at least 1 and at most the
            number of clients.
        num_epochs: Local passes over a client's examples per round, at least 1.
        batch_size: Examples per local step, at least 1.
        seed: Of cohorts and local shuffles, 0 to 2**31 - 1.
        evaluate_every: Measure before training, after every so many rounds, and after the last; at least 1.

    Raises:
        UsageError: One is out of its range.

    Example:
        >>> RunConfig(num_rounds=20, clients_per_round=10).batch_size
        20
    """

    num_rounds: int
    clients_per_round: int
    num_epochs: int = 1
    batch_size: int = 20
    seed: int = 0
    evaluate_every: int = 1

    def __post_init__(self):
        for name in (field.name for field in dataclasses.fields(self)):
            check = check_seed if name == "seed" else check_count
            object.__setattr__(self, name, check(name=name, value=getattr(self, name)))

    def describe(self) -> dict[str, int]:
        """Returns what a resumed run must agree in: all but the number of rounds, which may grow."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "num_rounds"}


def config_from(config: RunConfig | None, **given: Any) -> RunConfig:
    """Returns `config`, or one of the keywords.

    Args:
        config: None for one of the keywords.
        given: All of `RunConfig`'s; those that no run can do without may be None: not given.

    Raises:
        UsageError: A config was given and a keyword that is not its default, or not what a run cannot do without.

    Example:
        >>> config_from(None, num_rounds=3, clients_per_round=2).num_epochs
        1
    """
    if config is not None:
        if not isinstance(config, RunConfig):
            raise UsageError(f"config: expected a RunConfig, got {config!r}")
        defaults = {field.name: field.default for field in dataclasses.fields(RunConfig)}
        for name, value in given.items():
            if value is not None and value != defaults[name]:
                raise UsageError(
                    f"{name}: expected either config or keywords, got both; change the config with dataclasses.replace"
                )
        return config
    for name in ("num_rounds", "clients_per_round"):
        if given[name] is None:
            raise UsageError(f"{name}: expected a whole number of at least 1, got none; or give config=RunConfig(...)")
    return RunConfig(**given)
