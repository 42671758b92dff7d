"""export_model replaces only what it made; that takes images, texts and columns as they come, by TensorFlow alone."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import fedlearn_edu as fl
from fedlearn_edu.backbone.table_encoder import TableEncoder
from fedlearn_edu.backbone.table_statistics import TableStatistics
from fedlearn_edu.data.task import Task
from fedlearn_edu.simulation.export_readme import usage

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


# --- tables and texts -------------------------------------------------------------------------------------------------

COLUMNS = {"Größe (m²)": [50.0, np.nan, 80.0, 120.0] * 3, "a/b": ["x", "y", "", "never seen"] * 3}


def _rows() -> np.ndarray:
    rows = np.empty(12, [("Größe (m²)", float), ("a/b", "U10")])
    for name, cells in COLUMNS.items():
        rows[name] = cells
    return rows


def _head(kind: str, encoder, inputs):
    """A task of each kind, a head drawn at random, and what NumPy says that it answers."""
    names = {"classification": ("red", "grün", "blue"), "binary": ("well", "ill"), "regression": ()}[kind]
    task = Task(kind, names, unit="" if names else "EUR")
    weights = [np.random.default_rng(0).normal(size=[encoder.feature_dim, task.num_outputs]).astype(np.float32),
               np.array([0.5, -0.5, 0.1][: task.num_outputs], np.float32)]  # fmt: skip
    clients = {"c": fl.ClientSplit(train=np.arange(2), test=np.arange(2, 3))}
    targets = np.array([0, 1, 1])
    rows = np.zeros([3, encoder.feature_dim], np.float32)
    features = fl.FederatedDataset("toy", rows, targets, names, clients, task=task)
    return task, fl.linear_head(features), weights, encoder.features(inputs) @ weights[0] + weights[1]


_ANSWERS = """
model = tf.saved_model.load({folder!r})
inputs = {inputs}
call = model.predict if {kind!r} == "regression" else model.classify
answers = call(inputs)
if {modality!r} == "text":
    one = call(str(inputs[1]))
    assert all(value.shape.rank == answers[name].shape.rank - 1 for name, value in one.items())
    assert all(np.all(value == answers[name][1]) for name, value in one.items())
values = {{name: value.numpy() for name, value in answers.items()}}
plain = {{name: value.astype("S") if value.dtype == object else value for name, value in values.items()}}
np.savez("{number}.npz", **plain)
"""
TEXTS = ["a cold day", "Grüße aus Ulm", "goal", ""]


@pytest.fixture(scope="module")
def table_encoder():
    statistics = TableStatistics(
        num_rows=12,
        counts={"Größe (m²)": 9, "a/b": 9},
        means={"Größe (m²)": 250 / 3},
        stds={"Größe (m²)": 28.7},
        categories={"a/b": {"x": 3, "y": 3}},
        num_rounds=1,
    )
    return TableEncoder(statistics, max_categories=10)


def test_columns_and_texts_get_the_answers_of_the_head_with_tensorflow_alone(tmp_path, table_encoder):
    cases = [("table", "binary"), ("table", "regression"), ("text", "classification")]
    source, expected = ["import sys\nsys.modules['fedlearn_edu'] = None\nimport numpy as np, tensorflow as tf"], []
    columns = "{'Größe (m²)': np.array(%r, float), 'a/b': np.array(%r)}"
    columns %= [str(cell) for cell in COLUMNS["Größe (m²)"]], COLUMNS["a/b"]
    for number, (modality, kind) in enumerate(cases):
        inputs, encoder = (_rows(), table_encoder) if modality == "table" else (TEXTS, fl.HashedTextEncoder(64))
        task, model, weights, outputs = _head(kind, encoder, inputs)
        folder = tmp_path / f"model_{number}"
        fl.export_model(folder, backbone=encoder, model=model, model_weights=weights, task=task)
        given = columns if modality == "table" else f"np.array({TEXTS!r})"
        source.append(_ANSWERS.format(folder=str(folder), inputs=given, kind=kind, modality=modality, number=number))
        source.append(usage(folder, encoder=encoder, task=task))
        expected.append(outputs)
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert usage(".", encoder=encoder, task=task) in readme
        assert "image" not in readme
        told = {"binary": "that of `ill`", "regression": "`value`, in EUR", "classification": "1. `grün`"}
        assert told[kind] in readme
    done = subprocess.run([sys.executable, "-c", "\n".join(source)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    ill, value, colour = (np.load(tmp_path / f"{number}.npz") for number in range(3))
    np.testing.assert_allclose(ill["probability"], 1 / (1 + np.exp(-expected[0][:, 0])), rtol=1e-5)
    assert ill["class_name"].tolist() == np.where(expected[0][:, 0] > 0, b"ill", b"well").tolist()
    np.testing.assert_allclose(value["value"], expected[1][:, 0], rtol=1e-5)
    odds = np.exp(expected[2])
    np.testing.assert_allclose(colour["probabilities"], odds / odds.sum(axis=1, keepdims=True), rtol=1e-5)
    names = np.array([b"red", "grün".encode(), b"blue"])
    assert colour["class_name"].tolist() == names[expected[2].argmax(axis=1)].tolist()


def test_the_row_in_the_lines_is_nobodys(table_encoder):
    lines = usage("model", encoder=table_encoder, task=Task.regression())
    assert "'Größe (m²)': tf.constant([83.3333], tf.float64)," in lines
    assert "'a/b': tf.constant(['x'])," in lines
