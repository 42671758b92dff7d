"""FedPer, FedRep, FedBN and Ditto against plain NumPy in float64, and where they meet federated averaging."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from client_drift import LR, run_by_hand, stack
from numpy_reference import BATCH, reference_client, softmax

import fedlearn_edu as fl
from fedlearn_edu.learning.algorithms.fed_bn import batch_norm_places
from fedlearn_edu.simulation.communication import measure_message_sizes

TOLERANCE = 2e-6  # float32 in TFF against float64 here
# Clients of different sizes come, stay away and come again; client 2 and the last never train.
COHORTS = [[0, 1, 3], [1, 4], [0, 3, 4]]
BASE, HEAD = (0, 1), (2, 3)


@pytest.fixture(scope="module")
def model(features):
    return fl.mlp_head(features, hidden_units=6, seed=1)


@pytest.fixture(scope="module")
def fed_per(model):
    return fl.build_fed_per(model, client_lr=LR, server_lr=0.7)


def train(weights, x, y, *, trained=BASE + HEAD, epochs=1):
    """SGD on a hidden layer with ReLU and a head, of which only some arrays move; in the stored order of examples."""
    weights = [w.copy() for w in weights]
    for start in [*range(0, len(y), BATCH)] * epochs:
        a, target = x[start : start + BATCH].astype(np.float64), y[start : start + BATCH]
        hidden = a @ weights[0] + weights[1]
        active = np.maximum(hidden, 0)
        error = softmax(active @ weights[2] + weights[3])
        error[np.arange(len(target)), target] -= 1
        error /= len(target)
        back = error @ weights[2].T * (hidden > 0)
        gradients = [a.T @ back, back.sum(axis=0), active.T @ error, error.sum(axis=0)]
        for i in trained:
            weights[i] -= LR * gradients[i]
    return weights


def reference(model, features, client, *, weighted, server_lr=1.0):
    """Rounds in which `client(weights, x, y)` trains all, the base is averaged and heads stay; base and heads."""
    start = [w.astype(np.float64) for w in model.initial_weights[0]]
    base, heads = start[:2], [start[2:] for _ in features.client_ids]
    for cohort in COHORTS:
        deltas, counts = [], []
        for i in cohort:
            x, y = features.train(features.client_ids[i])
            trained = client([*base, *heads[i]], x, y)
            deltas.append([new - old for new, old in zip(trained[:2], base, strict=True)])
            counts.append(len(y) if weighted else 1)
            heads[i] = trained[2:]
        base = [b + server_lr * np.average([d[k] for d in deltas], axis=0, weights=counts) for k, b in enumerate(base)]
    return base, heads


def assert_like_reference(process, features, base, heads):
    weights, states = run_by_hand(process, features, COHORTS)
    for got, expected in zip(weights[-1], base, strict=True):
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    assert set(states) == {features.client_ids[i] for cohort in COHORTS for i in cohort}
    for client_id, state in states.items():
        for got, expected in zip(state["personal"], heads[features.client_ids.index(client_id)], strict=True):
            np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def test_fed_per_averages_the_base_and_leaves_every_head_where_it_is(fed_per, model, features):
    base, heads = reference(model, features, train, weighted=True, server_lr=0.7)
    assert np.abs(base[0] - model.initial_weights[0][0]).max() > 0.05  # it moved, far more than the tolerance
    assert np.abs(heads[0][0] - heads[1][0]).max() > 0.05
    assert_like_reference(fed_per, features, base, heads)


def test_fed_rep_fits_the_head_first_and_then_the_base(model, features):
    def client(weights, x, y):
        return train(train(weights, x, y, trained=HEAD, epochs=2), x, y, trained=BASE)

    base, heads = reference(model, features, client, weighted=False)
    together, _ = reference(model, features, train, weighted=False)
    assert np.abs(base[0] - together[0]).max() > 1e-3  # the order matters
    assert_like_reference(fl.build_fed_rep(model, head_epochs=2, client_lr=LR), features, base, heads)


def test_fed_rep_without_head_epochs_trains_the_base_under_a_fixed_head(model, features):
    base, heads = reference(model, features, lambda w, x, y: train(w, x, y, trained=BASE), weighted=False)
    assert_like_reference(fl.build_fed_rep(model, head_epochs=0, client_lr=LR), features, base, heads)


def test_the_base_is_averaged_with_the_weights_that_the_caller_wants(model, features):
    base, heads = reference(model, features, train, weighted=False)
    per = fl.build_fed_per(model, client_lr=LR, client_weighting="uniform")
    assert_like_reference(per, features, base, heads)
    base, heads = reference(model, features, lambda w, x, y: train(w, x, y, trained=BASE), weighted=True)
    rep = fl.build_fed_rep(model, head_epochs=0, client_lr=LR, client_weighting="num_examples")
    assert_like_reference(rep, features, base, heads)


@pytest.mark.parametrize(
    ("personal", "plain"),
    [(fl.build_fed_per, fl.build_weighted_fed_avg), (fl.build_fed_rep, fl.build_unweighted_fed_avg)],
)
def test_without_personal_weights_it_is_federated_averaging(personal, plain, model, features):
    weights, _ = run_by_hand(personal(model, personal_indices=(), client_lr=LR), features, COHORTS[:2])
    expected, _ = run_by_hand(plain(model, client_lr=LR), features, COHORTS[:2])
    for got, want in zip(weights[-1], expected[-1], strict=True):
        np.testing.assert_array_equal(got, want)
    assert np.abs(weights[-1][0] - model.initial_weights[0][0]).max() > 0.05


def test_the_server_only_knows_initial_heads_and_takes_back_what_it_gave(fed_per, model, features):
    weights, _ = run_by_hand(fed_per, features, COHORTS[:1])
    state = fed_per.initialize()
    moved = fed_per.set_model_weights(
        state, tff.learning.models.ModelWeights((*weights[0], *(w + 1 for w in model.initial_weights[0][2:])), ())
    )
    got = fed_per.get_model_weights(moved).trainable
    for found, expected in zip(got, (*weights[0], *model.initial_weights[0][2:]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_traffic_is_that_of_the_shared_weights(model):
    """Measured on the messages; with the base named as personal, it is the head that travels."""
    sizes = [w.size for w in model.initial_weights[0]]
    whole = measure_message_sizes(fl.build_weighted_fed_avg(model, client_lr=LR))
    overhead = whole.broadcast_bytes - 4 * sum(sizes)
    for personal in (BASE, HEAD):
        shared = 4 * sum(size for i, size in enumerate(sizes) if i not in personal)
        part = measure_message_sizes(fl.build_fed_per(model, personal_indices=personal, client_lr=LR))
        assert 0 < part.broadcast_bytes - shared < overhead
        assert whole.upload_bytes - part.upload_bytes >= 4 * sum(sizes) - shared


def ditto_reference(features, strength, personal_lr, cohorts):
    """Softmax regression: the global model, and personal ones pulled to the one that was received."""
    shape = [features.feature_dim + 1, features.num_classes]
    w, own = np.zeros(shape), [np.zeros(shape) for _ in features.client_ids]
    for cohort in cohorts:
        moves = []
        for i in cohort:
            x, y = features.train(features.client_ids[i])
            moves.append(reference_client(w, x, y, LR, BATCH))
            pull = lambda v, w=w: strength * (v - w)  # noqa: E731
            own[i] = own[i] + reference_client(own[i], x, y, personal_lr, BATCH, extra_gradient=pull)
        w = w + np.mean(moves, axis=0)
    return w, own


@pytest.mark.parametrize(("strength", "personal_lr"), [(0, 0.2), (60, 0.01)])
def test_ditto_pulls_personal_models_to_the_global_one(strength, personal_lr, features):
    """Without a pull they are what each client learns alone; with a strong one they stay beside the global model."""
    model = fl.linear_head(features)
    process = fl.build_ditto(model, regularization_strength=strength, client_lr=LR, personal_lr=personal_lr)
    weights, states = run_by_hand(process, features, COHORTS)
    expected, own = ditto_reference(features, strength, personal_lr, COHORTS)
    np.testing.assert_allclose(stack(weights[-1]), expected, atol=TOLERANCE)
    for client_id, state in states.items():
        i = features.client_ids.index(client_id)
        np.testing.assert_allclose(stack(state["personal"]), own[i], atol=TOLERANCE)
    received = stack(weights[-2])  # in the last round, by clients 0, 3 and 4
    distance = np.abs(stack(states["client_3"]["personal"]) - received).max()
    if strength:
        assert distance < 0.1 * np.abs(received).max()
        return
    assert distance > 0.3 * np.abs(received).max()
    plain, _ = run_by_hand(fl.build_unweighted_fed_avg(model, client_lr=LR), features, COHORTS)
    np.testing.assert_array_equal(stack(weights[-1]), stack(plain[-1]))
    alone = np.zeros_like(expected)
    for _ in range(2):  # it came twice
        alone = alone + reference_client(alone, *features.train("client_0"), personal_lr, BATCH)
    np.testing.assert_allclose(own[0], alone, atol=1e-12)


def conflicting(num_classes=3):
    """Half of the clients name the classes in another order; one has a single example, one no test examples."""
    rng = np.random.default_rng(0)
    centers = 3 * np.eye(num_classes)
    clients, x, y, start = {}, [], [], 0
    for i in range(6):
        num_train, num_test = (1 if i == 4 else 30), (0 if i == 5 else 20)
        label = rng.integers(num_classes, size=num_train + num_test)
        x.append(centers[label] + rng.normal(scale=0.4, size=[len(label), num_classes]))
        y.append((label + i % 2) % num_classes)
        rows = np.arange(start, start + len(label))
        clients[f"client_{i}"] = fl.ClientSplit(rows[:num_train], rows[num_train:])
        start += len(label)
    names = tuple(f"class_{c}" for c in range(num_classes))
    return fl.FederatedDataset(
        "conflicting", np.concatenate(x).astype(np.float32), np.concatenate(y).astype(np.int32), names, clients
    )


CONFLICT = {"num_rounds": 12, "clients_per_round": 6, "batch_size": 5, "evaluate_every": 12, "progress": False}


@pytest.fixture(scope="module")
def conflict():
    """Clients that disagree, and the best accuracy that one model for all of them reaches."""
    features = conflicting()
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=LR)
    return features, fl.run_rounds(process, features, **CONFLICT).global_accuracy


@pytest.mark.parametrize(
    "build",
    [
        lambda features: fl.build_fed_per(fl.mlp_head(features, hidden_units=8), client_lr=LR),
        lambda features: fl.build_fed_rep(fl.mlp_head(features, hidden_units=8), head_epochs=3, client_lr=LR),
        lambda features: fl.build_ditto(fl.linear_head(features), regularization_strength=0.05, client_lr=LR),
    ],
    ids=["fed_per", "fed_rep", "ditto"],
)
def test_where_labels_conflict_personal_models_beat_the_global_one(build, conflict):
    features, global_accuracy = conflict
    history = fl.run_rounds(build(features), features, **CONFLICT)
    own = history.client_metric("personal_accuracy")[12]
    assert global_accuracy < 0.7  # two truths, one model
    assert own.drop("client_4").min() > 0.95  # of the client with one example little can be asked
    assert set(own.index) == set(features.client_ids) - {"client_5"}
    assert set(history.client_states) == set(features.client_ids)


def test_a_client_that_has_never_trained_uses_what_the_server_has(features):
    """Ditto: the global model."""
    process = fl.build_ditto(fl.linear_head(features), client_lr=LR)
    history = fl.run_rounds(process, features, num_rounds=2, clients_per_round=1, batch_size=5, progress=False)
    [stranger, *_] = set(features.client_ids) - set(history.client_states)
    accuracy, own = history.client_metric("accuracy"), history.client_metric("personal_loss")
    assert own.loc[stranger].tolist() == history.client_metric("loss").loc[stranger].tolist()
    [trained, *_] = history.client_states
    assert own.loc[trained, 2] != history.client_metric("loss").loc[trained, 2]
    assert accuracy.shape == own.shape


def test_a_client_whose_numbers_break_keeps_what_it_had(fed_per, features):
    data = {c: features.train(c) for c in features.client_ids[:2]}
    data["client_0"] = (np.full_like(data["client_0"][0], np.nan), data["client_0"][1])
    clients = [
        {
            "data": tf.data.Dataset.from_tensor_slices(examples).batch(BATCH),
            "client_state": fed_per.initial_client_state(client_id),
        }
        for client_id, examples in data.items()
    ]
    output = fed_per.next(fed_per.initialize(), clients)
    expected = fed_per.next(fed_per.initialize(), clients[1:])
    for kept, initial in zip(output.client_states[0]["personal"], fed_per.model.initial_weights[0][2:], strict=True):
        np.testing.assert_array_equal(kept, initial)
    got, want = (fed_per.get_model_weights(o.state).trainable for o in (output, expected))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        ("fed_per", {"personal_indices": [4]}, "personal_indices: expected places of the model's 4 trainable weights"),
        ("fed_per", {"personal_indices": [0.5]}, "personal_indices: expected places"),
        ("fed_per", {"personal_indices": [3, -1]}, r"personal_indices: expected different places, got \(3, -1\)"),
        ("fed_per", {"personal_indices": range(4)}, "personal_indices: expected some of the model's weights to be sha"),
        ("fed_per", {"client_lr": 0}, "client_lr: expected a number above 0"),
        ("fed_rep", {"head_epochs": -1}, "head_epochs: expected a whole number of at least 0, got -1"),
        ("fed_rep", {"head_lr": -1}, "head_lr: expected a number above 0"),
        (
            "ditto",
            {"regularization_strength": -1},
            "regularization_strength: expected a finite number of at least 0, got -1",
        ),
        (
            "ditto",
            {"regularization_strength": 6, "personal_lr": 0.2},
            "regularization_strength: expected at most 1 / personal_lr = 5, beyond which",
        ),
        ("ditto", {"personal_lr": 0}, "personal_lr: expected a number above 0"),
    ],
)
def test_bad_arguments_are_one_clear_line(model, build, arguments, message):
    with pytest.raises(fl.UsageError, match=rf"^{message}") as error:
        getattr(fl, f"build_{build}")(model, **arguments)
    assert "\n" not in str(error.value)


def test_a_linear_head_alone_has_nothing_to_share(features):
    for build in (fl.build_fed_per, fl.build_fed_rep):
        with pytest.raises(fl.UsageError, match="a linear head alone is all personal: take mlp_head"):
            build(fl.linear_head(features))


class TestFedBN:
    @pytest.fixture(scope="class")
    def split(self):
        return fl.split_backbone(fl.load_backbone("bundled"), ["Conv_1*"])

    @pytest.fixture(scope="class")
    def few(self, split):
        """Rows as they might come from the cut; extracting real ones would take longer than all else here."""
        rng = np.random.default_rng(0)
        rows = np.abs(rng.normal(size=[40, split.feature_dim])).astype(np.float32)
        clients = {c: fl.ClientSplit(np.arange(i, i + 15), np.arange(i + 15, i + 20)) for c, i in (("a", 0), ("b", 20))}
        return fl.FederatedDataset(
            "rows", rows, rng.integers(10, size=40, dtype=np.int32), tuple("0123456789"), clients
        )

    def test_scale_and_offset_stay_and_the_kernel_travels(self, split, few):
        assert split.names == ("Conv_1/kernel", "Conv_1_bn/gamma", "Conv_1_bn/beta")
        model = fl.fine_tuned_backbone(few, split)
        process = fl.build_fed_bn(model, split, client_lr=0.05, client_weighting="uniform")
        assert process.hyperparameters["client_weighting"] == "uniform"
        history = fl.run_rounds(process, few, num_rounds=2, clients_per_round=2, progress=False)
        kernel, gamma, beta, *head = history.model_weights
        for ours, pretrained in zip((gamma, beta), split.initial_values[1:], strict=True):
            np.testing.assert_array_equal(ours, pretrained)
        assert np.abs(kernel - split.initial_values[0]).max() > 1e-5
        assert all(np.abs(w).max() > 1e-3 for w in head)
        one, other = (history.client_states[c]["personal"] for c in few.client_ids)
        assert [w.shape for w in one] == [(1280,), (1280,)]
        assert np.abs(one[0] - other[0]).max() > 1e-5
        upload = history.global_metrics()["upload_bytes_total"][2] / 2
        assert 0 < upload - 4 * (kernel.size + sum(w.size for w in head)) < 1_000  # 2 * 1280 * 4 bytes are not sent
        assert history.settings["process"]["algorithm"] == "fed_bn"

    def test_every_scale_and_offset_is_found(self, split):
        """By the names of the real module; with the depth, the graph has found them whatever their names."""
        deeper = fl.split_backbone(split.backbone, "last_block")
        assert batch_norm_places(deeper) == [1, 2, 4, 5, 7, 8, 10, 11]
        assert {deeper.names[i].split("/")[-1] for i in (0, 3, 6, 9)} == {"kernel", "depthwise_kernel"}
        assert batch_norm_places(fl.split_backbone(split.backbone, "batch_norm")) == list(range(104))

    def test_what_has_no_batch_normalisation_is_refused(self, split, few):
        kernel_only = fl.split_backbone(split.backbone, ["Conv_1/kernel"])
        model = fl.fine_tuned_backbone(few, split)
        with pytest.raises(fl.UsageError, match=r"^split: expected some trained batch normalisation"):
            fl.build_fed_bn(model, kernel_only)
        with pytest.raises(fl.UsageError, match=r"^model: expected fine_tuned_backbone\(features, split\) with the 12"):
            fl.build_fed_bn(model, fl.split_backbone(split.backbone, "last_block"))
