"""A resumed run computes what it computed before: any other argument is refused, the same ones are not."""

import functools
import inspect
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from shared import REPOSITORY

import fedlearn_edu as fl
from fedlearn_edu.simulation.process_fingerprint import describe_process

ARGS = {"num_rounds": 2, "clients_per_round": 3, "batch_size": 5, "seed": 7, "progress": False}
OPTIMIZERS = tff.learning.optimizers
ADAM = OPTIMIZERS.build_adam
REQUIRED = {
    "attackers": {"client_1": fl.SignFlip()},
    "clients_per_round": 3,
    "noise_multiplier": 1.0,
    "num_clients": 6,
    "population": 6,
}
# One builder of each way in which a process is put together, with arguments that enter it in different places. The
# others hand theirs to the same parts of TFF; tracing all of them with each argument takes minutes.
OTHER = {
    "build_unweighted_fed_avg": {
        "client_lr": 0.11,
        "server_optimizer": OPTIMIZERS.build_sgdm(1.0, 0.5),
        "model_aggregator": tff.aggregators.clipping_factory(1.0, tff.aggregators.UnweightedMeanFactory()),
    },
    "build_attacked_fed_avg": {"attackers": {"client_2": fl.SignFlip()}, "seed": 1},
    "build_distributed_dp_fed_avg": {"bits": 19},
    "build_dp_fed_avg": {"adaptive_clipping": True, "delta": 1e-3},
    "build_secure_fed_avg": {"value_bound": 8.0},
    "build_ditto": {"personal_lr": 0.3, "client_weighting": "num_examples"},
    "build_fed_adam": {"beta_2": 0.8},
    "build_fed_dyn": {"num_clients": 7},
    "build_fed_rep": {"head_epochs": 4},
    "build_weighted_fed_avg": {"client_weighting": "uniform"},
    "build_mime_lite": {"base_optimizer": OPTIMIZERS.build_sgdm(0.1, 0.8)},
    "build_q_fed_avg": {"q": 0.5},
}
ONLY_FOR_ACCOUNTING = {"delta"}
# TFF's own, stateful with personal models, with secure sums, with a server optimizer of ours
IN_ANOTHER_PYTHON = [
    "build_unweighted_fed_avg",
    "build_ditto",
    "build_distributed_dp_fed_avg",
    "build_fed_adam",
]


def build(name, model, **arguments):
    builder = getattr(fl, name)
    wanted = inspect.signature(builder).parameters
    return builder(model, **{key: value for key, value in REQUIRED.items() if key in wanted} | arguments)


def settings_of(process, client_ids):
    private = {"privacy": process.privacy.describe()} if process.privacy else {}
    return json.loads(json.dumps(private | describe_process(process, client_ids)))


@pytest.fixture(scope="module")
def model(features):
    return fl.linear_head(features)


@pytest.fixture(scope="module")
def process(model):
    """Compiled once, for all to whom it does not matter what is trained."""
    return fl.build_unweighted_fed_avg(model, client_lr=0.1)


def smallest_model(name, features):
    """A head of one layer, whose graphs are the quickest to trace; FedRep alone needs a base under its head."""
    return fl.mlp_head(features, hidden_units=2) if name == "build_fed_rep" else fl.linear_head(features)


@pytest.mark.parametrize("name", OTHER)
def test_any_other_argument_is_another_run(name, features):
    model = smallest_model(name, features)
    first = first_settings(name, model, tuple(features.client_ids))
    for argument, value in OTHER[name].items():
        other = settings_of(build(name, model, **{argument: value}), features.client_ids)
        assert other != first, argument
        if argument not in ONLY_FOR_ACCOUNTING:  # told by the graphs alone, whatever the builder says of itself
            assert other["computation"] != first["computation"], argument


@functools.cache
def first_settings(name, model, client_ids):
    return settings_of(build(name, model), client_ids)


