"""The main job: federate a pre-trained model over clients, show every one of them, and keep the results."""

from __future__ import annotations

import dataclasses
import inspect
import math
import pathlib
import time
import typing

import click

import fedlearn_edu as fl
from fedlearn_edu.checks import check_seed
from fedlearn_edu.data.names import quoted
from fedlearn_edu.demo_folder import DemoFolder
from fedlearn_edu.demo_results import sum_of, write_results
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.client_reports import describe_excluded

EXIT_STOPPED = 130
EXIT_INCOMPLETE = 1


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """The options of `fedlearn-edu demo`; None means: decide from the data."""

    dataset: str = "fashion"
    backbone: str = "bundled"
    partition: str = "dirichlet:0.3"
    num_clients: int | None = None
    clients_per_round: int | None = None
    num_rounds: int = 40
    algorithm: str = "unweighted_fed_avg"
    client_lr: float = 0.1
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
        if not (math.isfinite(self.client_lr) and 0 < self.client_lr <= 100):
            raise UsageError(f"--client-lr: expected a number above 0 and at most 100 (try 0.05), got {self.client_lr}")
        if self.num_clients and self.clients_per_round and self.clients_per_round > self.num_clients:
            raise UsageError(
                f"--clients-per-round: expected at most --num-clients ({self.num_clients}), "
                f"got {self.clients_per_round}"
            )

    @property
    def decisive(self) -> dict:
        """The options that decide what a round computes; a resumed run must agree in all of them."""
        free = ("num_rounds", "output", "resume", "explicit")
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in free}

    @property
    def saved(self) -> dict:
        """What a folder keeps of the options, so that `--resume` needs none."""
        return {**self.decisive, "num_rounds": self.num_rounds}


def run_demo(options: DemoOptions) -> int:
    """Runs the demo and writes its results.

    Returns:
        Exit code: 0; 1 if a result other than the picture could not be written; 130 if it was stopped by Ctrl-C (the
        results so far are written).

    Raises:
        FedlearnError: One line saying what is wrong; a folder created for this run is removed again if nothing was
            computed.
    """
    started = time.monotonic()
    options.check()
    folder = DemoFolder(options.output, resume=options.resume)
    try:
        options = _options_of_saved_run(options, folder)
        options.check()
        if folder.is_new:  # before anything that takes long, and whatever comes after it
            folder.save_options(options.saved)
        experiment = _prepare(options)
        folder.save_options(options.saved)  # of a resumed run, the number of rounds may be new
        history = _train(options, experiment, folder.path)
        _print_clients(history)
        complete = write_results(options, experiment, history, folder.path, time.monotonic() - started)
    finally:
        folder.close()
    if history.status == "stopped":
        return EXIT_STOPPED
    return 0 if complete else EXIT_INCOMPLETE


@dataclasses.dataclass(frozen=True)
class _Experiment:
    clients: fl.FederatedDataset
    features: fl.FederatedDataset
    backbone: fl.Backbone
    process: object
    clients_per_round: int


def _prepare(options: DemoOptions) -> _Experiment:
    from fedlearn_edu.data.partition import parse_scheme

    scheme = parse_scheme(options.partition)
    natural = isinstance(scheme, fl.Natural)
    dataset = fl.load_dataset(options.dataset)
    num_clients = options.num_clients or (None if natural else 50)
    clients = fl.partition(dataset, scheme, num_clients=num_clients, seed=options.seed)
    clients_per_round = options.clients_per_round or min(20, clients.num_clients)
    if clients_per_round > clients.num_clients:
        raise UsageError(
            f"--clients-per-round: expected at most the number of clients ({clients.num_clients}), "
            f"got {clients_per_round}"
        )
    sizes = clients.summary()["num_train"]
    click.echo(
        f"{dataset.name}: {len(dataset.labels):,} images of {clients.num_classes} classes, {options.partition}, over "
        f"{clients.num_clients} clients ({sizes.min()} to {sizes.max()} training images each)"
    )
    if not clients.summary()["num_test"].any():
        raise UsageError(f"--dataset: no client of {dataset.name} has a test image, so that nothing could be measured")
    backbone = fl.load_backbone(options.backbone)
    click.echo(
        f"backbone {backbone.name}: {backbone.image_size} px -> {backbone.feature_dim} features, "
        f"{backbone.num_parameters:,} frozen parameters"
    )
    features = fl.extract_features(clients, backbone)
    process = _build_process(options, fl.linear_head(features), num_clients=features.num_clients)
    return _Experiment(clients, features, backbone, process, clients_per_round)


