"""A client's training ends in NaN, infinity or beyond float32 in one round: nothing stays, and all keep in step."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from numpy_reference import BATCH, reference_client

import fedlearn_edu as fl
from fedlearn_edu.simulation.client_states import ClientStates

LR, STRENGTH, BROKEN = 0.3, 0.4, "client_1"
COHORT = ["client_0", BROKEN, "client_3"]
# Features that make an update NaN; infinite; finite, but with squares beyond what float32 can hold.
FACTORS = [np.nan, np.inf, 1e20]


@pytest.fixture(scope="module")
def process_of(features):
    """Builds each process once; TFF compiles it at the first round."""
    common = {"num_clients": features.num_clients, "client_lr": LR}
    mlp = fl.mlp_head(features, hidden_units=4, seed=1)
    builds = {
        "scaffold": lambda: fl.build_scaffold(fl.linear_head(features), **common),
        "fed_dyn": lambda: fl.build_fed_dyn(fl.linear_head(features), regularization_strength=STRENGTH, **common),
        "ditto": lambda: fl.build_ditto(fl.linear_head(features), client_lr=LR),
        "fed_per": lambda: fl.build_fed_per(mlp, client_lr=LR),
        "mime_lite": lambda: fl.build_mime_lite(fl.linear_head(features), client_lr=0.05),
    }
    return functools.cache(lambda name: builds[name]())


class Rounds:
    """Rounds of one process by hand; `multiply` maps a client to a factor of its features."""

    def __init__(self, process, features):
        self.process, self.features, self.states = process, features, ClientStates(process)
        self.state = process.initialize()

    def run(self, cohort=COHORT, **multiply):
        data = []
        for client_id in cohort:
            x, y = self.features.train(client_id)
            x = x * np.float32(multiply.get(client_id, 1))
            data.append(tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH))
        output = self.process.next(self.state, self.states.hand_out(cohort, data))
        self.states.take_back(cohort, output)
        self.state = output.state
        return [np.asarray(w) for w in self.process.get_model_weights(self.state).trainable]

    def kept_by(self, client_id):
        return [np.array(a) for a in tf.nest.flatten(self.states[client_id])]

    def of_server(self, name):
        return [np.asarray(a) for a in self.state.finalizer[name]]

    def mean_of_clients(self, name):
        """Over all clients; those that have not trained hold zeros."""
        kept = [state[name] for state in self.states.values()]
        return [np.sum(parts, axis=0) / self.features.num_clients for parts in zip(*kept, strict=True)]


@pytest.mark.parametrize("name", ["scaffold", "fed_dyn", "ditto", "fed_per"])
def test_what_a_client_keeps_is_what_it_had_and_training_goes_on(features, process_of, name):
    process = process_of(name)
    for factor in FACTORS:
        rounds = Rounds(process, features)
        before = rounds.run()
        kept = rounds.kept_by(BROKEN)
        broken = rounds.run(**{BROKEN: factor})
        for a, b in zip(kept, rounds.kept_by(BROKEN), strict=True):
            np.testing.assert_array_equal(a, b)
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(before, broken, strict=True))  # the others' deltas
        after = rounds.run()
        assert all(np.isfinite(w).all() for w in after)
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(after, broken, strict=True))


@pytest.mark.parametrize(
    ("name", "of_server", "of_client"), [("scaffold", "control", "control"), ("fed_dyn", "correction", "gradient")]
)
@pytest.mark.parametrize("factor", FACTORS)
def test_the_server_still_has_the_mean_of_what_clients_have(features, process_of, name, of_server, of_client, factor):
    rounds = Rounds(process_of(name), features)
    rounds.run()
    for cohort in (COHORT, [BROKEN]):
        rounds.run(cohort, **{BROKEN: factor})
        rounds.run(["client_2", BROKEN])
        for a, b in zip(rounds.of_server(of_server), rounds.mean_of_clients(of_client), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
            assert np.abs(a).max() > 0.01


def test_fed_dyn_without_any_finite_client_stands_still(features, process_of):
    rounds = Rounds(process_of("fed_dyn"), features)
    before = rounds.run()
    assert any(np.abs(h).max() > 0.01 for h in rounds.of_server("correction"))  # which would move the model
    for a, b in zip(before, rounds.run([BROKEN], **{BROKEN: np.nan}), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fed_dyn_lets_a_diverged_client_stand_still_among_others(features, process_of):
    """The paper's step over the two others, weighed two to one against the model that the third was sent."""
    rounds = Rounds(process_of("fed_dyn"), features)
    kernel, bias = rounds.run([BROKEN], **{BROKEN: np.nan})  # still the initial model
    w = np.zeros([features.feature_dim + 1, features.num_classes])
    np.testing.assert_array_equal(np.vstack([kernel, bias[None]]), w)
    h, g, others = np.zeros_like(w), [np.zeros_like(w)] * 2, ["client_0", "client_3"]
    for _ in range(2):
        kernel, bias = rounds.run(**{BROKEN: np.inf})
        moves = [
            reference_client(
                w, *features.train(c), LR, BATCH, extra_gradient=lambda v, own=own, w=w: STRENGTH * (v - w) - own
            )
            for c, own in zip(others, g, strict=True)
        ]
        g = [own - STRENGTH * move for own, move in zip(g, moves, strict=True)]
        h = sum(g) / features.num_clients
        w = w / 3 + (w + np.mean(moves, axis=0) - h / STRENGTH) * 2 / 3
        np.testing.assert_allclose(np.vstack([kernel, bias[None]]), w, atol=2e-6)


@pytest.mark.parametrize("factor", FACTORS)
def test_mime_lite_keeps_its_momentum_finite(features, process_of, factor):
    """The diverged client's gradient must not get into the momentum that all clients step with from then on."""
    process = process_of("mime_lite")
    without = Rounds(process, features)
    without.run(["client_0", "client_3"])
    expected = without.run(["client_2"])
    rounds = Rounds(process, features)
    rounds.run(**{BROKEN: factor})
    for a, b in zip(rounds.run(["client_2"]), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
