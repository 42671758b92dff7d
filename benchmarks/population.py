"""Rounds with 10,000 clients held against rounds with 100 clients held, 100 sampled a round in both.

    python benchmarks/population.py
    python benchmarks/population.py --held 10000 --rounds 15

Each number of clients has a Python process and a TFF worker of its own. Both hold seeded noise, 20 training and 4 test
examples x 1280 features a client (10,000 clients: 1.2 GB in memory, and as much on disk until the end), and run
`fl.iter_rounds` of unweighted FedAvg of a linear head. Their rounds alternate, so that both meet the same machine.

Timed is a whole training round as `run_rounds` does it: drawing the cohort, training it, aggregating, recording, and
reading the history for the progress bar. Not timed: set-up (writing the clients' files) and evaluation, which asks all
clients held and so grows with them; it happens before the first round (and, with `evaluate_every`, as often as wished).
Both are printed beside it.

Memory is the peak of the resident set over the whole life of a process, set-up and evaluation included. The clients'
examples lie in the memory of the main process, and nobody can hold 10,000 clients in the room of 100: the peak is given
as it is and net of those examples. The ratio that counts is that of main process (net) and worker together.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import click
import numpy as np

FEATURE_DIM, NUM_CLASSES, NUM_TRAIN, NUM_TEST = 1280, 10, 20, 4
LARGEST_RATIO = 1.2


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--held", default=10_000, show_default=True, type=click.IntRange(1), help="The many clients.")
@click.option("--sampled", default=100, show_default=True, type=click.IntRange(1), help="A round; and the few clients.")
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1), help="Timed ones, of each.")
@click.option("--child", is_flag=True, hidden=True)
def main(held, sampled, rounds, child):
    if child:
        return run_child(held, sampled)
    few, many = Side(sampled, sampled), Side(held, sampled)
    for _ in range(rounds):
        few.run_round()
        many.run_round()
    for side in (few, many):
        side.finish()
        print(
            f"{side.held:6d} held: a round {side.median * 1e3:7.1f} ms (median of {rounds}), set-up and first "
            f"evaluation {side.setup_seconds:.1f} s; peak memory: main {side.main:.0f} MB, of which examples "
            f"{side.examples:.0f} MB, worker {side.worker:.0f} MB"
        )
    print(f"{sampled} sampled a round; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    time_ratio, memory_ratio = many.median / few.median, many.net / few.net
    print(
        f"ratio time {time_ratio:.2f}x, memory {memory_ratio:.2f}x net of the examples "
        f"(main {(many.main - many.examples) / (few.main - few.examples):.2f}x, worker "
        f"{many.worker / few.worker:.2f}x), {(many.main + many.worker) / (few.main + few.worker):.2f}x with them"
    )
    if max(time_ratio, memory_ratio) > LARGEST_RATIO:
        raise SystemExit(f"more than {LARGEST_RATIO}x")


class Side:
    """A child process that holds so many clients and runs a round when told."""

    def __init__(self, held: int, sampled: int):
        self.held, self.seconds = held, []
        command = [sys.executable, __file__, "--child", f"--held={held}", f"--sampled={sampled}"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.setup_seconds = self._ask("setup")
        self._ask("round")  # warms up: the worker optimises its graph when it first runs it

    def _ask(self, command: str):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process with {self.held} clients ended with code {self._process.wait()}")
        return json.loads(answer)

    def run_round(self) -> None:
        self.seconds.append(self._ask("round"))

    def finish(self) -> None:
        self.main, self.worker, self.examples = self._ask("memory")
        self._process.stdin.close()
        self._process.wait()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def net(self) -> float:
        """Peak memory of both processes in MB without the examples."""
        return self.main - self.examples + self.worker


def run_child(held: int, sampled: int) -> None:
    """Answers each line on standard input with a line of JSON: the seconds it took, or megabytes."""
    import fedlearn_edu as fl

    worker = fl.start_runtime()
    features = make_features(held, seed=0)
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.05)
    options = dict(num_rounds=10**6, evaluate_every=10**6, clients_per_round=sampled)
    rounds = fl.iter_rounds(process, features, **options)
    for line in sys.stdin:
        if line.strip() == "memory":
            answer = [peak_megabytes("self"), peak_megabytes(worker.pid), features.examples.nbytes / 2**20]
        else:
            started = time.perf_counter()
            history = next(rounds)
            _ = history.num_rounds, history.global_accuracy  # what a progress bar shows
            answer = time.perf_counter() - started
        print(json.dumps(answer), flush=True)


def make_features(num_clients: int, *, seed: int):
    """Seeded noise: what is in the features does not change the time."""
    import fedlearn_edu as fl

    rng = np.random.default_rng(seed)
    size = NUM_TRAIN + NUM_TEST
    features = np.empty([num_clients * size, FEATURE_DIM], np.float32)
    rng.standard_normal(dtype=np.float32, out=features)
    labels = rng.integers(0, NUM_CLASSES, len(features), dtype=np.int32)
    clients = {}
    for i in range(num_clients):
        rows = np.arange(i * size, (i + 1) * size)
        clients[f"client_{i:05d}"] = fl.ClientSplit(train=rows[:NUM_TRAIN], test=rows[NUM_TRAIN:])
    return fl.FederatedDataset("noise", features, labels, tuple(map(str, range(NUM_CLASSES))), clients)


def peak_megabytes(pid) -> float:
    """The largest resident set that a process has had so far."""
    status = pathlib.Path("/proc", str(pid), "status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    main()
