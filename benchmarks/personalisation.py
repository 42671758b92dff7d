"""Personal models against one for all, client by client.

    python benchmarks/personalisation.py run      # all runs, and what PersonalisationExplorer shows
    python benchmarks/personalisation.py table    # the table again, from the runs on disk

The setting: the bundled backbone's features; Fashion over 50 clients (Dirichlet; 10 in each round) and emoji over 12
(Dirichlet within each vendor; 6 in each round), 30 rounds of one local epoch in batches of 20, learning rate 0.05
everywhere. The global model is a linear head by federated averaging; "fine-tuned" goes on from it on each client,
"local alone" takes as many local epochs as a client takes part in rounds, on average, from scratch and without help.
Ditto's models are linear heads too; FedPer and FedRep share the hidden layer of an MLP head and keep the last layer,
and are to be compared with fine-tuning all of that head. A seed decides the clients, the cohorts and the order of the
examples. Nothing was tuned.

Interrupted, `run` goes on with the runs that are missing.
"""

from __future__ import annotations

import functools
import pathlib

import click
import pandas as pd
from paired import describe_differences
from stored_runs import StoredRuns
from tqdm import tqdm

import fedlearn_edu as fl
from fedlearn_edu.simulation.stored_runs import describe_run, with_labels

RUNS = pathlib.Path(__file__).parent.parent / "fedlearn_edu" / "simulation" / "assets" / "personalisation_runs.csv"
CONCENTRATIONS = [100.0, 1.0, 0.1]
NUM_CLIENTS = {"fashion": 50, "emoji": 12}
CLIENTS_PER_ROUND = {"fashion": 10, "emoji": 6}
ROUNDS, BATCH_SIZE, LEARNING_RATE = 30, 20, 0.05
KEYS = ["dataset", "concentration", "seed"]
METHOD = ["head", "method_name", "method_parameter", "method_value"]
COLUMNS = [*KEYS, *METHOD, "client_id", "num_train", "accuracy"]


GLOBAL = ("global_model", None, None)


def fine_tuned(num_epochs: int) -> tuple:
    """Returns name, parameter and value of fine-tuning, as the columns of the file have them."""
    return "fine_tuned", "num_epochs", num_epochs


@functools.lru_cache(maxsize=1)
def make_features(name: str, concentration: float, seed: int) -> fl.FederatedDataset:
    dataset = fl.load_dataset(name)
    scheme = fl.Dirichlet if dataset.natural_client_ids is None else fl.NaturalDirichlet
    clients = fl.partition(dataset, scheme(concentration), num_clients=NUM_CLIENTS[name], seed=seed)
    return fl.extract_features(clients, fl.load_backbone("bundled"))


def run_linear(name: str, concentration: float, seed: int):
    """Yields `(head, name, parameter, value)` of each method on a linear head, and its accuracies by client id."""
    features = make_features(name, concentration, seed)
    model = fl.linear_head(features)
    averaged = train(name, features, fl.build_unweighted_fed_avg(model, client_lr=LEARNING_RATE), seed)
    tuned = tune(model, features, averaged.model_weights, 1, seed)
    yield ("linear", *GLOBAL), tuned["before"]
    yield ("linear", *fine_tuned(1)), tuned["after"]
    yield ("linear", *fine_tuned(5)), tune(model, features, averaged.model_weights, 5, seed)["after"]
    yield (
        ("linear", "local_alone", None, None),
        tune(model, features, model.initial_weights[0], mean_epochs(name), seed)["after"],
    )
    ditto = train(name, features, fl.build_ditto(model, client_lr=LEARNING_RATE, regularization_strength=1.0), seed)
    yield ("linear", "ditto", "regularization_strength", 1.0), fl.before_and_after(ditto)["after"]


def run_mlp(name: str, concentration: float, seed: int):
    """Yields the same of the methods on an MLP head."""
    features = make_features(name, concentration, seed)
    model = fl.mlp_head(features, seed=seed)
    averaged = train(name, features, fl.build_unweighted_fed_avg(model, client_lr=LEARNING_RATE), seed)
    tuned = tune(model, features, averaged.model_weights, 5, seed)
    yield ("mlp", *GLOBAL), tuned["before"]
    yield ("mlp", *fine_tuned(5)), tuned["after"]
    per = train(name, features, fl.build_fed_per(model, client_lr=LEARNING_RATE), seed)
    yield ("mlp", "fed_per", None, None), fl.before_and_after(per)["after"]
    rep = train(name, features, fl.build_fed_rep(model, client_lr=LEARNING_RATE, head_epochs=5), seed)
    yield ("mlp", "fed_rep", "head_epochs", 5), fl.before_and_after(rep)["after"]


