import functools
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from small_data import write_images

from fedlearn_edu.data.folder import load_folder
from fedlearn_edu.errors import UsageError


@pytest.fixture
def make_folder(tmp_path):
    return functools.partial(write_images, tmp_path / "photos")


def refused(folder, **arguments) -> str:
    with pytest.raises(UsageError) as caught:
        load_folder(folder, image_size=8, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_folders(make_folder):
    dataset = load_folder(make_folder("dog/1.png", "cat/1.JPG", "cat/2.webp", "ant/x.gif"), image_size=8)
    assert dataset.name == "photos"
    assert dataset.images.shape == (4, 8, 8, 3)
    assert dataset.class_names == ("ant", "cat", "dog")
    assert dataset.labels.tolist() == [0, 1, 1, 2]
    assert dataset.labels.dtype == np.int32
    assert dataset.natural_client_ids is None
    assert dataset.report.index.name == "class_name"
    assert dataset.report.num_images.to_dict() == {"ant": 1, "cat": 2, "dog": 1}
    assert dataset.report.resized.tolist() == [1, 2, 1]
    assert (dataset.report.warnings == "").all()


def test_client_folders(make_folder):
    with pytest.warns(UserWarning, match="client 'bo': one class only"):
        dataset = load_folder(make_folder("bo/cat/1.png", "al/dog/1.png", "al/cat/2.png"), image_size=8)
    assert dataset.natural_client_ids.tolist() == ["al", "al", "bo"]
    assert [dataset.class_names[label] for label in dataset.labels] == ["cat", "dog", "cat"]
    assert dataset.report.index.tolist() == ["al", "bo"]
    assert dataset.report.index.name == "client_id"
    assert dataset.report.num_classes.tolist() == [2, 1]
    assert dataset.report.warnings.tolist() == ["", "one class only"]


def test_images_lie_in_sorted_order_whatever_the_disk_does(make_folder, monkeypatch):
    folder = make_folder("b/2.png", "b/10.png", "a/1.png")
    first = load_folder(folder, image_size=8)
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path), reverse=True))
    second = load_folder(folder, image_size=8)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.images[:, 0, 0, 0].tolist() == [2, 1, 0]  # a/1, b/10, b/2: the red value is the number written


def test_conversions_are_counted_by_kind(make_folder):
    folder = make_folder("a/1.png", "b/1.png")
    Image.new("L", (8, 8)).save(folder / "a" / "2.png")
    Image.new("LA", (8, 8)).save(folder / "a" / "3.png")
    Image.fromarray(np.full((8, 8), 100, np.uint16)).save(folder / "b" / "2.png")
    with pytest.warns(UserWarning, match="class 'b': 1 16-bit images use less than 1/16"):
        report = load_folder(folder, image_size=8).report
    assert report.converted.tolist() == ["alpha: 1, grey: 2", "16-bit: 1, dark 16-bit: 1"]
    assert report.resized.tolist() == [1, 1]


def test_a_broken_image_is_refused_by_name(make_folder):
    folder = make_folder("a/1.png", "b/1.png", "b/2.png")
    (folder / "a" / "0.png").write_bytes(b"\x89PNG nothing")
    (folder / "b" / "3.jpg").write_bytes(b"")
    message = refused(folder)
    assert f"folder: 2 of 5 images in {str(folder)!r} cannot be read, first a/0.png (not a readable" in message
    assert "on_broken='skip'" in message


