"""What a demo run prints: a line a round, the clients that matter, how it ended and what to do next."""

from __future__ import annotations

import math
import pathlib

import click

import fedlearn_edu as fl
from fedlearn_edu.data.metrics import Metric, four_digits
from fedlearn_edu.demo_data import called
from fedlearn_edu.demo_options import DemoOptions
from fedlearn_edu.demo_setup import Experiment
from fedlearn_edu.demo_values import baseline_line, cell, distance, is_better, is_far, shown, way, worst_and_best
from fedlearn_edu.learning.catalogue import by_name
from fedlearn_edu.simulation.history import GLOBAL
from fedlearn_edu.terminal import our_python

_BAR = 24
_WORST, _BEST = 5, 3
_FEW_TO_TELL = 5  # test examples
_FAR_SWING = 0.2
_MOST_LINES = 24  # of Python; a table may have hundreds of columns
_TRAFFIC = ("broadcast_bytes_total", "upload_bytes_total")
_OF_ONE_CLASS = "examples of each are all of one class"
_RESULTS = ("history.csv", "summary.json", "accuracy.png", "model/")


class RoundLines:
    """Prints a line a round under the names of the columns; of the rounds before, it keeps what it needs of them.

    Args:
        primary: The metric that is shown.
    """

    def __init__(self, primary: Metric):
        self._num_rows, self._traffic, self._first, self._latest = 0, 0.0, None, {}
        self._width = 6 if primary.is_share else 10
        title = f"global {primary.label}, bar to ceiling"
        click.echo(f"round  {title:<{self._width + 1 + _BAR}}      loss  worst client  best client  traffic so far")

    def print(self, history: fl.History) -> None:
        """Prints the newest round. The bar is empty at round 0's value and full at the ceiling's."""
        new = history.rows[self._num_rows :]
        self._num_rows += len(new)
        self._traffic += sum(value for _, _, metric, value in new if metric in _TRAFFIC)
        primary = history.primary
        for _, client_id, metric, value in new:
            if client_id == GLOBAL:
                self._latest[metric] = value
                if metric == primary.name and self._first is None:
                    self._first = value
        value, loss = self._latest[primary.name], self._latest["loss"]
        worst, best = worst_and_best(history, history.last_client_metric())
        share = way(history, self._first, history.central_accuracy, value)
        bar = "█" * round(min(max(share, 0.0), 1.0) * _BAR if math.isfinite(share) else 0)
        columns = [
            f"{history.num_rounds:5d}",
            f"{cell(history, value, self._width)} {bar:<{_BAR}}",
            f"{loss:9.3f}" if primary.is_share else f"{four_digits(loss):>9}",
            cell(history, worst, 12),
            cell(history, best, 11),
            f"{self._traffic / 1e6:11.1f} MB",
        ]
        click.echo("  ".join(columns))


def print_clients(history: fl.History) -> None:
    """Prints the worst and the best clients; all, if they are few."""
    num_tested, primary = len(history.last_client_metric("loss")), history.primary
    if history.last_client_metric().empty:
        click.echo(f"\nNo client has {primary.label} of its own: the test {_OF_ONE_CLASS}")
        return
    table = history.client_table()
    left_out = len(table) - _WORST - _BEST
    some = f"the {_WORST} worst and the {_BEST} best of {len(table)} clients (all in history.csv; gain: since round 0)"
    click.echo(f"\nAfter round {history.num_rounds}, {some if left_out > 0 else 'every client, worst first'}:")
    value_width, gain_width = (8, 7) if primary.is_share else (10, 10)
    click.echo(f"client_id         {primary.label:>{value_width}} {'gain':>{gain_width}}  rounds trained")
    for number, (client_id, row) in enumerate(table.iterrows()):
        if left_out > 0 and _WORST <= number < _WORST + left_out:
            if number == _WORST:
                click.echo("...")
            continue
        name = client_id if len(client_id) <= 16 else client_id[:15] + "…"
        value, gain = cell(history, row[primary.name], value_width), cell(history, row.gain, gain_width, sign="+")
        click.echo(f"{name:<16}  {value} {gain}  {row.rounds_trained:14.0f}")
    if (without := num_tested - len(table)) > 0:
        have = "clients have" if without > 1 else "client has"
        click.echo(f"{without} more {have} no {primary.label}: the test {_OF_ONE_CLASS}")


