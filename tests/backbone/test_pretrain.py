"""The pre-training recipe on a few images: it learns, and what it publishes is a TF-Hub feature vector."""

import gzip
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from hub_modules import save_module
from PIL import Image

import fedlearn_edu as fl
from fedlearn_edu.backbone import model_card, pretrain, probe, public_images, publish, teacher
from fedlearn_edu.backbone.features import cached_features

FONT = pathlib.Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


def write_idx(path, images):
    header = np.array([0x803, *images.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + images.tobytes()))
    return str(path)


@pytest.fixture
def few_emoji():
    pictures = [Image.new("RGBA", (20, 12), colour) for colour in ("red", "#00ff0080")]
    pictures[0].putalpha(Image.linear_gradient("L").resize((20, 12)))
    return pictures


def test_idx_images_become_rgb(tmp_path):
    grey = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    images = public_images.read_idx_images(write_idx(tmp_path / "images.gz", grey))
    np.testing.assert_array_equal(images, np.stack([grey] * 3, axis=-1))


# Names, since gzip's header holds the second in which it was made: two test workers would disagree.
@pytest.mark.parametrize(
    "content", [b"", b"plain text", gzip.compress(b"0123456789abcdef" * 3)], ids=["empty", "text", "no_idx"]
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(fl.UsageError, match="fashion-train: "):
        public_images.read_idx_images(tmp_path / "file")


def test_scenes_repeat_with_the_seed(few_emoji):
    draw = lambda seed: public_images.draw_emoji_scenes(few_emoji, 6, size=24, seed=seed, progress=False)  # noqa: E731
    scenes = draw(0)
    assert scenes.shape == (6, 24, 24, 3)
    np.testing.assert_array_equal(scenes, draw(0))
    assert not np.array_equal(scenes, draw(1))
    assert all(len(np.unique(scene.reshape(-1, 3), axis=0)) > 24 for scene in scenes)  # more than a background


@pytest.mark.skipif(not FONT.exists(), reason="the font Noto Color Emoji is not installed (fonts-noto-color-emoji)")
def test_emoji_are_read_from_the_font():
    pictures = public_images.read_emoji(FONT)
    assert len(pictures) > 1000
    assert {picture.mode for picture in pictures} == {"RGBA"}
    assert all(max(picture.size) <= 140 for picture in pictures)


def test_a_file_that_is_no_font_is_refused(tmp_path):
    (tmp_path / "font.ttf").write_bytes(b"no font")
    with pytest.raises(fl.UsageError, match="emoji-font: expected a CBDT colour font"):
        public_images.read_emoji(tmp_path / "font.ttf")


def tiny_student(recipe):
    """In place of a MobileNetV2, which takes half a minute to trace: one convolution, with BatchNorm as there."""
    import tensorflow as tf

    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input([recipe.image_size, recipe.image_size, 3]),
            layers.Conv2D(16, 8, strides=8, activation="relu"),
            layers.Flatten(),
            layers.BatchNormalization(momentum=0.5, center=False, scale=False),
        ]
    )


def test_the_whole_recipe_learns_and_publishes(tmp_path, monkeypatch, few_emoji):
    import tensorflow as tf

    # A teacher whose 12 features depend on the image: its colours in four squares.
    module = save_module(
        tmp_path / "teacher",
        lambda x: tf.reshape(tf.nn.avg_pool2d(x, 16, 16, "VALID"), [tf.shape(x)[0], 12]),
        input_shape=(None, 32, 32, 3),
    )
    fashion = np.random.default_rng(0).integers(0, 256, [40, 4, 4], dtype=np.uint8).repeat(7, 1).repeat(7, 2)
    monkeypatch.setattr(public_images, "read_emoji", lambda path: few_emoji)
    monkeypatch.setattr(pretrain, "build_student", tiny_student)
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "cache"))
    arguments = (
        f"--fashion-train {write_idx(tmp_path / 'fashion.gz', fashion)} --emoji-font font.ttf --teacher {module} "
        f"--output {tmp_path / 'student'} --num-fashion 32 --num-emoji 16 --image-size 32 --teacher-size 32 "
        "--batch-size 16 --epochs 30 --learning-rate 0.01 --refine-epochs 0"
    ).split()
    result = CliRunner().invoke(pretrain.main, [*arguments, "--teacher-note", "Pixels."])
    assert result.exit_code == 0, result.output

    student = fl.load_backbone(tmp_path / "student")
    assert (student.image_size, student.feature_dim) == (32, 256)
    assert "Pixels." in student.model_card
    assert "32 images drawn (seed 0)" in student.model_card
    losses = student.model_card.split("predicting the mean):\n")[1].split(".\nSeed")[0].split(", ")
    assert len(losses) == 30
    assert float(losses[-1]) < 0.3 * float(losses[0])

    rebuilt = tiny_student(pretrain.Recipe(image_size=32))
    rebuilt.load_weights(tmp_path / "student.weights.h5")
    images = np.random.default_rng(1).random([3, 32, 32, 3], np.float32)
    np.testing.assert_allclose(student.layer(images), rebuilt(images, training=False), atol=1e-5)

    again = CliRunner().invoke(pretrain.main, arguments)
    assert again.exit_code == 2
    assert "error: output: expected a folder that does not exist yet" in again.output


