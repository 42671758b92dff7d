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
    from fedlearn_edu.files import write_whole

    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
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


# --- a history that grows round by round -------------------------------------------------------------------------


def round_rows(round_num, *, num_clients=5):
    rows = [(round_num, "global", "accuracy", round_num / 7), (round_num, "global", "loss", float("nan"))]
    return rows + [(round_num, f'"{c}", Zo\u00eb', "accuracy", 1 / (round_num + c + 1)) for c in range(num_clients)]


def grown(num_rounds):
    history = fl.History({"seed": 0})
    for round_num in range(num_rounds + 1):
        history.add_round(round_rows(round_num), model_weights=[np.full(3, round_num)])
    return history


def same_rows(a, b):
    return repr(a) == repr(b)  # NaN is not NaN


class CountedRows(list):
    """Rows that count how many of them were asked for."""

    read = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        self.read += len(found) if isinstance(index, slice) else 1
        return found

    def __iter__(self):
        for row in super().__iter__():
            self.read += 1
            yield row

    def __reversed__(self):
        for row in super().__reversed__():
            self.read += 1
            yield row


def ask(history):
    return history.num_rounds, history.is_tested, history.global_accuracy, len(history.last_client_metric())


def test_what_is_asked_for_after_every_round_reads_that_round_only():
    history, read = fl.History({}, rows=CountedRows()), {}
    for round_num in range(201):
        history.add_round(round_rows(round_num))
        before = history.rows.read
        assert ask(history) == (round_num, True, round_num / 7, 5)
        assert len(history.global_metrics()) == round_num + 1
        read[round_num] = history.rows.read - before
    assert read[200] <= read[3] <= 3 * len(round_rows(0))


def test_what_is_known_follows_rows_that_were_cut_or_exchanged():
    history = grown(6)
    assert ask(history) == (6, True, 6 / 7, 5)
    history.truncate(4)
    assert ask(history) == (4, True, 4 / 7, 5)
    del history.rows[-1 - len(round_rows(4)) :]
    history.rows += round_rows(8)
    assert ask(history) == (8, True, 8 / 7, 5)
    history.rows = round_rows(1)
    assert ask(history) == (1, True, 1 / 7, 5)
    history.forget_evaluation(1)
    assert (history.num_rounds, history.is_tested) == (0, False)


def test_the_last_value_of_each_client_is_the_last_column_of_all_of_them():
    history = grown(3)
    history.add(4, "global", accuracy=0.5)
    history.add(4, "c", in_cohort=1)  # nobody was measured in this round
    last = history.last_client_metric()
    assert last.to_dict() == history.client_metric().iloc[:, -1].to_dict()
    assert list(last.index) == list(history.client_metric().index)
    assert fl.History({}).last_client_metric().empty


@pytest.mark.parametrize("where", ["rows", "attributes"])
def test_an_interrupt_leaves_no_half_of_a_round(where):
    class Stops(list):
        def extend(self, rows):
            if where == "rows":
                raise KeyboardInterrupt
            super().extend(rows)
            if where == "attributes":
                raise KeyboardInterrupt

    history = grown(2)
    rows, history.rows = list(history.rows), Stops(history.rows)
    with pytest.raises(KeyboardInterrupt):
        history.add_round(round_rows(3), model_weights=[np.full(3, 9)], status="finished")
    assert same_rows(list(history.rows), rows)
    assert (history.num_rounds, history.status, history.model_weights[0][0]) == (2, "running", 2)
