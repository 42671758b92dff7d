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
    history.rows += [(round_num, "global", "accuracy", 0.5) for round_num in (0, 1)]
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


STATE = ["round_1/variables/variables.index", "round_1/variables/variables.data-00000-of-00001"]
FILES = ["history.csv", "history.json", "weights.npz", *STATE]


@pytest.mark.parametrize(
    ("file", "damage"),
    [(file, damage) for file in [*FILES, "client_states_1.npz"] for damage in (b"", b"\xff\x00\n" * 20)]
    + [(file, None) for file in FILES],
)
def test_whatever_file_is_damaged_or_missing_it_is_one_line(checkpoints, tmp_path, file, damage):
    path = tmp_path / "run" / file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    what = r"\S*/round_1 is damaged; delete it" if file in STATE else r"the checkpoint of round 1 in .* is damaged \("
    with pytest.raises(fl.RunError, match=rf"^checkpoint_dir: {what}") as caught:
        load(checkpoints)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "3", "[" * 100_000, "\x00"], ids=["list", "number", "deep", "zero"])
def test_settings_that_are_none_are_one_line(checkpoints, tmp_path, text):
    checkpoints.release()
    (tmp_path / "run" / "settings.json").write_text(text)
    with pytest.raises(fl.UsageError, match=r"settings.json is not readable as JSON; choose another folder"):
        Checkpoints(tmp_path / "run", {"seed": 0}, resume=True)
