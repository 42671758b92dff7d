"""Pre-training on a few images: it learns, goes on after an interruption, and publishes a TF-Hub feature vector."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from click.testing import CliRunner
from hub_modules import save_module
from PIL import Image

import fedlearn_edu as fl
from fedlearn_edu import cli
from fedlearn_edu.backbone.pretraining import pretrain as pretrain_module
from fedlearn_edu.backbone.pretraining import teacher
from fedlearn_edu.backbone.pretraining.images import gather_images
from fedlearn_edu.backbone.pretraining.student import build_student, to_student_size
from fedlearn_edu.backbone.pretraining.training import fit
from fedlearn_edu.terminal import our_command

TINY = {"image_size": 32, "batch_size": 16, "learning_rate": 0.01, "progress": False}


def squares(num_images=80, num_classes=3, seed=0):
    """Noise with one bright square; the class is the corner that it stands in."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, [num_images, 32, 32, 3], dtype=np.uint8)
    labels = np.arange(num_images, dtype=np.int32) % num_classes
    for image, label in zip(images, labels, strict=True):
        row, column = 16 * (label // 2), 16 * (label % 2)
        image[row : row + 16, column : column + 16] += 100
    names = tuple(f"corner_{i}" for i in range(num_classes))
    return fl.ImageDataset("squares", images, labels, names)


def tiny_student(*, image_size, alpha):
    """In place of a MobileNetV2, which takes half a minute to trace: one convolution, with BatchNorm as there."""
    del alpha
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input([image_size, image_size, 3]),
            layers.Conv2D(16, 8, strides=8, activation="relu"),
            layers.Flatten(),
            layers.BatchNormalization(momentum=0.5, center=False, scale=False),
        ]
    )


@pytest.fixture
def tiny_network(monkeypatch):
    monkeypatch.setattr(pretrain_module, "build_student", tiny_student)


@pytest.fixture(scope="module")
def pixel_teacher(tmp_path_factory):
    """A teacher whose 12 features depend on the image: its colours in four squares."""
    return save_module(
        tmp_path_factory.mktemp("teacher") / "module",
        lambda x: tf.reshape(tf.nn.avg_pool2d(x, 16, 16, "VALID"), [tf.shape(x)[0], 12]),
        input_shape=(None, 32, 32, 3),
    )


def test_supervised_training_learns_and_publishes(tiny_network, tmp_path):
    result = fl.pretrain(squares(), output=tmp_path / "module", epochs=12, augment=False, **TINY)
    assert list(result.curve) == ["epoch", "loss", "held_out_loss", "held_out_accuracy", "seconds"]
    assert list(result.curve["epoch"]) == list(range(1, 13))
    assert result.curve["loss"].iloc[-1] < 0.6 * result.curve["loss"].iloc[0]
    assert result.curve["held_out_accuracy"].iloc[-1] == 1.0
    assert (result.num_images, result.num_held_out) == (72, 8)

    backbone = fl.load_backbone(result.directory)
    assert (backbone.image_size, backbone.feature_dim) == (32, 256)
    for text in ("| squares | 80 | 8 |", "Supervised", "corner_0, corner_1, corner_2", "Held-out accuracy 100.0%"):
        assert text in backbone.model_card
    pd.testing.assert_frame_equal(
        pd.read_csv(result.directory / "curve.csv"), result.curve, rtol=1e-4, check_dtype=False
    )
    assert [path.name for path in tmp_path.iterdir()] == ["module"]  # nothing else is left

    hub_layer = hub.KerasLayer(str(result.directory), trainable=True)
    pixels = squares(6, seed=1).images / np.float32(255)
    np.testing.assert_allclose(hub_layer(pixels), backbone.layer(pixels), atol=1e-6)
    assert len(hub_layer.trainable_variables) == 2


def test_distillation_learns_the_teachers_features_without_labels(tiny_network, pixel_teacher, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "cache"))
    one_class = squares(num_classes=1)
    result = fl.pretrain(
        [one_class, squares(40, seed=1).images],
        output=tmp_path / "student",
        method="distil",
        teacher=pixel_teacher,
        epochs=30,
        **TINY,
    )
    assert list(result.curve) == ["epoch", "loss", "held_out_loss", "seconds"]
    assert result.curve["loss"].iloc[-1] < 0.6 * result.curve["loss"].iloc[0]
    assert result.curve["held_out_loss"].iloc[-1] < result.curve["held_out_loss"].iloc[0]
    assert result.class_names == ()
    card = fl.load_backbone(result.directory).model_card
    assert "Distilled without labels from" in card
    assert "an array of images" in card


