"""Algorithms for unlike clients, side by side: trained heads and one-shot heads, from alike to each its own classes.

    python benchmarks/unlike_clients.py run      # all runs, docs/unlike_clients.png, and what AlgorithmRace shows
    python benchmarks/unlike_clients.py table    # the table again, from the runs on disk
    python benchmarks/unlike_clients.py tune     # how the learning rates below are chosen
    python benchmarks/unlike_clients.py tuned    # each at rates of its own for each data set, at the smallest
                                                 # concentration: docs/unlike_clients_tuned.csv
    python benchmarks/unlike_clients.py rates    # does a lead on FedAvg hang on them? docs/unlike_clients_rates.csv

The setting: a linear head on the bundled backbone's features; Fashion over 50 clients (Dirichlet; 8,000 images to train
on, 2,000 to test), 10 in each of 60 rounds, and emoji over 12 clients (Dirichlet within each vendor; 5,186 and 1,296),
6 in each of 60 rounds; one local epoch in batches of 20. A seed decides the clients, the cohorts and the order of the
examples; all algorithms see the same. One-shot heads take one round in which every client takes part.

The central ceiling is the same head trained on all clients' images in one place (`train_centrally`); it stands at round
0 and the one-shot heads at round 1.

All count clients alike, the only weighting that all of them have: with control variates or a dynamic regulariser there
is no other. (On Fashion, whose clients are equally large, it changes nothing.)

Interrupted, `run` and `tuned` go on with the runs that are missing; `run` also makes those again that are on disk with
another weighting.
"""

from __future__ import annotations

import functools
import pathlib

import click
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from paired import describe_differences
from stored_runs import StoredRuns, named_apart
from tqdm import tqdm

import fedlearn_edu as fl
from fedlearn_edu.learning import catalogue
from fedlearn_edu.learning.catalogue import by_name
from fedlearn_edu.simulation.fairness import worst_decile
from fedlearn_edu.simulation.stored_runs import CENTRAL, with_labels

REPOSITORY = pathlib.Path(__file__).parent.parent
RUNS = REPOSITORY / "fedlearn_edu" / "simulation" / "assets" / "algorithm_runs.csv"
RATES = REPOSITORY / "docs" / "unlike_clients_rates.csv"
TUNED = REPOSITORY / "docs" / "unlike_clients_tuned.csv"
WEIGHTING = "uniform"
CONCENTRATIONS = [100.0, 1.0, 0.3, 0.1]
NUM_CLIENTS = {"fashion": 50, "emoji": 12}
CLIENTS_PER_ROUND = {"fashion": 10, "emoji": 6}
ROUNDS, BATCH_SIZE = 60, 20
RECORDED = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, ROUNDS]
TUNING_SEED = 100
# Each trained head with the learning rates from which `tune` starts, and with which `run` trains.
TRAINED_ROWS = [
    ("weighted_fed_avg", {"client_lr": 0.05}),
    ("fed_prox", {"client_lr": 0.05, "proximal_strength": 0.1}),
    ("fed_nova", {"client_lr": 0.05}),
    ("scaffold", {"client_lr": 0.05}),
    ("fed_dyn", {"client_lr": 0.02, "regularization_strength": 0.1}),
    ("mime_lite", {"client_lr": 0.02, "momentum": 0.9}),
    ("fed_adam", {"client_lr": 0.05, "server_lr": 0.01}),
    ("fed_yogi", {"client_lr": 0.05, "server_lr": 0.01}),
    ("fed_adagrad", {"client_lr": 0.05, "server_lr": 0.03}),
    ("q_fed_avg", {"client_lr": 0.02, "q": 1.0}),
]
UNWEIGHTED = by_name("unweighted_fed_avg").label
ALL_TRAINED = {
    by_name(name).describe(arguments.get(by_name(name).parameter)): (by_name(name), arguments)
    for name, arguments in [*TRAINED_ROWS, ("unweighted_fed_avg", {})]
}
TRAINED = [label for label in ALL_TRAINED if label != UNWEIGHTED]
# Of both learning rates; far beyond any that is best, so that no search ends at an end.
STEPS = [float(f"{first}e{power}") for power in (-3, -2, -1, 0) for first in (1, 2, 3, 5)]
# What `rates` compares on emoji at the smallest concentration, each with its own default weighting.
COMPARED_RATES = {
    "FedAvg": [0.02, 0.05, 0.1, 0.2],
    UNWEIGHTED: [0.02, 0.05, 0.1, 0.2],
    "SCAFFOLD": [0.02, 0.05, 0.1],
    "FedDyn, 0.1": [0.01, 0.02, 0.05],
}
ONE_SHOT = {row.label: row for row in catalogue.ONE_SHOT}
COLOURS = ["#56b4e9", "#0072b2", "#e69f00", "#d55e00"]
KEYS = ["dataset", "algorithm", "concentration", "seed"]
ON_DISK = ["algorithm_name", "algorithm_parameter", "algorithm_value"]
KEYS_ON_DISK = ["dataset", *ON_DISK, "concentration", "seed"]
COLUMNS = [*KEYS_ON_DISK, "client_weighting", "round_num", "accuracy", "worst_decile"]
RATE_KEYS = [*ON_DISK, "client_lr", "seed"]
TUNED_KEYS = ["dataset", *ON_DISK, "client_lr", "server_lr", "seed"]


