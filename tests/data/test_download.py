import hashlib
import io
import lzma
import os
import pathlib
import socket
import sqlite3
import sys
import tarfile
import time
import types
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from fedlearn_edu.data import download
from fedlearn_edu.data.datasets import load_dataset
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.quiet import silence_import_noise


@pytest.fixture(scope="module")
def tff():
    silence_import_noise()
    return pytest.importorskip("tensorflow_federated")


@pytest.fixture
def offline(monkeypatch):
    def no_network(*arguments, **keywords):
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr("keras.src.utils.data_utils.urlopen", no_network)


def fails(**arguments) -> str:
    with pytest.raises(RunError) as caught:
        load_dataset(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- TFF's own sets


def fake_splits(tff, monkeypatch, name, train, test):
    """Lets TFF's loader return these clients, and leaves the file behind that a download would."""
    splits = [tff.simulation.datasets.TestClientData(clients) for clients in (train, test)]

    def load_data(cache_dir, **_):
        pathlib.Path(cache_dir, {"emnist": "emnist_all.sqlite"}.get(name, f"{name}.sqlite")).touch()
        return tuple(splits)

    monkeypatch.setattr(getattr(tff.simulation.datasets, name), "load_data", load_data)


def digits(*labels):
    pixels = np.stack([np.full((28, 28), label / 10, np.float32) for label in labels])
    return {"label": np.array(labels, np.int32), "pixels": pixels}


def test_emnist_writers_keep_all_their_images(tff, monkeypatch, tmp_path):
    train, test = {"f01": digits(1, 2), "f00": digits(3)}, {"f00": digits(4), "f01": digits(5, 10 - 1)}
    fake_splits(tff, monkeypatch, "emnist", train, test)
    dataset = load_dataset("emnist", cache_dir=tmp_path)
    assert dataset.images.shape == (6, 28, 28, 3)
    assert dataset.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.images[:, 5, 5, 1], np.rint(25.5 * dataset.labels))
    held = {owner: sorted(dataset.labels[dataset.natural_client_ids == owner]) for owner in ("f00", "f01")}
    assert held == {"f00": [3, 4], "f01": [1, 2, 5, 9]}
    assert dataset.class_names[3] == "3"
    assert load_dataset("emnist_all", cache_dir=tmp_path).num_classes == 62


def test_max_clients_draws_by_seed(tff, monkeypatch, tmp_path):
    clients = {f"f{i:02}": digits(i % 10) for i in range(8)}
    fake_splits(tff, monkeypatch, "emnist", clients, clients)

    def drawn(seed):
        return set(load_dataset("emnist", cache_dir=tmp_path, max_clients=4, seed=seed).natural_client_ids)

    assert len(drawn(0)) == 4
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    with pytest.raises(UsageError, match="max_clients: expected 1 to 8, got 9"):
        load_dataset("emnist", cache_dir=tmp_path, max_clients=9)


def test_cifar100_uses_the_training_clients(tff, monkeypatch, tmp_path):
    def client(*labels):
        images = np.stack([np.full((32, 32, 3), label, np.uint8) for label in labels])
        return {"image": images, "label": np.array(labels, np.int64)}

    fake_splits(tff, monkeypatch, "cifar100", {"7": client(3, 99), "12": client(5)}, {"7": client(1)})
    dataset = load_dataset("cifar100", cache_dir=tmp_path)
    assert sorted(dataset.natural_client_ids) == ["007", "007", "012"]
    np.testing.assert_array_equal(dataset.images[:, 9, 9, 2], dataset.labels)
    assert sorted(dataset.labels) == [3, 5, 99]
    assert (len(dataset.class_names), dataset.class_names[99]) == (100, "worm")


class Response(io.BytesIO):
    @property
    def headers(self):
        return {"content-length": str(len(self.getvalue()))}


@pytest.fixture(scope="module")
def emnist_database(tff, tmp_path_factory):
    """The bytes of a database such as TFF's authors publish, with two writers."""
    import tensorflow as tf
    from tensorflow_federated.python.simulation.datasets import sql_client_data_utils

    path = tmp_path_factory.mktemp("sqlite") / "emnist_all.sqlite"

    def examples(client_id):
        pixels = np.random.default_rng(0).random((8, 28, 28), np.float32)
        return tf.data.Dataset.from_tensor_slices({"label": np.arange(8), "pixels": pixels})

    # One split name per database is all that the writer can do; the test reads it as both.
    sql_client_data_utils.save_to_sql_client_data(["f00", "f01"], examples, str(path))
    with sqlite3.connect(path) as database:
        for table in ("examples", "client_metadata"):
            database.execute(f"UPDATE {table} SET split_name = 'digits_only_train'")
            columns = {"examples": "serialized_example_proto", "client_metadata": "num_examples"}[table]
            database.execute(
                f"INSERT INTO {table} (client_id, split_name, {columns}) "
                f"SELECT client_id, 'digits_only_test', {columns} FROM {table}"
            )
    return path.read_bytes()


