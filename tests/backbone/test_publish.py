"""Publishing in TF-Hub's format is all or nothing, and replaces only what it has to."""

import pytest
import tensorflow as tf

import fedlearn_edu as fl


def network(value=1.0):
    layers = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(2, kernel_initializer="ones")]
    model = tf.keras.Sequential([tf.keras.Input([8, 8, 3]), *layers])
    model.set_weights([value * weight for weight in model.get_weights()])
    return model


def test_publishing_is_all_or_nothing(tmp_path):
    with pytest.raises(fl.UsageError, match="directory: expected a folder that does not exist yet"):
        fl.publish(network(), tmp_path)
    with pytest.raises(TypeError):
        fl.publish(network(), tmp_path / "module", card=None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(fl.UsageError, match="parent folder"):
        fl.publish(network(), tmp_path / "nowhere" / "module")
    flat = tf.keras.Sequential([tf.keras.Input([8]), tf.keras.layers.Dense(2)])
    with pytest.raises(fl.UsageError, match="model: expected images"):
        fl.publish(flat, tmp_path / "flat")


def test_overwriting_keeps_the_old_one_until_the_new_one_is_whole(tmp_path):
    folder = tmp_path / "module"
    fl.publish(network(), folder, card="First.", files={"notes.txt": "Some."})
    assert (folder / "notes.txt").read_text() == "Some."
    with pytest.raises(TypeError):
        fl.publish(network(2.0), folder, card=None, overwrite=True)
    assert fl.load_backbone(folder).model_card == "First."
    fl.publish(network(2.0), folder, card="Second.", overwrite=True)
    backbone = fl.load_backbone(folder)
    assert backbone.model_card == "Second."
    assert backbone.layer(tf.ones([1, 8, 8, 3])).numpy().tolist() == [[6.0, 6.0]]
    assert not (folder / "notes.txt").exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_is_no_backbone_is_never_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("dear")
    with pytest.raises(fl.UsageError, match=r"directory: only a published backbone is overwritten, .*saved_model\.pb"):
        fl.publish(network(), tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "dear"


def sequential(*layers, dtype="float32", batch_size=None):
    image = tf.keras.Input([8, 8, 3], dtype=dtype, batch_size=batch_size)
    return tf.keras.Sequential([image, *layers, tf.keras.layers.GlobalAveragePooling2D()])


def functional(make):
    image = tf.keras.Input([8, 8, 3], name="image")
    return tf.keras.Model(*make(image, tf.keras.layers.GlobalAveragePooling2D()(image)))


def under_mixed_precision(make):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return make()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


class Subclassed(tf.keras.Model):
    def call(self, images):
        return tf.reduce_mean(images, [1, 2])


def called_once(model):
    model(tf.zeros([1, 8, 8, 3]))
    return model


WRONG = {
    "a path": (lambda: "my_network.keras", "model: expected a Keras model, got str"),
    "a layer": (lambda: tf.keras.layers.Dense(2), "model: expected a Keras model, got Dense"),
    "nothing": (lambda: None, "model: expected a Keras model, got NoneType"),
    "unbuilt": (
        lambda: tf.keras.Sequential([tf.keras.layers.GlobalAveragePooling2D()]),
        "that begins with tf.keras.Input([size, size, 3]), got a Sequential that does not know its input",
    ),
    "subclass": (Subclassed, "got a Subclassed that does not know its input"),
    "subclass after a call": (lambda: called_once(Subclassed()), "got a Subclassed that does not know its input"),
    "two outputs": (lambda: functional(lambda i, o: (i, [o, o])), "model: expected one output, got a list of 2"),
    "dict of outputs": (lambda: functional(lambda i, o: (i, {"a": o})), "expected one output, got a dict of 1"),
    "dict of inputs": (lambda: functional(lambda i, o: ({"a": i}, o)), "expected one input, got a dict of 1"),
    "images back": (lambda: functional(lambda i, o: (i, i)), "expected images [batch, size, size, 3] -> features"),
    "not square": (
        lambda: tf.keras.Sequential([tf.keras.Input([8, 6, 3]), tf.keras.layers.GlobalAveragePooling2D()]),
        "got (None, 8, 6, 3) -> (None, 3)",
    ),
    "fixed batch": (
        lambda: sequential(batch_size=4),
        "expected any number of images at a time, got a fixed batch of 4",
    ),
    "uint8": (
        lambda: sequential(tf.keras.layers.Rescaling(1.0), dtype="uint8"),
        "expected float32 -> float32, got uint8 -> float32",
    ),
    "mixed precision": (
        lambda: under_mixed_precision(lambda: sequential(tf.keras.layers.Conv2D(2, 3))),
        "expected float32 -> float32, got float32 -> float16; cast in its first and last layer",
    ),
    "Python inside": (
        lambda: sequential(tf.keras.layers.Lambda(lambda x: x + tf.reshape(tf.py_function(float, [], tf.float32), []))),
        "operations that may reach beyond a network (EagerPyFunc)",
    ),
    "not finite": (lambda: sequential(tf.keras.layers.Rescaling(float("inf"))), "features are not finite numbers"),
    "one number": (lambda: sequential(tf.keras.layers.Conv2D(1, 3)), "fewer than 2 numbers"),
    "a layer that fails": (
        lambda: sequential(tf.keras.layers.Lambda(lambda x, training=None: 1 / 0 if training else x)),
        "model: cannot be written as a SavedModel: ",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_load_backbone_would_refuse_is_not_published(tmp_path, kind):
    make, message = WRONG[kind]
    with pytest.raises(fl.UsageError) as caught:
        fl.publish(make(), tmp_path / "module")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_random_image_layers_are_published_with_their_generators(tmp_path):
    k = tf.keras.layers
    model = sequential(k.RandomFlip(), k.RandomContrast(0.5), k.RandomCrop(8, 8))
    fl.publish(model, tmp_path / "module")
    layer = fl.load_backbone(tmp_path / "module").layer
    images = tf.random.stateless_uniform([4, 8, 8, 3], seed=[1, 2])
    tf.debugging.assert_near(layer(images), tf.reduce_mean(images, [1, 2]))
    augmented = layer.resolved_object(images, training=True)
    assert not (augmented.numpy() == layer.resolved_object(images, training=True).numpy()).all()


def test_mixed_precision_that_ends_in_float32_is_published(tmp_path):
    k = tf.keras.layers
    model = under_mixed_precision(
        lambda: tf.keras.Sequential(
            [tf.keras.Input([8, 8, 3]), k.GlobalAveragePooling2D(), k.Activation("linear", dtype="float32")]
        )
    )
    fl.publish(model, tmp_path / "module")
    assert fl.load_backbone(tmp_path / "module").feature_dim == 3


def test_a_full_disk_is_the_folders_fault_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device\nand more")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(fl.RunError, match=r"^directory: the model cannot be written: No space left on device$"):
        fl.publish(network(), tmp_path / "module")
    assert list(tmp_path.iterdir()) == []
