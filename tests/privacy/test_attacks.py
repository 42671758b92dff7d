"""Attacks: exact where paper says so, above guessing on a toy, at guessing on noise, one clear line on bad input."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import fedlearn_edu as fl
from fedlearn_edu.plotting.attacks import plot_image_rows, plot_label_attack, plot_membership
from fedlearn_edu.privacy.attacks.received import softmax
from fedlearn_edu.privacy.attacks.shadow_heads import draw_halves, train_shadow_heads

DIM, CLASSES = 20, 5


def make_examples(counts, *, seed, dim=DIM, spread=0.5):
    """Features around one centre a class (the same centres for every seed), and their labels."""
    centres = np.random.default_rng(99).normal(size=[len(counts), dim])
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return (centres[labels] + 1.0 + spread * rng.normal(size=[len(labels), dim])).astype(np.float32), labels


def train_client(weights, features, labels, *, client_lr, num_epochs=1, batch_size=10**6, seed=0):
    """Plain SGD on softmax regression in float64; returns the delta as a server gets it, and the number of steps."""
    kernel, bias = (np.array(w, np.float64) for w in weights)
    rng, num_steps = np.random.default_rng(seed), 0
    for _ in range(num_epochs):
        order = rng.permutation(len(labels))
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            error = (softmax(features[rows] @ kernel + bias) - np.eye(len(bias))[labels[rows]]) / len(rows)
            kernel -= client_lr * features[rows].T @ error
            bias -= client_lr * error.sum(axis=0)
            num_steps += 1
    return [np.float32(weights[0] - kernel), np.float32(weights[1] - bias)], num_steps


def zero_head():
    return [np.zeros([DIM, CLASSES]), np.zeros(CLASSES)]


def some_head(seed=1):
    rng = np.random.default_rng(seed)
    return [0.2 * rng.normal(size=[DIM, CLASSES]), 0.3 * rng.normal(size=CLASSES)]


PUBLIC = make_examples([60] * CLASSES, seed=7)
COUNTS = np.array([9, 0, 4, 1, 0])


# Label counts


def test_counts_are_exact_after_one_full_step_from_zero():
    delta, _ = train_client(zero_head(), *make_examples(COUNTS, seed=0), client_lr=0.1)
    assert fl.label_counts_from_delta(delta, client_lr=0.1, num_examples=14).tolist() == COUNTS.tolist()
    shares = fl.label_shares_from_delta(delta, client_lr=0.1)
    assert np.allclose(shares, COUNTS / 14, atol=1e-6)
    assert fl.score_label_counts(shares, COUNTS).success == pytest.approx(1, abs=1e-5)


def test_counts_are_exact_from_any_head_that_believes_the_same_of_every_example():
    head = [np.tile(np.random.default_rng(3).normal(size=[DIM, 1]), CLASSES), np.array([1.0, -2, 0.5, 0, 3])]
    delta, _ = train_client(head, *make_examples(COUNTS, seed=0), client_lr=0.05)
    counts = fl.label_counts_from_delta(delta, client_lr=0.05, num_examples=14, model_weights=head)
    assert counts.tolist() == COUNTS.tolist()
    wrong = fl.label_counts_from_delta(delta, client_lr=0.05, num_examples=14)  # as if it had been zero
    assert wrong.tolist() != COUNTS.tolist()


@pytest.mark.parametrize("head", [zero_head(), some_head()], ids=["from zero", "from a known head"])
def test_several_epochs_are_estimated_far_above_guessing(head):
    features, labels = make_examples([30, 0, 12, 4, 0], seed=0)
    delta, num_steps = train_client(head, features, labels, client_lr=0.05, num_epochs=3, batch_size=10)
    public = dict(public_features=PUBLIC[0], public_labels=PUBLIC[1])
    shares = fl.label_shares_from_delta(delta, client_lr=0.05, num_steps=num_steps, model_weights=head, **public)
    result = fl.score_label_counts(shares, np.bincount(labels, minlength=CLASSES))
    assert result.success > result.baseline + 0.3
    assert result.details["largest_class_found"] == 1
    without = fl.label_shares_from_delta(delta, client_lr=0.05, num_steps=num_steps, model_weights=head)
    assert fl.score_label_counts(without, np.bincount(labels, minlength=CLASSES)).success < result.success


def test_matching_survives_clipping_which_the_bias_alone_does_not():
    head = some_head()
    delta, _ = train_client(head, *make_examples(COUNTS, seed=0), client_lr=0.1)
    clipped = [0.01 * part for part in delta]
    public = dict(public_features=PUBLIC[0], public_labels=PUBLIC[1], model_weights=head)
    matched = fl.score_label_counts(fl.label_shares_by_matching(clipped, **public), COUNTS)
    by_bias = fl.score_label_counts(fl.label_shares_from_delta(clipped, client_lr=0.1, **public), COUNTS)
    assert matched.success > matched.baseline + 0.2
    assert matched.success > by_bias.success + 0.1
    whole = fl.label_shares_by_matching(delta, **public)
    assert np.allclose(whole, fl.label_shares_by_matching(clipped, **public), atol=1e-6)


def test_label_attacks_fall_to_guessing_under_noise():
    delta, _ = train_client(zero_head(), *make_examples(COUNTS, seed=0), client_lr=0.1)
    public = dict(public_features=PUBLIC[0], public_labels=PUBLIC[1])
    by_bias, matched = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noisy = [part + 10 * rng.normal(size=part.shape) for part in delta]
        by_bias.append(fl.label_shares_from_delta(noisy, client_lr=0.1, noise_stddev=10.0))
        matched.append(fl.label_shares_by_matching(noisy, noise_stddev=10.0, **public))
    for attack in (by_bias, matched):
        results = [fl.score_label_counts(shares, COUNTS) for shares in attack]
        assert abs(np.mean([result.advantage for result in results])) < 0.05
    quiet = fl.label_shares_by_matching(delta, noise_stddev=1e-6, **public)
    assert fl.score_label_counts(quiet, COUNTS).advantage > 0.3


# Features


def test_one_example_gives_its_feature_away_exactly():
    features, labels = make_examples([0, 0, 1, 0, 0], seed=0)
    delta, _ = train_client(some_head(), features, labels, client_lr=0.1)
    assert np.allclose(fl.feature_from_delta(delta), features[0], rtol=1e-5, atol=1e-5)
    assert np.allclose(fl.feature_from_delta(delta, label=2), features[0], rtol=1e-5, atol=1e-5)
    clipped, several = (
        [0.1 * d for d in delta],
        train_client(some_head(), features, labels, client_lr=0.1, num_epochs=9)[0],
    )
    for other in (clipped, several):  # scale cancels, and every step adds a multiple of the same vector
        assert np.allclose(fl.feature_from_delta(other), features[0], rtol=1e-4, atol=1e-4)
    result = fl.score_features(fl.feature_from_delta(delta), features, PUBLIC[0])
    assert result.success == pytest.approx(1, abs=1e-5)
    assert result.baseline < 0.6


def test_features_of_a_batch_mix_and_noise_hides_them():
    quality = []
    for size in (1, 4, 16):
        features, labels = make_examples([size, 0, 0, 0, 0], seed=0, spread=2.0)
        delta, _ = train_client(some_head(), features, labels, client_lr=0.1)
        quality.append(fl.score_features(fl.feature_from_delta(delta), features, PUBLIC[0]).details["relative_error"])
    assert quality[0] < 1e-4
    assert quality[0] < quality[1] < quality[2]
    features, labels = make_examples([1, 0, 0, 0, 0], seed=0)
    delta, _ = train_client(some_head(), features, labels, client_lr=0.1)
    advantages = []
    for seed in range(20):
        noisy = [part + 10 * np.random.default_rng(seed).normal(size=part.shape) for part in delta]
        advantages.append(fl.score_features(fl.feature_from_delta(noisy), features, PUBLIC[0]).advantage)
    assert abs(np.mean(advantages)) < 0.2


def test_class_means_and_so_lone_examples_are_exact_from_a_zero_kernel():
    features, labels = make_examples(COUNTS, seed=0)
    head = [np.zeros([DIM, CLASSES]), np.array([0.5, 0.0, -1.0, 0.2, 0.0])]
    delta, _ = train_client(head, features, labels, client_lr=0.1)
    shares, means = fl.class_means_from_delta(delta, client_lr=0.1, initial_bias=head[1])
    assert np.allclose(shares, COUNTS / 14, atol=1e-5)
    assert np.isnan(means[[1, 4]]).all()
    assert np.allclose(means[3], features[labels == 3][0], atol=1e-4)  # alone in its class: exactly it
    assert np.allclose(means[0], features[labels == 0].mean(axis=0), atol=1e-4)
    full, _ = train_client(zero_head(), *make_examples([2] * CLASSES, seed=0), client_lr=0.1)
    with pytest.raises(fl.RunError, match="holds every class"):
        fl.class_means_from_delta(full, client_lr=0.1)


def test_nearest_public_image_shows_the_same_kind():
    private, labels = make_examples([4] * CLASSES, seed=1)
    found = [fl.nearest_public_image(feature, PUBLIC[0])[0] for feature in private]
    result = fl.score_nearest_images(PUBLIC[1][found], labels, PUBLIC[1])
    assert result.success > 0.9
    assert result.baseline == pytest.approx(1 / CLASSES)
    noise = np.random.default_rng(0).normal(size=private.shape)
    lost = [fl.nearest_public_image(100 * feature, PUBLIC[0])[0] for feature in noise]
    assert fl.score_nearest_images(PUBLIC[1][lost], labels, PUBLIC[1]).success < 0.6


class ToyBackbone:
    """A linear map of the pixels: what `reconstruct_image` needs of a backbone, and an answer on paper."""

    feature_dim = 40

    def __init__(self):
        self.kernel = tf.constant(np.random.default_rng(0).normal(size=[64, 40]) / 8, tf.float32)

    def preprocess(self, images):
        return tf.cast(images, tf.float32) / 255

    def layer(self, images):
        return tf.reshape(images[..., 0], [-1, 64]) @ self.kernel


def test_an_image_comes_back_from_its_features():
    rng = np.random.default_rng(1)
    shapes = rng.uniform(0, 60, [6, 8, 8])  # all images are mixes of six shapes
    images = np.einsum("nk,khw->nhw", rng.dirichlet(np.ones(6), 300), shapes) * 4
    images = np.repeat(images[..., None], 3, axis=3).astype(np.uint8)
    backbone = ToyBackbone()
    features = backbone.layer(backbone.preprocess(images)).numpy()
    found = fl.reconstruct_image(features[0], backbone, images[1:], features[1:], num_steps=20, progress=False)
    result = fl.score_image(found, images[0], images[1:])
    assert found.shape == (8, 8, 3)
    assert result.success > result.baseline + 10
    other = fl.reconstruct_image(features[1], backbone, images[2:], features[2:], num_steps=20, progress=False)
    assert fl.score_image(other, images[0], images[2:]).success < result.success - 5  # it depends on the feature
    with pytest.raises(fl.UsageError, match=r"public_images, public_features: expected equally many"):
        fl.reconstruct_image(features[0], backbone, images, features[1:])


# Gradients


@pytest.fixture(scope="module")
def tiny():
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    wide = tf.keras.initializers.RandomUniform(-0.5, 0.5, seed=1)
    network = tf.keras.Sequential(
        [
            tf.keras.Input([8, 8, 1]),
            layers.Conv2D(6, 3, 2, "same", activation="sigmoid", kernel_initializer=wide),
            layers.Flatten(),
            layers.Dense(4, kernel_initializer=wide),
        ]
    )
    images = np.random.default_rng(0).uniform(size=[40, 8, 8, 1]).astype(np.float32)
    return network, images


@pytest.mark.parametrize("match", ["l2", "cosine"])
def test_a_gradient_gives_its_input_away(tiny, match):
    network, images = tiny
    gradients = fl.gradients_of(network, images[:1], np.array([2]))
    assert fl.label_from_gradients(gradients) == 2
    scale = 1.0 if match == "l2" else 0.01  # the cosine does not need the learning rate
    received = [scale * gradient for gradient in gradients]
    found = fl.invert_gradients(received, network, match=match, total_variation=0.0, num_steps=150, progress=False)
    result = fl.score_inversion(found.inputs, images[:1], images[1:])
    assert result.success > 25 > 15 > result.baseline
    assert found.losses[-1] < 1e-3 * found.losses[0]
    assert 0 <= found.inputs.min() <= found.inputs.max() <= 1
    noise = [10 * np.abs(g).max() * np.random.default_rng(0).normal(size=g.shape) for g in gradients]
    noisy = [a + b for a, b in zip(received, noise, strict=True)]
    lost = fl.invert_gradients(noisy, network, labels=[2], match=match, num_steps=50, progress=False)
    assert fl.score_inversion(lost.inputs, images[:1], images[1:]).advantage < 1


def test_the_small_network_is_what_its_docstring_says():
    network = fl.small_network((12, 12, 1), 3, seed=0)
    same, other = (fl.small_network((12, 12, 1), 3, seed=seed) for seed in (0, 1))
    assert network.output_shape == (None, 3)
    assert all((a == b).all() for a, b in zip(network.get_weights(), same.get_weights(), strict=True))
    assert not all((a == b).all() for a, b in zip(network.get_weights(), other.get_weights(), strict=True))


# Membership


@pytest.fixture(scope="module")
def victim():
    """200 hard examples in more dimensions than a head needs; half of them trained on, hard enough to remember."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=[200, 100])
    labels = rng.integers(0, 4, 200)
    is_member = rng.permutation(200) < 100
    options = dict(num_classes=4, num_steps=40, learning_rate=0.02, progress=False)
    weights = next(iter(train_shadow_heads(features, labels, saw=is_member[None], **options)))
    return weights, features, labels, is_member, options


