"""History: tables with known numbers; saved and loaded without a bit of difference."""

import numpy as np
import pytest

import fedlearn_edu as fl


@pytest.fixture
def history():
    history = fl.History({"seed": 0}, central_accuracy=0.9, seconds=1.5)
    history.add(0, "global", accuracy=0.1, loss=2.3)
    history.add(0, "a", accuracy=0.0)
    history.add(0, "b", accuracy=0.2)
    history.add(1, "global", accuracy=1 / 3, loss=1.1, upload_bytes_total=100)
    history.add(1, "b", in_cohort=1)
    history.add(1, "a", accuracy=0.5)
    history.add(1, "b", accuracy=0.25)
    history.model_weights = [np.array([[1.5]], np.float32), np.array([2], np.float32)]
    return history


def test_tables(history):
    assert list(history.to_frame().columns) == ["round_num", "client_id", "metric", "value"]
    assert history.global_metrics()["loss"].to_dict() == {0: 2.3, 1: 1.1}
    assert history.client_metric("accuracy").loc["b"].to_dict() == {0: 0.2, 1: 0.25}
    table = history.client_table()
    assert list(table.index) == ["b", "a"]  # worst first
    assert table.loc["b", "gain"] == pytest.approx(0.05)
    assert table["rounds_trained"].to_dict() == {"a": 0, "b": 1}
    assert history.global_accuracy == 1 / 3
    assert history.num_rounds == 1


def test_a_history_without_rounds_has_tables(history):
    empty = fl.History({})
    assert empty.num_rounds == 0
    assert empty.to_frame().empty
    assert empty.client_metric().empty


def test_save_and_load(history, tmp_path):
    history.add(1, "none", accuracy=1.0)  # a name that pandas would otherwise read as missing
    history.add(1, "NA", accuracy=1.0)
    history.save(tmp_path / "run")
    loaded = fl.History.load(tmp_path / "run")
    assert loaded.rows == history.rows
    assert loaded.settings == history.settings
    assert (loaded.central_accuracy, loaded.seconds, loaded.status) == (0.9, 1.5, "running")
    for a, b in zip(loaded.model_weights, history.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["history.csv", "history.json", "weights.npz"]


def test_truncate(history):
    history.truncate(0)
    assert history.num_rounds == 0
    assert len(history.rows) == 4


def test_load_names_what_is_missing(tmp_path):
    with pytest.raises(fl.UsageError, match=r"expected a saved history, but .*history.json is missing"):
        fl.History.load(tmp_path)


def test_a_failed_write_leaves_the_old_file(history, tmp_path):
    from fedlearn_edu.simulation.history import replace_file

    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _rewrite(path, change):
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("history.csv", lambda text: ""),
        ("history.csv", lambda text: text.replace(",", ";")),
        ("history.csv", lambda text: text.replace("client_id", "client")),
        ("history.csv", lambda text: text + text.splitlines()[1] + "\n"),
        ("history.csv", lambda text: text + "2,global,accuracy,high\n"),
        ("history.csv", lambda text: text + "x,global,accuracy,1\n"),
        ("history.csv", lambda text: "\n".join(f"{line},1" for line in text.splitlines())),
        ("history.json", lambda text: ""),
        ("history.json", lambda text: "[]"),
        ("history.json", lambda text: "[" * 100_000),
        ("history.json", lambda text: text.replace('"status"', '"rows": [], "status"')),
        ("weights.npz", lambda text: "cut"),
    ],
)
def test_a_damaged_or_edited_history_is_refused_in_one_line(history, tmp_path, name, change):
    history.save(tmp_path)
    if name == "weights.npz":
        (tmp_path / name).write_text(change(""))
    else:
        _rewrite(tmp_path / name, change)
    with pytest.raises(fl.UsageError, match=r"directory: expected a saved history, but .* damaged or edited") as error:
        fl.History.load(tmp_path)
    assert "\n" not in str(error.value)
