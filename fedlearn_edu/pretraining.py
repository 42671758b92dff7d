"""The command `pretrain`: pre-trains, publishes, and says what came of it."""

from __future__ import annotations

import pathlib

import click

import fedlearn_edu as fl
from fedlearn_edu.terminal import our_command


def run_pretraining(datasets: list[str], *, output: pathlib.Path, **options) -> int:
    """Runs `fedlearn_edu.pretrain`, draws its curve into the published folder, and returns the exit code.

    Args:
        datasets: Names or folders of public images.
        output: Folder to create.
        options: As for `fedlearn_edu.pretrain`.
    """
    click.echo(f"pre-training on {', '.join(map(str, datasets))}: reading images, building the network ...")
    try:
        result = fl.pretrain(datasets, output=output, **options)
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on after the last whole epoch", err=True)
        return 130
    fl.plot_pretraining_curve(result.curve).savefig(result.directory / "curve.png", dpi=110)
    last = result.curve.iloc[-1]
    if result.class_names:
        measured = f"held-out accuracy {last['held_out_accuracy']:.1%} on {len(result.class_names)} classes"
    else:
        measured = f"held-out mean squared error {last['held_out_loss']:.3f} (1.0 = predicting the mean)"
    click.echo(f"published {result.directory}: {result.num_images:,} images, {measured}")
    click.echo(f"next: {our_command()} demo --backbone {result.directory}")
    return 0