def mean_epochs(name: str) -> int:
    """Returns how often a client takes part in a run, on average."""
    return round(ROUNDS * CLIENTS_PER_ROUND[name] / NUM_CLIENTS[name])


def tune(model, features, weights, num_epochs: int, seed: int) -> pd.DataFrame:
    return fl.fine_tune_locally(
        model, features, weights, num_epochs=num_epochs, client_lr=LEARNING_RATE, batch_size=BATCH_SIZE, seed=seed
    )


def train(name: str, features, process, seed: int):
    return fl.run_rounds(
        process,
        features,
        num_rounds=ROUNDS,
        clients_per_round=CLIENTS_PER_ROUND[name],
        batch_size=BATCH_SIZE,
        evaluate_every=ROUNDS,
        seed=seed,
        progress=False,
    )


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per data set and method, a column per concentration; what a cell holds, `report` says."""
    rows = {}
    for (name, concentration, _seed), here in runs.groupby(KEYS):
        accuracies = here.pivot(index="client_id", columns="method", values="accuracy")
        for head in here["head"].unique():  # a personal model is compared with the global one on the same head
            start = describe_run("method", "global_model", head=head)
            methods = [m for m in here.loc[here["head"] == head, "method"].unique() if m != start]
            others = {method: accuracies[method] for method in methods}
            table = fl.fairness_table(accuracies[start], others).rename({"before": start})
            for method, line in table.iterrows():
                cell = rows.setdefault((name, method), {}).setdefault(concentration, [])
                cell.append((line["mean"], line["worst_decile"], line["num_worse"] / line["num_clients"]))
    text = {
        row: {c: _cell(pd.DataFrame(cells[c])) for c in CONCENTRATIONS if c in cells} for row, cells in rows.items()
    }
    return pd.DataFrame(text).T


def _cell(seeds: pd.DataFrame) -> str:
    mean, worst, worse = 100 * seeds.mean()
    return f"{mean:.1f} ± {100 * seeds[0].std():.1f} / {worst:.1f} / {worse:.0f}"


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("run")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--anew", is_flag=True, help="Forget the runs on disk.")
def run(seeds, anew):
    """All runs; those that are on disk are not made again."""
    runs = StoredRuns(RUNS, COLUMNS, [*KEYS, *METHOD, "client_id"], anew=anew)
    made = runs.made(*KEYS, "head")
    keys = [(d, c, s) for s in range(1, seeds + 1) for d in NUM_CLIENTS for c in CONCENTRATIONS]
    makers = {"linear": run_linear, "mlp": run_mlp}
    wanted = [(k, make) for k in keys for head, make in makers.items() if (*k, head) not in made]
    for run_keys, make in tqdm(wanted, unit="federation"):
        num_train = {client_id: len(split.train) for client_id, split in make_features(*run_keys).clients.items()}
        runs.add(
            [
                (*run_keys, *method, client_id, num_train[client_id], accuracy)
                for method, accuracies in make(*run_keys)
                for client_id, accuracy in accuracies.dropna().items()
            ]
        )
    report(with_labels(runs.table))


@main.command("table")
def table():
    """The table from the runs on disk."""
    report(with_labels(pd.read_csv(RUNS)))


def report(runs: pd.DataFrame) -> None:
    print("Mean accuracy over clients ± standard deviation over seeds / mean of the worst tenth of the clients /")
    print("clients that are worse off than with the global model on the same head; all in %, by concentration")
    print(summarise(runs).to_string())
    compared = [describe_run("method", name, head="mlp") for name in ("fed_per", "fed_rep")]
    rival = describe_run("method", "fine_tuned", 5, "mlp")
    num_comparisons = len(compared) * len(NUM_CLIENTS) * len(CONCENTRATIONS)
    print(f"\nLess fine-tuning for 5 epochs on the same head and seed, in points; {num_comparisons} comparisons")
    means = runs.groupby([*KEYS, "method"])["accuracy"].mean().unstack("method").mul(100)
    for (name, concentration), here in means.groupby(["dataset", "concentration"], sort=False):
        for method in compared:
            differences = here[method] - here[rival]
            print(f"{name}, concentration {concentration:g}, {method}: {describe_differences(differences)}")


if __name__ == "__main__":
    main()
