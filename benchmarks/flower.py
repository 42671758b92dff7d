"""A client's round here against the same client's round in Flower's simulation, alternating in one run.

    python benchmarks/flower.py
    python benchmarks/flower.py --rounds 9 --client numpy

The work is equal: every round 100 clients with 100 x 1280 features each (seeded noise) train a linear softmax head of
10 classes, 5 SGD steps of 20 examples in the same order, and their models are averaged (all hold as many examples, so
that the weighted mean is the plain one). The weights after the last round must agree. Evaluation and start-up are left
out on both sides, and so is the first round, which warms up.

Ours is `fl.iter_rounds`. Flower (Ray backend, logging off) runs in two ways:

- `keras`: the client of its TensorFlow tutorial, which builds and compiles a Keras model and calls `fit`, with our head
  in place of the tutorial's network.
- `numpy`: Flower at its best that we found: a client that does the same arithmetic in plain NumPy on memory-mapped
  examples, so that what remains is Flower itself.

Both have one Ray actor of 1 CPU on every core. The rounds run by `flwr.simulation.start_simulation`, which calls its
actors directly; Flower's other way, `run_simulation`, looks for answers every 0.1 s. Flower and what it needs are
installed in the versions below into an environment of their own (`--environment`, kept from run to run), by `uv` if it
is on the PATH, else by `venv` and `pip`.

Ratios by the clock and of the CPU seconds of all processes, which a busy machine disturbs less, though it cannot show
time that is spent waiting.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import click
import numpy as np
import psutil

import fedlearn_edu as fl
from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.simulation.client_data import ClientFiles, build_train_computation

FEATURE_DIM, NUM_CLASSES, NUM_EXAMPLES, BATCH_SIZE, CLIENT_LR, SEED = 1280, 10, 100, 20, 0.05, 0
REQUIREMENTS = ["flwr[simulation]==1.13.1", "tensorflow-cpu==2.19.1", "numpy==2.1.3", "psutil==7.2.2"]
LARGEST_DIFFERENCE = 1e-4  # of the largest weight
GOAL = 100
HERE = pathlib.Path(__file__).parent


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--clients", default=100, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Timed ones, of each way.")
@click.option(
    "--client",
    "ways",
    type=click.Choice(["keras", "numpy"]),
    multiple=True,
    default=["keras", "numpy"],
    show_default=True,
    help="Flower's client.",
)
@click.option(
    "--environment", type=click.Path(path_type=pathlib.Path), help="Folder. [default: in the package's cache]"
)
def main(clients, rounds, ways, environment):
    python = flower_python((environment or cache_root() / "flower_environment").absolute())
    versions = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{clients} clients x {NUM_EXAMPLES} x {FEATURE_DIM} features, {NUM_EXAMPLES // BATCH_SIZE} steps each")
    print(f"Flower's environment: {versions}")
    features = make_features(clients, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        write_examples(features, rounds + 1, pathlib.Path(folder))
        for way in ways:
            compare(features, rounds, way, python, pathlib.Path(folder))


VERSIONS = """
from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("flwr", "ray", "numpy", "tensorflow-cpu", "keras")))
"""


class Ours:
    """`fl.iter_rounds` of weighted federated averaging over all clients, one round at a time."""

    def __init__(self, features, num_rounds: int):
        process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=CLIENT_LR)
        # One round more than is run: the last round would be evaluated.
        options = dict(num_rounds=num_rounds + 1, evaluate_every=num_rounds + 1, batch_size=BATCH_SIZE, seed=SEED)
        self._rounds = fl.iter_rounds(process, features, clients_per_round=features.num_clients, **options)
        next(self._rounds)  # before training
        self._processes = [psutil.Process(), psutil.Process(fl.start_runtime().pid)]

    def run_round(self) -> tuple[float, float]:
        """Returns the seconds and CPU seconds of one round."""
        cpu, wall = self._cpu_seconds(), time.perf_counter()
        self._history = next(self._rounds)
        return time.perf_counter() - wall, self._cpu_seconds() - cpu

    def _cpu_seconds(self) -> float:
        return sum(t.user + t.system for t in (process.cpu_times() for process in self._processes))

    @property
    def weights(self) -> list[np.ndarray]:
        return self._history.model_weights


class Flower:
    """`flower_side.py` running in Flower's environment, one round at a time; used in a `with` statement."""

    def __init__(self, python: str, folder: pathlib.Path, settings: dict):
        self._folder = folder
        (folder / "settings.json").write_text(json.dumps(settings))
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._log = open(folder / "log.txt", "w")  # noqa: SIM115 - closed at the end of the `with` statement
        self._process = subprocess.Popen(
            [python, "-c", "import sys, flower_side; flower_side.main(sys.argv[1])", str(folder)],
            env=os.environ | quiet | {"PYTHONPATH": str(HERE), "CUDA_VISIBLE_DEVICES": ""},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def run_round(self) -> tuple[float, float]:
        """Returns the seconds and CPU seconds of one round."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            log = (self._folder / "log.txt").read_text()
            raise SystemExit(f"Flower ended with code {self._process.wait()}: {log[-2000:]}")
        return tuple(json.loads(answer))

    @property
    def weights(self) -> list[np.ndarray]:
        with np.load(self._folder / "weights.npz") as arrays:
            return [arrays[name] for name in arrays.files]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()  # Ray's processes end when their driver does
        self._log.close()


def settings_of(num_clients: int, num_rounds: int, client: str) -> dict:
    """Returns all that `flower_side.py` needs to know."""
    return {
        "client": client,
        "num_clients": num_clients,
        "num_rounds": num_rounds,
        "feature_dim": FEATURE_DIM,
        "num_classes": NUM_CLASSES,
        "batch_size": BATCH_SIZE,
        "client_lr": CLIENT_LR,
    }


def compare(features, num_rounds: int, client: str, python: str, folder: pathlib.Path) -> None:
    """Alternates rounds of both, prints medians and ratios, and ends the script if the weights disagree."""
    ours, seconds = Ours(features, num_rounds + 1), {"Flower": [], "ours": []}
    with Flower(python, folder, settings_of(features.num_clients, num_rounds + 1, client)) as flower:
        for round_num in range(num_rounds + 1):
            both = {"Flower": flower.run_round(), "ours": ours.run_round()}
            if round_num:  # the first warms up
                for name, measured in both.items():
                    seconds[name].append(measured)
        pairs = list(zip(ours.weights, flower.weights, strict=True))
    difference = max(np.abs(a - b).max() for a, b in pairs) / max(np.abs(a).max() for a, _ in pairs)
    medians = {name: np.median(measured, axis=0) * 1e3 / features.num_clients for name, measured in seconds.items()}
    for name, (wall, cpu) in medians.items():
        print(f"{client}: {name:6s} {wall:8.2f} ms, {cpu:8.2f} CPU ms per client and round (medians of {num_rounds})")
    wall, cpu = medians["Flower"] / medians["ours"]
    print(
        f"{client}: largest difference of the weights after {num_rounds + 1} rounds / largest weight: {difference:.1e}"
    )
    print(f"{client}: ratio {wall:.3g}x by the clock, {cpu:.3g}x in CPU time (goal {GOAL}x)", end="; ")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if not difference <= LARGEST_DIFFERENCE:
        raise SystemExit(f"the two disagree: {difference:.1e} is more than {LARGEST_DIFFERENCE:.0e}")


def flower_python(environment: pathlib.Path) -> str:
    """Returns the Python of an environment with Flower, made now if it is not there yet."""
    python, marker = environment / "bin" / "python", environment / "flower_requirements.txt"
    if marker.exists() and marker.read_text().split() == REQUIREMENTS:
        return str(python)
    if environment.exists() and not marker.exists():
        raise SystemExit(f"{environment} exists and was not made by this script; choose another --environment")
    shutil.rmtree(environment, ignore_errors=True)  # other versions, or an installation that broke off
    environment.mkdir(parents=True)
    marker.touch()
    uv = shutil.which("uv")
    print(f"installing {' '.join(REQUIREMENTS)} into {environment} with {'uv' if uv else 'pip'}", flush=True)
    commands = [[sys.executable, "-m", "venv", environment], [python, "-m", "pip", "install", *REQUIREMENTS]]
    if uv:
        commands = [[uv, "venv", "--allow-existing", "--python", sys.executable, environment]]
        commands += [[uv, "pip", "install", "--python", python, *REQUIREMENTS]]
    try:
        for command in commands:
            # Away from our pyproject.toml, whose overrides uv would apply here as well.
            subprocess.run(command, check=True, capture_output=True, text=True, cwd=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()[-600:]
        raise SystemExit(
            f"Flower cannot be installed, so there is nothing to compare (no network?): {reason}"
        ) from None
    marker.write_text("\n".join(REQUIREMENTS))
    return str(python)


def make_features(num_clients: int, *, seed: int) -> fl.FederatedDataset:
    """Seeded noise: what is in the features does not change the time."""
    rng = np.random.default_rng(seed)
    total = num_clients * NUM_EXAMPLES
    features = rng.standard_normal([total, FEATURE_DIM], dtype=np.float32)
    labels = rng.integers(0, NUM_CLASSES, total, dtype=np.int32)
    rows = np.split(np.arange(total), num_clients)
    clients = {f"client_{i:05d}": fl.ClientSplit(r, np.arange(0)) for i, r in enumerate(rows)}
    return fl.FederatedDataset("noise", features, labels, tuple(map(str, range(NUM_CLASSES))), clients)


def write_examples(features, num_rounds: int, folder: pathlib.Path) -> None:
    """Writes what Flower's clients read: everybody's examples, and in which order each round visits them."""
    shape = [features.num_clients, NUM_EXAMPLES]
    np.save(folder / "features.npy", features.examples.reshape([*shape, FEATURE_DIM]))
    np.save(folder / "labels.npy", features.labels.reshape(shape))
    np.save(folder / "orders.npy", orders(features, num_rounds))


def orders(features, num_rounds: int) -> np.ndarray:
    """Returns the order of every client's examples in every round of `iter_rounds`, `[round, client, example]`."""
    import tensorflow_federated as tff  # not earlier: fedlearn_edu makes TensorFlow quiet first

    fl.start_runtime()
    rows = np.arange(len(features.labels), dtype=np.int32)
    numbered = dataclasses.replace(features, examples=rows[:, None].astype(np.float32), labels=rows)
    files = ClientFiles(numbered)
    load = build_train_computation(1, num_epochs=1, batch_size=BATCH_SIZE)

    @tff.tensorflow.computation(load.type_signature.result)
    def visited(batches):
        return batches.unbatch().batch(NUM_EXAMPLES).get_single_element()[1]

    @tff.federated_computation(tff.FederatedType(load.type_signature.parameter, tff.CLIENTS))
    def visited_by_all(clients):
        return tff.federated_map(visited, tff.federated_map(load, clients))

    result = []
    for round_num in range(1, num_rounds + 1):
        seed = int(np.random.default_rng([SEED, round_num]).integers(2**31))  # as iter_rounds draws it
        found = visited_by_all(files.told(features.client_ids, shuffle_seed=seed))
        result.append(np.stack(found) % NUM_EXAMPLES)
    return np.stack(result)


if __name__ == "__main__":
    main()
