"""Photographs stay in their files: what is asked for is decoded, equal to an array of all, and changes are noticed."""

import numpy as np
import pytest
from PIL import Image

import fedlearn_edu as fl
from fedlearn_edu.data import lazy_images
from fedlearn_edu.data.folder import load_folder
from fedlearn_edu.data.image_files import decode_image
from fedlearn_edu.data.images import ImageDataset

SIZE = 8


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "photos" / f"class_{number % 3}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, [SIZE, SIZE, 3], np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded after the folder had been read."""
    paths = []

    def counted(path, **arguments):
        paths.append(path)
        return decode_image(path, **arguments)

    monkeypatch.setattr(lazy_images, "decode_image", counted)
    return paths


def in_memory(dataset):
    return ImageDataset(dataset.name, np.asarray(dataset.images), dataset.labels, dataset.class_names)


@pytest.mark.parametrize(
    "index",
    [
        3,
        -1,
        np.int64(2),
        slice(2, 9, 3),
        slice(5, 5),
        [7, 0, 7],
        np.arange(12) % 2 == 0,
        (slice(None), 0, 0, 0),
        (4, 0),
        ([1, 2], slice(2), slice(3, 5)),
        (slice(None), slice(None, None, -1)),
        (slice(1, 4), ..., 0),
        (..., 0),
        ...,
        None,
        [],
    ],
    ids=repr,
)
def test_indexing_is_that_of_an_array(folder, index):
    images = load_folder(folder, image_size=SIZE).images
    array = np.stack([decode_image(path, image_size=SIZE).pixels for path in images.paths])
    if isinstance(index, list) and not index:
        index = np.array([], int)
    np.testing.assert_array_equal(images[index], array[index])
    np.testing.assert_array_equal(np.asarray(images), array)
    assert (images.shape, images.ndim, images.dtype, len(images)) == (array.shape, array.ndim, array.dtype, len(array))
    with pytest.raises(IndexError):
        images[12]


def test_only_what_is_asked_for_is_decoded(folder, decoded):
    dataset = load_folder(folder, image_size=SIZE)
    clients = fl.partition(dataset, fl.IID(), num_clients=2, seed=0)
    assert clients.fingerprint() == fl.partition(dataset, fl.IID(), num_clients=2, seed=0).fingerprint()
    assert decoded == []
    clients.train(clients.client_ids[0])
    assert len(decoded) == len(clients.clients[clients.client_ids[0]].train)
    decoded.clear()
    fl.plot_images(dataset, num_images=2)
    assert len(decoded) == 2


def test_features_are_those_of_an_array_and_come_from_its_cache(folder, decoded, tmp_path, monkeypatch):
    from fedlearn_edu.backbone import features as features_module

    backbone = fl.load_backbone("bundled")
    dataset = load_folder(folder, image_size=SIZE)
    all_in_memory = fl.partition(in_memory(dataset), fl.IID(), num_clients=2, seed=1)
    in_files = fl.partition(dataset, fl.IID(), num_clients=2, seed=1)

    def extract(clients, cache):
        return fl.extract_features(clients, backbone, cache_dir=tmp_path / cache, progress=False)

    wanted = extract(all_in_memory, "array")
    decoded.clear()
    assert extract(in_files, "array").fingerprint() == wanted.fingerprint()
    assert decoded == []  # the same images are cached under the same keys
    monkeypatch.setattr(features_module, "CHUNK_IMAGES", 5)
    held, most = [], lazy_images.allocate_images

    def allocate(num_images, **arguments):
        held.append(num_images)
        return most(num_images, **arguments)

    monkeypatch.setattr(lazy_images, "allocate_images", allocate)
    np.testing.assert_allclose(extract(in_files, "files").examples, wanted.examples, atol=1e-6)
    assert (held, len(decoded)) == ([5, 5, 2], 12)


def test_a_file_that_changed_or_went_is_named(folder):
    images = load_folder(folder, image_size=SIZE).images
    Image.new("RGB", (SIZE, SIZE)).save(images.paths[4])
    with pytest.raises(fl.RunError, match=r"^images: .*01\.png.* has changed since its folder was read; load"):
        images[4]
    (folder / "class_0" / "00.png").unlink()
    with pytest.raises(fl.RunError, match=r"^images: .*00\.png.* can no longer be read \(.*\); load the folder again"):
        images[:2]


def test_the_folder_is_found_from_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    images = load_folder("photos", image_size=SIZE).images
    monkeypatch.chdir("/")
    assert images[0].shape == (SIZE, SIZE, 3)


def test_the_same_files_read_again_have_the_same_fingerprint_and_a_changed_one_another(folder):
    first, again = (load_folder(folder, image_size=SIZE).fingerprint for _ in range(2))
    assert first == again
    Image.new("RGB", (SIZE, SIZE), "red").save(next(folder.glob("*/*.png")))
    assert load_folder(folder, image_size=SIZE).fingerprint != first
