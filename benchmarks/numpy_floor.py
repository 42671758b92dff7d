"""A client's round in TFF against the same arithmetic in plain NumPy, measured alternately in one run.

    python benchmarks/numpy_floor.py
    python benchmarks/numpy_floor.py --clients 100 --examples 100 --repeats 15

Both ways do one round of unweighted FedAvg of a linear head from the same weights: every client trains on its
100 x 1280 features in the same order, 5 SGD steps of 20 examples, and the deltas are averaged. TFF does it as
`run_rounds` does: client ids go in, the worker reads each client's file, shuffles, trains and counts metrics. NumPy
does the arithmetic alone, on arrays in memory that lie in the order of the batches already: the floor.

The two alternate (NumPy, TFF, NumPy, TFF ...). Two ratios are printed: of the medians, and of the best times. On a busy
machine TFF's many threads get a larger share of the cores than NumPy's loop, which flatters TFF, so believe
the larger of the two, and the run on an idle machine. The weights of both ways must agree.
"""

import argparse
import os
import statistics
import time

import numpy as np

import fedlearn_edu as fl
from fedlearn_edu.simulation.client_data import ClientFiles, build_batches_computation
from fedlearn_edu.simulation.client_states import compose_with_client_files

FEATURE_DIM, NUM_CLASSES, BATCH_SIZE, CLIENT_LR, SHUFFLE_SEED = 1280, 10, 20, 0.05, 0
LARGEST_DIFFERENCE = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--examples", type=int, default=100, help="examples per client")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds of each way")
    arguments = parser.parse_args()
    fl.start_runtime()
    features = make_features(arguments.clients, arguments.examples, seed=0)
    tff_round, shuffled = build_tff_round(features)
    difference = max(np.abs(a - b).max() for a, b in zip(tff_round(), numpy_round(shuffled), strict=True))
    numpy_seconds, tff_seconds = [], []
    for _ in range(arguments.repeats):
        numpy_seconds.append(time_call(lambda: numpy_round(shuffled)))
        tff_seconds.append(time_call(tff_round))

    per_client = 1e3 / arguments.clients
    num_steps = -(-arguments.examples // BATCH_SIZE)
    print(f"{arguments.clients} clients x {arguments.examples} x {FEATURE_DIM} features, {num_steps} steps each")
    for name, seconds in [("numpy", numpy_seconds), ("tff", tff_seconds)]:
        median, best = statistics.median(seconds) * per_client, min(seconds) * per_client
        print(f"{name:6s} median {median:7.3f} ms, best {best:7.3f} ms per client and round")
    print(f"largest difference of the trained weights: {difference:.1e}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"ratio {statistics.median(tff_seconds) / statistics.median(numpy_seconds):.1f}x of the medians, "
        f"{min(tff_seconds) / min(numpy_seconds):.1f}x of the best"
    )
    if not difference <= LARGEST_DIFFERENCE:
        raise SystemExit(f"the two ways disagree: {difference:.1e} is more than {LARGEST_DIFFERENCE:.0e}")


def time_call(function) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def make_features(num_clients: int, num_examples: int, *, seed: int) -> fl.FederatedDataset:
    """Seeded noise: what is in the features does not change the time."""
    rng = np.random.default_rng(seed)
    total = num_clients * num_examples
    features = rng.normal(size=[total, FEATURE_DIM]).astype(np.float32)
    labels = rng.integers(0, NUM_CLASSES, total).astype(np.int32)
    rows = np.split(np.arange(total), num_clients)
    clients = {f"client_{i}": fl.ClientSplit(r, np.arange(0)) for i, r in enumerate(rows)}
    return fl.FederatedDataset("noise", features, labels, tuple(map(str, range(NUM_CLASSES))), clients)


def build_tff_round(features: fl.FederatedDataset):
    """Returns a function that runs one round and gives its weights, and the clients' examples as it orders them."""
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=CLIENT_LR)
    files = ClientFiles(features)
    load = build_batches_computation(FEATURE_DIM, num_epochs=1, batch_size=BATCH_SIZE)
    training = compose_with_client_files(process, FEATURE_DIM, num_epochs=1, batch_size=BATCH_SIZE)
    cohort = files.told(features.client_ids, shuffle_seed=SHUFFLE_SEED)
    state = training.initialize()

    def tff_round(files=files):  # the files live as long as the function
        new_state = training.next(state, cohort).state
        return [np.asarray(w) for w in new_state.global_model_weights.trainable]

    shuffled = []
    for client in cohort:
        batches = load(client)
        shuffled.append((batches.x[batches.order], batches.y[batches.order]))
    return tff_round, shuffled


def numpy_round(clients):
    """One round of unweighted FedAvg of softmax regression that starts at zero."""
    kernel, bias = np.zeros([FEATURE_DIM, NUM_CLASSES], np.float32), np.zeros(NUM_CLASSES, np.float32)
    kernel_sum, bias_sum = np.zeros_like(kernel), np.zeros_like(bias)
    for x_all, y_all in clients:
        w, b = kernel.copy(), bias.copy()
        for start in range(0, len(y_all), BATCH_SIZE):
            x, y = x_all[start : start + BATCH_SIZE], y_all[start : start + BATCH_SIZE]
            logits = x @ w + b
            logits -= logits.max(axis=1, keepdims=True)
            slope = np.exp(logits)
            slope /= slope.sum(axis=1, keepdims=True)
            slope[np.arange(len(y)), y] -= 1
            slope /= len(y)
            w -= CLIENT_LR * (x.T @ slope)
            b -= CLIENT_LR * slope.sum(axis=0)
        kernel_sum += kernel - w
        bias_sum += bias - b
    return kernel - kernel_sum / len(clients), bias - bias_sum / len(clients)


if __name__ == "__main__":
    main()
