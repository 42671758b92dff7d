"""run_rounds: sample a cohort, train, evaluate everyone, checkpoint; resumable bit for bit."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from typing import Any

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess
from fedlearn_edu.simulation.checkpoint import VERSION, Checkpoints
from fedlearn_edu.simulation.client_reports import describe_excluded
from fedlearn_edu.simulation.config import RunConfig, config_from
from fedlearn_edu.simulation.history import History
from fedlearn_edu.simulation.process_fingerprint import describe_process
from fedlearn_edu.simulation.run import Run
from fedlearn_edu.simulation.run_checks import check_run


def run_rounds(
    process: FederatedProcess | StatefulFederatedProcess,
    features: FederatedDataset,
    *,
    config: RunConfig | None = None,
    num_rounds: int | None = None,
    clients_per_round: int | None = None,
    num_epochs: int = 1,
    batch_size: int = 20,
    seed: int = 0,
    evaluate_every: int = 1,
    checkpoint_dir: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Runs federated rounds and returns what was measured; see `iter_rounds` for the arguments.

    Ctrl-C (Jupyter's Stop) ends the run after the last complete round and returns its history with the status
    `"stopped"`; nothing raises.

    Args:
        progress: Show a progress bar with the global accuracy.

    Returns:
        The history, with `status` `"finished"` or `"stopped"`.
    """
    config = config_from(
        config,
        num_rounds=num_rounds,
        clients_per_round=clients_per_round,
        num_epochs=num_epochs,
        batch_size=batch_size,
        seed=seed,
        evaluate_every=evaluate_every,
    )
    rounds = iter_rounds(process, features, config=config, checkpoint_dir=checkpoint_dir, resume=resume)
    history = None
    with progress_bar(total=config.num_rounds, unit="round", disable=not progress) as bar:
        try:
            for history in rounds:
                bar.update(history.num_rounds - bar.n)
                tested = history.is_tested
                name = f"global_{history.primary.name}"
                bar.set_postfix({name: f"{history.global_value:.3f}" if tested else "no test examples"})
        except KeyboardInterrupt:
            if history is None:
                raise
            history.status = "stopped"
            print(f"Stopped after round {history.num_rounds} of {config.num_rounds}.", file=sys.stderr)
    if excluded := describe_excluded(history):
        print(excluded, file=sys.stderr)
    return history


def iter_rounds(
    process: FederatedProcess | StatefulFederatedProcess,
    features: FederatedDataset,
    *,
    config: RunConfig | None = None,
    num_rounds: int | None = None,
    clients_per_round: int | None = None,
    num_epochs: int = 1,
    batch_size: int = 20,
    seed: int = 0,
    evaluate_every: int = 1,
    checkpoint_dir: str | os.PathLike | None = None,
    resume: bool = False,
) -> Iterator[History]:
    """Yields the growing history before training and after every round; whoever iterates may stop at any time.

    In each round a cohort of clients is drawn (TFF's uniform sampling without replacement, from `seed` and the round
    number), the process trains on it, and the new global model is evaluated on every client's test examples. The
    worker gets client ids and reads the features from files. All randomness depends on `seed` and the round number
    only, so a resumed run continues bit for bit as the uninterrupted one.

    Of a stateful process, each client is given the state that it returned when it last trained, or its initial one;
    states are checkpointed, count as no traffic, and are found in `History.client_states`. If it trains personal
    models, each client is also evaluated with its own: `personal_accuracy` and `personal_loss`.

    A private process (one with `.privacy`) decides how cohorts are drawn, since its epsilon holds for no other way;
    with Poisson sampling their size varies. The epsilon spent so far is recorded in every round. An empty cohort
    counts: the process adds its noise and moves, since a round left out would tell that nobody came; there are
    only no training metrics. What evaluation reports here is exact and outside of any guarantee.

    Args:
        process: From a `build_*` function, stateful or not.
        features: Extracted features, from `extract_features`.
        config: What the run does; or, instead, its fields as keywords:
        num_rounds: Rounds in all, at least 1. On resuming, rounds already done count.
        clients_per_round: Size of the cohort (with Poisson sampling the expected size), from 1 to the number of
            clients. A private process takes only the one it was built for.
        num_epochs: Local passes over a client's examples per round, at least 1; default 1.
        batch_size: Examples per local step, at least 1; default 20. (`build_fed_sgd` sums over all of them anyway.)
        seed: Of cohorts and local shuffles, 0 to 2**31 - 1; default 0.
        evaluate_every: Measure accuracy and loss before training, after every so many rounds, and after the last;
            default 1. With many clients evaluation takes longer than training a cohort.
        checkpoint_dir: Folder for a checkpoint after every round; None keeps none. A checkpoint is arrays and text:
            whoever may write there can change what a resumed run computes, but not make it run a program.
        resume: Go on from the newest checkpoint in `checkpoint_dir`, if there is one. Without it, a folder that
            already holds rounds is refused.

    Yields:
        The same `History` object each time, one round longer.

    Raises:
        UsageError: An argument is out of its range, a client's features are not finite, the run is not one that the
            process (or a part of it: an aggregator, an accountant) was built for, or `checkpoint_dir` belongs to
            another run or is in use.
        RunError: The worker or the disk failed; the checkpoints written so far stay valid.
    """
    config = config_from(
        config,
        num_rounds=num_rounds,
        clients_per_round=clients_per_round,
        num_epochs=num_epochs,
        batch_size=batch_size,
        seed=seed,
        evaluate_every=evaluate_every,
    )
    check_run(process, features, config, resume=resume, checkpoint_dir=checkpoint_dir)
    settings = {VERSION: importlib.metadata.version("fedlearn-edu"), **describe_run(process, features, config)}
    checkpoints = Checkpoints(checkpoint_dir, settings, resume=resume) if checkpoint_dir is not None else None
    return _release_at_end(checkpoints, Run(process, features, config, settings, checkpoints))


def describe_run(
    process: FederatedProcess | StatefulFederatedProcess, features: FederatedDataset, config: RunConfig
) -> dict[str, Any]:
    """Returns all that decides a run, nested and fit for JSON: process, run, data, task and, if private, privacy."""
    settings = {
        "process": describe_process(process, features.client_ids),
        "run": config.describe(),
        "data": {
            "name": features.name,
            "num_clients": features.num_clients,
            "provenance": features.provenance,
            "fingerprint": features.fingerprint(),
            "baseline": features.baseline(),
        },
        "task": features.task.to_dict(),
    }
    if process.privacy is not None:
        settings["privacy"] = process.privacy.describe()
    return settings


def _release_at_end(checkpoints, rounds):
    try:
        yield from rounds
    finally:
        if checkpoints:
            checkpoints.release()
