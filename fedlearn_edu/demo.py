"""The main job: federate a pre-trained model over clients, show every one of them, and keep the results."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import pathlib
import time

import click

import fedlearn_edu as fl
from fedlearn_edu.errors import UsageError

_DEFAULT_ROOT = pathlib.Path("fedlearn-edu-run")
_RESULTS = ("history.csv", "summary.json", "accuracy.png", "model", "checkpoint")
_RUN_FILE = "run.json"
EXIT_STOPPED = 130


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
        if self.seed < 0:
            raise UsageError(f"--seed: expected 0 or more, got {self.seed}")
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


def run_demo(options: DemoOptions) -> int:
    """Runs the demo and writes its results.

    Returns:
        Exit code: 0, or 130 if it was stopped by Ctrl-C (the results so far are written).

    Raises:
        FedlearnError: One line saying what is wrong; a folder created for this run is removed again if nothing was
            computed.
    """
    started = time.monotonic()
    output = _choose_output(options)
    options = _options_of_saved_run(options, output)
    options.check()
    made = _make_folder(output)
    try:
        experiment = _prepare(options)
    except BaseException:
        for folder in made:
            folder.rmdir()
        raise
    saved = json.dumps({**options.decisive, "num_rounds": options.num_rounds}, indent=2)
    (output / _RUN_FILE).write_text(saved)
    history = _train(options, experiment, output)
    _print_clients(history)
    _write_results(options, experiment, history, output, time.monotonic() - started)
    return EXIT_STOPPED if history.status == "stopped" else 0


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
    backbone = fl.load_backbone(options.backbone)
    click.echo(
        f"backbone {backbone.name}: {backbone.image_size} px -> {backbone.feature_dim} features, "
        f"{backbone.num_parameters:,} frozen parameters"
    )
    features = fl.extract_features(clients, backbone)
    process = _build_process(options, fl.linear_head(features), num_clients=features.num_clients)
    return _Experiment(clients, features, backbone, process, clients_per_round)


def _build_process(options: DemoOptions, head, *, num_clients: int):
    build = getattr(fl, f"build_{options.algorithm}")
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
    return history


def _print_round(history: fl.History) -> None:
    latest = history.global_metrics().iloc[-1]
    clients = history.client_metric("accuracy").iloc[:, -1]
    traffic = _sum_of(history, "broadcast_bytes_total", "upload_bytes_total")
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


def _sum_of(history: fl.History, *metrics: str) -> float:
    return sum(value for _, _, metric, value in history.rows if metric in metrics)


def _print_clients(history: fl.History) -> None:
    table = history.client_table()
    click.echo(f"\nEvery client after round {history.num_rounds}, worst first:")
    click.echo("client_id         accuracy    gain  rounds trained")
    for client_id, row in table.iterrows():
        name = client_id if len(client_id) <= 16 else client_id[:15] + "…"
        click.echo(f"{name:<16}  {row.accuracy:8.1%}  {row.gain:+6.1%}  {row.rounds_trained:14.0f}")


def _write_results(options, experiment, history, output, seconds) -> None:
    from fedlearn_edu.plotting import plot_run
    from fedlearn_edu.simulation.history import replace_file

    clients = history.client_metric("accuracy").iloc[:, -1]
    summary = {
        "status": history.status,
        "global_accuracy": history.global_accuracy,
        "central_accuracy": history.central_accuracy,
        "worst_client_accuracy": float(clients.min()),
        "best_client_accuracy": float(clients.max()),
        "num_rounds": history.num_rounds,
        "seconds": round(seconds, 2),
        "broadcast_bytes_total": int(_sum_of(history, "broadcast_bytes_total")),
        "upload_bytes_total": int(_sum_of(history, "upload_bytes_total")),
        "num_clients": experiment.clients.num_clients,
        "settings": {**options.decisive, "clients_per_round": experiment.clients_per_round},
        "backbone_fingerprint": experiment.backbone.fingerprint,
        "fedlearn_edu_version": fl.__version__,
    }
    figure = plot_run(history)
    replace_file(output / "accuracy.png", lambda file: figure.savefig(file, format="png", dpi=150))
    replace_file(output / "history.csv", lambda file: history.to_frame().to_csv(file, index=False))
    fl.export_model(
        output / "model",
        backbone=experiment.backbone,
        model=experiment.process.model,
        model_weights=history.model_weights,
        class_names=experiment.clients.class_names,
    )
    replace_file(output / "summary.json", lambda file: file.write(json.dumps(summary, indent=2).encode()))
    gap = (history.central_accuracy - history.global_accuracy) * 100
    click.echo(
        f"\nglobal accuracy {history.global_accuracy:.1%}, central ceiling {history.central_accuracy:.1%} "
        f"({abs(gap):.1f} points {'below' if gap >= 0 else 'above'} it), {history.num_rounds} rounds, {seconds:.0f} s"
    )
    click.echo(f"Results in {output}/: history.csv, summary.json, accuracy.png, model/")


def _choose_output(options: DemoOptions) -> pathlib.Path:
    """Returns the folder of the run, refusing one whose results would be overwritten."""
    output = options.output
    if output is None:
        numbers = sorted(int(p.name) for p in _DEFAULT_ROOT.glob("*") if p.name.isdigit())
        newest = numbers[-1] if numbers else 0
        return _DEFAULT_ROOT / str(newest if options.resume and newest else newest + 1)
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output: expected a folder, got the file {output}")
    if (output / _RUN_FILE).exists():
        if not options.resume:
            raise UsageError(f"--output: {output} already holds a run; add --resume to go on, or choose another folder")
    else:
        for name in _RESULTS:
            if (output / name).exists():
                raise UsageError(f"--output: {output / name} exists and is not of a demo run; choose another folder")
    return output


def _options_of_saved_run(options: DemoOptions, output: pathlib.Path) -> DemoOptions:
    """Returns the options a run was started with, if there is one, refusing others given explicitly."""
    if not options.resume:
        return options
    try:
        saved = json.loads((output / _RUN_FILE).read_text())
    except FileNotFoundError:
        click.echo(f"Nothing to resume in {output}; starting from round 0.")
        return options
    except ValueError:
        raise UsageError(f"--resume: {output / _RUN_FILE} is damaged; choose another --output") from None
    for name in sorted(options.explicit & options.decisive.keys()):
        if saved.get(name) != getattr(options, name):
            raise UsageError(
                f"--output: {output} holds another run (--{name.replace('_', '-')} was {saved.get(name)}, is now "
                f"{getattr(options, name)}); choose another folder or the same options"
            )
    if "num_rounds" in options.explicit:
        saved["num_rounds"] = options.num_rounds
    return dataclasses.replace(
        options, **{k: v for k, v in saved.items() if k in options.decisive or k == "num_rounds"}
    )


def _make_folder(output: pathlib.Path) -> list[pathlib.Path]:
    """Creates the folder and sees that it can be written; returns the folders made, innermost first."""
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--output: {output} cannot be written ({error.strerror})") from None
    return made