def test_the_same_arguments_are_the_same_run_in_another_python(model, features):
    """Built in the opposite order, after other graphs, with other hashes of strings."""
    source = """
import json, sys
sys.path[:0] = ["tests", "tests/simulation"]
import shared
import test_resume_rules as here
features = shared.make_features()
model = here.fl.linear_head(features)
names = here.IN_ANOTHER_PYTHON[::-1]
json.dump({name: here.first_settings(name, model, tuple(features.client_ids)) for name in names}, sys.stdout)
"""
    result = subprocess.run(
        [sys.executable, "-c", source],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    there = json.loads(result.stdout)
    here = {name: first_settings(name, model, tuple(features.client_ids)) for name in IN_ANOTHER_PYTHON}
    assert len({settings["computation"] for settings in here.values()}) == len(here)
    assert there == here


class Silent(OPTIMIZERS.Optimizer):
    """Halves, or divides otherwise, and has no attribute that could be read off."""

    __slots__ = ("_divisor",)

    def __init__(self, divisor):
        self._divisor = divisor

    def initialize(self, specs):
        return ()

    def next(self, state, weights, gradients):
        return state, tf.nest.map_structure(lambda w, g: w - g / self._divisor, weights, gradients)


def with_other_activation(features):
    """The weights of `mlp_head`, used otherwise."""
    model = fl.mlp_head(features, hidden_units=2)

    @tf.function
    def predict(weights, x, training):
        (hidden_kernel, hidden_bias, kernel, bias), _ = weights
        return tf.matmul(tf.tanh(tf.matmul(x, hidden_kernel) + hidden_bias), kernel) + bias

    return tff.learning.models.FunctionalModel(
        initial_weights=model.initial_weights,
        predict_on_batch_fn=predict,
        loss_fn=model.loss,
        metrics_fns=(model.initialize_metrics_state, model.update_metrics_state, model.finalize_metrics),
        input_spec=model.input_spec,
    )


def begin(folder, process, features):
    """Leaves the checkpoint of round 0, without the time that it takes to compile a round."""
    rounds = rounds_in(folder, process, features)
    next(rounds)
    rounds.close()
    assert (folder / "settings.json").exists()


@pytest.fixture(scope="module")
def begun(features, tmp_path_factory):
    """A checkpoint that several tests are refused at; none of them may change it."""
    folder = tmp_path_factory.mktemp("begun")
    begin(folder, fl.build_unweighted_fed_avg(fl.mlp_head(features, hidden_units=2)), features)
    return folder


def clipped(norm):
    return tff.aggregators.clipping_factory(norm, tff.aggregators.UnweightedMeanFactory())


@pytest.mark.parametrize(
    ("first", "other", "words"),
    [
        (
            {"server_optimizer": OPTIMIZERS.build_adam(0.1)},
            {"server_optimizer": OPTIMIZERS.build_adam(0.2)},
            r"process\.hyperparameters\.server_optimizer\.learning_rate was 0\.1, is now 0\.2\)",
        ),
        (
            {"server_optimizer": OPTIMIZERS.build_adagrad(0.1, initial_preconditioner_value=0.1)},
            {"server_optimizer": OPTIMIZERS.build_adagrad(0.1, initial_preconditioner_value=0.2)},
            r"server_optimizer\.initial_preconditioner_value was 0\.1, is now 0\.2\)",
        ),
        (
            {"server_optimizer": OPTIMIZERS.build_adam(0.1)},
            {},
            r"server_optimizer was Adam\(learning_rate=0\.1.*, is now None\)",
        ),
        ({"client_optimizer": Silent(2.0)}, {"client_optimizer": Silent(3.0)}, "an optimizer"),
        (
            {"model_aggregator": clipped(1.0)},
            {"model_aggregator": clipped(2.0)},
            r"process\.hyperparameters\.model_aggregator\..*clipping_norm_process was 'EstimationProcess ",
        ),
        (
            {"model_aggregator": fl.norm_bounding(1.0)},
            {"model_aggregator": fl.norm_bounding(2.0)},
            r"model_aggregator\.max_norm was 1\.0, is now 2\.0\)",
        ),
        (
            {"model_aggregator": fl.finite_only(fl.trimmed_mean(clients_per_round=3, num_trimmed=0))},
            {"model_aggregator": fl.finite_only(fl.trimmed_mean(clients_per_round=3, num_trimmed=1))},
            r"model_aggregator\.inner\.num_trimmed was 0, is now 1\)",
        ),
        ({}, {"model": lambda f: fl.linear_head(f)}, r"process\.model\.weights was"),
        ({}, {"model": lambda f: fl.mlp_head(f, hidden_units=2, seed=1)}, "the model starts with other weights"),
        ({}, {"model": with_other_activation}, "the model, an optimizer"),
    ],
    ids=[
        "rate",
        "start of the optimizer",
        "other optimizer",
        "silent optimizer",
        "clipping",
        "bound",
        "inner",
        "architecture",
        "weights",
        "activation",
    ],
)
def test_resuming_with_something_else_is_refused_and_changes_nothing(tmp_path, features, begun, first, other, words):
    def process(*, model=lambda f: fl.mlp_head(f, hidden_units=2), **arguments):
        return fl.build_unweighted_fed_avg(model(features), **arguments)

    def files():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    if first:
        folder = tmp_path
        begin(folder, process(**first), features)
    else:
        folder = begun
    before = files()
    with pytest.raises(fl.UsageError, match=r"holds the checkpoint of another run \(.*" + words):
        fl.run_rounds(process(**other), features, **ARGS, checkpoint_dir=folder, resume=True)
    assert files() == before


def test_a_checkpoint_of_another_version_is_refused_by_name(tmp_path, features, process):
    begin(tmp_path, process, features)
    file = tmp_path / "settings.json"
    settings = json.loads(file.read_text())
    for version, words in (("0.0.9", "(0.0.9, this is"), (None, "(an older version, this is")):
        changed = {**settings, "fedlearn_edu_version": version}
        file.write_text(json.dumps({key: value for key, value in changed.items() if value}))
        with pytest.raises(fl.UsageError, match="another version of fedlearn_edu") as error:
            fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path, resume=True)
        assert words in str(error.value)
    for damaged in ("[]", "null", "{"):
        file.write_text(damaged)
        with pytest.raises(fl.UsageError, match=r"settings\.json is not readable"):
            fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path, resume=True)


