"""TrainingDashboard, driven in process: it runs, steps, stops, fails visibly, and shows the history as it is."""

import functools
import gc
import threading
import time

import numpy as np
import pytest
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.simulation.central import central_ceiling
from fedlearn_edu.widgets.elements import format_bytes, format_percent

WAIT_S = 120


@functools.cache
def process_of(client_lr, server_lr):
    """What a dashboard builds by itself, compiled once for all tests."""
    return fl.build_unweighted_fed_avg(fl.linear_head(make_features()), client_lr=client_lr, server_lr=server_lr)


def make_dashboard(**changes):
    arguments = {"features": make_features(), "num_rounds": 4, "clients_per_round": 2, "seed": 1, **changes}
    arguments.setdefault("build_process", lambda model, *, client_lr, server_lr: process_of(client_lr, server_lr))
    return fl.TrainingDashboard(**arguments)


def threads():
    return [t for t in threading.enumerate() if t.name == "fedlearn-training"]


@pytest.fixture(scope="module")
def finished():
    """A dashboard whose run was made by its button, with the process that it builds by itself."""
    dashboard = make_dashboard(build_process=None)
    dashboard.run_button.click()
    dashboard.wait(WAIT_S)
    yield dashboard
    dashboard.close()


@pytest.fixture
def dashboard():
    dashboard = make_dashboard()
    yield dashboard
    dashboard.close()
    assert not threads()


def wait_for(condition, timeout=WAIT_S):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_run_gives_what_run_rounds_gives(finished):
    features = make_features()
    process = process_of(0.1, 1.0)
    expected = fl.run_rounds(process, features, num_rounds=4, clients_per_round=2, seed=1, progress=False)
    assert finished.history.rows == expected.rows
    assert finished.history.status == "finished"
    central = central_ceiling(process.model, features, seed=1).value
    assert finished.history.central_accuracy == central


def test_finished_run_is_shown(finished):
    view, history = finished.view, finished.history
    assert view.history is history
    for shown in ("4 of 4", format_percent(history.global_accuracy), format_percent(history.central_accuracy)):
        assert f">{shown}<" in view.numbers.value
    uploaded = history.global_metrics()["upload_bytes_total"].sum()
    assert f">{format_bytes(uploaded)}<" in view.numbers.value
    table = history.client_table()
    assert table.index[0] in view.worst.value.split("<tr>")[2]
    assert table.index[-1] in view.best.value.split("<tr>")[2]
    curve, heatmap = view.picture.figure.axes[:2]
    assert list(curve.lines[-1].get_ydata()) == history.global_metrics()["accuracy"].tolist()
    assert heatmap.images[0].get_array().shape == (6, 5)
    assert finished.progress.value == finished.progress.max == 4
    assert finished.status.value == "finished after 4 rounds"
    assert not finished.run_button.disabled
    assert finished.stop_button.disabled


def test_slider_goes_back_in_time(written, finished):
    view = finished.view
    now, numbers = view.picture.value, view.numbers.value
    view.round_slider.value = 2
    past = fl.History({}, [row for row in finished.history.rows if row[0] <= 2])
    assert ">2 of 4<" in view.numbers.value
    assert f">{format_percent(past.global_accuracy)}<" in view.numbers.value
    assert view.picture.figure.axes[1].images[0].get_array().shape == (6, 3)
    assert view.picture.value != now
    view.round_slider.value = 4
    assert (view.picture.value, view.numbers.value) == (now, numbers)
    assert finished.history.num_rounds == 4  # looking changes nothing


def test_step_by_step_is_the_same_run(finished, dashboard):
    for round_num in (1, 2):
        dashboard.step_button.click()
        dashboard.wait(WAIT_S)
        assert dashboard.history.num_rounds == round_num
        assert dashboard.history.status == "stopped"
        assert dashboard.status.value.startswith(f"paused after round {round_num}")
    dashboard.run_button.click()
    dashboard.wait(WAIT_S)
    assert dashboard.history.status == "finished"
    assert dashboard.history.rows == finished.history.rows