def test_membership_is_found_in_a_model_that_remembers(victim):
    weights, features, labels, is_member, options = victim
    by_loss = fl.loss_threshold_membership(weights, features, labels, is_member)
    shadows = train_shadow_heads(features, labels, num_heads=16, seed=1, **options)
    by_ratio = fl.likelihood_ratio_membership(weights, features, labels, is_member, shadows)
    for result in (by_loss, by_ratio):
        assert result.success > 0.8
        assert result.details["balanced_accuracy"] > 0.65
        assert result.details["tpr_at_fpr_0.1"] > 0.3


def test_a_model_that_saw_neither_half_tells_nothing(victim):
    _, features, labels, is_member, options = victim
    rng = np.random.default_rng(5)
    others = rng.normal(size=[100, 100]), rng.integers(0, 4, 100)
    everyone = np.ones([1, 100], bool)
    stranger = next(iter(train_shadow_heads(*others, saw=everyone, **options)))
    shadows = train_shadow_heads(features, labels, num_heads=16, seed=1, **options)
    # The standard deviation of the AUC of 100 against 100 is 0.04 if there is nothing to find.
    assert abs(fl.loss_threshold_membership(stranger, features, labels, is_member).advantage) < 0.12
    assert abs(fl.likelihood_ratio_membership(stranger, features, labels, is_member, shadows).advantage) < 0.12