def test_a_longer_run_measures_what_an_uninterrupted_one_does(tmp_path, features, model):
    """With evaluation now and then: the last round of the shorter run was measured only since it was the last."""
    process = fl.build_ditto(model)
    arguments = {**ARGS, "evaluate_every": 2}
    whole = fl.run_rounds(process, features, **{**arguments, "num_rounds": 4})
    shorter = fl.run_rounds(process, features, **{**arguments, "num_rounds": 3}, checkpoint_dir=tmp_path)
    assert list(shorter.client_metric("personal_accuracy").columns) == [0, 2, 3]
    longer = fl.run_rounds(process, features, **{**arguments, "num_rounds": 4}, checkpoint_dir=tmp_path, resume=True)
    assert longer.rows == whole.rows
    for a, b in zip(longer.model_weights, whole.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)


# --- two runs, one folder ----------------------------------------------------------------------------------------


def rounds_in(folder, process, features, **changes):
    arguments = {**ARGS, **changes}
    del arguments["progress"]
    return fl.iter_rounds(process, features, **arguments, checkpoint_dir=folder)


def test_a_second_run_in_the_same_folder_is_refused_at_once(tmp_path, features, process):
    rounds = rounds_in(tmp_path, process, features)
    next(rounds)
    for seed in (7, 8):
        with pytest.raises(fl.UsageError, match=r"checkpoint_dir: .* is in use by another run \(this Python process"):
            rounds_in(tmp_path, process, features, seed=seed, resume=True)
    assert next(rounds).num_rounds == 1
    rounds.close()
    assert [h.num_rounds for h in rounds_in(tmp_path, process, features, resume=True)][-1] == 2


def test_a_generator_that_nobody_holds_any_more_lets_others_in(tmp_path, features, process):
    rounds = rounds_in(tmp_path, process, features)
    del rounds  # never started
    rounds = rounds_in(tmp_path, process, features)
    next(rounds)
    rounds = None
    with pytest.raises(fl.UsageError, match="already holds rounds") as error:
        rounds_in(tmp_path, process, features)
    assert error.value.__traceback__ is not None  # kept, as a notebook keeps its last error, and with it all frames
    assert next(rounds_in(tmp_path, process, features, resume=True)).num_rounds == 0
    del rounds


