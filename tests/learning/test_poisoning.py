"""Hostile clients: what they send in closed form, what it does to training, and that defences hold."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from shared import make_features

import fedlearn_edu as fl

TOLERANCE = 1e-6
ROUND = {"num_rounds": 1, "clients_per_round": 6, "batch_size": 5, "progress": False}


def weights_of(process, state):
    kernel, bias = process.get_model_weights(state).trainable
    return np.vstack([kernel, bias])


def batches(features, client_id):
    return tf.data.Dataset.from_tensor_slices(features.train(client_id)).batch(5)


def one_round(process, features, cohort, *, rounds_trained=0):
    """Returns the model after a round from zero weights (so minus what was aggregated), and the round's output."""
    clients = []
    for client_id in cohort:
        state = {**process.initial_client_state(client_id), "rounds_trained": np.int32(rounds_trained)}
        clients.append({"data": batches(features, client_id), "client_state": state})
    output = process.next(process.initialize(), clients)
    return weights_of(process, output.state), output


@pytest.fixture(scope="module")
def honest_steps(features):
    """What each client's honest training adds to the model (trained - initial), by client id."""
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3)
    return {
        client_id: weights_of(process, process.next(process.initialize(), [batches(features, client_id)]).state)
        for client_id in features.client_ids
    }


@pytest.fixture(scope="module")
def mixed(features):
    """A process under which no two of the first five clients do the same."""
    return fl.build_attacked_fed_avg(
        fl.linear_head(features),
        client_lr=0.3,
        seed=3,
        attackers={
            "client_0": fl.SignFlip(strength=2.0),
            "client_1": fl.ScaledUpdate(factor=5.0),
            "client_2": fl.ConstantUpdate(0.25),
            "client_3": fl.GaussianUpdate(stddev=10.0),
            "client_4": fl.ConstantUpdate(math.nan),
        },
    )


def test_without_attackers_it_is_federated_averaging(features):
    model = fl.linear_head(features)
    plain = fl.run_rounds(fl.build_weighted_fed_avg(model, client_lr=0.3), features, **ROUND)
    nobody = fl.build_attacked_fed_avg(model, attackers={}, client_lr=0.3, client_weighting="num_examples")
    same = fl.run_rounds(nobody, features, **ROUND)
    assert same.rows == plain.rows  # accuracies and bytes
    for a, b in zip(same.model_weights, plain.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("attacker", "sent"),
    [
        ("client_0", lambda step: -2.0 * step),
        ("client_1", lambda step: 5.0 * step),
        ("client_2", lambda step: np.full_like(step, -0.25)),  # a delta is initial - trained
    ],
)
def test_one_attacker_of_three_moves_the_mean_by_exactly_what_it_sends(mixed, features, honest_steps, attacker, sent):
    model, _ = one_round(mixed, features, ["client_5", attacker, "client_5"])
    expected = (2 * honest_steps["client_5"] + sent(honest_steps[attacker])) / 3
    np.testing.assert_allclose(model, expected, atol=TOLERANCE)
    honest = (2 * honest_steps["client_5"] + honest_steps[attacker]) / 3
    assert np.abs(model - honest).max() > 1000 * TOLERANCE


def test_gaussian_noise_is_new_in_every_round_and_repeats(mixed, features):
    first, output = one_round(mixed, features, ["client_3"])
    again, _ = one_round(mixed, features, ["client_3"])
    second, _ = one_round(mixed, features, ["client_3"], rounds_trained=1)
    np.testing.assert_array_equal(first, again)
    assert np.std(first) == pytest.approx(10, rel=0.5)  # 27 numbers
    assert np.abs(first - second).max() > 1
    assert output.client_states[0]["rounds_trained"] == 1


def test_gaussian_noise_has_the_stated_standard_deviation_in_every_tensor():
    delta = [tf.zeros([100_000]), tf.zeros([100, 1000])]
    noises = [
        np.ravel(part) for seed in (1, 2) for part in fl.GaussianUpdate(3.0).poison(delta, tf.constant([seed, 0]))
    ]
    assert [np.std(noise) for noise in noises] == pytest.approx([3.0] * 4, rel=0.02)
    assert np.abs(np.corrcoef(noises) - np.eye(4)).max() < 0.02


def test_one_nan_stops_the_plain_mean(mixed, features):
    """TFF's server refuses an aggregate that is not finite: nothing is poisoned, but nobody learns either."""
    model, output = one_round(mixed, features, ["client_5", "client_4"])
    assert (model == 0).all()
    assert output.metrics["finalizer"]["update_non_finite"] == 1


