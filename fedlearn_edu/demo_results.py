"""What a demo run leaves behind: each result by itself, so that one that fails costs no other."""

from __future__ import annotations

import json
import math
import pathlib

import click

import fedlearn_edu as fl
from fedlearn_edu.demo_data import called
from fedlearn_edu.demo_values import worst_and_best
from fedlearn_edu.simulation.central import CentralResult


def write_results(
    options, experiment, history: fl.History, ceiling: CentralResult, output: pathlib.Path, seconds: float
) -> set[str]:
    """Writes history, summary, model and last the picture.

    What cannot be written is a warning that says why; `--resume` writes all again.

    Args:
        options: The run's options.
        experiment: Its clients, encoder and process.
        history: What was measured.
        ceiling: What the same head learned of all examples in one place.
        output: The run's folder.
        seconds: Wall time since the start of the command.

    Returns:
        The names of what could not be written. Of the picture, which can be drawn from the history, nothing depends.
    """
    from fedlearn_edu.files import write_whole
    from fedlearn_edu.plotting import plot_run

    def write_model(path):
        fl.export_model(
            path,
            backbone=experiment.encoder,
            model=experiment.process.model,
            model_weights=history.model_weights,
            task=experiment.clients.task,
            trained_on=_origin(options, experiment),
        )

    summary = json.dumps(_summary(options, experiment, history, ceiling, seconds), indent=2).encode()
    results = {
        "history.csv": lambda path: write_whole(path, lambda file: history.to_frame().to_csv(file, index=False)),
        "summary.json": lambda path: write_whole(path, lambda file: file.write(summary)),
        "model": write_model,
        "accuracy.png": lambda path: write_whole(
            path, lambda file: plot_run(history, title=experiment.title).savefig(file, format="png", dpi=150)
        ),
    }
    missing = set()
    for name, write in results.items():
        try:
            write(output / name)
        except Exception as error:  # whatever a disk, TensorFlow or Matplotlib may raise
            missing.add(name)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            click.echo(f"Warning: {output / name} could not be written ({reason}); --resume tries again", err=True)
    return missing


def _summary(options, experiment, history: fl.History, ceiling: CentralResult, seconds: float) -> dict:
    accuracies = {}
    if ceiling.accuracy is not None:
        of_clients = history.last_client_metric("accuracy")
        accuracies = {
            "global_accuracy": history.global_accuracy,
            "central_accuracy": ceiling.accuracy,
            "worst_client_accuracy": float(of_clients.min()),
            "best_client_accuracy": float(of_clients.max()),
        }
    worst, best = worst_and_best(history, history.last_client_metric())
    return {
        "status": history.status,
        **accuracies,
        "metric": history.primary.name,
        **({"unit": unit} if (unit := experiment.clients.task.unit) else {}),
        "value": _json(history.global_value),
        "central_value": _json(ceiling.value),
        "worst_client_value": _json(worst),
        "best_client_value": _json(best),
        "baseline": history.baseline,
        "num_rounds": history.num_rounds,
        "seconds": round(seconds, 2),
        **{name: int(sum_of(history, name)) for name in ("broadcast_bytes_total", "upload_bytes_total")},
        "num_clients": experiment.clients.num_clients,
        "settings": {**options.decisive, "clients_per_round": experiment.config.clients_per_round},
        "backbone_fingerprint": experiment.encoder.fingerprint,
        "fedlearn_edu_version": fl.__version__,
    }


def _json(value: float) -> float | None:
    """Returns a number, or None for what JSON has no word for: an error beyond all numbers, an AUC that nobody has."""
    return float(value) if math.isfinite(value) else None


def _origin(options, experiment) -> str:
    """Returns whose examples the model was trained on, and under which licence, as far as it is known."""
    dataset, known, name = experiment.dataset, fl.dataset_names(), options.dataset
    if name.startswith("medmnist:"):
        name = name.partition("_")[0]  # the larger editions, such as medmnist:pathmnist_64, are not listed
    if name not in known.index:
        return f"{dataset.name}: its maker's own {called(experiment.dataset.modality)}; ask them for the licence"
    row = known.loc[name]
    return f"{dataset.name}: {row['description']}; {row['origin']}; licence: {row['licence']}"


def sum_of(history: fl.History, *metrics: str) -> float:
    """Returns the sum of all values of some metrics."""
    return sum(value for _, _, metric, value in history.rows if metric in metrics)