def test_stop_leaves_a_usable_history():
    dashboard = make_dashboard(num_rounds=10_000)
    dashboard.run_button.click()
    dashboard.run_button.click()  # pressed twice: still one run
    assert len(threads()) == 1
    assert dashboard.run_button.disabled
    assert dashboard.training_controls.client_lr.disabled
    wait_for(lambda: dashboard.history is not None and dashboard.history.num_rounds >= 3)
    dashboard.stop_button.click()
    dashboard.wait(WAIT_S)
    history = dashboard.history
    stopped = history.num_rounds
    assert 3 <= stopped < 10_000
    assert history.status == "stopped"
    assert len(history.client_table()) == 6
    assert len(history.model_weights) == 2
    assert not dashboard.training_controls.client_lr.disabled
    time.sleep(0.3)
    assert history.num_rounds == stopped  # it really stands still
    dashboard.step()
    dashboard.wait(WAIT_S)
    assert dashboard.history is history
    assert history.num_rounds == stopped + 1
    # Another setting means another run, from round 0.
    dashboard.training_controls.num_rounds.value = 1
    dashboard.run()
    dashboard.wait(WAIT_S)
    assert dashboard.history is not history
    assert dashboard.history.num_rounds == 1
    dashboard.close()
    assert not threads()


def test_bad_setting_is_shown_and_raised(dashboard):
    dashboard.training_controls.clients_per_round.value = 7
    dashboard.run_button.click()
    with pytest.raises(fl.UsageError, match="clients_per_round: expected at most the number of clients"):
        dashboard.wait(WAIT_S)
    assert "clients_per_round: expected at most" in dashboard.error_line.value
    assert "\n" not in dashboard.error_line.value
    assert isinstance(dashboard.error, fl.UsageError)
    assert dashboard.status.value == "not started"
    dashboard.training_controls.clients_per_round.value = 2
    dashboard.training_controls.client_lr.value = -1.0
    dashboard.step_button.click()
    with pytest.raises(fl.UsageError, match="client_lr: expected a number above 0"):
        dashboard.wait(WAIT_S)
    dashboard.training_controls.client_lr.value = 0.1
    dashboard.step_button.click()
    dashboard.wait(WAIT_S)
    assert dashboard.error is None
    assert dashboard.error_line.value == ""
    assert dashboard.history.num_rounds == 1


def test_exception_in_the_thread_is_shown_and_raised():
    def build_process(model, *, client_lr, server_lr):
        raise ZeroDivisionError("<b>one line</b>\nand another")

    dashboard = make_dashboard(build_process=build_process)
    dashboard.run_button.click()
    with pytest.raises(ZeroDivisionError):
        dashboard.wait(WAIT_S)
    assert "ZeroDivisionError: &lt;b&gt;one line&lt;/b&gt;" in dashboard.error_line.value
    assert "another" not in dashboard.error_line.value
    assert not dashboard.run_button.disabled
    dashboard.close()


def test_reset_forgets_the_run(dashboard):
    dashboard.step()
    dashboard.wait(WAIT_S)
    dashboard.reset_button.click()
    assert dashboard.history is None
    assert dashboard.status.value.startswith("ready")
    assert dashboard.view.picture.layout.display == "none"
    wait_for(lambda: not threads())


def test_close_ends_a_running_thread():
    dashboard = make_dashboard(num_rounds=10_000)
    dashboard.run()
    wait_for(lambda: dashboard.history is not None)
    dashboard.close()
    assert not threads()
    dashboard.wait(1)  # nothing to wait for, nothing raised
    dashboard.run()  # and nothing starts any more
    assert not threads()