def test_augmentation_and_seed_change_the_outcome(tiny_network, tmp_path):
    """Same seed, same curve; every argument that is said to matter does."""

    def curve(name, **change):
        return fl.pretrain(squares(), output=tmp_path / name, epochs=1, **TINY | {"seed": 0} | change).curve["loss"][0]

    first = curve("first")
    assert curve("again") == pytest.approx(first, rel=1e-4)
    others = [curve("plain", augment=False), curve("seed", seed=1), curve("rate", learning_rate=0.1)]
    assert min(abs(other - first) for other in others) > 1e-3 * first


@pytest.mark.parametrize("labelled", [True, False], ids=["classes", "vectors"])
def test_an_interrupted_training_goes_on_after_its_last_whole_epoch(labelled, tmp_path, monkeypatch):
    data = squares(32)
    vectors = np.random.default_rng(0).normal(size=[32, 12]).astype(np.float32)
    targets = data.labels if labelled else vectors

    def train(folder):
        tf.keras.utils.set_random_seed(0)
        networks = tiny_student(image_size=32, alpha=1.0), tf.keras.layers.Dense(12)
        networks[1].build(networks[0].output_shape)
        settings = {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "seed": 0, "augment": True}
        held_out = data.images[:8], targets[:8]
        curve = fit(
            networks,
            data.images,
            targets,
            held_out=held_out,
            checkpoint_dir=tmp_path / folder,
            progress=False,
            **settings,
        )
        return networks[0].get_weights(), curve.drop(columns="seconds")

    weights, curve = train("whole")
    save, saved = tf.train.CheckpointManager.save, []

    def save_twice(manager):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(save(manager))

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.CheckpointManager, "save", save_twice)
        with pytest.raises(KeyboardInterrupt):
            train("parts")
    resumed_weights, resumed_curve = train("parts")
    assert len(saved) == 2
    pd.testing.assert_frame_equal(resumed_curve, curve, rtol=1e-3)
    for a, b in zip(resumed_weights, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_another_recipe_or_other_images_do_not_go_on_from_a_state():
    images, targets = np.zeros([2, 4, 4, 3], np.uint8), np.zeros(2, np.int32)
    keys = {
        pretrain_module._key(recipe, pixels, labels)
        for recipe in (pretrain_module.Recipe(), pretrain_module.Recipe(epochs=3))
        for pixels in (images, images + 1)
        for labels in (targets, targets + 1)
    }
    assert len(keys) == 8


def test_a_split_of_the_data_set_is_what_is_held_out():
    emoji = fl.load_dataset("emoji")
    public = gather_images(["emoji"], with_labels=True, size=64, max_images=500, seed=0)
    assert len(public.labels) == 500
    known = {image.tobytes() for image in emoji.images[emoji.is_test]}
    assert {image.tobytes() in known for image in public.groups[0][public.held_out]} == {True}
    assert {image.tobytes() in known for image in public.groups[0][~public.held_out]} == {False}
    assert "CC BY" in public.licences[0]


def test_classes_of_several_sources_stand_side_by_side():
    public = gather_images([squares(40), squares(60, num_classes=2)], with_labels=True, size=32, max_images=50, seed=0)
    assert public.class_names[0] == "squares: corner_0"
    assert len(public.class_names) == 5
    np.testing.assert_array_equal(np.unique(public.labels[:40]), [0, 1, 2])
    np.testing.assert_array_equal(np.unique(public.labels[40:]), [3, 4])
    assert public.held_out.sum() == 4 + 5


def test_any_folder_of_images_can_be_distilled(tmp_path):
    (tmp_path / "deep").mkdir()
    for number in range(20):
        folder = tmp_path / "deep" if number % 2 else tmp_path
        Image.new("RGB", (30 + number, 20), (number, 0, 0)).save(folder / f"{number:02}.png")
    public = gather_images(str(tmp_path), with_labels=False, size=16, max_images=None, seed=0)
    assert public.groups[0].shape == (20, 16, 16, 3)
    assert sorted(public.groups[0][:, 8, 8, 0]) == list(range(20))
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(fl.UsageError, match=r"images: .*broken\.png' cannot be read"):
        gather_images(str(tmp_path), with_labels=False, size=16, max_images=None, seed=0)


@pytest.mark.parametrize(
    ("sources", "with_labels", "message"),
    [
        ([], True, "images: expected at least one data set, folder or array, got none"),
        (squares(10), True, "images: expected at least 20 images in 'squares', got 10"),
        (squares(num_classes=1), True, "images: expected at least two classes .* got only 'corner_0'; .*'distil'"),
        (np.zeros([30, 8, 8, 3], np.uint8), True, "images: an array has no classes; method 'supervised' takes"),
        (np.zeros([30, 8, 8], np.uint8), False, "images"),
        (7, True, "images: expected a name, a folder, an ImageDataset or a uint8 array, got int"),
        ("no_such_data", True, "no_such_data"),
    ],
    ids=["none", "few", "one class", "array", "grey", "number", "name"],
)
def test_images_that_cannot_be_used_are_refused(sources, with_labels, message):
    with pytest.raises(fl.UsageError, match=message):
        gather_images(sources, with_labels=with_labels, size=8, max_images=None, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"epochs": 1.5}, "epochs: expected a whole number, got 1.5"),
        ({"image_size": 50}, "image_size: expected a multiple of 32 up to 512, got 50"),
        ({"batch_size": 9}, "batch_size: expected an even number, at least 8, got 9"),
        ({"batch_size": 128}, "batch_size: expected at most the 72 images to train on, got 128"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number in"),
        ({"alpha": 3}, "alpha: expected a width in"),
        ({"max_images": 3}, "max_images: expected at least 20, got 3"),
        ({"seed": -1}, "seed: expected a whole number from 0 to 2147483647, got -1"),
        ({"method": "magic"}, "method: expected one of supervised, distil, got 'magic'"),
        ({"teacher": "bundled"}, "teacher: only for method 'distil', got 'bundled'"),
    ],
)
def test_absurd_recipes_are_refused(change, message, tmp_path):
    with pytest.raises(fl.UsageError, match=message):
        fl.pretrain(squares(), output=tmp_path / "module", **TINY | change)
    assert list(tmp_path.iterdir()) == []


