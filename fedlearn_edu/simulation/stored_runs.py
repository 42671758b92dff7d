"""Federated runs that were made before, so that a control can answer at once: read from CSV files of this package.

A file says what was run in columns of its own: `algorithm_name`, `algorithm_parameter` and `algorithm_value`, and the
same of an attack, an aggregator or a method. What a picture calls it is made from these, and never read back.
"""

from __future__ import annotations

import functools
import pathlib

import pandas as pd

from fedlearn_edu.learning.catalogue import by_name

CENTRAL = "central ceiling"
NO_ATTACK = "none"
GLOBAL_MODEL = "global model"
ASSUMED_ATTACKERS = 4  # for which the defences of the stored runs were built
POPULATION = 250  # of the private runs
# What tells runs apart, as far as a table has it.
_RUN = ["dataset", "depth", "algorithm", "server_optimizer", "concentration", "seed"]
_ASSETS = pathlib.Path(__file__).parent / "assets"


# What is no row of the catalogue, in the words of tables and pictures.
_LABELS = {"central": CENTRAL, "none": NO_ATTACK, "global_model": GLOBAL_MODEL, "local_alone": "local alone"}
_KINDS = {"algorithm": "algorithm", "method": "algorithm", "attack": "attack", "aggregator": "aggregator"}
_HEADS = {"linear": "", "mlp": "MLP, "}


def stored_runs(name: str) -> pd.DataFrame:
    """Returns a table of runs by the name of its file, with the labels of what was run.

    Args:
        name: Such as `"algorithm_runs"`: a CSV file of this package.

    Returns:
        DataFrame with the columns of the file, and those of `with_labels`.

    Example:
        >>> stored_runs("attack_runs")["attack_name"].iloc[0]
        'none'
    """
    return _read(name).copy()


@functools.cache
def _read(name: str) -> pd.DataFrame:
    return with_labels(pd.read_csv(_ASSETS / f"{name}.csv"))


