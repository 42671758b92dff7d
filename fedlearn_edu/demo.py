"""The main job: federate a pre-trained model over clients, show every one of them, and keep the results."""

from __future__ import annotations

import dataclasses
import time

import click

import fedlearn_edu as fl
from fedlearn_edu.demo_data import called
from fedlearn_edu.demo_folder import DemoFolder
from fedlearn_edu.demo_options import DemoOptions
from fedlearn_edu.demo_output import RoundLines, print_clients, print_end
from fedlearn_edu.demo_results import write_results
from fedlearn_edu.demo_setup import Experiment, prepare, train_ceiling
from fedlearn_edu.demo_values import written
from fedlearn_edu.simulation.central import CentralResult
from fedlearn_edu.simulation.client_reports import describe_excluded

EXIT_STOPPED = 130
EXIT_INCOMPLETE = 1


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
        options, experiment = prepare(options)
        folder.save_options(options.saved)  # what the data decided; of a resumed run, the number of rounds may be new
        history, ceiling, resumed_after = _train(options, experiment, folder)
        print_clients(history)
        if history.status != "stopped":  # of which it was said
            click.echo("\nwriting accuracy.png, model/ and the rest ...", err=True)
        seconds = time.monotonic() - started
        missing = write_results(options, experiment, history, ceiling, folder.path, seconds)
        print_end(
            options, experiment, history, folder.path, missing=missing, seconds=seconds, resumed_after=resumed_after
        )
    except KeyboardInterrupt:
        # Before the first round, or while results were written: there is nothing more to show.
        if folder.has_rounds:
            click.echo(f"\nStopped. Go on with:\n{options.command_to_resume(folder.path)}")
        else:
            click.echo("\nStopped before round 0 was measured: nothing is kept; give the same command again.")
        return EXIT_STOPPED
    finally:
        folder.close()
    if history.status == "stopped":
        return EXIT_STOPPED
    return 0 if missing <= {"accuracy.png"} else EXIT_INCOMPLETE


def _train(options: DemoOptions, experiment: Experiment, folder: DemoFolder) -> tuple[fl.History, CentralResult, int]:
    """Prints the ceiling and one line per round; Ctrl-C ends it after the last complete round.

    Returns:
        The history, the ceiling, and the round after which it went on (0 for a new run).
    """
    goes_on = folder.has_rounds
    click.echo("training the central ceiling ...", err=True)
    ceiling = train_ceiling(options, experiment)
    task, examples = experiment.clients.task, called(experiment.modality)
    measured = "" if task.primary.name == "accuracy" else f"{task.primary.label} "
    value = written(task.primary, ceiling.value, unit=task.unit)
    click.echo(f"central ceiling: {measured}{value} (the same head, all training {examples} in one place)")
    click.echo(f"building the rounds, {'going on' if goes_on else 'measuring round 0'} ...", err=True)
    click.echo()
    rounds = fl.iter_rounds(
        experiment.process,
        experiment.features,
        config=experiment.config,
        checkpoint_dir=folder.path / "checkpoint",
        resume=True,  # without --resume the folder was seen to hold no run
    )
    history, resumed_after, lines = None, 0, None if goes_on else RoundLines(task.primary)
    try:
        for history in rounds:
            if goes_on:
                resumed_after, goes_on = history.num_rounds, False
                click.echo(f"going on after round {resumed_after}")
                lines = RoundLines(task.primary)
            history.central_accuracy = ceiling.value
            lines.print(history)
    except KeyboardInterrupt:
        if history is None:
            raise
        history.status = "stopped"
        click.echo(
            f"\nStopping after round {history.num_rounds}: writing accuracy.png, model/ and the rest ...", err=True
        )
    if excluded := describe_excluded(history):
        click.echo(excluded, err=True)
    return history, ceiling, resumed_after


def _options_of_saved_run(options: DemoOptions, folder: DemoFolder) -> DemoOptions:
    """Returns the options a run was started with, if there is one, refusing others given explicitly."""
    saved = folder.options()
    if saved is None:
        if options.resume:
            click.echo(f"Nothing to resume in {folder.path}; starting from round 0.")
        return options
    try:
        return dataclasses.replace(options, output=folder.path).with_saved(saved)
    except TypeError:
        raise folder.damaged() from None
