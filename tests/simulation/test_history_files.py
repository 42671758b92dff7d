"""A history in a checkpoint: a round writes its own rows only, and whatever cuts that short, those before stand."""

import os

import numpy as np
import pandas as pd
import pytest

import fedlearn_edu as fl
from fedlearn_edu.simulation.history_files import HistoryFiles


def rows_of(round_num, *, num_clients=4):
    names = ["NA", 'a "b", c', "Zo\u00eb", "12,global,loss"]
    rows = [(round_num, "global", "accuracy", round_num / 7), (round_num, "global", "upload_bytes_total", 12)]
    rows += [(round_num, names[c], "accuracy", np.nan if c else 0.1 + round_num) for c in range(num_clients)]
    return rows


def run(directory, rounds, history=None, files=None):
    """Grows a history by some rounds and saves it after each."""
    history, files = history or fl.History({"seed": 0}), files or HistoryFiles(directory)
    for round_num in rounds:
        history.add_round(rows_of(round_num), model_weights=[np.float32([round_num])])
        files.save(history)
    return history, files


def text(rows):
    return pd.DataFrame(rows).to_csv(float_format="%r")


@pytest.fixture
def whole(tmp_path):
    """What a user's own `save` writes of 12 rounds."""
    (tmp_path / "appended").mkdir()
    history, _ = run(tmp_path / "appended", range(13))
    history.save(tmp_path / "whole")
    return (tmp_path / "whole" / "history.csv").read_bytes()


def test_appended_is_what_is_written_whole(whole, tmp_path):
    assert (tmp_path / "appended" / "history.csv").read_bytes() == whole
    assert text(fl.History.load(tmp_path / "appended").rows) == text(fl.History.load(tmp_path / "whole").rows)


def test_round_1000_writes_as_much_as_round_1(tmp_path, monkeypatch):
    """Counted: the rows that are made into text, and the bytes by which the one file grows."""
    serialised, table = [], tmp_path / "history.csv"
    to_csv = pd.DataFrame.to_csv

    def counted(frame, *args, **kwargs):
        serialised.append(len(frame))
        return to_csv(frame, *args, **kwargs)

    history, files = run(tmp_path, range(2))
    monkeypatch.setattr(pd.DataFrame, "to_csv", counted)
    before, file = table.stat().st_size, table.stat().st_ino
    for round_num in range(2, 1001):
        history.add_round(rows_of(round_num))
    files.save(history)
    in_one = table.stat().st_size - before
    serialised.clear()
    run(tmp_path, [1001], history, files)
    assert serialised == [len(rows_of(0))]
    assert table.stat().st_ino == file  # it was not replaced by another
    assert table.stat().st_size - before - in_one < in_one / 900


@pytest.mark.parametrize("resumed_at", [0, 3, 11, 12])
def test_a_kill_at_any_byte_of_a_round_leaves_what_resumes(whole, tmp_path, resumed_at):
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    num_lines = 1 + (resumed_at + 1) * len(rows_of(0))  # with the header
    start = ends[num_lines - 1]
    stop = ends[min(num_lines + len(rows_of(0)), len(ends)) - 1]
    for cut in range(start, stop + 1):
        (tmp_path / "appended" / "history.csv").write_bytes(whole[:cut])
        files = HistoryFiles(tmp_path / "appended")
        history = files.load(resumed_at)
        assert text(history.rows) == text([row for r in range(resumed_at + 1) for row in rows_of(r)])
        run(tmp_path / "appended", range(resumed_at + 1, 13), history, files)
        assert (tmp_path / "appended" / "history.csv").read_bytes() == whole


def test_a_round_that_could_not_be_written_is_written_by_the_next_call(whole, tmp_path, monkeypatch):
    (tmp_path / "again").mkdir()
    history, files = run(tmp_path / "again", range(6))
    to_csv = pd.DataFrame.to_csv

    def full(frame, file, **kwargs):
        file.write(b"6,global,accu")
        file.flush()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    history.add_round(rows_of(6))
    with pytest.raises(OSError, match="No space left"):
        files.save(history)
    monkeypatch.setattr(pd.DataFrame, "to_csv", to_csv)
    files.save(history)
    run(tmp_path / "again", range(7, 13), history, files)
    assert (tmp_path / "again" / "history.csv").read_bytes() == whole


def test_rows_that_were_changed_are_written_anew(tmp_path):
    """As when a longer run forgets that the last round of a shorter one was measured."""
    run(tmp_path, range(4))
    files = HistoryFiles(tmp_path)
    history = files.load(3)
    history.forget_evaluation(3)
    run(tmp_path, [4], history, files)
    assert text(fl.History.load(tmp_path).rows) == text(history.rows)
    assert (3, "global", "accuracy") not in [row[:3] for row in history.rows]


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "run").mkdir()
    history, files = run(tmp_path / "run", range(2))
    (tmp_path / "run" / "history.csv").rename(tmp_path / "precious")
    (tmp_path / "run" / "history.csv").symlink_to(tmp_path / "precious")
    before = (tmp_path / "precious").read_bytes()
    with pytest.raises(OSError, match=os.strerror(40)):
        run(tmp_path / "run", [2], history, files)
    assert (tmp_path / "precious").read_bytes() == before


def test_a_cut_table_that_is_no_checkpoint_is_damaged(whole, tmp_path):
    (tmp_path / "whole" / "history.csv").write_bytes(whole[:-9])
    with pytest.raises(fl.UsageError, match="damaged or edited"):
        fl.History.load(tmp_path / "whole")
    loaded = fl.History.load(tmp_path / "whole", num_rounds=7)
    assert loaded.num_rounds == 7