def test_tffs_own_loader_downloads_once(tff, monkeypatch, tmp_path, emnist_database):
    requests = []

    def urlopen(url, *_):
        requests.append((url, socket.getdefaulttimeout()))
        return Response(lzma.compress(emnist_database))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    for _ in range(2):
        dataset = load_dataset("emnist", cache_dir=tmp_path)
    assert len(dataset.images) == 32
    [(url, timeout)] = requests
    assert url.endswith("emnist_all.sqlite.lzma")
    assert timeout == download.TIMEOUT_SECONDS
    assert socket.getdefaulttimeout() is None
    assert [path.name for path in tmp_path.iterdir()] == ["emnist_all.sqlite"]


def test_a_download_that_breaks_off_leaves_nothing(tff, monkeypatch, tmp_path, emnist_database):
    half = lzma.compress(emnist_database)[: len(lzma.compress(emnist_database)) // 2]
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_: Response(half))
    assert "'emnist' could not be downloaded" in fails(name_or_dir="emnist", cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- flowers


@pytest.fixture
def flower_archive(tmp_path, monkeypatch):
    photos = tmp_path / "source" / "flower_photos"
    for i, name in enumerate(("daisy", "tulips")):
        (photos / name).mkdir(parents=True)
        Image.new("RGB", (30 + i, 20), (10 * i, 0, 0)).save(photos / name / "1.jpg")
    (photos / "LICENSE.txt").write_text("CC-BY")
    archive = tmp_path / "flower_photos.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(photos, "flower_photos")
    monkeypatch.setattr(download, "FLOWERS_URL", archive.as_uri())
    monkeypatch.setattr(download, "FLOWERS_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    return archive


def test_flowers_come_from_the_archive_once(flower_archive, tmp_path):
    dataset = load_dataset("flowers", cache_dir=tmp_path / "cache", image_size=16)
    assert dataset.class_names == ("daisy", "tulips")
    assert dataset.images.shape == (2, 16, 16, 3)
    assert dataset.report.ignored_files["."] == ("LICENSE.txt (not an image)",)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["flower_photos"]
    flower_archive.unlink()
    assert len(load_dataset("flowers", cache_dir=tmp_path / "cache").images) == 2


def test_a_changed_archive_is_refused(flower_archive, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FLOWERS_SHA256", "0" * 64)
    assert "Incomplete or corrupted file" in fails(name_or_dir="flowers", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's tar keeps the owners that an archive names")
def test_what_root_unpacks_is_roots_and_nobody_elses_to_write(flower_archive, tmp_path, monkeypatch):
    def theirs(member):
        member.uid, member.gid, member.mode = 4242, 4242, 0o777
        return member

    with tarfile.open(flower_archive, "w:gz") as tar:
        tar.add(tmp_path / "source" / "flower_photos", "flower_photos", filter=theirs)
    monkeypatch.setattr(download, "FLOWERS_SHA256", hashlib.sha256(flower_archive.read_bytes()).hexdigest())
    for _ in range(2):
        assert len(load_dataset("flowers", cache_dir=tmp_path / "cache", image_size=16).images) == 2
    for path in (tmp_path / "cache").rglob("*"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o022) == (0, 0)


# --- MedMNIST


@pytest.fixture
def medmnist(tmp_path, monkeypatch):
    """A stand-in for the package: its table of sets, and files where the table says they are."""
    shapes = {"greymnist": (28, 28), "colourmnist": (28, 28, 3), "greymnist_64": (64, 64)}
    files = {}
    for name, shape in shapes.items():
        arrays = {}
        for i, split in enumerate(("train", "val", "test"), start=1):
            arrays[f"{split}_images"] = np.full((i, *shape), 10 * i, np.uint8)
            arrays[f"{split}_labels"] = np.full((i, 1), i - 1, np.uint8)
        path = tmp_path / "server" / f"{name}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez(path, **arrays)
        files[name] = {"url": path.as_uri(), "MD5": hashlib.md5(path.read_bytes()).hexdigest()}
    common = {
        "task": "multi-class",
        "label": {"0": "normal", "1": "benign", "2": "malignant"},
        "n_samples": {"train": 1, "val": 2, "test": 3},
    }
    larger = {f"{key}_64": value for key, value in files["greymnist_64"].items()}
    module = types.ModuleType("medmnist")
    module.INFO = {
        "greymnist": common | files["greymnist"] | larger,
        "colourmnist": common | files["colourmnist"],
        "chestmnist": common | files["greymnist"] | {"task": "multi-label, binary-class"},
        "organmnist3d": common | files["greymnist"],
    }
    monkeypatch.setitem(sys.modules, "medmnist", module)


@pytest.mark.parametrize(("flag", "size"), [("greymnist", 28), ("colourmnist", 28), ("greymnist_64", 64)])
def test_medmnist_pools_its_splits(medmnist, tmp_path, flag, size):
    dataset = load_dataset(f"medmnist:{flag}", cache_dir=tmp_path / "cache")
    assert dataset.images.shape == (6, size, size, 3)
    assert dataset.images[:, 0, 0, 2].tolist() == [10, 20, 20, 30, 30, 30]
    assert dataset.labels.tolist() == [0, 1, 1, 2, 2, 2]
    assert dataset.labels.dtype == np.int32
    assert dataset.class_names == ("normal", "benign", "malignant")


@pytest.mark.parametrize("flag", ["chestmnist", "organmnist3d", "greymnist_128", "nomnist"])
def test_medmnist_sets_that_do_not_fit_are_refused(medmnist, tmp_path, flag):
    with pytest.raises(UsageError, match=f"{flag}"):
        load_dataset(f"medmnist:{flag}", cache_dir=tmp_path)


def test_without_the_medmnist_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    assert "pip install --no-deps medmnist" in fails(name_or_dir="medmnist:pathmnist")


# --- what can go wrong with any of them


@pytest.mark.parametrize("name", ["emnist", "cifar100", "flowers", "medmnist:webmnist"])
def test_offline(offline, medmnist, tmp_path, name):
    sys.modules["medmnist"].INFO["webmnist"] = {"task": "multi-class", "url": "https://localhost/x.npz", "MD5": "0"}
    message = fails(name_or_dir=name, cache_dir=tmp_path / "cache")
    assert f"{name!r} could not be downloaded from" in message
    assert "Name or service not known" in message
    assert "use dataset 'fashion', which works offline" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_nothing_comes_over_http(medmnist, tmp_path):
    sys.modules["medmnist"].INFO["webmnist"] = {"task": "multi-class", "url": "http://localhost/x.npz", "MD5": "0"}
    message = fails(name_or_dir="medmnist:webmnist", cache_dir=tmp_path / "cache")
    assert "expected a URL that begins with https://, got http://localhost/x.npz" in message


def test_another_file_than_the_one_medmnist_names_is_refused(medmnist, tmp_path):
    sys.modules["medmnist"].INFO["greymnist"]["MD5"] = "0" * 32
    assert "Incomplete or corrupted file" in fails(name_or_dir="medmnist:greymnist", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_others_can_write_is_refused(flower_archive, tmp_path):
    load_dataset("flowers", cache_dir=tmp_path / "cache", image_size=16)
    (tmp_path / "cache").chmod(0o777)
    message = fails(name_or_dir="flowers", cache_dir=tmp_path / "cache")
    assert "cache_dir: expected a folder that nobody else can change" in message
    assert "cache can be written by every user" in message


def test_a_silent_server_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.5)
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes connections and never answers
        monkeypatch.setattr(download, "FLOWERS_URL", f"https://127.0.0.1:{server.getsockname()[1]}/flowers.tgz")
        start = time.perf_counter()
        assert "timed out" in fails(name_or_dir="flowers", cache_dir=tmp_path)
    assert time.perf_counter() - start < 5


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert "cache_dir: cannot write to" in fails(name_or_dir="flowers", cache_dir=tmp_path / "file")


def test_downloads_go_to_the_users_cache_folder(offline, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FEDLEARN_EDU_CACHE", raising=False)
    assert str(tmp_path / "fedlearn_edu" / "datasets") in fails(name_or_dir="flowers")
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "elsewhere"))  # one folder for features and downloads
    assert str(tmp_path / "elsewhere" / "datasets") in fails(name_or_dir="flowers")
