"""run_rounds: what it records, and that it goes on bit for bit after any end."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_federated as tff
from tensorflow_federated.python.core.environments.tensorflow_frontend import tensorflow_serialization

import fedlearn_edu as fl
from fedlearn_edu.simulation import client_data
from fedlearn_edu.simulation.evaluation import FederatedEvaluation

HERE = pathlib.Path(__file__).parent
ARGS = {"num_rounds": 4, "clients_per_round": 3, "batch_size": 5, "seed": 7, "progress": False}


@pytest.fixture(scope="module")
def process(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3)


@pytest.fixture(scope="module")
def history(process, features):
    return fl.run_rounds(process, features, **ARGS)


def test_records_every_client_in_every_round(history, features):
    accuracy = history.client_metric("accuracy")
    assert list(accuracy.index) == features.client_ids
    assert list(accuracy.columns) == [0, 1, 2, 3, 4]
    assert not accuracy.isna().any().any()
    assert (history.client_metric("in_cohort").sum() == 3).all()
    assert history.num_rounds == 4
    assert history.status == "finished"
    assert history.seconds > 0
    assert history.global_accuracy > history.global_metrics()["accuracy"][0]


def test_evaluating_now_and_then_changes_nothing_else(history, process, features):
    seldom = fl.run_rounds(process, features, **ARGS, evaluate_every=3)
    accuracy = history.global_metrics()["accuracy"]
    assert seldom.global_metrics()["accuracy"].dropna().to_dict() == accuracy[[0, 3, 4]].to_dict()
    assert list(seldom.client_metric("accuracy").columns) == [0, 3, 4]
    assert seldom.global_accuracy == history.global_accuracy
    assert seldom.global_metrics()["train_loss"].equals(history.global_metrics()["train_loss"])
    with pytest.raises(fl.UsageError, match="evaluate_every: expected a whole number of at least 1, got 0"):
        fl.run_rounds(process, features, **ARGS, evaluate_every=0)


def test_accuracy_is_that_of_the_exported_weights(history, features):
    """Global = pooled test examples, client = its own, both recomputed in NumPy from the final weights."""
    kernel, bias = history.model_weights
    x, y = features.pooled("test")
    assert history.global_accuracy == pytest.approx(np.mean((x @ kernel + bias).argmax(axis=1) == y), abs=1e-9)
    for client_id in features.client_ids:
        x, y = features.test(client_id)
        logits = (x @ kernel + bias).astype(np.float64)
        loss = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y])
        assert history.client_metric("accuracy").loc[client_id, 4] == np.mean(logits.argmax(axis=1) == y)
        assert history.client_metric("loss").loc[client_id, 4] == pytest.approx(loss, abs=1e-5)


def test_same_seed_same_run_other_seed_other_cohorts(history, process, features):
    again = fl.run_rounds(process, features, **ARGS)
    assert again.rows == history.rows
    other = fl.run_rounds(process, features, **{**ARGS, "seed": 8})
    assert not other.client_metric("in_cohort").equals(history.client_metric("in_cohort"))


def test_local_batches_are_shuffled_per_epoch_and_complete(features):
    """Through the dataset computation: every epoch holds each example once, in an order that the seed decides."""
    fl.start_runtime()
    files = client_data.ClientFiles(features)
    build = client_data.build_train_computation(features.feature_dim, num_epochs=2, batch_size=5)
    x, _ = features.train("client_1")  # 15 examples: three batches an epoch
    orders = []
    for seed in (1, 1, 2):
        batches = list(build(*files.told(["client_1"], shuffle_seed=seed)))
        assert [len(labels) for _, labels in batches] == [5] * 6
        seen = np.concatenate([np.asarray(examples) for examples, _ in batches])
        orders.append([int(np.flatnonzero((x == row).all(axis=1))[0]) for row in seen])
        assert sorted(orders[-1][:15]) == sorted(orders[-1][15:]) == list(range(15))
        assert orders[-1][:15] != orders[-1][15:]
    assert orders[0] == orders[1] != orders[2]


def test_uneven_last_batch_is_kept(features):
    fl.start_runtime()
    files = client_data.ClientFiles(features)
    build = client_data.build_train_computation(features.feature_dim, num_epochs=1, batch_size=7)
    batches = list(build(*files.told(["client_0"])))  # 12 examples
    assert [len(labels) for _, labels in batches] == [7, 5]


@pytest.mark.parametrize("stateful", [False, True])
def test_a_second_run_compiles_nothing(features, tmp_path, monkeypatch, stateful):
    """On other data of the same size, with other seeds and cohorts, and where it goes on: what differs is data."""
    build = fl.build_ditto if stateful else fl.build_unweighted_fed_avg
    process = build(fl.linear_head(features))
    others = dataclasses.replace(features, examples=features.examples[::-1].copy(), labels=features.labels[::-1].copy())
    others = dataclasses.replace(others, clients={f"other-{c}": split for c, split in others.clients.items()})
    first = fl.run_rounds(process, features, **ARGS)
    traced, compiled = [], []
    trace = tensorflow_serialization.serialize_py_fn_as_tf_computation
    monkeypatch.setattr(
        tensorflow_serialization, "serialize_py_fn_as_tf_computation", lambda *a: traced.append(a) or trace(*a)
    )
    desugar = tff.backends.native.desugar_and_transform_to_native
    monkeypatch.setattr(
        tff.backends.native, "desugar_and_transform_to_native", lambda c: compiled.append(c) or desugar(c)
    )
    second = fl.run_rounds(process, others, **ARGS | {"seed": 8}, checkpoint_dir=tmp_path)
    again = fl.run_rounds(process, others, **ARGS | {"seed": 8, "num_rounds": 6}, checkpoint_dir=tmp_path, resume=True)
    assert (len(traced), len(compiled)) == (0, 0)
    assert second.rows != first.rows
    assert again.num_rounds == 6
    fl.run_rounds(process, features, **ARGS | {"batch_size": 3})  # another batch is another computation
    assert traced
    assert compiled


def test_a_client_without_test_examples_trains_but_is_not_scored(features):
    clients = dict(features.clients)
    clients["client_0"] = fl.ClientSplit(clients["client_0"].train, np.arange(0))
    some = fl.FederatedDataset("toy", features.examples, features.labels, features.class_names, clients)
    process = fl.build_unweighted_fed_avg(fl.linear_head(some))
    history = fl.run_rounds(process, some, num_rounds=1, clients_per_round=6, progress=False)
    assert "client_0" not in history.client_metric("accuracy").index
    assert "client_0" in history.client_metric("in_cohort").index


def test_stopping_keeps_the_rounds_done(process, features, tmp_path, capsys):
    """Ctrl-C in the middle of a round: the history of the complete rounds comes back and can be resumed."""
    original = FederatedEvaluation.__call__
    calls = []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FederatedEvaluation, "__call__", interrupted)
        stopped = fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path)
    assert stopped.status == "stopped"
    assert stopped.num_rounds == 1
    assert set(stopped.to_frame()["round_num"]) == {0, 1}
    assert "Stopped after round 1 of 4" in capsys.readouterr().err
    resumed = fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path, resume=True)
    assert resumed.status == "finished"
    assert resumed.rows == fl.run_rounds(process, features, **ARGS).rows


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from shared import make_features
import fedlearn_edu as fl
features = make_features()
process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=0.3)
history = fl.run_rounds(process, features, num_rounds=12, clients_per_round=3, batch_size=5, seed=7,
                        checkpoint_dir={directory!r}, resume=True, progress=False)
history.save({result!r})
"""


