"""export_model replaces only what it made itself; what it made takes images as they come, with TensorFlow alone."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import fedlearn_edu as fl
from fedlearn_edu.simulation.export import usage

NOTHING = {"backbone": None, "model": None, "model_weights": [], "class_names": []}


def test_a_saved_model_of_another_kind_is_kept(tmp_path):
    """A published backbone, for one: days of training."""
    (tmp_path / "saved_model.pb").write_text("mine")
    with pytest.raises(fl.UsageError, match=r"directory: .* holds something that is no exported model"):
        fl.export_model(tmp_path, **NOTHING)
    assert (tmp_path / "saved_model.pb").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(fl.UsageError, match=r"directory: .* holds something that is no exported model"):
        fl.export_model(tmp_path / "model", **NOTHING)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The bundled backbone with a head drawn at random: the classes it names differ from image to image."""
    folder, rng = tmp_path_factory.mktemp("exported") / "model", np.random.default_rng(0)
    backbone = fl.load_backbone("bundled")
    names = ("cat", "Hündin", "`a`")
    rows = np.zeros([3, backbone.feature_dim], np.float32)
    clients = {"c": fl.ClientSplit(train=np.arange(2), test=np.arange(2, 3))}
    features = fl.FederatedDataset("toy", rows, np.arange(3, dtype=np.int32), names, clients)
    weights = [rng.normal(size=[backbone.feature_dim, 3]).astype(np.float32), np.zeros(3, np.float32)]
    model = fl.linear_head(features)
    fl.export_model(
        folder,
        backbone=backbone,
        model=model,
        model_weights=weights,
        class_names=names,
        trained_on="toy: nobody's images",
    )
    images = rng.integers(0, 256, [6, 20, 30, 3], dtype=np.uint8)
    images[1::2, :, :, 0] = 255
    logits = backbone.features(images) @ weights[0]
    return folder, images, logits, names


def test_it_can_do_nothing_but_classify(exported):
    """What the backbone's module can do besides would make it slower to load."""
    saved = saved_model_pb2.SavedModel.FromString((exported[0] / "saved_model.pb").read_bytes())
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    functions = [
        child.local_name for node in nodes for child in node.children if nodes[child.node_id].HasField("function")
    ]
    assert functions == ["classify"]


_WITHOUT_THIS_PACKAGE = """
import sys
sys.modules["fedlearn_edu"] = None
import numpy as np, tensorflow as tf
images = np.load("images.npy")
model = tf.saved_model.load(sys.argv[1])
classify = model.classify
results = {
    "uint8": images,
    "tensor": tf.constant(images),
    "float32": (images / 255).astype(np.float32),
    "float64": images / 255,
}
results = {name: classify(given)["probabilities"].numpy() for name, given in results.items()}
single = [classify(image) for image in (images[0], images[0] / 255, (images[0] / 255).astype(np.float32))]
assert {one["class_name"].shape.rank for one in single} == {0}
np.savez("results.npz", **results, single=[one["probabilities"].numpy() for one in single])
for wrong in (images.astype(np.float32), images / 255 - 1, np.full([8, 8, 3], np.nan)):
    try:
        classify(wrong)
    except tf.errors.InvalidArgumentError as error:
        assert "images: expected uint8 from 0 to 255 or floats from 0 to 1" in error.message, error.message
    else:
        raise AssertionError("floats beyond 1 were classified")
"""


def test_images_of_any_kind_give_the_same_answer_with_tensorflow_alone(exported, tmp_path):
    folder, images, logits, _ = exported
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", _WITHOUT_THIS_PACKAGE, str(folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    with np.load(tmp_path / "results.npz") as results:
        for name in ("uint8", "tensor", "float32", "float64"):
            np.testing.assert_allclose(results[name], expected, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(results["single"], expected[[0, 0, 0]], atol=1e-4)


def test_the_readme_has_usage_classes_and_origin_and_its_lines_run(exported, tmp_path):
    from PIL import Image

    folder, images, logits, names = exported
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for text in ("plain TensorFlow", "0. `cat`\n1. `Hündin`\n", "toy: nobody's images", "BACKBONE_CARD.md", "uint8"):
        assert text in readme
    assert (folder / "BACKBONE_CARD.md").read_text(encoding="utf-8")
    assert usage(".") in readme
    (release,) = re.findall(r'^pip install "tensorflow-cpu==(.+)\.\*"$', readme, re.M)
    assert tf.__version__.startswith(release + ".")
    assert release.count(".") == 1
    Image.fromarray(images[2]).save(tmp_path / "my_image.png")
    lines = usage(folder).replace("my_image.jpg", str(tmp_path / "my_image.png"))
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == names[int(logits[2].argmax())], done.stderr
    for file in ("README.md", "model.json"):
        assert "site-packages" not in (folder / file).read_text(encoding="utf-8")
        assert str(folder) not in (folder / file).read_text(encoding="utf-8")
