"""A checkpoint is a program that resuming runs: only the user's own, and only one that gives back numbers."""

import numpy as np
import pytest
import tensorflow as tf

import fedlearn_edu as fl
from fedlearn_edu.simulation.checkpoint import Checkpoints
from fedlearn_edu.simulation.client_states import ClientStates

WEIGHTS = [np.array([[1.5, -2.0]], np.float32), np.array([3], np.int64)]


@pytest.fixture
def checkpoints(tmp_path):
    """The checkpoint of a run of one round, as `run_rounds` keeps it."""
    checkpoints = Checkpoints(tmp_path / "run", {"seed": 0}, resume=True)
    history = fl.History({"seed": 0})
    history.rows.append((1, "global", "accuracy", 0.5))
    checkpoints.save(WEIGHTS, history, ClientStates(None))
    return checkpoints


def load(checkpoints):
    state, _ = checkpoints.load(WEIGHTS, ClientStates(None))
    return [np.asarray(value).tolist() for value in state]


def test_ones_own_checkpoint_gives_back_its_numbers(checkpoints):
    assert load(checkpoints) == [[[1.5, -2.0]], [3]]


def test_a_checkpoint_that_writes_files_is_refused_before_it_does(checkpoints, tmp_path, monkeypatch):
    class Evil(tf.Module):
        @tf.function(input_signature=())
        def __call__(self):
            with tf.control_dependencies([tf.io.write_file(str(tmp_path / "planted"), "x")]):
                return [tf.constant(value) for value in WEIGHTS]

    tf.saved_model.save(Evil(), str(tmp_path / "run" / "round_1"))
    with pytest.raises(fl.RunError, match=r"checkpoint_dir: .*round_1 is a SavedModel with operations .*\(WriteFile\)"):
        load(checkpoints)
    assert not (tmp_path / "planted").exists()
    monkeypatch.setenv("FEDLEARN_EDU_ALLOW_UNSAFE", "1")
    load(checkpoints)
    assert (tmp_path / "planted").exists()  # so the attack is a real one


@pytest.mark.parametrize("place", [".", "round_1", "history.csv", "round_1/saved_model.pb"])
def test_a_checkpoint_that_others_could_have_written_is_refused(checkpoints, tmp_path, place, monkeypatch):
    (tmp_path / "run" / place).chmod(0o777)
    with pytest.raises(fl.RunError, match=r"checkpoint_dir: expected a folder that nobody else can change, .*move it"):
        load(checkpoints)
    monkeypatch.setenv("FEDLEARN_EDU_ALLOW_UNSAFE", "1")
    assert load(checkpoints) == [[[1.5, -2.0]], [3]]


def test_a_damaged_checkpoint_is_one_line(checkpoints, tmp_path):
    (tmp_path / "run" / "round_1" / "saved_model.pb").write_bytes(b"\xff" * 20)
    with pytest.raises(fl.RunError, match=r"checkpoint_dir: .*round_1 is a SavedModel that cannot be read") as caught:
        load(checkpoints)
    assert "\n" not in str(caught.value)
