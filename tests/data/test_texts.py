"""A folder of texts becomes a data set that says what each client has, or is refused in one line."""

import warnings

import pytest

from fedlearn_edu.data.datasets import load_dataset
from fedlearn_edu.data.tables import load_table
from fedlearn_edu.data.texts import holds_texts, load_texts
from fedlearn_edu.errors import UsageError


def write(folder, **_):
    """Writes a small folder: two clients, two classes, one empty text, one file that is none."""
    texts = {"Ann/good/1": "Great!", "Ann/bad/1": "Awful.", "Bob/good/1": " Scho\u0308n\n", "Bob/bad/2": "  \n"}
    for path, text in texts.items():
        file = folder / f"{path}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "Bob" / "notes.md").write_text("x")
    return folder


def test_clients_that_hold_classes(tmp_path):
    with pytest.warns(UserWarning, match=r"1 empty texts left out, first Bob/bad/2\.txt; client 'Bob': one class only"):
        dataset = load_texts(write(tmp_path))
    assert dataset.modality == "text"
    assert dataset.task.kind == "classification"
    assert dataset.inputs.tolist() == ["Awful.", "Great!", "Schön"]
    assert dataset.inputs.dtype == object
    assert [dataset.class_names[target] for target in dataset.targets] == ["bad", "good", "good"]
    assert dataset.natural_client_ids.tolist() == ["Ann", "Ann", "Bob"]
    assert dataset.report[["num_texts", "num_classes", "empty", "ignored"]].to_dict("split")["data"] == [
        [2, 2, 0, 0],
        [1, 1, 1, 1],
    ]
    assert dataset.report.loc["Bob", "ignored_files"] == ("Bob/notes.md (not a text)",)


def test_classes_alone(tmp_path):
    dataset = load_texts(write(tmp_path) / "Ann")
    assert dataset.natural_client_ids is None
    assert dataset.report.index.name == "class_name"
    assert dataset.class_names == ("bad", "good")


def test_another_encoding_is_named_with_its_file(tmp_path):
    folder = write(tmp_path) / "Ann"
    (folder / "good" / "2.txt").write_text("schön", encoding="cp1252")
    with pytest.raises(UsageError, match=r"1 of 3 texts .* first good/2\.txt is no UTF-8 \(byte 3\); .*'cp1252'"):
        load_texts(folder)
    assert "schön" in load_texts(folder, encoding="cp1252").inputs
    with pytest.raises(UsageError, match="encoding: expected one that Python knows"):
        load_texts(folder, encoding="klingon")


def test_what_is_no_folder_of_texts(tmp_path):
    folder = write(tmp_path)
    (folder / "Carl" / "good").mkdir(parents=True)
    (folder / "Carl" / "good" / "1.txt").write_text("x")
    with pytest.raises(UsageError, match="got only 'good'"):
        load_texts(folder / "Carl")
    (folder / "empty" / "a").mkdir(parents=True)
    (folder / "empty" / "a" / "x.md").write_text("x")
    with pytest.raises(UsageError, match=r"holds no text \(\.txt\); expected DIR/<class>/text"):
        load_texts(folder / "empty")
    (folder / "Ann" / "loose.txt").write_text("x")
    with pytest.raises(UsageError, match="mixes two layouts"):
        load_texts(folder)
    with pytest.raises(UsageError, match="expected a path"):
        load_texts(7)


def test_zero_bytes_and_a_text_that_is_too_large(tmp_path):
    folder = write(tmp_path) / "Ann"
    (folder / "good" / "2.txt").write_bytes(b"a\0b")
    with pytest.raises(UsageError, match=r"good/2\.txt holds zero bytes"):
        load_texts(folder)
    with open(folder / "good" / "2.txt", "wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(UsageError, match=r"good/2\.txt is larger than 10 MB \(20 MB\)"):
        load_texts(folder)


def test_images_go_before_texts(tmp_path):
    folder = write(tmp_path)
    assert holds_texts(folder)
    assert not holds_texts(folder / "Ann" / "good")  # in no folder of a class
    (folder / "Ann" / "good" / "1.png").write_bytes(b"")
    assert not holds_texts(folder)


def test_texts_in_a_table(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text('id,review,stars,who\n1,"Great, really",good,Ann\n2,,bad,Ann\n3,Awful,bad,Bob\n', encoding="utf-8")
    with pytest.warns(UserWarning, match=r"1 of 3 rows left out, first no text: 1 \('Ann'\)"):
        dataset = load_table(path, target="stars", text="review", client="who")
    assert dataset.modality == "text"
    assert dataset.inputs.tolist() == ["Great, really", "Awful"]
    assert dataset.targets.tolist() == [1, 0]
    assert dataset.natural_client_ids.tolist() == ["Ann", "Bob"]
    with pytest.raises(UsageError, match=r"text: 'reviews\.csv' has no column 'reviw'; did you mean 'review'"):
        load_table(path, target="stars", text="reviw")


def test_nothing_is_said_where_nothing_is_odd(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_texts(write(tmp_path) / "Ann")


def test_load_dataset_knows_folders_of_texts_and_tables(tmp_path):
    folder = write(tmp_path) / "Ann"
    assert load_dataset(folder).inputs.tolist() == ["Awful.", "Great!"]
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,a\n2,b\n", encoding="utf-8")
    assert load_dataset(path, target="y").inputs["x"].tolist() == [1, 2]
    with pytest.raises(UsageError, match=r"target: name the column of 't\.csv' to predict, one of 'x', 'y'"):
        load_dataset(str(path))
    with pytest.raises(UsageError, match=r"table: expected a CSV file, .*none\.csv' does not exist"):
        load_dataset(tmp_path / "none.csv", target="y")
    with pytest.raises(UsageError, match=r"client: only for a table \(\.csv\), got 'who' for"):
        load_dataset(folder, client="who")
    with pytest.raises(UsageError, match=r"target: only for a table \(\.csv\), got 'y' for 'fashion'"):
        load_dataset("fashion", target="y")
    with pytest.raises(UsageError, match="targt: no such argument; did you mean 'target'"):
        load_dataset(path, targt="y")