def print_end(
    options: DemoOptions,
    experiment: Experiment,
    history: fl.History,
    output: pathlib.Path,
    *,
    missing: set[str],
    seconds: float,
    resumed_after: int = 0,
) -> None:
    """Prints how the run ended, what is odd about it, where the results are, and what to do with them."""
    reached, ceiling = history.global_value, history.central_accuracy
    rounds = f"{history.num_rounds} round{'s' * (history.num_rounds != 1)}"
    if resumed_after:
        rounds += f" ({history.num_rounds - resumed_after} of them now)"
    click.echo(
        f"\nglobal {history.primary.label} {shown(history, reached)}, central ceiling {shown(history, ceiling)} "
        f"({distance(history, reached, ceiling)}), {rounds}, {seconds:.0f} s"
    )
    if history.baseline is not None:
        click.echo(baseline_line(history, called(experiment.modality, 1)))
    for remark in _oddities(options, experiment, history):
        click.echo(remark)
    written = [name for name in _RESULTS if name.strip("/") not in missing]
    click.echo(f"Results in {output}/: {', '.join(written) or 'none'}")
    if history.status == "stopped":
        click.echo(f"Stopped after round {history.num_rounds} of {options.num_rounds}. Go on with:")
        click.echo(options.command_to_resume(output))
        return
    if "accuracy.png" in written:
        click.echo(f"Next: open {output / 'accuracy.png'}")
    if "model/" in written:
        from fedlearn_edu.simulation.export_readme import usage  # imports TensorFlow, for which --help does not wait

        task = experiment.clients.task
        what = {"image": "an image", "text": "a text", "table": "a row"}[experiment.modality]
        done = "Predict the number for" if task.kind == "regression" else "Classify"
        click.echo(f"{done} {what} of your own, in Python ({our_python()}):")
        lines = usage(output / "model", encoder=experiment.encoder, task=task).splitlines()
        if len(lines) > _MOST_LINES:
            lines = [f"see {output / 'model' / 'README.md'}, which has a line for each column"]
        click.echo("".join(f"  {line}\n" for line in lines), nl=False)


def _oddities(options: DemoOptions, experiment: Experiment, history: fl.History) -> list[str]:
    remarks, examples = [], called(experiment.modality)
    reached, ceiling = history.global_value, history.central_accuracy
    loss = history.global_metrics()["loss"]
    first, last = (f"{value:.1f}" if history.primary.is_share else four_digits(value) for value in loss.iloc[[0, -1]])
    if not loss.iloc[-1] <= loss.iloc[0]:
        lower = f"{options.client_lr / 10:.1g}"
        remarks.append(
            f"The loss rose from {first} to {last}: the learning rate {options.client_lr:g} is "
            f"too large for these {examples}; try --client-lr {lower} and another --output"
        )
    elif history.baseline is not None and not is_better(history, ceiling, history.baseline):
        remarks.append(
            f"The ceiling is no better than always the same answer: these {examples} tell a linear head nothing of "
            "what is asked, or are too few"
        )
    elif is_far(history) and _steps_have_a_size(options, history):
        remarks.append(
            f"Far above its ceiling: {options.algorithm} moves each weight by about the same in every round, however "
            f"large the numbers are; with --algorithm unweighted_fed_avg the steps follow them"
        )
    elif experiment.num_test < _FEW_TO_TELL:
        remarks.append(
            f"With {experiment.num_test} test {examples} no figure here tells anything; it takes more {examples}"
        )
    elif (swing := _largest_swing(history)) > _FAR_SWING:
        remarks.append(
            f"{history.primary.label} fell by up to {100 * swing:.0f} points from one round to the next, so that the "
            f"last one says little: try --client-lr {options.client_lr / 3:.1g} and another --output"
        )
    elif history.status != "stopped" and is_far(history):
        rounds = f"more rounds (--rounds {4 * options.num_rounds})"
        below = "below" if history.primary.higher_is_better else "above"
        remarks.append(
            f"Far {below} its ceiling: clients that are alike need {rounds}, or a higher --client-lr"
            if options.partition == "iid"
            else f"Far {below} its ceiling: where clients are unlike or have few {examples}, it takes {rounds}; "
            "--partition iid shows what becomes of alike ones"
        )
    elif is_better(history, reached, ceiling):
        num_test, above = experiment.num_test, "Above" if history.primary.higher_is_better else "Below"
        remarks.append(
            f"{above} its ceiling by chance, with {num_test:,} test {examples}, or the ceiling has not learned all it "
            "could; compare several seeds (--seed 1, 2, ...)"
        )
    return remarks


def _largest_swing(history: fl.History) -> float:
    """Returns by how much a share fell at most from one evaluation to the next, after the first rounds; 0 to 1."""
    if not history.primary.is_share:
        return 0.0
    values = history.global_metrics()[history.primary.name].dropna()
    return max(0.0, float(-values[values.index > history.num_rounds // 3].diff().min())) if len(values) > 3 else 0.0


def _steps_have_a_size(options: DemoOptions, history: fl.History) -> bool:
    """Whether the server's steps are those of Adam or the like, and what is predicted is a number of any size."""
    return not history.primary.is_share and by_name(options.algorithm).family == "server optimizer"
