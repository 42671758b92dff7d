"""Backbones small enough to check on paper, and the real-size one where its cache exists."""

import os
import pathlib

import numpy as np
import pytest
from hub_modules import save_module


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A module whose five features can be computed on paper: mean of each channel, then max and min of red."""
    import tensorflow as tf

    ones = tf.Variable(tf.ones([5]), name="ones")

    def features(inputs):
        means = tf.reduce_mean(inputs, axis=[1, 2])
        red = inputs[..., 0]
        return ones * tf.concat([means, tf.reduce_max(red, [1, 2])[:, None], tf.reduce_min(red, [1, 2])[:, None]], 1)

    return save_module(tmp_path_factory.mktemp("tiny") / "module", features, variables=[ones])


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    from fedlearn_edu.backbone.hub import load_backbone

    return load_backbone(tiny_folder, image_size=8)


@pytest.fixture(scope="session")
def bundled():
    from fedlearn_edu.backbone.hub import load_backbone

    return load_backbone("bundled")


@pytest.fixture
def images():
    return np.random.default_rng(3).integers(0, 256, [20, 10, 12, 3], dtype=np.uint8)


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    """A cache of tensorflow-hub that holds `mobilenet_v2`, or the test is skipped."""
    sibling = pathlib.Path(__file__).resolve().parents[3] / "shared" / "tfhub_cache"
    folder = os.environ.get("TFHUB_CACHE_DIR") or (str(sibling) if sibling.is_dir() else "")
    if not folder:
        pytest.skip("no TF-Hub cache: TFHUB_CACHE_DIR is not set and ../shared/tfhub_cache does not exist")
    monkeypatch.setenv("TFHUB_CACHE_DIR", folder)
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "cache"))  # what this user first got may be another copy
    return folder