def test_output_is_checked_before_any_work(tmp_path):
    (tmp_path / "full").mkdir()
    with pytest.raises(fl.UsageError, match=r"output: expected a folder that does not exist yet, .*overwrite"):
        fl.pretrain("no_such_data", output=tmp_path / "full")
    with pytest.raises(fl.UsageError, match="output: only a published backbone is overwritten"):
        fl.pretrain("no_such_data", output=tmp_path / "full", overwrite=True)


def test_the_command_publishes_and_answers_bad_input_in_one_line(tiny_network, tmp_path):
    data = squares(60)
    for image, label in zip(data.images, data.labels, strict=True):
        folder = tmp_path / "photos" / data.class_names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{len(list(folder.iterdir()))}.png")

    def run(*options):
        arguments = ["pretrain", "--dataset", tmp_path / "photos", "--output", tmp_path / "module", *options]
        return CliRunner().invoke(cli.cli, [*map(str, arguments), "--image-size", "32", "--batch-size", "16"])

    first = run("--epochs", "2")
    assert first.exit_code == 0, first.output
    assert first.output.startswith("pre-training on ")
    assert "held-out accuracy" in first.output
    assert f"next: {our_command()} demo --backbone {tmp_path / 'module'}" in first.output
    said = [line for line in first.output.splitlines() if line.endswith(" ...")]
    assert said[1:] == ["measuring the last epoch ...", f"publishing {tmp_path / 'module'} ..."]
    assert {"saved_model.pb", "MODEL_CARD.md", "curve.csv", "curve.png"} <= {
        path.name for path in (tmp_path / "module").iterdir()
    }
    again = run("--epochs", "2")
    assert isinstance(again.exception, fl.UsageError)  # `main` turns it into one line and exit code 2
    assert "output: expected a folder that does not exist yet" in str(again.exception)
    assert run("--epochs", "3", "--overwrite").exit_code == 0
    assert len(pd.read_csv(tmp_path / "module" / "curve.csv")) == 3


def test_images_come_to_the_students_size():
    groups = [np.full([3, 8, 8, 3], 200, np.uint8), np.full([2, 64, 64, 3], 7, np.uint8)]
    small = to_student_size(groups, 32)
    assert (small.shape, small.dtype) == ((5, 32, 32, 3), np.uint8)
    assert np.unique(small[:3]).tolist() == [200]
    assert np.unique(small[3:]).tolist() == [7]


def test_every_batch_norm_forgets_quickly():
    student = build_student(image_size=32)
    norms = [m for m in student.submodules if isinstance(m, tf.keras.layers.BatchNormalization)]
    assert len(norms) == 53
    assert {norm.momentum for norm in norms} == {0.9}


def test_a_teacher_that_cannot_be_resized_is_refused(pixel_teacher):
    assert teacher.load_teacher(pixel_teacher).image_size == 32
    assert teacher.load_teacher(pixel_teacher, image_size=32).image_size == 32
    with pytest.raises(fl.UsageError, match=r"teacher_size: .* takes 32 pixels; only a MobileNetV2 of width 1\.0"):
        teacher.load_teacher(pixel_teacher, image_size=48)


def test_a_real_teacher_can_be_run_at_another_size(hub_cache):
    resized = teacher.load_teacher("mobilenet_v2", image_size=64)
    features = resized.features(np.random.default_rng(0).integers(0, 256, [3, 80, 80, 3], dtype=np.uint8))
    assert features.shape == (3, 1280)
    assert np.isfinite(features).all()