def run_script(tmp_path, name, *, kill_after_round=None):
    """Runs 12 rounds with checkpoints in a process of its own; may kill it once a round is on disk."""
    directory = tmp_path / name
    source = SCRIPT.format(tests=str(HERE.parent), directory=str(directory), result=str(directory / "result"))
    with open(tmp_path / "output.txt", "w") as output:
        script = subprocess.Popen([sys.executable, "-c", source], stdout=output, stderr=output)
        deadline = time.monotonic() + 90
        while kill_after_round is not None and not (directory / f"round_{kill_after_round}.npz").exists():
            assert script.poll() is None, (tmp_path / "output.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if kill_after_round is not None:
            script.send_signal(signal.SIGKILL)
        assert script.wait(120) == (0 if kill_after_round is None else -signal.SIGKILL)
    return directory


def test_killed_and_resumed_equals_uninterrupted(features, tmp_path):
    weighted = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=0.3)
    fl.run_rounds(weighted, features, **{**ARGS, "num_rounds": 12}).save(tmp_path / "whole")
    run_script(tmp_path, "killed", kill_after_round=5)
    resumed = run_script(tmp_path, "killed")
    for name in ("history.csv", "weights.npz"):
        assert (resumed / "result" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_kill_between_history_and_state_drops_the_round(process, features, tmp_path):
    """The history is written first; a kill before the state leaves it one round ahead."""
    short = tmp_path / "short"
    fl.run_rounds(process, features, **{**ARGS, "num_rounds": 3}, checkpoint_dir=short)
    (short / "round_3.npz").unlink()
    (short / ".round_3.npz.1234.tmp").write_bytes(b"half")  # what a kill during the state's own writing leaves
    resumed = fl.run_rounds(process, features, **ARGS, checkpoint_dir=short, resume=True)
    assert resumed.rows == fl.run_rounds(process, features, **ARGS).rows
    assert not (short / ".round_3.npz.1234.tmp").exists()


def test_resuming_a_finished_run_returns_it(process, features, tmp_path):
    first = fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path)
    again = fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path, resume=True)
    assert again.rows == first.rows
    assert again.status == "finished"
    for a, b in zip(again.model_weights, first.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_runs_checkpoint_is_refused(process, features, tmp_path):
    fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path)
    with pytest.raises(fl.UsageError, match=r"another run \(run.seed was 7, is now 9\)"):
        fl.run_rounds(process, features, **{**ARGS, "seed": 9}, checkpoint_dir=tmp_path, resume=True)
    slower = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.2)
    with pytest.raises(fl.UsageError, match=r"client_lr was 0.3, is now 0.2"):
        fl.run_rounds(slower, features, **ARGS, checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(fl.UsageError, match="already holds rounds of this run"):
        fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path)


