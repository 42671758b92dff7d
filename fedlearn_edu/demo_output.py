"""What a demo run prints: a line a round, the clients that matter, how it ended and what to do next."""

from __future__ import annotations

import pathlib

import click

import fedlearn_edu as fl
from fedlearn_edu.demo_options import DemoOptions
from fedlearn_edu.demo_setup import Experiment
from fedlearn_edu.simulation.history import GLOBAL
from fedlearn_edu.terminal import our_python

_BAR = 24
_WORST, _BEST = 5, 3
_FAR_BELOW = 0.2  # share of all images
_TRAFFIC = ("broadcast_bytes_total", "upload_bytes_total")
_RESULTS = ("history.csv", "summary.json", "accuracy.png", "model/")


class RoundLines:
    """Prints a line a round under the names of the columns; of the rounds before, it keeps what it needs of them."""

    def __init__(self):
        self._num_rows, self._traffic, self._first, self._latest = 0, 0.0, None, {}
        click.echo("round  global accuracy, bar to ceiling      loss  worst client  best client  traffic so far")

    def print(self, history: fl.History) -> None:
        """Prints the newest round. The bar is empty at round 0's accuracy and full at the ceiling's."""
        new = history.rows[self._num_rows :]
        self._num_rows += len(new)
        self._traffic += sum(value for _, _, metric, value in new if metric in _TRAFFIC)
        for _, client_id, metric, value in new:
            if client_id == GLOBAL:
                self._latest[metric] = value
                if metric == "accuracy" and self._first is None:
                    self._first = value
        accuracy, clients = self._latest["accuracy"], history.last_client_metric("accuracy")
        room = history.central_accuracy - self._first
        share = (accuracy - self._first) / room if room > 0 else accuracy
        bar = "█" * round(min(max(share, 0.0), 1.0) * _BAR)
        columns = [
            f"{history.num_rounds:5d}",
            f"{accuracy:6.1%} {bar:<{_BAR}}",
            f"{self._latest['loss']:9.3f}",
            f"{clients.min():12.1%}",
            f"{clients.max():11.1%}",
            f"{self._traffic / 1e6:11.1f} MB",
        ]
        click.echo("  ".join(columns))


def print_clients(history: fl.History) -> None:
    """Prints the worst and the best clients; all, if they are few."""
    table = history.client_table()
    left_out = len(table) - _WORST - _BEST
    shown = f"the {_WORST} worst and the {_BEST} best of {len(table)} clients (all in history.csv; gain: since round 0)"
    click.echo(f"\nAfter round {history.num_rounds}, {shown if left_out > 0 else 'every client, worst first'}:")
    click.echo("client_id         accuracy    gain  rounds trained")
    for number, (client_id, row) in enumerate(table.iterrows()):
        if left_out > 0 and _WORST <= number < _WORST + left_out:
            if number == _WORST:
                click.echo("...")
            continue
        name = client_id if len(client_id) <= 16 else client_id[:15] + "…"
        click.echo(f"{name:<16}  {row.accuracy:8.1%} {row.gain:+7.1%}  {row.rounds_trained:14.0f}")


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
    # As they are printed, the numbers can be subtracted by whoever reads them.
    reached, ceiling = (round(100 * value, 1) for value in (history.global_accuracy, history.central_accuracy))
    rounds = f"{history.num_rounds} round{'s' * (history.num_rounds != 1)}"
    if resumed_after:
        rounds += f" ({history.num_rounds - resumed_after} of them now)"
    click.echo(
        f"\nglobal accuracy {reached:.1f}%, central ceiling {ceiling:.1f}% "
        f"({_distance(reached, ceiling)}), {rounds}, {seconds:.0f} s"
    )
    if history.baseline is not None:
        click.echo(f"always the commonest class: {history.baseline:.1%} (a model that looks at no image reaches that)")
    for remark in _oddities(options, experiment, history, reached > ceiling):
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
        from fedlearn_edu.simulation.export import usage  # imports TensorFlow, for which --help does not wait

        click.echo(f"Classify an image of your own, in Python ({our_python()}):")
        click.echo("".join(f"  {line}\n" for line in usage(output / "model").splitlines()), nl=False)


def _distance(reached: float, ceiling: float) -> str:
    if reached == ceiling:
        return "equal to it"
    return f"{abs(ceiling - reached):.1f} points {'below' if ceiling > reached else 'above'} it"


def _oddities(options: DemoOptions, experiment: Experiment, history: fl.History, is_above: bool) -> list[str]:
    remarks = []
    loss = history.global_metrics()["loss"]
    if not loss.iloc[-1] <= loss.iloc[0]:
        lower = f"{options.client_lr / 10:.1g}"
        remarks.append(
            f"The loss rose from {loss.iloc[0]:.1f} to {loss.iloc[-1]:.1f}: the learning rate {options.client_lr:g} is "
            f"too large for these images; try --client-lr {lower} and another --output"
        )
    elif history.status != "stopped" and history.central_accuracy - history.global_accuracy > _FAR_BELOW:
        rounds = f"more rounds (--rounds {4 * options.num_rounds})"
        remarks.append(
            f"Far below its ceiling: clients that are alike need {rounds}, or a higher --client-lr"
            if options.partition == "iid"
            else f"Far below its ceiling: clients that are so unlike, or have so few images, need {rounds}; "
            "--partition iid shows what becomes of alike ones"
        )
    elif is_above:
        num_test = experiment.num_test
        remarks.append(
            f"Above its ceiling by chance, with {num_test:,} test images, or the ceiling has not learned all it could; "
            "compare several seeds (--seed 1, 2, ...)"
        )
    return remarks
