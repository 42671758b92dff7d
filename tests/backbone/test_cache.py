"""The chunk files: whole or absent, and never a wrong number from a damaged one."""

import errno
import os
import shutil
import warnings

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.backbone import cache
from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.data.images import image_key


@pytest.fixture
def store(tmp_path):
    store = cache.FeatureStore(tmp_path, "tiny-8px-v1", 2)
    store.reserve(3)
    return store


KEYS = [bytes([i]) * 32 for i in range(3)]
FEATURES = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def read(store, keys):
    out = np.full([len(keys), 2], np.nan, np.float32)
    found = store.read({key: row for row, key in enumerate(keys)}, out)
    return found, out


def test_what_was_written_is_read_in_any_order(store):
    store.write(KEYS, FEATURES)
    found, out = read(store, [KEYS[2], b"?" * 32, KEYS[0]])
    assert found == {KEYS[2], KEYS[0]}
    np.testing.assert_array_equal(out, [[5, 6], [np.nan, np.nan], [1, 2]])


def test_equal_content_has_an_equal_name(store):
    store.write(KEYS, FEATURES)
    store.write(KEYS, FEATURES)
    store.write(KEYS[:1], FEATURES[:1])
    assert len(list(store.folder.iterdir())) == 2


def test_keys_depend_on_pixels_and_shape_only():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert image_key(image) == image_key(np.asfortranarray(image))
    assert image_key(image) != image_key(image.reshape(4, 2, 3))
    assert image_key(image) != image_key(image + 1)


def test_no_flipped_bit_gives_a_wrong_feature(store):
    store.write(KEYS, FEATURES)
    (file,) = store.folder.iterdir()
    good, detected = file.read_bytes(), 0
    for position in range(len(good)):
        file.write_bytes(good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found, out = read(store, KEYS)
        detected += bool(caught)
        assert (found == set(KEYS) and np.array_equal(out, FEATURES)) or (not found and np.isnan(out).all())
        assert file.exists() == bool(found)
    assert detected > len(good) / 2  # flips in a time stamp or in padding do no harm


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_chunk_is_deleted_with_one_line(store, kept):
    store.write(KEYS, FEATURES)
    (file,) = store.folder.iterdir()
    os.truncate(file, int(kept * file.stat().st_size))
    with pytest.warns(RuntimeWarning, match="damaged .* deleted, its images are computed again") as caught:
        found, _ = read(store, KEYS)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert not found
    assert not file.exists()


def test_a_chunk_of_another_dimension_is_not_believed(store):
    store.write(KEYS, np.zeros([3, 7], np.float32))
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert read(store, KEYS)[0] == set()


def test_too_little_room_is_seen_before_anything_is_computed(store, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1_500_000))
    with pytest.raises(fl.RunError, match=r"11\d\.\d MB needed, 1\.5 MB free; .* set FEDLEARN_EDU_CACHE") as caught:
        store.reserve(2_000_000)
    assert "No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_disk_that_fills_up_leaves_nothing_half_written(store, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(fl.RunError, match=r"No space left on device.* MB needed, .* MB free"):
        store.write(KEYS, FEATURES)
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fl.RunError, match=r"cannot write .*file/features/x .*FEDLEARN_EDU_CACHE"):
        cache.FeatureStore(tmp_path / "file", "x", 2).reserve(1)


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o027, 0o640)])
def test_files_are_as_open_as_the_users_umask_says(store, umask, mode):
    before = os.umask(umask)
    try:
        store.write(KEYS, FEATURES)
    finally:
        os.umask(before)
    (file,) = store.folder.iterdir()
    assert file.stat().st_mode & 0o777 == mode
    assert store.folder.stat().st_mode & 0o777 == store.folder.parent.stat().st_mode & 0o777 == 0o700


def test_features_that_others_could_have_put_there_are_not_believed(store, tmp_path):
    store.write(KEYS, FEATURES)
    store.folder.chmod(0o777)
    with pytest.raises(fl.RunError, match=r"feature cache: .*tiny-8px-v1 can be written by every user; .*FEDLEARN_EDU"):
        cache.FeatureStore(tmp_path, "tiny-8px-v1", 2)


def test_leftovers_of_a_killed_process_are_removed_once_old(store):
    old, new = store.folder / ".tmp-old", store.folder / ".tmp-new"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.reserve(1)
    assert not old.exists()
    assert new.exists()


def test_root_is_argument_then_variable_then_user_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "variable"))
    assert cache_root(tmp_path / "argument") == tmp_path / "argument"
    assert cache_root() == tmp_path / "variable"
    monkeypatch.delenv("FEDLEARN_EDU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_root() == tmp_path / "user" / "fedlearn_edu"


def test_info_and_clear(store, tmp_path):
    store.write(KEYS, FEATURES)
    (tmp_path / "other.txt").write_text("kept")
    info = cache.cache_info(cache_dir=tmp_path)
    assert (info["num_backbones"], info["num_files"]) == (1, 1)
    assert cache.clear_cache(cache_dir=tmp_path) == info["num_bytes"] > 0
    assert cache.cache_info(cache_dir=tmp_path)["num_files"] == 0
    assert (tmp_path / "other.txt").exists()