@functools.lru_cache(maxsize=1)
def federations(name: str, seed: int):
    """Returns the features by concentration."""
    dataset, clients_of = fl.load_dataset(name), {}
    scheme = fl.Dirichlet if dataset.natural_client_ids is None else fl.NaturalDirichlet
    for concentration in CONCENTRATIONS:
        clients = fl.partition(dataset, scheme(concentration), num_clients=NUM_CLIENTS[name], seed=seed)
        clients_of[concentration] = fl.extract_features(clients, fl.load_backbone("bundled"))
    return clients_of


def run_trained(name: str, algorithm: str, seed: int, concentrations=CONCENTRATIONS, **others):
    """Yields `(concentration, round_num, accuracy, worst decile)`, as all three do."""
    clients_of = federations(name, seed)
    row, arguments = ALL_TRAINED[algorithm]
    known = {"client_weighting": WEIGHTING, **arguments, **others, "num_clients": NUM_CLIENTS[name]}
    process = row.build(fl.linear_head(clients_of[CONCENTRATIONS[0]]), **known)
    for concentration in concentrations:
        history = fl.run_rounds(
            process,
            named_apart(clients_of[concentration], concentration),
            num_rounds=ROUNDS,
            clients_per_round=CLIENTS_PER_ROUND[name],
            batch_size=BATCH_SIZE,
            seed=seed,
            progress=False,
        )
        overall, per_client = history.global_metrics()["accuracy"], history.client_metric("accuracy")
        for round_num in RECORDED:
            yield concentration, round_num, overall[round_num], worst_decile(per_client[round_num].dropna())


def run_one_shot(name: str, algorithm: str, seed: int):
    for concentration, clients in federations(name, seed).items():
        result = fl.run_one_shot(ONE_SHOT[algorithm].load()(clients), clients)
        yield concentration, 1, result.accuracy, worst_decile(result.client_accuracy.values())


def run_centrally(name: str, algorithm: str, seed: int):
    for concentration, clients in federations(name, seed).items():
        result = fl.train_centrally(fl.linear_head(clients), clients, seed=seed)
        kernel, bias = result.model_weights
        scores = []
        for client_id in clients.client_ids:
            x, y = clients.test(client_id)
            if len(y):
                scores.append(np.mean((x @ kernel + bias).argmax(axis=1) == y))
        yield concentration, 0, result.accuracy, worst_decile(scores)


def on_disk(algorithm: str) -> tuple:
    """Returns name, parameter and value of an algorithm, as the columns of the file have them."""
    if algorithm == CENTRAL:
        return "central", None, None
    if algorithm in ONE_SHOT:
        return ONE_SHOT[algorithm].name, None, None
    row, arguments = ALL_TRAINED[algorithm]
    value = arguments.get(row.parameter)
    return row.name, None if value is None else row.parameter, value


def weighting_of(algorithm: str) -> str | None:
    """Returns how the clients of a run count; None where nothing is averaged."""
    return WEIGHTING if algorithm in ALL_TRAINED else None