def test_scores_of_membership_on_paper():
    result = fl.score_membership(np.array([4.0, 3, 2, 1]), np.array([True, False, True, False]))
    assert result.success == 0.75  # three of four pairs are in order
    assert result.details["best_advantage"] == 0.5
    assert result.details["tpr_at_fpr_0.1"] == 0.5


def test_shadow_heads_see_halves_and_learn_what_gradient_descent_learns():
    saw = draw_halves(30, 6, seed=0)
    assert (saw.sum(axis=0) == 3).all()
    features, labels = make_examples([6] * CLASSES, seed=0)
    options = dict(num_classes=CLASSES, num_steps=1, learning_rate=0.1, progress=False)
    shadows = train_shadow_heads(features, labels, saw=saw, **options)
    for (kernel, bias), rows in zip(shadows, saw, strict=True):
        delta, _ = train_client(zero_head(), features[rows], labels[rows], client_lr=0.1)
        assert np.allclose(kernel, -delta[0], atol=1e-6)
        assert np.allclose(bias, -delta[1], atol=1e-6)


# Results, pictures, bad input


def test_results_in_a_table():
    result = fl.AttackResult("one", 0.9, 0.5, "AUC", {"rate": 0.1, "curve": np.arange(3)})
    assert result.to_frame().columns.tolist() == ["attack", "metric", "success", "baseline", "advantage", "rate"]
    table = fl.results_table([result, fl.AttackResult("two", 1, 0.5, "AUC")])
    assert table["advantage"].round(6).tolist() == [0.4, 0.5]
    with pytest.raises(fl.UsageError, match="success: expected a number, got NaN"):
        fl.AttackResult("one", float("nan"), 0.5, "AUC")


