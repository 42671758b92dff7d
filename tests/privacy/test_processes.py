"""Private processes as a whole: what they promise of a model, and that their runs repeat and resume."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

import fedlearn_edu as fl
from fedlearn_edu.privacy.accounting import GaussianAccountant, LocalAccountant, TreeAccountant
from fedlearn_edu.privacy.processes.skellam_accountant import SkellamAccountant
from fedlearn_edu.simulation.communication import measure_message_sizes

SETTING = {"noise_multiplier": 1.0, "clients_per_round": 3, "population": 6, "delta": 0.01}


def datasets(features, client_ids, **changed):
    """In-memory datasets; `changed` maps a client id to a factor of its features."""
    result = []
    for client_id in client_ids:
        x, y = features.train(client_id)
        result.append(tf.data.Dataset.from_tensor_slices((x * np.float32(changed.get(client_id, 1)), y)).batch(5))
    return result


def weights_after(process, data):
    state = process.next(process.initialize(), data).state
    return np.concatenate([np.ravel(w) for w in process.get_model_weights(state).trainable])


@pytest.fixture(scope="module")
def dp_process(features):
    return fl.build_dp_fed_avg(fl.linear_head(features), clip_norm=0.5, server_lr=2.0, **SETTING)


def test_no_client_moves_the_model_by_more_than_its_clip(features, dp_process):
    bound = 2.0 * 0.5 / 3  # server learning rate x clip norm / expected cohort
    others = datasets(features, ["client_0", "client_1"])
    without = weights_after(dp_process, others)
    for factor in (1.0, 1e3, 1e30, np.nan):
        outlier = datasets(features, ["client_5"], client_5=factor)
        with_it = weights_after(dp_process, others + outlier)
        assert np.isfinite(with_it).all()
        assert np.linalg.norm(with_it - without) <= bound * (1 + 1e-5)
    assert np.linalg.norm(weights_after(dp_process, []) - without) > 0  # an empty cohort runs, and only adds noise


@pytest.fixture(scope="module")
def plain(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features))


def test_hardly_any_noise_and_a_large_clip_norm_is_plain_federated_averaging(features, plain):
    data = datasets(features, ["client_0", "client_3", "client_5"])
    quiet = fl.build_dp_fed_avg(fl.linear_head(features), **{**SETTING, "noise_multiplier": 1e-9, "clip_norm": 100.0})
    np.testing.assert_allclose(weights_after(quiet, data), weights_after(plain, data), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "accountant", "extra", "sampling"),
    [
        (fl.build_dp_fed_avg, GaussianAccountant, {"adaptive_clipping": True}, "poisson"),
        (fl.build_local_dp_fed_avg, LocalAccountant, {}, "all"),
        (fl.build_distributed_dp_fed_avg, SkellamAccountant, {}, "fixed_size"),
    ],
)
def test_rounds_repeat_and_say_how_they_are_accounted_for(features, build, accountant, extra, sampling):
    process = build(fl.linear_head(features), **SETTING, **extra)
    assert isinstance(process.privacy, accountant)
    assert process.privacy.sampling == sampling
    assert process.privacy.epsilon(2) > process.privacy.epsilon(1) > 0
    data = datasets(features, ["client_0", "client_3"])
    once = weights_after(process, data)
    np.testing.assert_array_equal(once, weights_after(process, data))


def test_a_run_with_a_tree_resumes_bit_for_bit_and_keeps_a_ledger(features, tmp_path):
    process = fl.build_dp_ftrl(fl.linear_head(features), restart_every=2, **SETTING)
    assert isinstance(process.privacy, TreeAccountant)
    setting = {"num_rounds": 3, "clients_per_round": 3}
    for history in fl.iter_rounds(process, features, checkpoint_dir=tmp_path / "whole", **setting):
        if history.num_rounds == 1:
            shutil.copytree(tmp_path / "whole", tmp_path / "part")
    resumed = fl.run_rounds(process, features, checkpoint_dir=tmp_path / "part", resume=True, progress=False, **setting)
    for a, b in zip(history.model_weights, resumed.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    ledger = resumed.privacy_ledger()
    assert ledger["epsilon"].is_monotonic_increasing
    assert ledger["epsilon"].iloc[-1] == process.privacy.epsilon(3) > 0
    assert ledger["clip_norm"].iloc[1:].eq(1.0).all()
    assert ledger["noise_stddev"].iloc[1:].to_numpy() == pytest.approx(1 / 3)
    assert ledger.equals(history.privacy_ledger())


def test_secure_aggregation_trains_as_the_plain_mean_does(features, plain):
    secure = fl.build_secure_fed_avg(fl.linear_head(features))
    assert secure.privacy is None
    data = datasets(features, ["client_0", "client_3", "client_5"])
    step = 2 * 100 / (2**32 - 1)
    np.testing.assert_allclose(weights_after(secure, data), weights_after(plain, data), atol=step)
    # 27 numbers of 32 bits, and flags and counts of a bit each, in place of 27 floats (the rest are metrics).
    sizes = measure_message_sizes(secure)
    assert 27 * 32 <= sizes.secure_bits < 27 * 32 + 150
    assert measure_message_sizes(plain).secure_bits == 0
    in_cohort = measure_message_sizes(secure, clients_per_round=8)
    assert in_cohort.secure_bits > sizes.secure_bits + 27 * 3
    assert in_cohort.upload_bytes - sizes.upload_bytes == pytest.approx(
        (in_cohort.secure_bits - sizes.secure_bits) / 8, abs=1
    )


def test_distributed_noise_travels_in_few_bits(features):
    process = fl.build_distributed_dp_fed_avg(fl.linear_head(features), bits=12, **SETTING)
    assert measure_message_sizes(process, clients_per_round=3).secure_bits == 32 * 12  # 27 padded to 32


BUILDERS = [fl.build_dp_fed_avg, fl.build_dp_ftrl, fl.build_local_dp_fed_avg, fl.build_distributed_dp_fed_avg]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    "bad",
    [
        {"noise_multiplier": 0},
        {"noise_multiplier": float("inf")},
        {"clip_norm": -1.0},
        {"clip_norm": float("nan")},
        {"clients_per_round": 7},
        {"clients_per_round": 1.5},
        {"population": 1},
        {"delta": 0},
        {"delta": 1.0},
        {"client_lr": -0.1},
        {"seed": 0.5},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_one_line(features, build, bad):
    (name,) = bad
    with pytest.raises(fl.UsageError, match=f"^{name}: ") as error:
        build(fl.linear_head(features), **{**SETTING, **bad})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("build", [fl.build_dp_fed_avg, fl.build_distributed_dp_fed_avg, fl.build_local_dp_fed_avg])
def test_unknown_sampling_is_refused(features, build):
    with pytest.raises(fl.UsageError, match=r"^sampling: expected one of .* got 'by_name'"):
        build(fl.linear_head(features), sampling="by_name", **SETTING)


def test_distributed_noise_refuses_cohorts_of_varying_size(features):
    with pytest.raises(fl.UsageError, match=r"^sampling: "):
        fl.build_distributed_dp_fed_avg(fl.linear_head(features), sampling="poisson", **SETTING)


def test_a_large_delta_is_warned_of(features):
    with pytest.warns(UserWarning, match="^delta: 0.5 is above 1 / population"):
        fl.build_dp_fed_avg(fl.linear_head(features), **{**SETTING, "delta": 0.5})