def at_the_end(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns the last record of every run."""
    return runs.sort_values("round_num", kind="stable").groupby(KEYS, as_index=False).last()


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per data set and algorithm: accuracy by concentration, and at the smallest one more of it."""
    runs = at_the_end(runs)
    cells = runs.groupby(["dataset", "algorithm", "concentration"])["accuracy"].agg(["mean", "std"])
    text = cells.apply(lambda cell: f"{100 * cell['mean']:.1f} ± {100 * cell['std']:.1f}", axis=1)
    order = [CENTRAL, *ONE_SHOT, *TRAINED]
    rows = [(d, a) for d in NUM_CLIENTS for a in order if (d, a) in text.index.droplevel(2)]
    table = text.unstack("concentration").reindex(index=rows, columns=CONCENTRATIONS)
    means = cells["mean"].unstack("concentration").reindex(index=rows)
    skewed = min(CONCENTRATIONS)
    ceiling = means.xs(CENTRAL, level="algorithm")[skewed]
    table["of the ceiling"] = [f"{means.loc[row, skewed] / ceiling[row[0]]:.3f}" for row in rows]
    worst = runs[runs["concentration"] == skewed].groupby(["dataset", "algorithm"])["worst_decile"].mean()
    table["worst decile"] = (100 * worst.reindex(rows)).round(1)
    return table


def plot(runs: pd.DataFrame) -> Figure:
    """Draws accuracy by concentration, a row for each algorithm."""
    runs = at_the_end(runs)
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, len(NUM_CLIENTS))
    for ax, name in zip(axes, NUM_CLIENTS, strict=True):
        here = runs[runs["dataset"] == name]
        cells = here.groupby(["algorithm", "concentration"])["accuracy"].agg(["mean", "std"]).mul(100)
        names = [a for a in [CENTRAL, *ONE_SHOT, *TRAINED] if a in cells.index.droplevel(1)]
        for place, algorithm in enumerate(reversed(names)):
            for concentration, colour in zip(CONCENTRATIONS, COLOURS, strict=True):
                cell = cells.loc[algorithm, concentration]
                label = f"concentration {concentration:g}" if not place else None
                ax.errorbar(cell["mean"], place, xerr=cell["std"], fmt="o", color=colour, ms=6, lw=1.5, label=label)
        ax.axvline(cells.loc[CENTRAL, min(CONCENTRATIONS)]["mean"], color="#6e7781", ls=":", lw=1)
        ax.set_yticks(range(len(names)), reversed(names))
        ax.set_xlabel("accuracy on all clients' test images, %")
        ax.set_title(name, loc="left")
        ax.grid(axis="x", color="#dddddd")
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def missing_of(wanted: list[tuple], done: StoredRuns) -> list[tuple]:
    """Returns those of `(dataset, algorithm, seed)` that are not on disk at every concentration, and as wanted."""
    made = done.made(*KEYS_ON_DISK, "client_weighting")
    return [
        (d, a, s) for d, a, s in wanted if not {(d, *on_disk(a), c, s, weighting_of(a)) for c in CONCENTRATIONS} <= made
    ]


def best_rates(measure, start: dict[str, float]) -> dict[str, float]:
    """Returns the learning rates of which none is better a step lower or higher, the others held.

    Args:
        measure: `(**rates) -> accuracy`; asked for the same rates again and again.
        start: By name, each one of STEPS.
    """
    rates = dict(start)
    while True:
        before = dict(rates)
        for name in rates:
            place = STEPS.index(rates[name])
            around = [STEPS[i] for i in (place, place - 1, place + 1) if 0 <= i < len(STEPS)]
            rates[name] = max(around, key=lambda value, name=name: measure(**rates | {name: value}))
        if rates == before:
            return rates


def rates_of(algorithm: str) -> dict[str, float]:
    """Returns an algorithm's learning rates without those that have no choice."""
    return {name: value for name, value in ALL_TRAINED[algorithm][1].items() if name in ("client_lr", "server_lr")}


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("run")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--anew", is_flag=True, help="Forget the runs on disk.")
def run(seeds, anew):
    """All runs; those that are on disk are not made again."""
    done = StoredRuns(RUNS, COLUMNS, [*KEYS_ON_DISK, "round_num"], anew=anew)
    makers = {CENTRAL: run_centrally} | dict.fromkeys(ONE_SHOT, run_one_shot) | dict.fromkeys(TRAINED, run_trained)
    wanted = [(d, a, s) for s in range(1, seeds + 1) for d in NUM_CLIENTS for a in makers]
    for name, algorithm, seed in tqdm(missing_of(wanted, done), unit="run"):
        scored = makers[algorithm](name, algorithm, seed)
        weighting = weighting_of(algorithm)
        done.add([(name, *on_disk(algorithm), c, seed, weighting, *scores) for c, *scores in scored])
    report(with_labels(done.table))


@main.command("table")
def table():
    """Table and figure from the runs on disk."""
    report(with_labels(pd.read_csv(RUNS)))


def report(runs: pd.DataFrame) -> None:
    print(f"Accuracy in % after {ROUNDS} rounds, mean ± standard deviation over seeds, by concentration;")
    print(
        f"share of the central ceiling and mean of the worst tenth of clients at concentration {min(CONCENTRATIONS):g}"
    )
    print(summarise(runs).to_string())
    skewed, rivals = min(CONCENTRATIONS), [a for a in TRAINED if a != "FedAvg"]
    last = at_the_end(runs[runs["concentration"] == skewed])
    print(f"\nLess FedAvg on the same seed, in points, at concentration {skewed:g}; {len(rivals)} comparisons each")
    for name in NUM_CLIENTS:
        scores = last[last["dataset"] == name].pivot(index="seed", columns="algorithm", values="accuracy").mul(100)
        for algorithm in rivals:
            print(f"{name} {algorithm}: {describe_differences(scores[algorithm] - scores['FedAvg'])}")
    plot(runs).savefig(REPOSITORY / "docs" / "unlike_clients.png", dpi=110)


