"""What a demo run leaves behind: each result by itself, so that one that fails costs no other."""

from __future__ import annotations

import json
import pathlib

import click

import fedlearn_edu as fl


def write_results(options, experiment, history: fl.History, output: pathlib.Path, seconds: float) -> bool:
    """Writes history, summary, model and last the picture, and prints how it went.

    What cannot be written is a warning that says why; `--resume` writes all again.

    Args:
        options: The run's options.
        experiment: Its clients, backbone and process.
        history: What was measured.
        output: The run's folder.
        seconds: Wall time since the start of the command.

    Returns:
        Whether all is there; of the picture alone, which can be drawn from the history, nothing depends.
    """
    from fedlearn_edu.plotting import plot_run
    from fedlearn_edu.simulation.history import replace_file

    def write_model(path):
        fl.export_model(
            path,
            backbone=experiment.backbone,
            model=experiment.process.model,
            model_weights=history.model_weights,
            class_names=experiment.clients.class_names,
        )

    summary = json.dumps(_summary(options, experiment, history, seconds), indent=2).encode()
    results = {
        "history.csv": lambda path: replace_file(path, lambda file: history.to_frame().to_csv(file, index=False)),
        "summary.json": lambda path: replace_file(path, lambda file: file.write(summary)),
        "model": write_model,
        "accuracy.png": lambda path: replace_file(
            path, lambda file: plot_run(history).savefig(file, format="png", dpi=150)
        ),
    }
    missing = []
    for name, write in results.items():
        try:
            write(output / name)
        except Exception as error:  # whatever a disk, TensorFlow or Matplotlib may raise
            missing.append(name)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            click.echo(f"Warning: {output / name} could not be written ({reason}); --resume tries again", err=True)
    gap = (history.central_accuracy - history.global_accuracy) * 100
    click.echo(
        f"\nglobal accuracy {history.global_accuracy:.1%}, central ceiling {history.central_accuracy:.1%} "
        f"({abs(gap):.1f} points {'below' if gap >= 0 else 'above'} it), {history.num_rounds} rounds, {seconds:.0f} s"
    )
    written = [
        name for name in ("history.csv", "summary.json", "accuracy.png", "model/") if name.strip("/") not in missing
    ]
    click.echo(f"Results in {output}/: {', '.join(written) or 'none'}")
    return set(missing) <= {"accuracy.png"}


def _summary(options, experiment, history: fl.History, seconds: float) -> dict:
    clients = history.client_metric("accuracy").iloc[:, -1]
    return {
        "status": history.status,
        "global_accuracy": history.global_accuracy,
        "central_accuracy": history.central_accuracy,
        "worst_client_accuracy": float(clients.min()),
        "best_client_accuracy": float(clients.max()),
        "num_rounds": history.num_rounds,
        "seconds": round(seconds, 2),
        "broadcast_bytes_total": int(sum_of(history, "broadcast_bytes_total")),
        "upload_bytes_total": int(sum_of(history, "upload_bytes_total")),
        "num_clients": experiment.clients.num_clients,
        "settings": {**options.decisive, "clients_per_round": experiment.clients_per_round},
        "backbone_fingerprint": experiment.backbone.fingerprint,
        "fedlearn_edu_version": fl.__version__,
    }


def sum_of(history: fl.History, *metrics: str) -> float:
    """Returns the sum of all values of some metrics."""
    return sum(value for _, _, metric, value in history.rows if metric in metrics)
