import functools
import inspect
import os
import shutil
import sys
import unicodedata
import warnings

import numpy as np
import pytest
from PIL import Image
from small_data import write_images

from fedlearn_edu.data.folder import load_folder
from fedlearn_edu.data.names import WHOLE
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation import history


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


def read(folder, **arguments):
    """Returns the data set and its only warning, "" if there was none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = load_folder(folder, image_size=8, **arguments)
    assert len(caught) <= 1
    return dataset, str(caught[0].message) if caught else ""


NFD = functools.partial(unicodedata.normalize, "NFD")


def test_images_of_a_kind_that_is_not_read_are_told(make_folder):
    folder = make_folder("cat/1.jpg", "dog/1.jpg")
    for name in ("cat/1.HEIC", "cat/2.HEIC", "dog/3.heic", "dog/x.svg"):
        (folder / name).write_bytes(b"x")
    shutil.copy(folder / "cat" / "1.jpg", folder / "cat" / "1.jpg~")
    (folder / "cat" / "notes.txt").write_text("1 cat")
    (folder / "labels.csv").write_text("a,b")
    (folder / "index.html").write_text("<!DOCTYPE html>")
    dataset, warning = read(folder)
    assert "5 files look like images but are not read (3 HEIC, 1 JPEG, 1 vector), first cat/1.HEIC; save as" in warning
    assert dataset.report.ignored_files["dog"] == ("dog/3.heic (looks like HEIC)", "dog/x.svg (looks like vector)")
    assert dataset.report.ignored_files["."] == ("index.html (not an image)", "labels.csv (not an image)")


def test_a_folder_of_such_images_alone_is_refused_with_their_kind(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1").write_bytes(b"\0\0\0\x18ftypheic")
    assert refused(tmp_path).endswith(
        "1 file looks like an image but is not read (1 HEIC), first cat/1; save as .jpg or .png"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic", "it looks like HEIC"),
        (b"<!DOCTYPE html><html>Not found", "it looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "it looks like a Git LFS pointer"),
        (b"", "the file is empty"),
    ],
)
def test_what_a_file_is_that_only_has_an_images_name(make_folder, content, reason):
    folder = make_folder("cat/1.jpg", "dog/1.jpg")
    (folder / "cat" / "0.jpg").write_bytes(content)
    assert reason in refused(folder)


def test_all_names_of_jpeg_and_the_old_portable_formats_are_read(make_folder):
    folder = make_folder("a/1.jfif", "a/2.JPE", "b/1.apng", "b/2.ppm", "b/3.pgm", "b/4.avif")
    for name in ("3.pjpeg", "4.pjp", "5.mpo", "6.jif"):
        shutil.copy(folder / "a" / "1.jfif", folder / "a" / name)
    dataset, warning = read(folder)
    assert (len(dataset.images), warning) == (10, "")


def test_names_are_the_same_however_unicode_writes_them(make_folder):
    folder = make_folder("al/Äpfel/1.png", "al/Birne/1.png", f"bo/{NFD('Äpfel')}/1.png", "bo/Birne/2.png")
    folder = make_folder(f"{NFD('Zoë')}/Birne/1.png", "Zoë/Äpfel/1.png")
    dataset, warning = read(folder)
    assert dataset.class_names == ("Birne", "Äpfel")
    assert np.bincount(dataset.labels).tolist() == [3, 3]
    assert sorted(dataset.natural_client_ids.tolist()) == ["Zoë", "Zoë", "al", "al", "bo", "bo"]
    assert dataset.report.num_images.to_dict() == {"Zoë": 2, "al": 2, "bo": 2}
    assert warning == ""


def test_names_that_differ_only_in_case_or_spaces_are_told(make_folder):
    _, warning = read(make_folder("x/Cat/1.png", "y/cat/1.png", "x/hot dog/1.png", "y/hot  dog /1.png"))
    assert "letters: 'Cat', 'cat'; " in warning
    assert "letters: 'hot  dog ', 'hot dog'" in warning
    _, warning = read(make_folder("Zoe/cat/1.png", "zoe/cat/1.png", "zoe/dog/1.png", "Zoe/dog/1.png"))
    assert "clients that differ only in case, spaces or the form of letters: 'Zoe', 'zoe'" in warning


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "VALIDATION"), ("dev", "shop_1")])
def test_folders_called_like_the_parts_of_a_split_are_told(tmp_path, names):
    first, second = names
    told = "; if these are parts of one data set, put the images of each class together"
    splits = ", ".join(repr(name) for name in sorted(names) if name != "shop_1")
    _, warning = read(write_images(tmp_path / "1", *(f"{name}/{of}/1.png" for name in names for of in ("cat", "dog"))))
    assert f"{splits} taken as clients{told}" in warning
    _, warning = read(write_images(tmp_path / "2", f"{first}/1.png", f"{second}/1.png"))
    assert f"{splits} taken as classes{told}" in warning
    _, warning = read(write_images(tmp_path / "3", *(f"{of}/{name}/1.png" for name in names for of in ("cat", "dog"))))
    assert (f"{splits} taken as classes{told}" in warning) == (second != "shop_1")


def test_an_image_that_breaks_off_is_told(make_folder):
    folder = make_folder("cat/1.png", "dog/1.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "cat" / "2.jpg")
    (folder / "cat" / "2.jpg").write_bytes((folder / "cat" / "2.jpg").read_bytes()[:-9])
    dataset, warning = read(folder)
    assert dataset.report.converted["cat"] == "cut off: 1"
    assert "class 'cat': 1 JPEG images break off and end in grey" in warning


def test_a_folder_that_only_wraps_the_classes_is_told(make_folder):
    _, warning = read(make_folder("photos/cat/1.png", "photos/dog/1.png"))
    assert "only one client, 'photos'; if it only wraps the classes, load that folder itself" in warning


def test_a_client_cannot_be_called_as_histories_call_the_whole(make_folder):
    assert WHOLE == history.GLOBAL
    folder = make_folder("global/cat/1.png", "bo/dog/1.png")
    assert f"folder: 'global' in {str(folder)!r} cannot be a client" in refused(folder)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"a\x1b[31mb", b"a\xe2\x80\xa8b", b" "])
@pytest.mark.parametrize("as_client", [True, False])
def test_a_name_that_cannot_be_shown_or_encoded_is_refused_at_once(make_folder, name, as_client, monkeypatch):
    folder = make_folder("al/cat/1.png", "al/dog/1.png") if as_client else make_folder("cat/1.png", "dog/1.png")
    target = os.path.join(os.fsencode(folder), name, b"cat" if as_client else b"")
    os.makedirs(target)
    monkeypatch.setattr("fedlearn_edu.data.folder.decode_image", None)  # before any image is read
    message = refused(folder)
    assert f"{'client' if as_client else 'class'} folder in {str(folder)!r}" in message
    assert repr(os.fsdecode(name)) in message


def test_names_of_any_script_and_length_are_kept(make_folder):
    names = ["東京", "Zoë", "👩‍👧", "می‌خواهم", "$10_$20", "x" * 255, "%s {0}", "a\\b"]
    dataset, _ = read(make_folder(*(f"{name}/{'cat' if i % 2 else 'dog'}/1.png" for i, name in enumerate(names))))
    assert sorted(dataset.natural_client_ids.tolist()) == sorted(unicodedata.normalize("NFC", name) for name in names)


def test_a_file_whose_name_is_no_utf8_is_read_and_a_broken_one_named(make_folder):
    folder = make_folder("cat/1.png", "dog/1.png")
    shutil.copy(folder / "cat" / "1.png", os.path.join(os.fsencode(folder), b"cat", b"caf\xe9.png"))
    with open(os.path.join(os.fsencode(folder), b"dog", b"two\nlines\xe9.png"), "wb") as file:
        file.write(b"broken")
    assert r"first dog/two\nlines\udce9.png (" in refused(folder)
    dataset, warning = read(folder, on_broken="skip")
    assert len(dataset.images) == 3
    assert len(warning.splitlines()) == 1
    dataset.report.to_csv().encode()


def test_a_folder_whose_own_name_is_no_utf8_can_be_read(make_folder):
    folder = make_folder("cat/1.png", "dog/1.png")
    other = os.path.join(os.path.dirname(os.fsencode(folder)), b"Ren\xe9")
    os.rename(os.fsencode(folder), other)
    dataset = load_folder(os.fsdecode(other), image_size=8)
    assert dataset.name.encode() == rb"Ren\udce9"


def test_a_link_that_sorts_before_its_target_does_not_take_its_place(make_folder):
    folder = make_folder("b/cat/1.png", "b/dog/1.png", "a/cat/1.png")
    (folder / "a" / "bird").symlink_to("../b/dog")
    (folder / "a_link").symlink_to("b")
    dataset, _ = read(folder)
    assert dataset.natural_client_ids.tolist() == ["a", "b", "b"]
    assert dataset.class_names == ("cat", "dog")
    assert dataset.report.ignored_files["a"] == ("a/bird (folder already read under another name)",)


def test_of_several_links_to_one_folder_the_first_is_read(make_folder, tmp_path):
    folder = make_folder("a/1.png", "b/1.png")
    write_images(tmp_path / "elsewhere", "1.png")
    for name in ("z", "m", "y"):
        (folder / name).symlink_to(tmp_path / "elsewhere")
    assert load_folder(folder, image_size=8).class_names == ("a", "b", "m")


def test_folders_nested_very_deep_are_one_line(make_folder, monkeypatch):
    folder = make_folder("cat/1.png", "dog/1.png")
    monkeypatch.chdir(folder / "cat")
    for _ in range(400):
        os.mkdir("d")
        os.chdir("d")
    shutil.copy(folder / "cat" / "1.png", "1.png")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 250)  # 1,100 folders against the usual limit would do the same
    try:
        message = refused(folder)
        assert "lies too deep" in message
        assert len(message) < 500
        os.remove("1.png")
        assert len(load_folder(folder, image_size=8).images) == 2
    finally:
        sys.setrecursionlimit(limit)
        for _ in range(400):  # pytest removes folders by recursion, and would not get to the bottom
            os.chdir("..")
            os.rmdir("d")


@pytest.mark.parametrize("path", [None, 3, ["a"], object(), "", "a\0b", "~nobody-is-called-so/x", "x" * 5000, b"\xe9"])
def test_what_is_no_folder_is_one_line(path):
    assert refused(path).startswith("folder: ")


@pytest.mark.parametrize("image_size", [0, -1, 2.5, True, None, "8"])
def test_image_size_is_checked_first(tmp_path, image_size):
    with pytest.raises(UsageError, match="image_size: expected a whole number of at least 1, got"):
        load_folder(tmp_path / "missing", image_size=image_size)