def test_the_kernel_releases_the_folder_of_a_killed_process(tmp_path):
    source = (
        "import sys, time; from fedlearn_edu.folder_lock import FolderLock; "
        f"lock = FolderLock({str(tmp_path)!r}, argument='here'); print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    from fedlearn_edu.folder_lock import FolderLock

    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(fl.UsageError, match=rf"here: .* \(process {holder.pid}\)"):
            FolderLock(tmp_path, argument="here")
    finally:
        holder.kill()
        holder.wait()
    lock = FolderLock(tmp_path, argument="here")
    lock.remove()
    assert list(tmp_path.iterdir()) == []
    FolderLock(tmp_path, argument="here").release()


@pytest.fixture(scope="module")
def three_rounds(process, features, tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    arguments = {**ARGS, "num_rounds": np.int64(3), "batch_size": np.int32(5), "seed": np.int64(7)}
    fl.run_rounds(process, features, **arguments, checkpoint_dir=folder)
    return process, folder


def test_counts_and_seeds_of_numpy_are_kept_as_whole_numbers(three_rounds, features, tmp_path):
    process, folder = three_rounds
    assert json.loads((folder / "settings.json").read_text())["run"]["seed"] == 7
    shutil.copytree(folder, tmp_path / "copy")
    again = fl.run_rounds(process, features, **{**ARGS, "num_rounds": 3}, checkpoint_dir=tmp_path / "copy", resume=True)
    assert again.num_rounds == 3


def _without_round(number):
    def change(folder):
        lines = (folder / "history.csv").read_text().splitlines(keepends=True)
        (folder / "history.csv").write_text("".join(line for line in lines if not line.startswith(f"{number},")))

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without_round(1),
        _without_round(3),
        lambda folder: shutil.copy(folder / "round_2.npz", folder / "round_9.npz"),
    ],
    ids=["first round missing", "last round missing", "state of no round"],
)
def test_a_history_that_is_not_that_of_the_state_is_refused(three_rounds, features, tmp_path, change):
    """Otherwise rounds would be run twice, or be missing, in a record that looks whole."""
    process, folder = three_rounds
    shutil.copytree(folder, tmp_path / "copy")
    change(tmp_path / "copy")
    with pytest.raises(fl.RunError, match="does not hold every round up to"):
        fl.run_rounds(process, features, **{**ARGS, "num_rounds": 5}, checkpoint_dir=tmp_path / "copy", resume=True)


def test_a_state_that_was_cut_is_named(three_rounds, features, tmp_path):
    process, folder = three_rounds
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "round_3.npz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(fl.RunError, match=r"round_3\.npz is damaged; delete it"):
        fl.run_rounds(process, features, **ARGS, checkpoint_dir=tmp_path / "copy", resume=True)


def test_a_folder_may_be_called_like_a_pattern(features, process, tmp_path):
    folder = tmp_path / "run[1] *?\\"
    fl.run_rounds(process, features, **{**ARGS, "num_rounds": 1}, checkpoint_dir=folder)
    resumed = fl.run_rounds(process, features, **ARGS, checkpoint_dir=folder, resume=True)
    assert resumed.rows == fl.run_rounds(process, features, **ARGS).rows


@pytest.mark.parametrize("name", ["R\udce9n", "two\nlines", "nul\0", "ram://x", "", b"x", 5])
def test_what_is_no_folder_here_is_refused_before_a_round(features, process, tmp_path, name):
    folder = f"{tmp_path}/{name}" if isinstance(name, str) and name and "://" not in name else name
    with pytest.raises(fl.UsageError, match="checkpoint_dir: expected the path of a folder on this machine"):
        fl.run_rounds(process, features, **ARGS, checkpoint_dir=folder)
    assert not list(tmp_path.iterdir())


def test_a_lock_that_is_a_link_leads_to_no_other_file(tmp_path):
    """A folder from someone else may hold one; the lock's file is written to."""
    from fedlearn_edu import folder_lock

    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / folder_lock._NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        folder_lock.FolderLock(tmp_path / "run", argument="here")
    assert (tmp_path / "precious").read_text() == "mine"
