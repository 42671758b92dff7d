"""Clients that keep a state: each gets its own back, it never travels, and a resumed run has it bit for bit."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.engine import runtime
from fedlearn_edu.learning.local_training import subtract, train_locally
from fedlearn_edu.learning.process import StatefulFederatedProcess
from fedlearn_edu.learning.stateful import ClientOutput, compose_stateful_process, server_step
from fedlearn_edu.simulation.client_state_files import ClientStateFiles
from fedlearn_edu.simulation.client_states import ClientStates

ARGS = {"num_rounds": 5, "clients_per_round": 3, "batch_size": 5, "seed": 7, "progress": False}
MARKED = "client_2"


@pytest.fixture(scope="module")
def fed_avg(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3)


@pytest.fixture(scope="module")
def diary(features):
    """Federated averaging whose clients sum up the deltas they sent and count their rounds, one starting at 100."""
    fl.start_runtime()
    model = fl.linear_head(features)
    sgd = tff.learning.optimizers.build_sgdm(0.3)

    def client_work(weights, examples, state):
        trained = train_locally(model, weights, examples, sgd)
        delta = subtract(tuple(weights.trainable), trained.trainable)
        sums = [a + b for a, b in zip(state["sums"], delta, strict=True)]
        return ClientOutput(delta, 1.0, {"sums": sums, "rounds": state["rounds"] + 1}, trained.metrics)

    def state(rounds):
        return {"sums": [np.zeros_like(w) for w in model.initial_weights[0]], "rounds": np.int32(rounds)}

    return compose_stateful_process(
        model,
        client_work=client_work,
        client_state=state(0),
        initial_client_state=lambda client_id: state(100 * (client_id == MARKED)),
        aggregator=tff.aggregators.UnweightedMeanFactory().create,
        finalizer=server_step(tff.learning.optimizers.build_sgdm(1.0)),
        # a model of its own that is easy to recompute: all that the client has learned so far, in one step
        personal_weights=lambda weights, state: tff.learning.models.ModelWeights(
            [-s for s in state["sums"]], weights.non_trainable
        ),
        algorithm="diary",
        hyperparameters={},
    )


@pytest.fixture(scope="module")
def history(diary, features):
    return fl.run_rounds(diary, features, **ARGS)


def same_states(a, b):
    assert set(a) == set(b)
    for client_id in a:
        tf.nest.map_structure(np.testing.assert_array_equal, dict(a[client_id]), dict(b[client_id]))


def test_the_round_is_federated_averaging_to_the_bit_and_to_the_byte(history, fed_avg, features):
    plain = fl.run_rounds(fed_avg, features, **ARGS)
    rows = [row for row in history.rows if not row[2].startswith("personal")]
    assert rows == plain.rows  # accuracies, losses, cohorts, and the traffic: the state is no part of it
    for a, b in zip(history.model_weights, plain.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not plain.client_states


def test_each_client_gets_its_own_state_back(history):
    rounds_trained = history.client_table()["rounds_trained"]
    trained = rounds_trained[rounds_trained > 0]
    assert trained.nunique() > 1
    assert MARKED in trained
    got = {client_id: int(state["rounds"]) for client_id, state in history.client_states.items()}
    assert got == {client_id: n + 100 * (client_id == MARKED) for client_id, n in trained.items()}


def test_states_add_up_to_what_the_server_averaged(history):
    """Three a round and a server learning rate of 1: the model has moved by a third of all deltas."""
    for i, weight in enumerate(history.model_weights):  # the head starts at zero
        total = np.sum([state["sums"][i] for state in history.client_states.values()], axis=0)
        np.testing.assert_allclose(weight, -total / 3, atol=1e-6)
        assert np.abs(weight).max() > 0.01


def test_personal_models_are_evaluated_on_their_clients(history, features):
    """Recomputed in NumPy from the states: per client, and over all test examples together."""
    correct = []
    for client_id in features.client_ids:
        x, y = features.test(client_id)
        kernel, bias = history.client_states[client_id]["sums"]
        correct.append((x @ -kernel - bias).argmax(axis=1) == y)
        got = history.client_metric("personal_accuracy").loc[client_id]
        assert got[5] == pytest.approx(correct[-1].mean())
        assert got[0] == history.client_metric("accuracy").loc[client_id, 0]  # both start at zero
    overall = history.global_metrics()
    assert overall["personal_accuracy"][5] == pytest.approx(np.concatenate(correct).mean())
    assert overall["personal_accuracy"][5] != overall["accuracy"][5]
    assert overall["personal_loss"][5] > 0


def test_merged_equals_native_bit_for_bit(diary, features, monkeypatch):
    def two_rounds():
        state, states = diary.initialize(), ClientStates(diary)
        for cohort in (features.client_ids[:3], features.client_ids[1:4]):
            data = [tf.data.Dataset.from_tensor_slices(features.train(c)).batch(5) for c in cohort]
            output = diary.next(state, states.hand_out(cohort, data))
            states.take_back(cohort, output)
            state = output.state
        return state, dict(states), tf.nest.flatten([state, output.metrics, dict(states)])

    worker = fl.start_runtime()
    context = tff.framework.get_context_stack().current
    merged_state, merged_states, merged = two_rounds()
    monkeypatch.setattr(runtime, "compile_for_worker", tff.backends.native.desugar_and_transform_to_native)
    tff.framework.set_default_context(runtime.RuntimeContext(worker))
    try:
        native_state, native_states, native = two_rounds()
    finally:
        tff.framework.set_default_context(context)
    assert type(merged_state) is type(native_state)
    assert merged_states["client_1"]["rounds"] == native_states["client_1"]["rounds"] == 2
    for a, b in zip(merged, native, strict=True):
        np.testing.assert_array_equal(a, b)


def test_resumed_equals_uninterrupted(history, diary, features, tmp_path):
    """Also after a kill between the write of the states and that of the server's: they are one round ahead."""
    begun = fl.run_rounds(diary, features, **{**ARGS, "num_rounds": 3}, checkpoint_dir=tmp_path)
    assert set(begun.client_states) == set(begun.client_metric("in_cohort").index)  # nobody else has one
    assert len(begun.client_states) < features.num_clients
    (tmp_path / "round_3.npz").unlink()
    resumed = fl.run_rounds(diary, features, **ARGS, checkpoint_dir=tmp_path, resume=True)
    assert resumed.rows == history.rows
    for a, b in zip(resumed.model_weights, history.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    same_states(resumed.client_states, history.client_states)
    finished = fl.run_rounds(diary, features, **ARGS, checkpoint_dir=tmp_path, resume=True)
    same_states(finished.client_states, history.client_states)


class Returned:
    """What a round gives back, as far as clients' states go."""

    def __init__(self, client_states):
        self.client_states = client_states


def test_files_of_many_rounds_hold_little_more_than_what_is_alive(diary, tmp_path):
    """40 clients, 5 a round, 60 rounds: restored is the newest of each; files hold at most three times that."""
    rng = np.random.default_rng(0)
    files, states, largest, size_of_one = ClientStateFiles(tmp_path), ClientStates(diary), 0.0, 0
    for round_num in range(1, 61):
        cohort = [f"client_{i}" for i in rng.choice(40, 5, replace=False)]
        new = [
            {"sums": list(map(np.float32, rng.normal(size=[2, 300]))), "rounds": np.int32(round_num)} for _ in cohort
        ]
        states.take_back(cohort, Returned(new))
        files.save(round_num, states)
        files.remove_replaced()
        size_of_one = size_of_one or (tmp_path / "client_states_1.npz").stat().st_size / 5
        on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
        largest = max(largest, on_disk / (size_of_one * len(states)))
    assert len(states) == 40
    assert largest < 3
    at_59 = ClientStates(diary)
    ClientStateFiles(tmp_path).load(60, restored := ClientStates(diary))
    same_states(restored, states)
    ClientStateFiles(tmp_path).load(59, at_59)  # drops what round 60 wrote
    assert set(at_59) == set(states)
    assert {c for c in states if states[c]["rounds"] != at_59[c]["rounds"]} == set(cohort)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": np.int32(0)},
        {"sums": [np.zeros([8, 3], np.float32), np.zeros([3], np.float32)], "rounds": 0},  # int64
        {"sums": [np.zeros([8, 4], np.float32), np.zeros([3], np.float32)], "rounds": np.int32(0)},
    ],
    ids=["missing", "type", "shape"],
)
def test_a_wrong_initial_state_is_one_clear_line(diary, features, wrong):
    process = StatefulFederatedProcess(
        diary.initialize,
        diary.next,
        diary.get_model_weights,
        diary.set_model_weights,
        initial_client_state=wrong,
        model=diary.model,
        algorithm="wrong",
        hyperparameters={},
    )
    expected = r"^initial_client_state: expected <sums=<float32\[8,3\],float32\[3\]>,rounds=int32> for client 'a', got"
    with pytest.raises(fl.UsageError, match=expected) as error:
        ClientStates(process).hand_out(["a"], ["data"])
    assert "\n" not in str(error.value)


def test_an_ordinary_round_is_no_stateful_one(fed_avg):
    with pytest.raises(fl.UsageError, match=r"^next_fn: expected .*client_state=S.* got .* return a StatefulOutput"):
        StatefulFederatedProcess(
            fed_avg.initialize,
            fed_avg.next,
            fed_avg.get_model_weights,
            fed_avg.set_model_weights,
            initial_client_state=np.int32(0),
            model=fed_avg.model,
            algorithm="none",
            hyperparameters={},
        )
