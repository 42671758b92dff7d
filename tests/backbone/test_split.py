"""A backbone cut in two computes what the whole one does, and trains what was chosen and nothing else."""

import numpy as np
import pytest
import tensorflow as tf
from hub_modules import save_module

import fedlearn_edu as fl

PATTERNS = ["Conv_1/kernel", "block_1[56]_project_BN/*"]


@pytest.fixture(scope="module")
def images():
    # Noise: the flat areas of drawings sit on a kink of ReLU6, where rounding decides the gradient.
    return np.random.default_rng(0).integers(0, 256, [6, 64, 64, 3], dtype=np.uint8)


@pytest.fixture(scope="module")
def module(bundled):
    return tf.saved_model.load(bundled.source)


def compute(split, values, rows, **options):
    return split.forward(values, rows, **options).numpy()


@pytest.mark.parametrize("trainable", ["head", "batch_norm", "last_block", "all", PATTERNS], ids=str)
def test_the_parts_together_are_the_whole(bundled, images, trainable):
    split = fl.split_backbone(bundled, trainable)
    rows = split.features(images)
    assert rows.shape == (len(images), split.feature_dim)
    np.testing.assert_allclose(compute(split, split.initial_values, rows), bundled.features(images), atol=1e-4)


@pytest.mark.parametrize("trainable", ["last_block", "all", PATTERNS], ids=str)
def test_gradients_are_those_of_the_module(bundled, module, images, trainable):
    split = fl.split_backbone(bundled, trainable)

    values = [tf.constant(value) for value in split.initial_values]
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = tf.reduce_sum(split.forward(values, split.features(images)) ** 2)
    got = tape.gradient(loss, values)
    variables = {variable.name.removesuffix(":0"): variable for variable in module.variables}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module(bundled.preprocess(images), training=False) ** 2)
    for mine, theirs in zip(got, tape.gradient(loss, [variables[name] for name in split.names]), strict=True):
        assert float(tf.norm(mine - theirs) / tf.norm(theirs)) < 1e-2


def test_depths_choose_what_they_say(bundled, module):
    every = [variable.name.removesuffix(":0") for variable in module.trainable_variables]
    assert fl.split_backbone(bundled, "all").names == tuple(every)
    assert fl.split_backbone(bundled, "batch_norm").names == tuple(n for n in every if n.endswith(("gamma", "beta")))
    last = tuple(n for n in every if n.startswith(("block_16_", "Conv_1")))
    assert fl.split_backbone(bundled, "last_block").names == last
    two = tuple(n for n in every if n.startswith(("block_15_", "block_16_", "Conv_1")))
    assert fl.split_backbone(bundled, "last_block", num_blocks=2).names == two
    table = fl.depth_table(bundled).set_index("depth")
    sizes = {variable.name.removesuffix(":0"): int(tf.size(variable)) for variable in module.variables}
    assert table.trained["last_block"] == sum(sizes[name] for name in last) + 1281 * 10
    assert table.values_per_image.tolist() == [1280, 64 * 64 * 3, 2 * 2 * 72, 64 * 64 * 3]


def test_rows_do_not_depend_on_what_is_trained_behind_the_cut(bundled):
    block, part = fl.split_backbone(bundled, "last_block"), fl.split_backbone(bundled, ["block_16_*", "Conv_1*"])
    assert block.fingerprint == part.fingerprint
    assert block.fingerprint != fl.split_backbone(bundled, "all").fingerprint
    assert fl.split_backbone(bundled, "head").fingerprint == bundled.fingerprint


def test_live_batch_norm_uses_the_batch(bundled, images):
    split = fl.split_backbone(bundled, "all")
    rows = split.features(images)
    frozen, live = (compute(split, split.initial_values, rows, live_batch_norm=on) for on in (False, True))
    assert np.abs(frozen - live).max() > 0.1
    alone = compute(split, split.initial_values, rows[:3], live_batch_norm=True)
    assert np.abs(alone - live[:3]).max() > 0.1  # an image's features depend on its neighbours
    assert np.abs(compute(split, split.initial_values, rows[:3]) - frozen[:3]).max() < 1e-4


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        ("last_blok", "did you mean 'last_block'"),
        (["Conv_1/kernal"], "has no such variable; did you mean 'Conv_1/kernel'"),
        ([], "has no such variable"),
    ],
)
def test_unknown_names_are_refused(bundled, trainable, message):
    with pytest.raises(fl.UsageError, match=message):
        fl.split_backbone(bundled, trainable)


def test_modules_that_do_not_allow_a_depth_are_refused(tmp_path):
    scale = tf.Variable(tf.ones([3]), name="scale")
    pool = lambda inputs: tf.reduce_mean(inputs, [1, 2])  # noqa: E731
    shape = (None, 8, 8, 3)
    bare = fl.load_backbone(save_module(tmp_path / "bare", pool, input_shape=shape))
    one = fl.load_backbone(
        save_module(tmp_path / "one", lambda i: pool(i) * scale, input_shape=shape, variables=[scale])
    )
    with pytest.raises(fl.UsageError, match="has no trainable variables"):
        fl.split_backbone(bare, "all")
    with pytest.raises(fl.UsageError, match="has no batch normalisation"):
        fl.split_backbone(one, "batch_norm")
    with pytest.raises(fl.UsageError, match="no variables named block_"):
        fl.split_backbone(one, "last_block")
    assert fl.depth_table(one, num_classes=2).depth.tolist() == ["head", "all"]
    split = fl.split_backbone(one, "all")  # what is frozen is the mean over pixels
    assert split.feature_dim == 3
