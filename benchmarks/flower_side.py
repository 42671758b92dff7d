"""Flower's side of benchmarks/flower.py, run in an environment of its own: rounds of FedAvg in Flower's simulation.

It needs NumPy, Flower, psutil and, for one kind of client, TensorFlow; nothing of this package. `flower.py` puts the
clients' examples, the order in which each round visits them, and the settings into a folder. Before each round this
program waits for a line on standard input; after it, it prints the round's seconds and CPU seconds. The weights at the
end are left in the folder.

Ray's workers import this module by its name, so that its code does not travel with every message.
"""

import functools
import json
import os
import pathlib
import sys
import time

import numpy as np


def main(folder: str) -> None:
    import flwr

    settings = json.loads(pathlib.Path(folder, "settings.json").read_text())
    flwr.simulation.start_simulation(
        client_fn=functools.partial(make_client, folder),
        num_clients=settings["num_clients"],
        config=flwr.server.ServerConfig(num_rounds=settings["num_rounds"]),
        strategy=metered_strategy(settings, folder),
        client_resources={"num_cpus": 1, "num_gpus": 0.0},
        ray_init_args={"include_dashboard": False, "log_to_driver": False, "num_cpus": os.cpu_count()},
    )


class Meter:
    """Waits until a round may start, and reports what it took."""

    def __init__(self, settings, folder):
        self._settings, self._folder = settings, folder

    def start(self) -> None:
        if not sys.stdin.readline():
            raise SystemExit("nobody is waiting for this round any more")
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()

    def stop(self, num_results: int, weights) -> None:
        seconds, cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu
        if num_results != self._settings["num_clients"]:
            raise SystemExit(f"{num_results} of {self._settings['num_clients']} clients answered")
        np.savez(pathlib.Path(self._folder, "weights.npz"), *weights)
        print(json.dumps([seconds, cpu]), flush=True)


def cpu_seconds() -> float:
    """What this process and all below it (Ray's workers and services) have computed so far."""
    import psutil

    this = psutil.Process()
    times = [process.cpu_times() for process in [this, *this.children(recursive=True)]]
    return sum(t.user + t.system for t in times)


def initial_weights(settings):
    shapes = [settings["feature_dim"], settings["num_classes"]], [settings["num_classes"]]
    return [np.zeros(shape, np.float32) for shape in shapes]


def metered_strategy(settings, folder):
    """Flower's own FedAvg, metered."""
    from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server.strategy import FedAvg

    meter = Meter(settings, folder)

    class MeteredFedAvg(FedAvg):
        def configure_fit(self, *args, **kwargs):
            meter.start()
            return super().configure_fit(*args, **kwargs)

        def aggregate_fit(self, server_round, results, failures):
            parameters, metrics = super().aggregate_fit(server_round, results, failures)
            meter.stop(len(results), parameters_to_ndarrays(parameters) if results else failures)
            return parameters, metrics

    num_clients = settings["num_clients"]
    return MeteredFedAvg(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=num_clients,
        min_available_clients=num_clients,
        initial_parameters=ndarrays_to_parameters(initial_weights(settings)),
        on_fit_config_fn=lambda server_round: {"round": server_round},
    )


def make_client(folder, context):
    from flwr.client import NumPyClient

    class FlowerClient(NumPyClient):
        def fit(self, parameters, config):
            weights, num_examples = train(folder, context, parameters, config["round"])
            return weights, num_examples, {}

    return FlowerClient().to_client()


def train(folder, context, parameters, round_num):
    settings, features, labels, orders = load(folder)
    partition = int(context.node_config["partition-id"])
    order = orders[round_num - 1, partition]
    x, y = features[partition][order], labels[partition][order]
    train_with = {"keras": train_with_keras, "numpy": train_with_numpy}[settings["client"]]
    return train_with(settings, parameters, x, y), len(y)


@functools.lru_cache(maxsize=1)
def load(folder: str):
    """Once per worker process: the settings, all clients' examples (memory-mapped), and every round's orders."""
    arrays = [np.load(pathlib.Path(folder, f"{name}.npy"), mmap_mode="r") for name in ("features", "labels", "orders")]
    return json.loads(pathlib.Path(folder, "settings.json").read_text()), *arrays


def train_with_keras(settings, parameters, x, y):
    """As Flower's TensorFlow tutorial: a new compiled Keras model for every client, then `fit`; here with our head."""
    import keras

    model = keras.Sequential([keras.Input([settings["feature_dim"]]), keras.layers.Dense(settings["num_classes"])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(settings["client_lr"]), loss, metrics=["accuracy"])
    model.set_weights(parameters)
    model.fit(x, y, epochs=1, batch_size=settings["batch_size"], shuffle=False, verbose=0)
    return model.get_weights()


def train_with_numpy(settings, parameters, x_all, y_all):
    """The same steps in plain NumPy: nothing is quicker for so small a head."""
    w, b = (np.array(p) for p in parameters)
    lr, batch_size = np.float32(settings["client_lr"]), settings["batch_size"]
    for start in range(0, len(y_all), batch_size):
        x, y = x_all[start : start + batch_size], y_all[start : start + batch_size]
        logits = x @ w + b
        logits -= logits.max(axis=1, keepdims=True)
        slope = np.exp(logits)
        slope /= slope.sum(axis=1, keepdims=True)
        slope[np.arange(len(y)), y] -= 1
        slope /= len(y)
        w -= lr * (x.T @ slope)
        b -= lr * slope.sum(axis=0)
    return [w, b]
