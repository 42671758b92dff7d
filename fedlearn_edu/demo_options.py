"""The options of `fedlearn-edu demo`: their defaults, what can be refused at once, the command that repeats them."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import shlex
import typing
from collections.abc import Mapping

from fedlearn_edu.checks import check_seed
from fedlearn_edu.errors import UsageError
from fedlearn_edu.terminal import our_command

DEFAULT_PARTITION = "dirichlet:0.3"
DEFAULT_LR = 0.1
_PATTERN_CHARACTERS = "*?[]\\"  # in a path of TensorFlow's
_FLAGS = {"num_rounds": "--rounds"}  # of the options that are not called as here
# Those of a table or of texts, called as `load_dataset` calls them.
OF_TABLE = ("target", "client", "text", "task", "positive", "unit", "ignore", "categories", "encoding")


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """The options of `fedlearn-edu demo`; None means: decide from the data."""

    dataset: str = "fashion"
    target: str | None = None
    client: str | None = None
    text: str | None = None
    task: str | None = None
    positive: str | None = None
    unit: str | None = None
    ignore: tuple = ()
    categories: tuple = ()
    encoding: str | None = None
    backbone: str | None = None
    partition: str | None = None
    num_clients: int | None = None
    clients_per_round: int | None = None
    num_rounds: int = 40
    algorithm: str = "unweighted_fed_avg"
    client_lr: float | None = None
    num_epochs: int = 5
    batch_size: int = 20
    seed: int = 0
    output: pathlib.Path | None = None
    resume: bool = False
    explicit: frozenset[str] = frozenset()

    def check(self) -> None:
        """Refuses what can be refused without loading anything.

        Raises:
            UsageError: An option is out of its range.
        """
        for option, value in [
            ("--rounds", self.num_rounds),
            ("--num-clients", self.num_clients),
            ("--clients-per-round", self.clients_per_round),
            ("--num-epochs", self.num_epochs),
            ("--batch-size", self.batch_size),
        ]:
            if value is not None and value < 1:
                raise UsageError(f"{option}: expected at least 1, got {value}")
        check_seed(self.seed, "--seed")
        if self.client_lr is not None and not (math.isfinite(self.client_lr) and 0 < self.client_lr <= 100):
            raise UsageError(f"--client-lr: expected a number above 0 and at most 100 (try 0.05), got {self.client_lr}")
        if self.num_clients and self.clients_per_round and self.clients_per_round > self.num_clients:
            raise UsageError(
                f"--clients-per-round: expected at most --num-clients ({self.num_clients}), "
                f"got {self.clients_per_round}"
            )
        if set(_PATTERN_CHARACTERS) & set(str(self.output or "")):
            plain = "".join("_" if character in _PATTERN_CHARACTERS else character for character in str(self.output))
            raise UsageError(
                f"--output: expected a folder without * ? [ ] \\ in its path, which TensorFlow takes for a pattern, "
                f"got {str(self.output)!r}; try {plain!r}"
            )

    @property
    def of_table(self) -> dict:
        """The options of a table or of texts that were given, as `load_dataset` takes them."""
        return {name: value for name in OF_TABLE if (value := getattr(self, name)) not in (None, ())}

    @property
    def decisive(self) -> dict:
        """The options that decide what a round computes; a resumed run must agree in all of them."""
        free = ("num_rounds", "output", "resume", "explicit", *OF_TABLE)
        others = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in free}
        return {**others, **self.of_table}

    @property
    def saved(self) -> dict:
        """What a folder keeps of the options, so that `--resume` needs none."""
        return {**self.decisive, "num_rounds": self.num_rounds}

    def with_saved(self, saved: Mapping) -> DemoOptions:
        """Returns the options that a run was started with; of these, only a number of rounds that was given stays.

        Args:
            saved: What a folder has kept; a folder of an older version knows fewer options, whose defaults then hold.

        Raises:
            TypeError: A value is not of its option's kind.
            UsageError: An option was given that decides what a round computes, and was another one.
        """
        before = {}
        for field in dataclasses.fields(DemoOptions):
            if field.name in saved and field.name not in ("output", "resume", "explicit"):
                value = saved[field.name]
                before[field.name] = tuple(value) if isinstance(value, list) else value  # JSON has no tuples
                if not isinstance(before[field.name], _KINDS[field.name]):
                    raise TypeError(field.name)
        was = dataclasses.replace(DemoOptions(), **before)
        for name in sorted(self.explicit & {*self.decisive, *OF_TABLE}):
            if (value := getattr(self, name)) != getattr(was, name):
                raise UsageError(
                    f"--output: {self.output} holds another run ({_flag(name)} was {_written(getattr(was, name))}, is "
                    f"now {_written(value)}); choose another folder or the same options"
                )
        if "num_rounds" in self.explicit:
            before["num_rounds"] = self.num_rounds
        return dataclasses.replace(self, **before)

    def command_to_resume(self, folder: pathlib.Path) -> str:
        """Returns the whole command that goes on with this run in `folder`, with every option that was given."""
        words = ["demo", "--output", str(folder)]
        for field in dataclasses.fields(self):
            if field.name in self.explicit - {"output", "resume"}:
                value = getattr(self, field.name)
                for one in value if isinstance(value, tuple) else [value]:
                    words += [_flag(field.name), str(one)]
        return f"{our_command()} {shlex.join([*words, '--resume'])}"


def _flag(name: str) -> str:
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def _written(value: object) -> str:
    return ", ".join(map(str, value)) or "None" if isinstance(value, tuple) else str(value)


_KINDS = typing.get_type_hints(DemoOptions)