def test_unwritable_checkpoint_dir(process, features, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fl.UsageError, match=r"checkpoint_dir: expected a folder that can be written"):
        fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path / "file")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"num_rounds": 0}, "num_rounds: expected a whole number of at least 1, got 0"),
        ({"num_rounds": -3}, "num_rounds: expected a whole number of at least 1, got -3"),
        ({"num_rounds": 1.5}, "num_rounds: expected a whole number of at least 1, got 1.5"),
        ({"clients_per_round": 7}, r"clients_per_round: expected at most the number of clients \(6\), got 7"),
        ({"num_epochs": 0}, "num_epochs: expected"),
        ({"batch_size": 0}, "batch_size: expected"),
        ({"resume": True}, "resume: expected a checkpoint_dir"),
    ],
)
def test_bad_arguments(process, features, argument, message):
    with pytest.raises(fl.UsageError, match=message):
        fl.run_rounds(process, features, **{**ARGS, **argument})


def test_client_files_are_removed(process, features, tmp_path, monkeypatch):
    """Also those of a process that was killed: the next run sweeps them. The folder may have any name."""
    tmp_path = tmp_path / "Zo\u00eb \u6771\u4eac"
    tmp_path.mkdir()
    monkeypatch.setattr(client_data.tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / "fedlearn_edu_clients_999999999_x"
    alive = tmp_path / f"fedlearn_edu_clients_{os.getppid()}_x"
    dead.mkdir()
    alive.mkdir()
    fl.run_rounds(process, features, **ARGS)
    assert [p.name for p in tmp_path.glob("fedlearn_edu_clients_*")] == [
        alive.name
    ]  # a worker may have its folder there
