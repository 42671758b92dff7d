"""A wide MobileNetV2 compressed to a narrow one, and the pictures it is pre-trained on."""

import icon_scenes
import numpy as np
import pytest
import tensorflow as tf
from compress import compress
from PIL import Image

import fedlearn_edu as fl
from fedlearn_edu.backbone.pretraining.student import build_student


def network(alpha, seed):
    tf.keras.utils.set_random_seed(seed)
    model = build_student(image_size=32, alpha=alpha)
    # Statistics and affine parts that are not the initial ones, as after training.
    for layer in next(layer for layer in model.layers if isinstance(layer, tf.keras.Model)).layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            rng = np.random.default_rng(seed)
            weights = layer.get_weights()
            layer.set_weights([part + rng.uniform(0, 0.2, part.shape).astype(np.float32) for part in weights])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, [24, 32, 32, 3], dtype=np.uint8)


def test_at_equal_width_the_student_computes_what_the_teacher_does(images):
    teacher, student = network(0.35, 0), network(0.35, 1)
    compress(teacher, student, images, ridge=1e-9)
    expected, got = (model(images / np.float32(255), training=False).numpy() for model in (teacher, student))
    # The student's last layer standardises by these images; a teacher's random one does not.
    expected = (expected - expected.mean(axis=0)) / (expected.std(axis=0) + 1e-3)
    got = (got - got.mean(axis=0)) / (got.std(axis=0) + 1e-3)
    assert np.mean((expected - got) ** 2) < 0.02


def test_icon_scenes_repeat_with_the_seed(tmp_path):
    for name, colour in (("a", "#ff000080"), ("b", "#00ff00ff")):
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.new("RGBA", (20, 12), colour).save(tmp_path / "set" / f"{name}.png")
    icons = icon_scenes.read_icons(tmp_path)
    assert [icon.mode for icon in icons] == ["RGBA", "RGBA"]
    scenes = icon_scenes.draw_icon_scenes(icons, 8, size=24, seed=0)
    assert scenes.shape == (8, 24, 24, 3)
    assert scenes.dtype == np.uint8
    np.testing.assert_array_equal(scenes, icon_scenes.draw_icon_scenes(icons, 8, size=24, seed=0))
    assert not np.array_equal(scenes, icon_scenes.draw_icon_scenes(icons, 8, size=24, seed=1))
    assert all(len(np.unique(scene.reshape(-1, 3), axis=0)) > 1 for scene in scenes)  # an icon, not only its background


def test_a_folder_without_icons_is_refused(tmp_path):
    with pytest.raises(fl.UsageError, match="icons: expected"):
        icon_scenes.read_icons(tmp_path)
