import functools
import subprocess
import sys
import time

import numpy as np
import pytest
from small_data import write_images

from fedlearn_edu.data import download
from fedlearn_edu.data.datasets import dataset_names, load_dataset
from fedlearn_edu.errors import UsageError


@pytest.fixture
def make_folder(tmp_path):
    return functools.partial(write_images, tmp_path / "photos")


def test_fashion_is_complete_and_fast():
    start = time.perf_counter()
    fashion = load_dataset("fashion")
    assert time.perf_counter() - start < 3.0  # 0.3 s when the machine is not shared
    assert fashion.images.shape == (10_000, 28, 28, 3)
    assert fashion.images.dtype == np.uint8
    assert fashion.images.max() == 255
    assert (fashion.images[..., 0] == fashion.images[..., 2]).all()
    assert np.bincount(fashion.labels).tolist() == [1000] * 10
    assert fashion.natural_client_ids is None
    assert fashion.report.empty


def test_fashion_labels_belong_to_their_images():
    fashion = load_dataset("fashion")
    mean = {name: fashion.images[fashion.labels == i].mean() for i, name in enumerate(fashion.class_names)}
    # A coat covers most of the picture, a sandal little of it, and the largest class means are clothes for the trunk.
    assert sorted(mean, key=mean.get)[:1] == ["Sandal"]
    assert set(sorted(mean, key=mean.get)[-2:]) == {"Pullover", "Coat"}


def test_emoji_is_complete_and_no_emoji_is_on_both_sides():
    emoji = load_dataset("emoji")
    assert emoji.images.shape == (6_482, 64, 64, 3)
    assert emoji.num_classes == 9
    assert np.bincount(emoji.labels).min() > 200
    owners, counts = np.unique(emoji.natural_client_ids, return_counts=True)
    assert dict(zip(owners, counts, strict=True)) == {"noto": 1906, "twemoji": 1906, "fluent": 1594, "emojione": 1076}
    table = emoji.report
    assert (table.groupby("emoji")["is_test"].nunique() == 1).all()
    assert (table.groupby("emoji")["group"].nunique() == 1).all()
    assert not table.duplicated(["vendor", "emoji"]).any()
    shares = table.groupby("group")["is_test"].mean()
    assert shares.between(0.18, 0.22).all()


def test_emoji_pictures_belong_to_their_names():
    emoji = load_dataset("emoji")
    names = emoji.report["name"]
    centre = emoji.images[:, 24:40, 24:40].mean(axis=(1, 2))
    red, green, blue = centre[(names == "large red circle").to_numpy()].T
    assert len(red) >= 3
    assert (red > 180).all()
    assert (np.maximum(green, blue) < 100).all()
    red, green, blue = centre[(names == "large blue circle").to_numpy()].T
    assert len(red) >= 3
    assert (blue > red + 50).all()


def test_image_size_resizes_a_set_of_one_size(monkeypatch):
    small = load_dataset("fashion", image_size=14)
    assert small.images.shape == (10_000, 14, 14, 3)
    native = load_dataset("fashion")
    assert abs(small.images.mean() - native.images.mean()) < 1.0
    assert small.labels.tolist() == native.labels.tolist()


def test_the_registry_tells_what_is_loaded():
    names = dataset_names()
    assert names.columns.tolist() == [
        "description",
        "num_images",
        "num_classes",
        "num_clients",
        "licence",
        "origin",
        "source",
    ]
    fashion = load_dataset("fashion")
    assert names.loc["fashion", ["num_images", "num_classes"]].tolist() == [len(fashion.images), fashion.num_classes]
    emoji, owners = load_dataset("emoji"), names.loc["emoji", "num_clients"]
    assert names.loc["emoji", ["num_images", "num_classes"]].tolist() == [len(emoji.images), emoji.num_classes]
    assert owners == len(set(emoji.natural_client_ids))
    assert {"emnist", "cifar100", "flowers", "medmnist:pathmnist"} <= set(names.index)
    assert names.notna().all(axis=None)
    assert (names.description.str.len() > 10).all()


def test_a_folder_is_read_with_the_given_size(make_folder, monkeypatch):
    folder = make_folder("a/1.png", "b/1.png")
    assert load_dataset(folder, image_size=16).images.shape == (2, 16, 16, 3)
    assert load_dataset(str(folder)).images.shape == (2, 224, 224, 3)
    monkeypatch.chdir(folder.parent)
    assert load_dataset("photos", image_size=16).name == "photos"


def test_a_known_name_goes_before_a_folder(make_folder, monkeypatch):
    folder = make_folder("a/1.png", "b/1.png")
    folder.rename(folder.parent / "fashion")
    monkeypatch.chdir(folder.parent)
    assert len(load_dataset("fashion").images) == 10_000
    assert len(load_dataset("./fashion", image_size=8).images) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fashon", {}, "dataset: expected a known name or an existing folder, got 'fashon'; did you mean 'fashion'?"),
        ("medmnist:pathmnis", {}, "MedMNIST has no 'pathmnis'"),
        ("no/such/folder", {}, "folder: 'no/such/folder' does not exist"),
        ("fashion", {"image_size": 4}, "image_size: expected a whole number of pixels from 8 to 1024, or None, got 4"),
        ("fashion", {"image_size": "64"}, "image_size: expected a whole number"),
        ("fashion", {"max_clients": 3}, "max_clients: only for emnist, emnist_all, cifar100, got 3 for 'fashion'"),
    ],
)
def test_bad_arguments(name, arguments, message, monkeypatch):
    monkeypatch.setattr(download, "_medmnist_info", lambda: {"pathmnist": {"url": "", "task": ""}})
    with pytest.raises(UsageError) as caught:
        load_dataset(name, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_data_room_loads_without_tensorflow():
    code = "import sys, fedlearn_edu.data.datasets, fedlearn_edu.data.partition; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize(
    "name", [None, 3, ["fashion"], object(), "", "nothing", "a\0b", "x" * 5000, b"\xe9", "two\nlines"]
)
def test_what_is_no_data_set_is_one_line(name):
    with pytest.raises(UsageError, match=r"^dataset: expected a known name or an? ") as caught:
        load_dataset(name)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


def test_a_folder_may_be_given_as_bytes(make_folder):
    folder = make_folder("cat/1.png", "dog/1.png")
    assert load_dataset(str(folder).encode(), image_size=8).class_names == ("cat", "dog")
