"""Which batch normalisation would train with live statistics, and the warning of it."""

import warnings

import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.backbone.tfhub import import_hub

LOSS = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SPEC = (tf.TensorSpec([None, 8, 8, 3], tf.float32), tf.TensorSpec([None], tf.int32))
keras = tf.keras.layers


def backbone():
    image = tf.keras.Input([8, 8, 3])
    x = keras.BatchNormalization(name="bn_1")(keras.Conv2D(4, 3)(image))
    x = keras.BatchNormalization(name="bn_2")(keras.Conv2D(4, 3)(x))
    return tf.keras.Model(image, keras.GlobalAveragePooling2D()(x), name="backbone")


def functional(part, **call):
    image = tf.keras.Input([8, 8, 3])
    return tf.keras.Model(image, keras.Dense(2)(part(image, **call)))


def warnings_of(build, model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(model, loss=LOSS, input_spec=SPEC)
    return [w for w in caught if issubclass(w.category, UserWarning)]


def truly_live(model):
    """Whether a training call with a batch far from the stored statistics moves any moving mean."""
    stored = [v for v in model.variables if "moving_mean" in v.name]
    before = [v.numpy() for v in stored]
    model(5.0 + tf.random.stateless_normal([6, 8, 8, 3], [0, 1]), training=True)
    return any(abs(v.numpy() - old).max() > 0 for v, old in zip(stored, before, strict=True))


def test_nested_layers_are_found_where_tff_sees_none():
    model = functional(backbone())
    assert truly_live(model)
    assert warnings_of(tff.learning.models.from_keras_model, model) == []  # TFF 0.87 looks at model.layers only
    (warning,) = warnings_of(fl.from_keras_model, model)
    assert warning.category is fl.BatchNormWarning
    message = str(warning.message)
    assert "2 batch normalisation layers" in message
    assert "(backbone/bn_1, backbone/bn_2)" in message
    assert "trainable = False" in message
    assert "fl.fine_tuned_backbone" in message
    assert "\n" not in message
    assert warning.filename == __file__


@pytest.mark.parametrize("how", ["frozen", "frozen one by one", "training=False"])
def test_frozen_layers_are_not_live(how):
    inner = backbone()
    model = functional(inner, **({"training": False} if how == "training=False" else {}))
    if how == "frozen":
        inner.trainable = False
    if how == "frozen one by one":
        for layer in inner.layers:
            layer.trainable = not isinstance(layer, tf.keras.layers.BatchNormalization)
    assert fl.live_batch_norm_layers(model) == []
    assert not truly_live(model)
    assert warnings_of(fl.from_keras_model, model) == []


def test_a_frozen_outer_layer_needs_no_warning_though_tff_gives_one():
    model = tf.keras.Sequential([tf.keras.Input([8, 8, 3]), keras.BatchNormalization(name="bn"), keras.Flatten()])
    assert fl.live_batch_norm_layers(model) == ["bn"]
    (only,) = warnings_of(fl.from_keras_model, model)  # ours in place of TFF's
    assert only.category is fl.BatchNormWarning
    assert "1 batch normalisation layer would" in str(only.message)
    model.layers[0].trainable = False
    assert len(warnings_of(tff.learning.models.from_keras_model, model)) == 1
    assert warnings_of(fl.from_keras_model, model) == []


def test_some_layers_frozen_and_many_named():
    inner = backbone()
    inner.get_layer("bn_1").trainable = False
    model = functional(inner)
    assert fl.live_batch_norm_layers(model) == ["backbone/bn_2"]
    deep = tf.keras.Sequential([keras.BatchNormalization(name=f"bn_{i}") for i in range(5)], name="deep")
    (warning,) = warnings_of(fl.from_keras_model, tf.keras.Sequential([tf.keras.Input([8, 8, 3]), deep]))
    assert "(deep/bn_0, deep/bn_1, deep/bn_2 and 2 more)" in str(warning.message)


def test_explicit_training_true_inside_a_model_called_with_false():
    image = tf.keras.Input([8, 8, 3])
    bn = keras.BatchNormalization(name="stubborn")
    inner = tf.keras.Model(image, keras.Flatten()(bn(image, training=True)), name="backbone")
    model = functional(inner, training=False)
    assert fl.live_batch_norm_layers(model) == ["backbone/stubborn"]
    assert truly_live(model)


def test_wrappers_subclasses_and_layers_used_twice():
    class Own(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [tf.keras.Sequential([keras.BatchNormalization(name="bn")], name="block")]
            self.wrapped = keras.TimeDistributed(keras.BatchNormalization(name="inside"), name="wrapper")

        def call(self, x, training=None):
            return self.wrapped(self.blocks[0](x, training=training), training=training)

    assert fl.live_batch_norm_layers(Own()) == ["block/bn", "wrapper/inside"]
    shared = keras.BatchNormalization(name="shared")
    image = tf.keras.Input([8, 8, 3])
    twice = tf.keras.Model(image, shared(shared(image, training=False)))
    assert fl.live_batch_norm_layers(twice) == ["shared"]  # live in one of two calls
    assert fl.live_batch_norm_layers(tf.keras.Sequential([keras.GroupNormalization(2), keras.Dense(2)])) == []


def test_a_hub_module_counts_if_it_is_trained():
    hub = import_hub()[1]
    folder = fl.load_backbone("bundled").source
    trained = hub.KerasLayer(folder, trainable=True, name="module")
    assert fl.live_batch_norm_layers(tf.keras.Sequential([trained])) == ["module"]
    image = tf.keras.Input([64, 64, 3])
    fixed = tf.keras.Model(image, trained(image, training=False))
    assert fl.live_batch_norm_layers(fixed) == []
    trained.trainable = False
    assert fl.live_batch_norm_layers(tf.keras.Sequential([trained])) == []


def test_an_argument_training_set_on_a_hub_layer_does_not_help():
    hub, folder = import_hub()[1], fl.load_backbone("bundled").source
    layer = hub.KerasLayer(folder, trainable=True, arguments={"training": False}, name="module")
    images = tf.random.stateless_uniform([4, 64, 64, 3], [0, 1])
    live, stored = layer(images, training=True).numpy(), layer(images, training=False).numpy()
    assert abs(live - stored).max() > 1  # tensorflow-hub passes its own `training` over it
    assert fl.live_batch_norm_layers(tf.keras.Sequential([layer])) == ["module"]


@pytest.mark.parametrize("live", [False, True])
def test_a_hub_module_without_an_argument_training(tmp_path, live):
    scale, offset = tf.Variable(tf.ones([3])), tf.Variable(tf.zeros([3]))

    def normalised(images):
        given = () if live else (tf.zeros([3]), tf.ones([3]))
        return tf.compat.v1.nn.fused_batch_norm(images, scale, offset, *given, is_training=live)[0]

    module = tf.train.Checkpoint(scale=scale, offset=offset)
    module.__call__ = tf.function(normalised, input_signature=[tf.TensorSpec([None, 8, 8, 3])])
    module.variables = module.trainable_variables = [scale, offset]
    tf.saved_model.save(module, str(tmp_path / "module"))
    layer = import_hub()[1].KerasLayer(str(tmp_path / "module"), trainable=True, name="module")
    assert fl.live_batch_norm_layers(tf.keras.Sequential([layer])) == (["module"] if live else [])


def test_what_is_no_keras_model_is_refused():
    with pytest.raises(fl.UsageError, match=r"keras_model: expected a tf\.keras\.Model, got int"):
        fl.live_batch_norm_layers(3)