def test_interrupt_while_waiting_stops_the_run(monkeypatch):
    dashboard = make_dashboard(num_rounds=10_000)
    dashboard.run()
    wait_for(lambda: dashboard.history is not None)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dashboard._session._changed, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dashboard.wait()
    wait_for(lambda: dashboard.status.value.startswith("paused"))
    assert dashboard.history.status == "stopped"
    dashboard.step()  # it survives
    dashboard.wait(WAIT_S)
    dashboard.close()


def test_live_from_images(tmp_path, monkeypatch):
    """The whole way: deal out, extract with progress, train; and the backbone is asked once only."""
    from fedlearn_edu.backbone import features as features_module

    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 3).astype(np.int32)
    images = (labels[:, None, None, None] * 80 + rng.integers(0, 60, [600, 8, 8, 3])).astype(np.uint8)
    dataset = ImageDataset("toy", images, labels, ("a", "b", "c"))
    dashboard = fl.TrainingDashboard(dataset=dataset, num_clients=6, clients_per_round=3, num_rounds=2)
    assert dashboard.partition_controls.num_clients.value == 6
    seen = []
    dashboard.status.observe(lambda change: seen.append(change["new"]), names="value")
    dashboard.run_button.click()
    dashboard.wait(WAIT_S)
    assert "extracting features: 256 of 600" in seen
    assert "extracting features: 600 of 600" in seen
    assert len(dashboard.history.client_table()) == 6
    monkeypatch.setattr(features_module, "cached_features", None)  # not needed any more
    dashboard.partition_controls.num_clients.value = 4
    dashboard.step_button.click()
    dashboard.wait(WAIT_S)
    assert len(dashboard.history.client_table()) == 4
    dashboard.close()


def test_stop_during_extraction(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path))
    clients = make_features().with_examples(np.zeros([len(make_features().labels), 8, 8, 3], np.uint8))
    dashboard = fl.TrainingDashboard(clients=clients)
    dashboard.status.observe(
        lambda change: dashboard.stop() if change["new"].startswith("extracting") else None, names="value"
    )
    dashboard.run()
    dashboard.wait(WAIT_S)
    assert dashboard.history is None
    dashboard.close()


def test_view_of_a_history():
    history = fl.History({})
    for round_num in (0, 1):
        history.add(round_num, "global", accuracy=0.5 + 0.1 * round_num)
        for client in ("<a>", "b"):
            history.add(round_num, client, accuracy=0.5)
    dashboard = fl.TrainingDashboard(history)
    assert dashboard.history is history
    assert "&lt;a&gt;" in dashboard.view.worst.value
    assert "<a>" not in dashboard.view.worst.value
    assert ">60.0 %<" in dashboard.view.numbers.value
    dashboard.wait()
    with pytest.raises(fl.UsageError, match="a finished history cannot run"):
        dashboard.run()
    dashboard.close()


@pytest.mark.parametrize(
    ("arguments", "got"),
    [({}, "none"), ({"features": make_features(), "history": fl.History({})}, "history and features")],
)
def test_exactly_one_source(arguments, got):
    with pytest.raises(fl.UsageError, match=f"exactly one of history, dataset, clients and features, got {got}"):
        fl.TrainingDashboard(**arguments)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (fl.build_scaffold, {"client_lr": 0.3, "server_lr": 0.5, "num_clients": 6}),
        (fl.build_fed_dyn, {"client_lr": 0.3, "num_clients": 6}),
        (fl.build_fed_sgd, {"server_lr": 0.5}),
        (functools.partial(fl.build_dp_fed_avg, noise_multiplier=1.0), {"client_lr": 0.3, "server_lr": 0.5}),
    ],
    ids=["scaffold", "fed_dyn", "fed_sgd", "dp_fed_avg"],
)
def test_a_builder_is_told_what_its_process_needs(build, named):
    dashboard = make_dashboard(build_process=build, num_rounds=1, client_lr=0.3, server_lr=0.5)
    dashboard.run()
    dashboard.wait(WAIT_S)
    history = dashboard.history
    dashboard.close()
    assert (history.status, history.num_rounds) == ("finished", 1)
    assert named.items() <= history.settings["process"]["hyperparameters"].items()
    if "privacy" in history.settings:
        assert (history.settings["privacy"]["population"], history.settings["privacy"]["clients_per_round"]) == (6, 2)