def test_an_interrupted_training_goes_on_after_its_last_whole_epoch(tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(pretrain, "build_student", tiny_student)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [32, 32, 32, 3], dtype=np.uint8)
    targets = [rng.normal(size=[size, 12]).astype(np.float32) for size in (20, 12)]  # two groups of images
    recipe = pretrain.Recipe(num_fashion=32, num_emoji=0, image_size=32, batch_size=8, epochs=2, refine_epochs=2)
    whole, losses = pretrain.distil(recipe, images, targets, checkpoint_dir=tmp_path / "whole")

    save, saved = tf.train.CheckpointManager.save, []

    def save_twice(manager):
        if len(saved) == 3:
            raise KeyboardInterrupt
        saved.append(save(manager))

    monkeypatch.setattr(tf.train.CheckpointManager, "save", save_twice)
    with pytest.raises(KeyboardInterrupt):
        pretrain.distil(recipe, images, targets, checkpoint_dir=tmp_path / "parts")
    monkeypatch.setattr(tf.train.CheckpointManager, "save", save)
    resumed, resumed_losses = pretrain.distil(recipe, images, targets, checkpoint_dir=tmp_path / "parts")
    np.testing.assert_allclose(resumed_losses, losses, rtol=1e-4)
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_teacher_that_cannot_be_resized_is_refused(tmp_path):
    import tensorflow as tf

    folder = save_module(tmp_path / "teacher", lambda x: tf.reduce_mean(x, axis=[1, 2]), input_shape=(None, 32, 32, 3))
    assert teacher.load_teacher(folder, image_size=32).image_size == 32
    with pytest.raises(fl.UsageError, match=r"teacher-size: .* takes 32 pixels; only a MobileNetV2 of width 1\.0"):
        teacher.load_teacher(folder, image_size=48)


def test_a_real_teacher_can_be_run_at_another_size(hub_cache):
    resized = teacher.load_teacher("mobilenet_v2", image_size=64)
    features = resized.features(np.random.default_rng(0).integers(0, 256, [3, 80, 80, 3], dtype=np.uint8))
    assert features.shape == (3, 1280)
    assert np.isfinite(features).all()


def test_every_batch_norm_forgets_quickly():
    import tensorflow as tf

    student = pretrain.build_student(pretrain.Recipe(image_size=32))
    norms = [m for m in student.submodules if isinstance(m, tf.keras.layers.BatchNormalization)]
    assert len(norms) == 53
    assert {norm.momentum for norm in norms} == {0.9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"image_size": 50}, "image_size: expected a multiple of 32, got 50"),
        ({"batch_size": 12}, "batch_size: expected a multiple of 8, got 12"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number"),
        ({"num_fashion": 1, "num_emoji": 1}, "batch_size: 128 is more than the 2 images"),
    ],
)
def test_absurd_recipes_are_refused(change, message):
    with pytest.raises(fl.UsageError, match=message):
        pretrain.Recipe(**change)


def test_publishing_is_all_or_nothing(tmp_path, monkeypatch):
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.Input([8, 8, 3]), tf.keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(fl.UsageError, match="directory: expected a folder that does not exist yet"):
        publish.publish(model, tmp_path, card="")
    with pytest.raises(TypeError):
        publish.publish(model, tmp_path / "module", card=None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(fl.UsageError, match="parent folder"):
        publish.publish(model, tmp_path / "nowhere" / "module")
    publish.publish(model, tmp_path / "module", card="A card.")
    assert fl.load_backbone(tmp_path / "module").model_card == "A card."
    flat = tf.keras.Sequential([tf.keras.Input([8]), tf.keras.layers.Dense(2)])
    with pytest.raises(fl.UsageError, match="model: expected images"):
        publish.publish(flat, tmp_path / "flat", card="")


def test_the_probe_tells_signal_from_noise():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 8_000)
    noise = rng.normal(size=[8_000, 6]).astype(np.float32)
    signal = noise + 4 * np.eye(6, dtype=np.float32)[labels]
    assert probe.linear_probe(signal, labels, seed=0) > 0.95
    assert abs(probe.linear_probe(noise, labels, seed=0) - 0.25) < 0.05


def test_the_probe_table_is_replaced_in_the_card(tmp_path):
    card = tmp_path / "MODEL_CARD.md"
    card.write_text(model_card.render_card(pretrain.Recipe(), [0.5], "A teacher.", 2))
    model_card.write_table(card, "| first |")
    before = card.read_text()
    model_card.write_table(card, "| second |")
    assert card.read_text() == before.replace("| first |", "| second |")
    card.write_text("no place")
    with pytest.raises(ValueError, match="no probe table"):
        model_card.write_table(card, "| third |")


def test_bundled_backbone_beats_raw_pixels_on_the_bundled_images(bundled):
    dataset = fl.load_dataset("fashion")
    features = cached_features(dataset.images, bundled, progress=False)
    assert probe.linear_probe(features[:8_000], dataset.labels[:8_000], seed=0) >= 0.875
    emoji = fl.load_dataset("emoji")
    assert probe.emoji_probe(cached_features(emoji.images, bundled, progress=False), emoji) >= 0.67