def _build_process(options: DemoOptions, head, *, num_clients: int):
    build = getattr(fl, f"build_{options.algorithm}", None)
    if build is None:  # the command line knows its names, a file that was edited does not
        raise UsageError(f"--algorithm: expected a name that --help lists, got {quoted(options.algorithm)}")
    wanted = inspect.signature(build).parameters
    arguments = {"client_lr" if "client_lr" in wanted else "server_lr": options.client_lr}
    return build(head, **arguments, **({"num_clients": num_clients} if "num_clients" in wanted else {}))


def _train(options: DemoOptions, experiment: _Experiment, output: pathlib.Path) -> fl.History:
    """Prints the ceiling and one line per round; Ctrl-C ends it after the last complete round."""
    central = fl.train_centrally(experiment.process.model, experiment.features, seed=options.seed)
    click.echo(f"central ceiling: {central.accuracy:.1%} (the same head, all training images in one place)\n")
    rounds = fl.iter_rounds(
        experiment.process,
        experiment.features,
        num_rounds=options.num_rounds,
        clients_per_round=experiment.clients_per_round,
        num_epochs=options.num_epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        checkpoint_dir=output / "checkpoint",
        resume=True,  # without --resume the folder was seen to hold no run
    )
    history = None
    click.echo("round  global accuracy                     loss  worst client  best client  traffic so far")
    try:
        for history in rounds:
            history.central_accuracy = central.accuracy
            _print_round(history)
    except KeyboardInterrupt:
        if history is None:
            raise
        history.status = "stopped"
        click.echo(f"\nStopped after round {history.num_rounds} of {options.num_rounds}; go on with --resume.")
    if excluded := describe_excluded(history):
        click.echo(excluded, err=True)
    return history


def _print_round(history: fl.History) -> None:
    latest = history.global_metrics().iloc[-1]
    clients = history.client_metric("accuracy").iloc[:, -1]
    traffic = sum_of(history, "broadcast_bytes_total", "upload_bytes_total")
    bar = "█" * round(latest["accuracy"] * 24)
    columns = [
        f"{history.num_rounds:5d}",
        f"{latest['accuracy']:6.1%} {bar:<24}",
        f"{latest['loss']:9.3f}",
        f"{clients.min():12.1%}",
        f"{clients.max():11.1%}",
        f"{traffic / 1e6:11.1f} MB",
    ]
    click.echo("  ".join(columns))


def _print_clients(history: fl.History) -> None:
    table = history.client_table()
    click.echo(f"\nEvery client after round {history.num_rounds}, worst first:")
    click.echo("client_id         accuracy    gain  rounds trained")
    for client_id, row in table.iterrows():
        name = client_id if len(client_id) <= 16 else client_id[:15] + "…"
        click.echo(f"{name:<16}  {row.accuracy:8.1%}  {row.gain:+6.1%}  {row.rounds_trained:14.0f}")


def _options_of_saved_run(options: DemoOptions, folder: DemoFolder) -> DemoOptions:
    """Returns the options a run was started with, if there is one, refusing others given explicitly."""
    saved = folder.options()
    if saved is None:
        if options.resume:
            click.echo(f"Nothing to resume in {folder.path}; starting from round 0.")
        return options
    kinds = typing.get_type_hints(DemoOptions)
    known = {name: saved[name] for name in options.saved if name in saved}
    if not all(isinstance(value, kinds[name]) for name, value in known.items()):
        raise folder.damaged()
    for name in sorted(options.explicit & options.decisive.keys()):
        if saved.get(name) != getattr(options, name):
            raise UsageError(
                f"--output: {folder.path} holds another run (--{name.replace('_', '-')} was {saved.get(name)}, is now "
                f"{getattr(options, name)}); choose another folder or the same options"
            )
    if "num_rounds" in options.explicit:
        known["num_rounds"] = options.num_rounds
    return dataclasses.replace(options, **known)