def test_broken_images_can_be_left_out(make_folder):
    folder = make_folder("a/1.png", "b/1.png", "b/2.png")
    (folder / "b" / "1.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"1 broken images left out, first b/1.png \(not a readable") as caught:
        dataset = load_folder(folder, image_size=8, on_broken="skip")
    assert len(caught) == 1
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 2]
    assert dataset.labels.tolist() == [0, 1]
    assert dataset.report.broken.tolist() == [0, 1]
    assert dataset.report.broken_files["b"][0].startswith("b/1.png (")
    assert dataset.report.num_images.tolist() == [1, 1]


def test_every_file_is_an_image_read_or_broken_or_ignored(make_folder):
    folder = make_folder("a/1.png", "b/1.png")
    (folder / "b" / "2.png").touch()
    (folder / "b" / "notes.txt").touch()
    (folder / "LICENSE").touch()
    (folder / "a" / ".hidden.png").touch()
    (folder / ".ipynb_checkpoints").mkdir()
    os.mkfifo(folder / "a" / "pipe.png")
    with pytest.warns(UserWarning, match="broken"):
        report = load_folder(folder, image_size=8, on_broken="skip").report
    assert report.index.tolist() == ["a", "b", "."]
    assert report.ignored.tolist() == [2, 1, 2]
    assert report.ignored_files["a"] == ("a/.hidden.png (hidden)", "a/pipe.png (not a regular file)")
    assert report.ignored_files["b"] == ("b/notes.txt (not an image)",)
    assert report.ignored_files["."] == (".ipynb_checkpoints (hidden)", "LICENSE (not an image)")
    assert report[["num_images", "broken", "ignored"]].to_numpy().sum() == 8


def test_empty_clients_and_classes_are_told(make_folder):
    folder = make_folder("al/cat/1.png", "al/dog/1.png")
    (folder / "bo" / "cat").mkdir(parents=True)
    (folder / "cy").mkdir()
    (folder / "al" / "eel").mkdir()
    with pytest.warns(
        UserWarning, match="classes without an image left out: 'eel'; client 'bo': no image; client 'cy'"
    ):
        dataset = load_folder(folder, image_size=8)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.report.warnings.to_dict() == {"al": "", "bo": "no image", "cy": "no image"}


def test_many_remarks_stay_one_line(make_folder):
    folder = make_folder("a/1.png", "b/1.png")
    for i in range(9):
        (folder / f"empty{i}").mkdir()
    with pytest.warns(UserWarning, match="and 5 more") as caught:
        load_folder(folder, image_size=8)
    assert "\n" not in str(caught[0].message)


def test_link_loops_and_folders_linked_twice_are_read_once(make_folder):
    folder = make_folder("a/1.png", "b/1.png")
    (folder / "a" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "c").symlink_to(folder / "b", target_is_directory=True)
    (folder / "b" / "self.png").symlink_to(folder / "b" / "self.png")
    with pytest.warns(UserWarning, match="broken"):
        dataset = load_folder(folder, image_size=8, on_broken="skip")
    assert len(dataset.images) == 2
    assert dataset.report.ignored_files["a"] == ("a/up (folder already read under another name)",)
    assert dataset.report.ignored_files["."] == ("c (folder already read under another name)",)
    assert dataset.report.broken_files["b"][0].startswith("b/self.png (Too many levels")


def test_linked_class_folders_are_followed(make_folder, tmp_path):
    folder = make_folder("a/1.png", "b/1.png")
    shutil.move(folder / "b", tmp_path / "elsewhere")
    (folder / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert load_folder(folder, image_size=8).class_names == ("a", "b")


def test_a_decompression_bomb_is_broken_not_a_crash(make_folder, monkeypatch):
    folder = make_folder("a/1.png", "b/1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert "more than 50 pixels" in refused(folder)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["1.png", "a/1.png"], "'1.png' in {folder} lies in no class folder"),
        (["a/b/c/1.png"], "'a/b/c/1.png' in {folder} lies too deep"),
        (["a/1.png", "b/x/1.png"], "mixes two layouts: 'a/1.png' is <class>/image and 'b/x/1.png' is <client>/"),
        (["a/1.png", "a/2.png"], "expected at least two classes in {folder}, got only 'a'"),
        (["x/a/1.png", "y/a/2.png"], "expected at least two classes in {folder}, got only 'a'"),
    ],
)
def test_folders_that_cannot_be_used(make_folder, paths, message):
    folder = make_folder(*paths)
    assert message.format(folder=repr(str(folder))) in refused(folder)


def test_no_folder_no_images(tmp_path):
    assert "does not exist; expected DIR/<class>/image" in refused(tmp_path / "missing")
    assert "is empty" in refused(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert "holds no image (.apng, .avif" in refused(tmp_path)
    assert "is a file" in refused(tmp_path / "notes.txt")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    assert "none of the 1 images" in refused(tmp_path, on_broken="skip")


def test_on_broken_is_checked_first(tmp_path):
    assert refused(tmp_path / "missing", on_broken="ignore") == "on_broken: expected 'refuse' or 'skip', got 'ignore'"