def test_pictures(victim):
    weights, features, labels, is_member, _ = victim
    result = fl.score_label_counts(np.array([1, 2, 1]), np.array([0, 2, 2]))
    ax = plot_label_attack(result, ["a", "b", "c"])
    assert [bar.get_height() for bar in ax.patches] == [0, 0.5, 0.5]
    membership = fl.loss_threshold_membership(weights, features, labels, is_member)
    assert len(plot_membership(membership).lines) == 2
    grey, colour = np.zeros([2, 4, 4, 1]), np.zeros([2, 4, 4, 3], np.uint8)
    assert len(plot_image_rows({"true": grey, "found": colour}, titles=["x", "y"]).images) == 4
    with pytest.raises(fl.UsageError, match="expected membership attacks"):
        plot_membership(result)
    with pytest.raises(fl.UsageError, match="equally many images"):
        plot_image_rows({"true": grey, "found": colour[:1]})


def _bad_calls():
    delta = [np.ones([DIM, CLASSES]), np.ones(CLASSES)]
    nan = [np.full([DIM, CLASSES], np.nan), np.ones(CLASSES)]
    x, y = PUBLIC
    head = some_head()
    network = fl.small_network((12, 12, 1), 3)
    gradients = [np.ones(v.shape) for v in network.trainable_variables]
    labels = fl.label_shares_from_delta
    yield lambda: labels(nan, client_lr=0.1), "model_delta: expected finite numbers"
    yield lambda: labels([np.ones(3)], client_lr=0.1), r"model_delta: expected a linear head's \[kernel"
    yield lambda: labels(delta, client_lr=0.0), "client_lr: expected a number above 0 and at most 100"
    yield lambda: labels(delta, client_lr=0.1, num_steps=0), "num_steps: expected a whole number of at least 1"
    yield (
        lambda: labels(delta, client_lr=0.1, noise_stddev=-1.0),
        "noise_stddev: expected a finite number of at least 0",
    )
    yield lambda: labels(delta, client_lr=0.1, model_weights=head), "public_features: expected examples of the server's"
    yield (
        lambda: labels(delta, client_lr=0.1, model_weights=head, public_features=x[:, :3], public_labels=y),
        "public_features: expected features",
    )
    yield (
        lambda: labels(delta, client_lr=0.1, model_weights=head, public_features=x, public_labels=y + 1),
        r"public_labels: expected classes in \[0, 5\)",
    )
    yield lambda: fl.label_counts_from_delta(delta, client_lr=0.1, num_examples=2.5), "num_examples: expected a whole"
    yield lambda: fl.score_label_counts(np.zeros(3), np.ones(3)), "estimated: expected numbers"
    yield lambda: fl.label_shares_by_matching(delta, public_features=x[:1], public_labels=y[:1]), "all 5 classes"
    yield lambda: fl.feature_from_delta([delta[0], 0 * delta[1]]), "the bias did not move"
    yield lambda: fl.feature_from_delta(delta, label=CLASSES), r"label: expected a class in \[0, 5\)"
    yield lambda: fl.nearest_public_image(x[0], x, num_images=10**4), "num_images: expected at most"
    yield lambda: fl.invert_gradients(gradients[1:], network), "gradients: expected arrays of shapes"
    yield lambda: fl.invert_gradients(gradients, network, match="max"), "match: expected one of l2, cosine"
    yield lambda: fl.invert_gradients(gradients, network, labels=[7]), r"labels: expected classes in \[0, 3\)"
    yield lambda: fl.invert_gradients([0 * g for g in gradients], network), "gradients: all are zero"
    yield lambda: fl.loss_threshold_membership(head, x, y, np.ones(len(y), bool)), "is_member: expected members and"
    yield lambda: fl.loss_threshold_membership(head, x, y, np.ones(3)), "is_member: expected 300 values"
    yield lambda: train_shadow_heads(x, y, num_classes=5, saw=np.zeros([2, 300], bool)), "saw: expected True and False"


@pytest.mark.parametrize("number", range(21))
def test_bad_input_is_one_clear_line(number):
    call, message = list(_bad_calls())[number]
    with pytest.raises(fl.FedlearnError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_every_bad_call_is_tested():
    assert len(list(itertools.islice(_bad_calls(), 100))) == 21
