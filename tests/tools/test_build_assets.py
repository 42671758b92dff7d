import gzip

import build_assets
import numpy as np
import pytest

from fedlearn_edu.data.datasets import load_dataset
from fedlearn_edu.errors import UsageError


def write_idx(path, array, *, kind=8):
    header = bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    return path


def test_the_bundled_images_are_those_of_the_origin_file():
    origin = (build_assets.ASSETS / "fashion_ORIGIN.md").read_text()
    fashion = load_dataset("fashion")
    assert build_assets.sha256(fashion.images[..., 0]) in origin
    assert build_assets.sha256(fashion.labels.astype(np.uint8)) in origin


def test_the_bundle_is_small_and_carries_its_licence():
    files = {path.name: path.stat().st_size for path in build_assets.ASSETS.glob("fashion_*")}
    assert sum(files.values()) < 4_500_000
    licence = (build_assets.ASSETS / "fashion_LICENSE.txt").read_text()
    assert "2017 Zalando SE" in licence
    assert "Permission is hereby granted" in licence


def test_build_writes_what_it_was_given_and_the_same_bytes_again(tmp_path, capsys):
    images, labels = np.arange(2 * 3 * 4).reshape(2, 3, 4), np.array([7, 9])
    arguments = ["--images", str(write_idx(tmp_path / "i.gz", images))]
    arguments += ["--labels", str(write_idx(tmp_path / "l.gz", labels)), "--output", str(tmp_path)]
    build_assets.main(arguments)
    assert "fashion_images.npy.xz" in capsys.readouterr().out
    first = (tmp_path / "fashion_images.npy.xz").read_bytes()
    build_assets.main(arguments)
    assert (tmp_path / "fashion_images.npy.xz").read_bytes() == first
    np.testing.assert_array_equal(build_assets.read_idx(tmp_path / "i.gz"), images)
    assert not list(tmp_path.glob("*.partial"))


def test_damaged_idx_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        build_assets.read_idx(tmp_path / "missing.gz")
    with pytest.raises(UsageError, match="IDX file of unsigned bytes"):
        build_assets.read_idx(write_idx(tmp_path / "float.gz", np.zeros(3), kind=13))
    (tmp_path / "short.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1, 2])))
    with pytest.raises(UsageError, match=r"should hold \[9\] bytes, got 2"):
        build_assets.read_idx(tmp_path / "short.gz")
    (tmp_path / "head.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 3, 0, 0])))
    with pytest.raises(UsageError, match="IDX file of unsigned bytes"):
        build_assets.read_idx(tmp_path / "head.gz")
    damaged = bytearray(gzip.compress(bytes(range(200))))
    damaged[12:40] = bytes(28)
    (tmp_path / "damaged.gz").write_bytes(damaged)
    with pytest.raises(UsageError, match="cannot read"):
        build_assets.read_idx(tmp_path / "damaged.gz")


def test_images_and_labels_must_belong_together(tmp_path, capsys):
    images, labels = write_idx(tmp_path / "i.gz", np.zeros((2, 3, 3))), write_idx(tmp_path / "l.gz", np.zeros(5))
    with pytest.raises(SystemExit) as caught:
        build_assets.main(["--images", str(images), "--labels", str(labels), "--output", str(tmp_path)])
    assert caught.value.code == 2
    assert "[2, 3, 3] and [5]" in capsys.readouterr().err
    assert not list(tmp_path.glob("fashion_*"))
