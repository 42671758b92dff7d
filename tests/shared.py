"""What several tests share: the repository, a command in this process, a small problem that trains in a second."""

import pathlib
import sys
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

import fedlearn_edu as fl
from fedlearn_edu import cli

REPOSITORY = pathlib.Path(__file__).parent.parent


def invoke_command(monkeypatch, folder, *arguments) -> tuple[int, str]:
    """Runs a command in this process, in a folder; returns exit code and output."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["fedlearn-edu", *map(str, arguments)])
    runner = CliRunner()
    with runner.isolation() as streams, warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)  # what a user is warned of is no error
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
    return exit_info.value.code, (streams[0].getvalue() + streams[1].getvalue()).decode()


def make_features(*, num_clients=6, feature_dim=8, num_classes=3, seed=0) -> fl.FederatedDataset:
    """Linearly separable-ish features over clients of different sizes (12, 15, 18, ... training examples)."""
    rng = np.random.default_rng(seed)
    sizes = [12 + 3 * i for i in range(num_clients)]
    total = sum(sizes) + 5 * num_clients
    kernel = rng.normal(size=[feature_dim, num_classes])
    examples = rng.normal(size=[total, feature_dim]).astype(np.float32)
    labels = (examples @ kernel + rng.normal(size=[total, num_classes])).argmax(axis=1).astype(np.int32)
    clients, start = {}, 0
    for i, size in enumerate(sizes):
        rows = np.arange(start, start + size + 5)
        clients[f"client_{i}"] = fl.ClientSplit(train=rows[:size], test=rows[size:])
        start += size + 5
    names = tuple(f"class_{i}" for i in range(num_classes))
    return fl.FederatedDataset("toy", examples, labels, names, clients)


def make_task_features(kind: str, *, num_clients=3, size=30, seed=0) -> fl.FederatedDataset:
    """Features of a table that tell a number ("regression", in EUR) or yes or no ("binary"), with some noise."""
    rng = np.random.default_rng(seed)
    examples = rng.normal(size=[num_clients * size, 4]).astype(np.float32)
    signal = examples @ [2.0, -1.0, 0.5, 0.0] + rng.normal(size=len(examples))
    task, targets = {
        "regression": lambda: (fl.Task.regression(unit="EUR"), 10 + 3 * signal),
        "binary": lambda: (fl.Task.binary(positive="ill"), (signal > 0.5).astype(int)),
    }[kind]()
    rows = np.arange(len(examples)).reshape(num_clients, size)
    clients = {f"client_{i}": fl.ClientSplit(own[: -size // 3], own[-size // 3 :]) for i, own in enumerate(rows)}
    return fl.FederatedDataset("toy", examples, targets, (), clients, task=task, modality="table")