def test_colluding_attackers_send_the_honest_mean_turned_around(features, honest_steps):
    """Honest is who does nothing else: the value of the attacker that flips signs is not among those known."""
    attack = fl.InnerProduct(strength=1.5)
    process = fl.build_attacked_fed_avg(
        fl.linear_head(features),
        client_lr=0.3,
        attackers={"client_1": attack, "client_4": attack, "client_2": fl.SignFlip()},
    )
    honest = (honest_steps["client_0"] + honest_steps["client_5"]) / 2
    model, _ = one_round(process, features, ["client_4", "client_0", "client_2", "client_1", "client_5"])
    expected = (2 * honest - 2 * 1.5 * honest - honest_steps["client_2"]) / 5
    np.testing.assert_allclose(model, expected, atol=TOLERANCE)
    alone, _ = one_round(process, features, ["client_1"])
    assert (alone == 0).all()


RUN = {"num_rounds": 8, "clients_per_round": 10, "batch_size": 5, "evaluate_every": 8, "progress": False}
HOSTILE = dict.fromkeys(["client_0", "client_9"], fl.SignFlip(strength=10.0))


@pytest.fixture(scope="module")
def ten():
    return make_features(num_clients=10)


def accuracies(history):
    return history.global_metrics()["accuracy"].dropna().tolist()


def test_the_plain_mean_collapses(ten):
    process = fl.build_attacked_fed_avg(fl.linear_head(ten), client_lr=0.3, attackers=HOSTILE)
    history = fl.run_rounds(process, ten, **RUN)
    assert accuracies(history)[-1] < 0.2  # of three classes
    assert history.settings["process"]["hyperparameters"]["attackers"]["client_9"] == "SignFlip(strength=10.0)"


@pytest.fixture(scope="module")
def broken(ten):
    """Client 7's features are finite and so large that its training diverges; nobody attacks there."""
    examples = ten.examples.copy()
    examples[ten.clients["client_7"].train] *= 1e38
    return ten.with_examples(examples)


@pytest.mark.parametrize(
    "build",
    [
        lambda: fl.coordinate_median(clients_per_round=10),
        lambda: fl.multi_krum(clients_per_round=10, num_attackers=3),
        lambda: fl.geometric_median(clients_per_round=10),
    ],
    ids=["coordinate_median", "multi_krum", "geometric_median"],
)
def test_defences_keep_the_accuracy_and_name_who_sends_nan(broken, build, capsys):
    """Two of ten flip signs tenfold, a third sends NaN, and a fourth diverges by itself.

    TFF's way of training turns the delta of the last into zeros of weight 0; they must not count as a vote for zero.
    """
    attackers = {**HOSTILE, "client_4": fl.ConstantUpdate(math.nan)}
    process = fl.build_attacked_fed_avg(
        fl.linear_head(broken), client_lr=0.3, attackers=attackers, model_aggregator=build()
    )
    history = fl.run_rounds(process, broken, **RUN)
    assert accuracies(history)[-1] > 0.68  # 0.80 if all are honest, 0.04 for the plain mean
    excluded = [row for row in history.rows if row[2] == "excluded"]
    assert excluded == [(i, client_id, "excluded", 1) for i in range(1, 9) for client_id in ("client_4", "client_7")]
    assert "or infinity: client_4 (in 8 rounds), client_7 (in 8 rounds)." in capsys.readouterr().err
    selected = history.client_metric("selected")
    if "multi_krum" in str(history.settings["process"]["hyperparameters"]["model_aggregator"]):
        assert (selected.count() == 5).all()  # of the eight that are finite, three less
        assert not {*attackers, "client_7"} & set(selected.index)
    else:
        assert selected.empty


def test_a_scaled_update_carries_a_backdoor_into_the_model(ten):
    trigger = fl.FeatureDirection(strength=6.0, seed=1)
    poisoned = fl.add_backdoor(ten, ["client_9"], trigger, target_class=1, fraction=0.6)
    model = fl.linear_head(ten)
    process = fl.build_attacked_fed_avg(model, client_lr=0.3, attackers={"client_9": fl.ScaledUpdate(10.0)})
    history = fl.run_rounds(process, poisoned, **RUN)
    assert fl.backdoor_success(model, history.model_weights, fl.with_trigger(ten, trigger), target_class=1) > 0.9
    assert fl.backdoor_success(model, history.model_weights, ten, target_class=1) < 0.4
    assert accuracies(history)[-1] > 0.6  # nobody would notice


def test_flipped_labels_are_those_of_the_attackers_training_examples(features):
    flipped = fl.flip_labels(features, ["client_1", "client_3"])
    rows = np.concatenate([features.clients[c].train for c in ("client_1", "client_3")])
    changed = np.flatnonzero(flipped.labels != features.labels)
    assert set(changed) == set(rows[features.labels[rows] != 1])  # 1 of 0, 1, 2 stays what it is
    np.testing.assert_array_equal(flipped.labels[rows], 2 - features.labels[rows])
    one = fl.flip_labels(features, "client_1", source_class=0, target_class=2)
    train = features.clients["client_1"].train
    assert set(np.flatnonzero(one.labels != features.labels)) == set(train[features.labels[train] == 0])
    assert flipped.fingerprint() != features.fingerprint() != one.fingerprint()
    np.testing.assert_array_equal(flipped.examples, features.examples)