@main.command("tune")
@click.option("--algorithm", "algorithms", multiple=True, type=click.Choice(list(TRAINED)))
def tune(algorithms):
    """The best learning rates on Fashion at concentration 1, with a seed that `run` does not use."""
    for algorithm in algorithms or TRAINED:

        @functools.cache
        def measure(algorithm=algorithm, **rates):
            *_, (_, _, accuracy, _) = run_trained("fashion", algorithm, TUNING_SEED, [1.0], **rates)
            print(f"{algorithm}: {rates}: {accuracy:.3f}", flush=True)
            return accuracy

        print(f"{algorithm}: best {best_rates(measure, rates_of(algorithm))}", flush=True)


@main.command("tuned")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(2))
@click.option("--dataset", "names", multiple=True, type=click.Choice(list(NUM_CLIENTS)))
def tuned(seeds, names):
    """Each at its best: rates for each data set at the smallest concentration, then other seeds with them."""
    done = StoredRuns(TUNED, [*TUNED_KEYS, "accuracy", "worst_decile"], TUNED_KEYS)
    skewed, rivals = min(CONCENTRATIONS), [a for a in TRAINED if a != "FedAvg"]

    cells = done.table[[*TUNED_KEYS, "accuracy"]].astype(object)
    known = {tuple(key): value for *key, value in cells.where(cells.notna(), None).itertuples(index=False, name=None)}

    def accuracy(name, algorithm, seed, **rates):
        key = (name, *on_disk(algorithm), rates["client_lr"], rates.get("server_lr"), seed)
        if key not in known:
            *_, (_, _, known[key], worst) = run_trained(name, algorithm, seed, [skewed], **rates)
            done.add([(*key, known[key], worst)])
        return known[key]

    for name in names or NUM_CLIENTS:
        chosen, scores = {}, {}
        for algorithm in tqdm(TRAINED, desc=name, unit="algorithm"):
            measure = functools.partial(accuracy, name, algorithm, TUNING_SEED)
            chosen[algorithm] = best_rates(measure, rates_of(algorithm))
        for seed in tqdm(range(1, seeds + 1), desc=name, unit="seed"):
            for algorithm in TRAINED:
                scores[seed, algorithm] = 100 * accuracy(name, algorithm, seed, **chosen[algorithm])
        by_seed = pd.Series(scores).unstack()
        print(
            f"\n{name} at concentration {skewed:g} after {ROUNDS} rounds, {WEIGHTING} weights, {seeds} seeds; ", end=""
        )
        print(f"accuracy in %, and less FedAvg on the same seed, in points ({len(rivals)} comparisons)")
        for algorithm in TRAINED:
            rates = ", ".join(f"{rate} {value:g}" for rate, value in chosen[algorithm].items())
            mean, spread = by_seed[algorithm].mean(), by_seed[algorithm].std()
            lead = describe_differences(by_seed[algorithm] - by_seed["FedAvg"]) if algorithm in rivals else ""
            print(f"{algorithm} ({rates}): {mean:.1f} ± {spread:.1f} {lead}")


@main.command("rates")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
def rates(seeds):
    """Each at its best learning rate: are the heads with a state ahead of FedAvg on emoji for that reason alone?"""
    done = StoredRuns(RATES, [*RATE_KEYS, "accuracy", "worst_decile"], RATE_KEYS)
    made, skewed = done.made(*RATE_KEYS), min(CONCENTRATIONS)
    wanted = [(a, r, s) for s in range(1, seeds + 1) for a, values in COMPARED_RATES.items() for r in values]
    for algorithm, rate, seed in tqdm([(a, r, s) for a, r, s in wanted if (*on_disk(a), r, s) not in made], unit="run"):
        own = "num_examples" if ALL_TRAINED[algorithm][0].weighted else "uniform"
        *_, (_, _, *scores) = run_trained("emoji", algorithm, seed, [skewed], client_lr=rate, client_weighting=own)
        done.add([(*on_disk(algorithm), rate, seed, *scores)])
    runs = with_labels(done.table).pivot(index="seed", columns=["algorithm", "client_lr"], values="accuracy").mul(100)
    print(f"Accuracy in % on emoji at concentration {skewed:g} after {ROUNDS} rounds, by learning rate of the clients")
    print(runs.agg(["mean", "std"]).T.round(1).to_string())
    best = {algorithm: runs[algorithm].mean().idxmax() for algorithm in COMPARED_RATES}
    rival = max(["FedAvg", UNWEIGHTED], key=lambda a: runs[a, best[a]].mean())
    for algorithm in ["SCAFFOLD", "FedDyn, 0.1"]:
        for rate in runs[algorithm].columns:
            lead = runs[algorithm, rate] - runs[rival, best[rival]]
            print(f"{algorithm} at {rate:g} - {rival} at {best[rival]:g}: {describe_differences(lead)}")


if __name__ == "__main__":
    main()