def test_a_builder_that_needs_more_says_what():
    dashboard = make_dashboard(build_process=fl.build_dp_fed_avg)
    dashboard.run()
    with pytest.raises(fl.UsageError, match="noise_multiplier"):
        dashboard.wait(WAIT_S)
    assert "noise_multiplier" in dashboard.error_line.value
    dashboard.close()


def make_table(task, num_rows=60):
    """A table of a number and a category, of which nobody owns a row."""
    rng = np.random.default_rng(2)
    rows = np.empty(num_rows, [("age", float), ("town", "U4")])
    rows["age"], rows["town"] = rng.normal(50, 9, num_rows), rng.choice(["Bern", "Chur"], num_rows)
    targets = 3 * rows["age"] if task.kind == "regression" else (rows["age"] > 50).astype(int)
    return fl.Dataset("people", rows, targets, task, modality="table")


def test_a_table_is_encoded_by_its_clients_and_measured_by_its_task():
    table = make_table(fl.Task.regression(unit="EUR"))
    dashboard = fl.TrainingDashboard(dataset=table, num_clients=3, num_rounds=2, clients_per_round=3, client_lr=0.1)
    offered = [scheme for _, scheme in dashboard.partition_controls.scheme_choice.options]
    assert offered == [fl.IID, fl.Quantity]
    dashboard.run_button.click()
    dashboard.wait(WAIT_S)
    history = dashboard.history
    assert history.settings["data"]["provenance"]["backbone"]["name"] == "table"
    assert history.central_accuracy < 0.1 * history.baseline  # the target is thrice a column
    assert history.format(history.global_value) in dashboard.view.numbers.value
    assert "global RMSE" in dashboard.view.numbers.value
    assert " EUR" in dashboard.view.worst.value
    dashboard.close()


def test_texts_have_an_encoder_of_the_package_and_one_of_the_users_own_is_taken():
    texts = np.array([f"{word} {i}" for i, word in enumerate(["good", "bad"] * 30)], object)
    dataset = fl.Dataset("praise", texts, [1, 0] * 30, fl.Task.binary(positive="praise"), modality="text")
    clients = fl.partition(dataset, fl.IID(), num_clients=3)
    for backbone, dim in (("bundled", 1024), (fl.HashedTextEncoder(feature_dim=64), 64)):
        dashboard = fl.TrainingDashboard(
            clients=clients, backbone=backbone, num_rounds=1, clients_per_round=3, client_lr=5.0
        )
        dashboard.run_button.click()
        dashboard.wait(WAIT_S)
        assert dashboard.history.model_weights[0].shape == (dim, 1)
        assert "global AUC" in dashboard.view.numbers.value
        dashboard.close()


def test_an_encoder_of_another_kind_is_told_in_the_dashboard():
    table = make_table(fl.Task.binary(positive="old"))
    dashboard = fl.TrainingDashboard(dataset=table, backbone=fl.HashedTextEncoder(), num_clients=3, num_rounds=1)
    dashboard.run_button.click()
    with pytest.raises(fl.UsageError, match="backbone: expected an encoder of tables, which 'people' holds"):
        dashboard.wait(WAIT_S)
    assert "expected an encoder of tables" in dashboard.error_line.value
    dashboard.close()


def test_a_run_that_no_client_can_measure_alone_is_shown():
    task = fl.Task.binary(positive="ill")
    history = fl.History({"task": task.to_dict()}, [(0, "global", "auc", 0.5), (0, "a", "loss", 0.7)])
    assert "50.0 %" in fl.TrainingDashboard(history).view.numbers.value


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_refused_dashboard_ends_without_a_word():
    with pytest.raises(fl.UsageError, match="expected exactly one of"):
        fl.TrainingDashboard()
    gc.collect()