def with_labels(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns runs with a column `algorithm`, `attack`, `aggregator`, `method`: how pictures call what was run.

    Args:
        runs: With the columns `<subject>_name` and `<subject>_value` of some of these, and maybe `head`.

    Example:
        >>> runs = {"algorithm_name": ["fed_prox"], "algorithm_parameter": ["proximal_strength"]}
        >>> with_labels(pd.DataFrame(runs | {"algorithm_value": [0.1]}))["algorithm"].tolist()
        ['FedProx, 0.1']
    """
    runs = runs.copy()
    for subject in _KINDS:
        if f"{subject}_name" in runs:
            columns = [f"{subject}_name", f"{subject}_value"] + (["head"] if subject == "method" else [])
            said = runs[columns].astype(object)
            said = list(said.where(said.notna(), None).itertuples(index=False, name=None))
            labels = {each: describe_run(subject, *each) for each in set(said)}
            runs.insert(runs.columns.get_loc(columns[0]), subject, [labels[each] for each in said])
    return runs


def describe_run(subject: str, name: str, value: float | None = None, head: str = "linear") -> str:
    """Returns how pictures call what was run.

    Args:
        subject: `"algorithm"`, `"method"`, `"attack"` or `"aggregator"`.
        name: Of the catalogue's row, or `"central"`, `"none"`, `"global_model"`, `"fine_tuned"`, `"local_alone"`.
        value: Of the parameter; None or NaN if there is none.
        head: `"linear"` or `"mlp"`.

    Example:
        >>> describe_run("method", "fine_tuned", 5, "mlp")
        'MLP, fine-tuned, 5 epochs'
    """
    if name == "fine_tuned":
        label = f"fine-tuned, {value:g} epoch{'s' * (value != 1)}"
    else:
        label = _LABELS.get(name) or by_name(name, _KINDS[subject]).describe(value)
    return _HEADS[head] + label


def algorithm_runs() -> pd.DataFrame:
    """Returns what `benchmarks/unlike_clients.py run` measured: one row per run and recorded round.

    A linear head on the bundled backbone's features. Fashion over 50 clients (Dirichlet; 8,000 images to train on,
    2,000 to test), 10 of them in each of 60 rounds; emoji over 12 clients (Dirichlet within each vendor; 5,186 and
    1,296), 6 in each of 60 rounds; one local epoch in batches of 20. A seed decides the clients, the cohorts and the
    order of the examples, the same for all algorithms, so that two runs with one seed can be compared in pairs.
    Learning rates were chosen for each algorithm on Fashion at concentration 1 with a seed of its own.

    One-shot heads (FedNCM, FedCOF, Fed3R) take one round in which every client takes part: they have a record at round
    1 only. The "central ceiling" is the same head trained on all clients' images in one place; it stands at round 0. It
    is the ceiling of what is trained so: a head that is computed (Fed3R) can stand above it.

    Returns:
        DataFrame with the columns `dataset`, `algorithm` (as in pictures; `algorithm_name`, `algorithm_parameter` and
        `algorithm_value` say the same apart), `concentration`, `seed`, `client_weighting` (missing where nothing is
        averaged), `round_num` (0 = before training), `accuracy` (of the global model on the test images of all clients,
        0 to 1) and `worst_decile` (mean accuracy of the worst tenth of the clients, each on its own test images).

    Example:
        >>> runs = algorithm_runs()
        >>> bool(runs["accuracy"].between(0, 1).all())
        True
    """
    return stored_runs("algorithm_runs")


def attack_runs() -> pd.DataFrame:
    """Returns what `benchmarks/robust_aggregation.py run` measured: one row per run, after its last round.

    A linear head on the bundled backbone's features; 5,000 images of Fashion over 20 clients, all of them in each of 10
    rounds, one local epoch in batches of 20, learning rate 0.05. Up to 8 clients are hostile in every round. In one
    federation the clients' labels are skewed (`"dirichlet:1"`); in the other (`"minority:1"`) two honest clients alone
    hold the last class, and nothing else. A seed decides the images and the clients, the same for all attacks and
    aggregators, so that two runs with one seed can be compared in pairs. (The order of the examples depends on the
    number of attackers as well.)

    Every defence is built for 4 attackers, whatever comes. The bound of norm bounding, 1, is about the median length of
    an honest delta in the first round of a seed of its own. Attackers with a backdoor train on half of their images
    with a trigger under another label, and scale their delta by the number of clients.

    Returns:
        DataFrame with the columns `attack` and `aggregator` (as in pictures; with `_name`, `_parameter` and `_value`
        behind them the same apart), `partition`, `num_attackers` (of 20 clients), `seed`,
        `accuracy` (of the global model on all clients' own images, 0 to 1), `minority_accuracy` (mean over the honest
        minority, each on its own images; with `"dirichlet:1"` over the worst tenth of the honest clients) and
        `backdoor_success` (share of the images with the trigger that are taken for the target class; missing for other
        attacks). The attack `"none"` has 0 attackers, and stands for every attack at 0.

    Example:
        >>> runs = attack_runs()
        >>> runs.loc[runs["attack"] == "none", "num_attackers"].unique().tolist()
        [0]
    """
    return stored_runs("attack_runs")


def attack_selections() -> pd.DataFrame:
    """Returns whom the defences that drop clients kept, in the runs of `attack_runs()`: one row per run and client.

    Returns:
        DataFrame with the columns `attack`, `aggregator` (`"Krum"`, which keeps one client a round, and
        `"Multi-Krum"`), `partition`, `num_attackers`, `seed`, `client_id`, `hostile` and `minority` (0 or 1),
        `rounds_kept` (rounds in which the server kept this client's update) and `num_rounds`.

    Example:
        >>> selections = attack_selections()
        >>> bool((selections["rounds_kept"] <= selections["num_rounds"]).all())
        True
    """
    return stored_runs("attack_selections")


def personalisation_runs() -> pd.DataFrame:
    """Returns what `benchmarks/personalisation.py run` measured: one row per run, method and client.

    The bundled backbone's features; Fashion over 50 clients (Dirichlet; 10 in each round) and emoji over 12 (Dirichlet
    within each vendor; 6 in each round), 30 rounds of one local epoch in batches of 20, learning rate 0.05 everywhere;
    nothing was tuned. A seed decides the clients, the cohorts and the order of the examples, the same for all methods,
    so that a client's accuracies by two methods can be compared. All models are linear heads, but those called "MLP":
    FedPer and FedRep share the hidden layer of an MLP head and keep the last layer. Compare them with the global model
    and the fine-tuned one on the same head.

    Returns:
        DataFrame with the columns `dataset`, `concentration`, `seed`, `head` (`"linear"` or `"mlp"`), `method` (as in
        pictures; `method_name`, `method_parameter` and `method_value` say the same apart), `client_id`, `num_train`
        (training examples of the client) and `accuracy` (on its own test examples, 0 to 1; clients without any have no
        rows).
        Methods: `"global model"` (federated averaging, one model for all: the "before"), `"fine-tuned, 1 epoch"` and
        `"fine-tuned, 5 epochs"` (from there, on each client by itself), `"local alone"` (from scratch, as many epochs
        as a client takes part in rounds, on average) and `"Ditto"`; with an MLP head `"MLP, global model"`,
        `"MLP, fine-tuned, 5 epochs"`, `"MLP, FedPer"` and `"MLP, FedRep"`.

    Example:
        >>> runs = personalisation_runs()
        >>> "global model" in set(runs["method"])
        True
    """
    return stored_runs("personalisation_runs")


def pretraining_runs() -> pd.DataFrame:
    """Returns what `benchmarks/pretraining_matters.py run` measured: one row per run and recorded round.

    2,000 images of each bundled data set (1,200 to train on, 800 to test), 10 clients of Fashion (Dirichlet) and 12 of
    emoji (three for each vendor, Dirichlet within a vendor), half of them in each of 20 rounds, one local epoch in
    batches of 20. A seed decides the images, the clients, the cohorts and, from scratch, the initial weights, so that
    two runs with one seed can be compared in pairs. Learning rates were chosen for each depth with a seed of its own.

    Batch normalisation keeps its frozen statistics at every depth. "From scratch" is the same network with random
    weights, and group normalisation in its place. "One-shot" is a ridge regression on the frozen features (Fed3R): one
    round in which every client takes part, nothing is trained.

    Returns:
        DataFrame with the columns `dataset`, `depth` (`"scratch"`, `"one_shot"`, or what is trained on the bundled
        backbone: `"head"`, `"last_block"`, ...), `server_optimizer` (`"sgd"` is plain averaging, and stands for none in
        one-shot runs; the others were run at one concentration), `concentration`, `seed`, `round_num` (0 = before
        training) and `accuracy`: that of the global model on the test images of all clients, 0 to 1.

    Example:
        >>> runs = pretraining_runs()
        >>> bool(runs["accuracy"].between(0, 1).all())
        True
    """
    return stored_runs("pretraining_runs")


def runs_at_round(runs: pd.DataFrame, round_num: int) -> pd.DataFrame:
    """Returns where every run stood after a round: its last recorded row up to then.

    A run that ended earlier keeps the accuracy it ended with.

    Args:
        runs: As `pretraining_runs()` or `algorithm_runs()` returns; columns besides theirs are kept.
        round_num: 0 or more.

    Returns:
        One row per run that has a record up to `round_num`; the order and the index are those of `runs`.

    Example:
        >>> runs = pretraining_runs()
        >>> len(runs_at_round(runs, 0)) == len(runs_at_round(runs, 1_000))
        True
    """
    known = runs[runs["round_num"] <= round_num].sort_values("round_num", kind="stable")
    return known.groupby([name for name in _RUN if name in known]).tail(1).sort_index()


def explorer_runs() -> pd.DataFrame:
    """Returns what `benchmarks/privacy_utility.py explorer` measured: one row per run and recorded round.

    Central DP-FedAvg of a linear head on the bundled backbone's features: 250 clients with 16 Fashion training images
    each, Poisson sampling, one seed.

    Returns:
        DataFrame with the columns `noise_multiplier` (0 = no noise), `clip_norm`, `clients_per_round` (expected),
        `round_num`, `epsilon` (at delta 250 ** -1.1; inf without noise), `accuracy`, and of the attack
        `client_membership` `attack_auc` (0.5 = guessing) and `attack_accuracy` (share of right guesses).
    """
    return stored_runs("explorer_runs")