def test_a_backdoor_changes_a_fraction_of_the_training_examples(features):
    trigger = fl.FeatureDirection(strength=2.0)
    poisoned = fl.add_backdoor(features, ["client_2"], trigger, target_class=0, fraction=0.5)
    train = features.clients["client_2"].train  # 18 examples
    changed = np.flatnonzero((poisoned.examples != features.examples).any(axis=1))
    assert len(changed) == 9
    assert set(changed) <= set(train)
    assert (poisoned.labels[changed] == 0).all()
    moved = poisoned.examples[changed] - features.examples[changed]
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 2.0, rtol=1e-5)
    np.testing.assert_allclose(moved - moved[0], 0, atol=1e-5)
    triggered = fl.with_trigger(features, trigger)
    tests = np.concatenate([c.test for c in features.clients.values()])
    assert set(np.flatnonzero((triggered.examples != features.examples).any(axis=1))) == set(tests)
    np.testing.assert_array_equal(triggered.labels, features.labels)


def test_a_patch_is_a_square_near_the_corner(features):
    images = np.zeros([len(features.labels), 10, 12, 3], np.uint8)
    pictures = features.with_examples(images)
    patched = fl.with_trigger(pictures, fl.PixelPatch(size=3, margin=2, value=200)).test("client_0")[0]
    assert (patched[:, 5:8, 7:10] == 200).all()
    assert patched.sum() == 200 * 9 * 3 * len(patched)
    assert images.sum() == 0


def test_success_counts_only_examples_of_other_classes(features):
    model = fl.linear_head(features)
    weights = [np.zeros([8, 3], np.float32), np.array([0, 1, 0], np.float32)]  # always class 1
    assert fl.backdoor_success(model, weights, features, target_class=1) == 1
    assert fl.backdoor_success(model, weights, features, target_class=2) == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f: fl.flip_labels(f, ["client_9"]), r"attackers: expected ids of these 6 clients .* got 'client_9'"),
        (lambda f: fl.flip_labels(f, ["client_1"], source_class=1), "source_class: expected both"),
        (
            lambda f: fl.flip_labels(f, ["client_1"], source_class=1, target_class=3),
            "target_class: .* from 0 to 2, got 3",
        ),
        (lambda f: fl.add_backdoor(f, [], fl.PixelPatch(), target_class=9), "target_class: .* from 0 to 2, got 9"),
        (lambda f: fl.with_trigger(f, fl.PixelPatch()), "trigger: expected images of at least 5 pixels"),
        (lambda f: fl.add_backdoor(f, [], fl.PixelPatch(), target_class=0, fraction=0), "fraction: expected .* got 0"),
        (lambda f: fl.FeatureDirection(strength=-1), "strength: expected a finite number above 0"),
        (lambda f: fl.SignFlip(strength=0), "strength: expected a finite number above 0"),
        (lambda f: fl.ScaledUpdate(factor=math.inf), "factor: expected a finite number above 0"),
        (lambda f: fl.GaussianUpdate(stddev=-1), "stddev: expected a finite number above 0"),
        (lambda f: fl.InnerProduct(strength=math.nan), "strength: expected a finite number above 0"),
        (lambda f: fl.ConstantUpdate("nan"), "value: expected a number"),
        (lambda f: attacked(f, ["client_1"]), r"attackers: expected client_id -> attack, got \['client_1'\]"),
        (lambda f: attacked(f, {"client_1": "flip"}), "attackers: .* got 'flip' for 'client_1'"),
        (
            lambda f: attacked(
                f, {}, client_weighting="num_examples", model_aggregator=fl.coordinate_median(clients_per_round=3)
            ),
            "model_aggregator: expected one that takes weights, as client_weighting is 'num_examples', got coord",
        ),
        (
            lambda f: attacked(
                f, {"client_1": fl.InnerProduct()}, model_aggregator=tff.aggregators.UnweightedMeanFactory()
            ),
            "model_aggregator: expected the plain mean or one aggregator of this package, .* got UnweightedMeanFactory",
        ),
    ],
)
def test_bad_arguments_are_refused(features, build, message):
    with pytest.raises(fl.UsageError, match=f"^{message}") as error:
        build(features)
    assert "\n" not in str(error.value)


def attacked(features, attackers, **kwargs):
    return fl.build_attacked_fed_avg(fl.linear_head(features), attackers=attackers, **kwargs)


def test_an_attacker_nobody_knows_is_refused_before_the_first_round(features, mixed):
    with pytest.raises(fl.UsageError, match=r"^attackers: expected ids of these 2 clients .* got 'client_2'"):
        fl.run_rounds(mixed, features.select_clients(["client_0", "client_1"]), num_rounds=1, clients_per_round=2)
