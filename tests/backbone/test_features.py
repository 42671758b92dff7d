"""Cached features equal the backbone's own, and nothing is computed twice."""

import subprocess
import sys

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.backbone import features as features_module
from fedlearn_edu.backbone.hub import Backbone


def make_clients(images, *, num_clients=2):
    rows = np.array_split(np.arange(len(images)), num_clients)
    clients = {f"client_{i}": fl.ClientSplit(train=r[:-1], test=r[-1:]) for i, r in enumerate(rows)}
    return fl.FederatedDataset("toy", images, np.arange(len(images), dtype=np.int32) % 2, ("a", "b"), clients)


@pytest.fixture
def computed(monkeypatch):
    """A list that grows by the number of images whenever a backbone really computes."""
    counts = []
    original = Backbone.features

    def counting(self, images, **kwargs):
        counts.append(len(images))
        return original(self, images, **kwargs)

    monkeypatch.setattr(Backbone, "features", counting)
    return counts


def extract(clients, backbone, folder, **kwargs):
    return fl.extract_features(clients, backbone, cache_dir=folder, progress=False, **kwargs)


def test_cached_equals_end_to_end_through_the_hub_layer(bundled, images, tmp_path, computed):
    clients = make_clients(images)
    computed_now = extract(clients, bundled, tmp_path)
    from_disk = extract(clients, bundled, tmp_path)
    assert computed == [20]
    np.testing.assert_array_equal(computed_now.examples, from_disk.examples)
    end_to_end = bundled.layer(bundled.preprocess(images)).numpy()
    # Batches of another size sum in another order: float32 keeps about 1e-6 of the largest feature, here several units.
    assert np.abs(from_disk.examples - end_to_end).max() <= 1e-5 * max(1.0, np.abs(end_to_end).max())
    assert from_disk.examples.dtype == np.float32
    assert from_disk.clients == clients.clients
    np.testing.assert_array_equal(from_disk.labels, clients.labels)


def test_cached_equals_end_to_end_at_real_size(hub_cache, images, tmp_path):
    backbone = fl.load_backbone("mobilenet_v2")
    clients = make_clients(images[:6])
    extract(clients, backbone, tmp_path)
    from_disk = extract(clients, backbone, tmp_path).examples
    direct = backbone.layer(backbone.preprocess(images[:6])).numpy()
    assert np.abs(from_disk - direct).max() <= 1e-5 * direct.max()


def test_only_new_images_are_computed(tiny, images, tmp_path, computed):
    extract(make_clients(images[:12]), tiny, tmp_path)
    other_partition = images[:12][::-1]
    extract(make_clients(other_partition, num_clients=3), tiny, tmp_path)
    assert computed == [12]
    everything = extract(make_clients(images), tiny, tmp_path)
    assert computed == [12, 8]
    np.testing.assert_allclose(everything.examples, tiny.features(images), atol=1e-6)


def test_images_that_occur_twice_are_computed_once(tiny, images, tmp_path, computed):
    twice = np.concatenate([images[:5], images[:5][::-1], images[5:6]])
    result = extract(make_clients(twice), tiny, tmp_path).examples
    assert computed == [6]
    np.testing.assert_allclose(result, tiny.features(twice), atol=1e-6)


def test_another_image_size_is_another_entry(tiny, tiny_folder, images, tmp_path, computed):
    extract(make_clients(images), tiny, tmp_path)
    larger = fl.load_backbone(tiny_folder, image_size=16)
    result = extract(make_clients(images), larger, tmp_path).examples
    assert computed == [20, 20]
    np.testing.assert_allclose(result, larger.features(images), atol=1e-6)


def test_an_interrupted_extraction_goes_on_where_it_stopped(tiny, images, tmp_path, monkeypatch, computed):
    monkeypatch.setattr(features_module, "CHUNK_IMAGES", 6)
    counting = Backbone.features

    def interrupted(self, images, **kwargs):
        if len(computed) == 2:
            raise KeyboardInterrupt
        return counting(self, images, **kwargs)

    monkeypatch.setattr(Backbone, "features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(make_clients(images), tiny, tmp_path)
    monkeypatch.setattr(Backbone, "features", counting)
    result = extract(make_clients(images), tiny, tmp_path).examples
    assert computed == [6, 6, 6, 2]
    np.testing.assert_allclose(result, tiny.features(images), atol=1e-6)


def test_a_damaged_chunk_is_computed_again(tiny, images, tmp_path, monkeypatch, computed):
    monkeypatch.setattr(features_module, "CHUNK_IMAGES", 10)
    before = extract(make_clients(images), tiny, tmp_path).examples
    file = max(tmp_path.rglob("*.npz"))
    with np.load(file) as chunk:
        stored = chunk["features"].tobytes()
    data = bytearray(file.read_bytes())
    data[data.index(stored) + 3] ^= 0x10
    file.write_bytes(data)
    with pytest.warns(RuntimeWarning, match="damaged"):
        after = extract(make_clients(images), tiny, tmp_path).examples
    assert computed == [10, 10, 10]
    np.testing.assert_array_equal(before, after)
    extract(make_clients(images), tiny, tmp_path)
    assert len(computed) == 3


def test_a_full_disk_stops_before_anything_is_computed(tiny, images, tmp_path, monkeypatch, computed):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 100))
    with pytest.raises(fl.RunError, match=r"MB needed, 0\.0 MB free"):
        extract(make_clients(images), tiny, tmp_path)
    assert computed == []
    assert not list(tmp_path.rglob("*.npz"))


def test_features_of_features_are_refused(tiny, images, tmp_path):
    features = extract(make_clients(images), tiny, tmp_path)
    with pytest.raises(fl.UsageError, match="clients: expected images, got feature vectors"):
        extract(features, tiny, tmp_path)


_PROCESS = """
import sys, numpy as np
import fedlearn_edu as fl
from fedlearn_edu.backbone import features
features.CHUNK_IMAGES = 16
module, images, cache, out = sys.argv[1:]
backbone = fl.load_backbone(module, image_size=8)
np.save(out, features.cached_features(np.load(images), backbone, cache_dir=cache, progress=False))
"""


def test_two_processes_at_once_and_a_fresh_one_later(tiny, tiny_folder, tmp_path, computed):
    images = np.random.default_rng(0).integers(0, 256, [400, 9, 9, 3], dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    outputs = [tmp_path / "first.npy", tmp_path / "second.npy"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, tiny_folder, tmp_path / "images.npy", tmp_path / "cache", out]
        )
        for out in outputs
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    for out in outputs:
        np.testing.assert_allclose(np.load(out), tiny.features(images), atol=1e-5)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 25
    assert not list((tmp_path / "cache").rglob(".tmp-*"))
    del computed[:]
    from_disk = features_module.cached_features(images, tiny, cache_dir=tmp_path / "cache", progress=False)
    assert computed == []  # this process read what the others wrote
    np.testing.assert_array_equal(from_disk, np.load(outputs[1]))
