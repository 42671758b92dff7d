"""A checkpoint is data: it gives back what was saved to the bit, runs nothing, and says in one line what is wrong."""

import os
import pickle

import numpy as np
import pytest
import tensorflow as tf

import fedlearn_edu as fl
from fedlearn_edu.simulation.checkpoint import VERSION, Checkpoints
from fedlearn_edu.simulation.client_states import ClientStates

SETTINGS = {VERSION: "1.0", "seed": 0}
STATE = {
    "weights": [np.array([[1.5, -2.0, np.nan]], np.float32), np.zeros([0, 3], np.float64)],
    "round": np.int64(2**60 + 1),
    "flags": np.array([[True], [False]]),
    "on": np.bool_(True),
    "many": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "texts": np.array([[b"ab\0", b""], ["Zo\u00eb".encode(), b"\xff\0\0"]], object),
    "name": b"x\0",
    "nothing": np.zeros([2, 0], object),
}


def open_run(folder):
    return Checkpoints(folder, SETTINGS, resume=True)


def save(checkpoints, num_rounds, state=STATE):
    history = fl.History({"seed": 0})
    history.rows += [(round_num, "global", "accuracy", 0.5) for round_num in range(num_rounds + 1)]
    checkpoints.save(state, history, ClientStates(None))


def load(checkpoints, structure=STATE):
    return checkpoints.load(structure, ClientStates(None))[0]


@pytest.fixture
def checkpoints(tmp_path):
    """The checkpoint of a run of one round, as `run_rounds` keeps it."""
    checkpoints = open_run(tmp_path / "run")
    save(checkpoints, 1)
    return checkpoints


def test_leaves_of_every_kind_come_back_to_the_bit(checkpoints):
    before, after = tf.nest.flatten(STATE), tf.nest.flatten(load(checkpoints))
    for saved, loaded in zip(before, after, strict=True):
        assert type(loaded) is type(saved)
        assert np.shape(loaded) == np.shape(saved)
        assert np.asarray(loaded).dtype == np.asarray(saved).dtype
    assert pickle.dumps([np.asarray(x).tolist() for x in after]) == pickle.dumps(
        [np.asarray(x).tolist() for x in before]
    )


def test_the_two_newest_states_are_kept_and_a_damaged_one_gives_way_to_the_other(checkpoints, tmp_path):
    for round_num in (2, 3, 11):
        save(checkpoints, round_num, {**STATE, "round": np.int64(round_num)})
    assert sorted(path.name for path in (tmp_path / "run").glob("round_*")) == ["round_11.npz", "round_3.npz"]
    assert load(checkpoints)["round"] == 11
    (tmp_path / "run" / "round_11.npz").write_bytes(b"")
    with pytest.raises(fl.RunError, match=r"round_11\.npz is damaged; delete it to go on from the state before it"):
        load(checkpoints)
    (tmp_path / "run" / "round_11.npz").unlink()
    assert load(checkpoints)["round"] == 3


def test_nothing_in_a_checkpoint_is_run(checkpoints, tmp_path):
    """A pickle would be: NumPy's files may hold one in place of an array."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "planted"),)

    evil = np.array([Evil()], object)
    np.savez(tmp_path / "run" / "round_1.npz", leaf_0=evil)
    with pytest.raises(fl.RunError, match="is damaged"):
        load(checkpoints)
    assert not (tmp_path / "planted").exists()
    np.load(tmp_path / "run" / "round_1.npz", allow_pickle=True)["leaf_0"]
    assert (tmp_path / "planted").exists()  # so the attack is a real one


def test_a_state_of_another_structure_is_refused(checkpoints):
    for other in ({"round": np.int64(1)}, {**STATE, "round": np.int32(1)}, {**STATE, "extra": 1.0}):
        with pytest.raises(fl.RunError, match=r"round_1.npz is damaged"):
            load(checkpoints, other)


def test_the_old_form_is_refused_by_name_and_left_alone(tmp_path):
    """Checkpoints were SavedModels, programs, in versions that call themselves by the same number."""
    open_run(tmp_path).release()
    module = tf.Module()
    module.state = tf.Variable([1.0])
    tf.saved_model.save(module, str(tmp_path / "round_4"))
    for resume in (True, False):
        with pytest.raises(fl.UsageError, match=r"checkpoint_dir: .*/round_4 is a SavedModel, .* choose another"):
            Checkpoints(tmp_path, SETTINGS, resume=resume)
    assert (tmp_path / "round_4" / "saved_model.pb").exists()


def test_what_a_killed_process_was_writing_is_removed(checkpoints, tmp_path):
    checkpoints.release()
    mine = tmp_path / "run" / ".mine.tmp"
    left = [tmp_path / "run" / f".{name}.123.tmp" for name in ("round_2.npz", "history.csv", "client_states_2.npz")]
    for path in [mine, *left]:
        path.write_bytes(b"half")
    load(open_run(tmp_path / "run"))
    assert [path.exists() for path in [mine, *left]] == [True, False, False, False]


def test_a_full_disk_is_one_line_and_leaves_the_round_before(checkpoints, tmp_path, monkeypatch):
    before = load(checkpoints)["round"]
    savez = np.savez

    def full(file, *arrays, **named):
        if "leaf_0" in named:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        savez(file, *arrays, **named)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(
        fl.RunError, match=r"checkpoint of round 2 .*No space left on device; free some space"
    ) as caught:
        save(checkpoints, 2, {**STATE, "round": np.int64(7)})
    assert "\n" not in str(caught.value)
    checkpoints.release()
    again = open_run(tmp_path / "run")
    state, history = again.load(STATE, ClientStates(None))
    assert (state["round"], history.num_rounds) == (before, 1)


FILES = ["history.csv", "history.json", "weights.npz", "round_1.npz"]


@pytest.mark.parametrize(
    ("file", "damage"),
    [(file, damage) for file in [*FILES, "client_states_1.npz"] for damage in (b"", b"\xff\x00\n" * 20)]
    + [(file, None) for file in FILES[:-1]],
)
def test_whatever_file_is_damaged_or_missing_it_is_one_line(checkpoints, tmp_path, file, damage):
    path = tmp_path / "run" / file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    is_state = file == "round_1.npz"
    what = r"\S*/round_1.npz is damaged; delete it" if is_state else r"the checkpoint of round 1 in .* is damaged \("
    with pytest.raises(fl.RunError, match=rf"^checkpoint_dir: {what}") as caught:
        load(checkpoints)
    assert "\n" not in str(caught.value)


def test_a_changed_bit_anywhere_in_a_states_numbers_is_noticed(checkpoints, tmp_path):
    path = tmp_path / "run" / "round_1.npz"
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(-2.0).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(fl.RunError, match=r"round_1.npz is damaged"):
        load(checkpoints)


@pytest.mark.parametrize("text", ["[1]", "3", "[" * 100_000, "\x00"], ids=["list", "number", "deep", "zero"])
def test_settings_that_are_none_are_one_line(checkpoints, tmp_path, text):
    checkpoints.release()
    (tmp_path / "run" / "settings.json").write_text(text)
    with pytest.raises(fl.UsageError, match=r"settings.json is not readable as JSON; choose another folder"):
        open_run(tmp_path / "run")
