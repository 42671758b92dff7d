"""What is made of results follows the task: which way is better, per cent or unit, and what cannot be compared."""

import warnings

import numpy as np
import pandas as pd
import pytest
from shared import make_task_features
from sklearn.metrics import roc_auc_score

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png
from fedlearn_edu.plotting.privacy import plot_private_runs
from fedlearn_edu.simulation.central import CentralResult

EUR = fl.Task.regression(unit="EUR")
ERRORS = {"a": 20.0, "b": 5.0, "c": 10.0}
LATER = {"a": 8.0, "b": 6.0, "c": 10.0}


def history_of(task, *rounds, baseline=None, **more):
    """A history of the primary metric, global (the mean) and by client, with a value by client for every round."""
    rows = []
    for number, values in enumerate(rounds):
        rows.append((number, "global", task.primary.name, float(np.mean([*values.values()]))))
        rows += [(number, client_id, task.primary.name, value) for client_id, value in values.items()]
    return fl.History({"task": task.to_dict(), "data": {"baseline": baseline}}, rows, **more)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_fine_tuning_is_measured_by_the_primary_metric(kind):
    features = make_task_features(kind)
    start = [np.full([4, 1], 0.1, np.float32), np.zeros([1], np.float32)]
    model = fl.linear_head(features)
    table = fl.fine_tune_locally(model, features, start, num_epochs=5, client_lr=0.05, batch_size=20)
    assert list(table) == ["before", "after", "loss_before", "loss_after", "num_train", "num_test"]
    for client_id, row in table.iterrows():
        (x, y), (x_train, y_train) = features.test(client_id), features.train(client_id)
        w = np.append(np.full(4, 0.1), 0.0)
        with_one = np.column_stack([x_train, np.ones(len(x_train))]).astype(float)
        for when in ("before", "after"):
            scores = np.column_stack([x, np.ones(len(x))]) @ w
            if kind == "regression":
                expected = np.sqrt(np.mean((scores - y) ** 2))
                assert row[f"loss_{when}"] == pytest.approx(expected**2, rel=1e-4)
            else:
                expected = roc_auc_score(y, np.floor(32 * scores))
                assert row[f"loss_{when}"] == pytest.approx(np.mean(np.log1p(np.exp(-(2 * y - 1) * scores))), rel=1e-4)
            assert row[when] == pytest.approx(expected, rel=1e-4)
            for _ in range(5):  # full batches: the order does not matter
                error = with_one @ w - y_train
                if kind == "binary":
                    error = 1 / (1 + np.exp(-with_one @ w)) - y_train
                w = w - 0.05 * (2 if kind == "regression" else 1) * with_one.T @ error / len(error)
    spread = fl.fairness_table(table)
    assert spread.attrs == {"metric": features.task.primary.name, "unit": features.task.unit}
    assert spread.loc["after", "num_better"] == 3


def test_a_model_of_another_task_is_refused_before_anything_is_trained():
    numbers, answers = make_task_features("regression"), make_task_features("binary")
    model = fl.linear_head(answers)
    with pytest.raises(fl.UsageError, match="process_or_model: expected a model of the regression task of 'toy', mea"):
        fl.fine_tune_locally(model, numbers, model.initial_weights[0])


def test_of_errors_the_largest_is_the_worst():
    table = fl.before_and_after(ERRORS, LATER, task=EUR)
    assert table.index.tolist() == ["a", "c", "b"]
    assert table["gain"].to_dict() == {"a": 12, "c": 0, "b": -1}
    spread = fl.fairness_table(ERRORS, {"tuned": LATER, "same": ERRORS}, task=EUR)
    assert spread.loc["before", ["worst", "worst_decile", "best_decile"]].tolist() == [20, 20, 5]
    assert spread["num_worse"].tolist() == [0, 1, 0]
    assert spread["num_better"].tolist() == [0, 1, 0]


def test_a_history_says_its_task_itself():
    history = history_of(EUR, ERRORS, LATER)
    table = fl.before_and_after(history)
    assert table["gain"].to_dict() == {"a": 12, "c": 0, "b": -1}
    assert table.attrs == {"metric": "rmse", "unit": "EUR"}
    assert fl.fairness_table(history, {"column": table["before"]}).loc["column", "num_better"] == 1
    assert fl.before_and_after(table["after"], table["before"]).loc["a", "gain"] == -12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fl.before_and_after(history_of(EUR, ERRORS), history_of(fl.Task.regression("days"), LATER)),
            r"^after: expected results of one task, got 'before' measured by RMSE \(EUR\) and 'after' .*RMSE \(days\)",
        ),
        (
            lambda: fl.fairness_table(ERRORS, {"x": history_of(EUR, ERRORS), "y": fl.History({})}),
            r"^after: expected results of one task, got 'x' measured by RMSE \(EUR\) and 'y' measured by accuracy",
        ),
        (lambda: fl.before_and_after({"a": -1.0}, {"a": 1.0}, task=EUR), "before: expected values of RMSE of at least"),
        (lambda: fl.before_and_after({"a": 1.0}, {"a": np.inf}, task=EUR), "after: expected values of RMSE of at leas"),
        (lambda: fl.before_and_after({"a": 1}, {"a": 1}, task="regression"), "task: expected one such as Task.regres"),
        (
            lambda: fl.plot_race({"one": history_of(EUR, ERRORS), "two": fl.History({})}),
            r"^runs: expected results of one task, got 'one' measured by RMSE \(EUR\) and 'two' measured by accuracy",
        ),
        (
            lambda: plot_private_runs({"one": history_of(EUR, ERRORS), "two": fl.History({})}),
            "^histories: expected results of one task",
        ),
        (
            lambda: plot_private_runs({"one": fl.History(history_of(EUR, ERRORS).settings)}),
            "histories: expected runs with test examples, 'one' has no RMSE",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(call, message):
    with pytest.raises(fl.UsageError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_pictures_of_errors_have_their_unit_and_their_direction():
    table = fl.before_and_after(ERRORS, LATER, task=EUR)
    ax = fl.plot_personalisation(table)
    lines = {line.get_label(): line for line in ax.lines}
    assert ax.get_xlabel() == "RMSE (EUR) on the client's own test examples"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c", "a"]  # the best off before on top
    assert lines["after: better"].get_xydata().tolist() == [[8, 2]]
    assert lines["after: better"].get_marker() == "<"
    assert lines["after: worse"].get_xydata().tolist() == [[6, 0]]
    assert "mean after: 8 EUR" in lines
    assert ax.get_xlim()[1] > 20
    ax = fl.plot_fairness(fl.fairness_table(ERRORS, LATER, task=EUR))
    assert ax.get_xlabel() == "RMSE (EUR) on the client's own test examples"
    assert [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "|"] == [[20, 5], [10, 6]]
    assert ax.get_xticks().max() >= 20
    assert ax.texts[0].get_text() == "1 of 3 worse"
    assert ax.texts[0].get_position()[0] > 20


def test_a_race_of_errors_with_ceiling_and_baseline():
    runs = {
        "FedAvg": history_of(EUR, ERRORS, LATER, {"a": 4.0}, baseline=8.5, central_accuracy=3.0),
        "mine": history_of(EUR, ERRORS, LATER, {"a": 5.0}, baseline=8.5),
    }
    ax = fl.plot_race(runs)
    lines = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert lines["FedAvg"] == pytest.approx([35 / 3, 8, 4])
    assert lines["central ceiling"] == [3, 3]
    assert "always the mean" not in lines  # above what is shown
    assert {text.get_text() for text in ax.texts} == {"FedAvg  4 EUR", "mine  5 EUR", "central ceiling  3 EUR"}
    assert ax.get_ylabel() == "global RMSE (EUR)"
    low, high = ax.get_ylim()
    assert 0 <= low < 3 < 5 < high
    near = {name: fl.History(run.settings | {"data": {"baseline": 4.5}}, run.rows) for name, run in runs.items()}
    texts = fl.plot_race(near).texts
    assert "always the mean  4.5 EUR" in [text.get_text() for text in texts]
    figure = texts[0].get_figure(root=True)
    figure_png(figure)
    assert max(text.get_window_extent().x1 for text in texts) <= figure.bbox.x1
    central = CentralResult(accuracy=None, loss=9.0, model_weights=[], value=3.0)
    ax = fl.plot_race({"central ceiling": central, "FedAvg": history_of(EUR, ERRORS, LATER)})
    assert "central ceiling  3 EUR" in [text.get_text() for text in ax.texts]


def test_private_runs_of_yes_or_no_are_drawn_by_auc():
    ax = plot_private_runs({"run": history_of(fl.Task.binary("ill"), {"a": 0.5}, {"a": 0.75})})
    assert ax.get_ylabel() == "AUC"
    assert ax.lines[0].get_ydata().tolist() == [0.5, 0.75]
    ax = plot_private_runs({"run": history_of(EUR, ERRORS, LATER)})
    assert ax.get_ylim()[1] > 35 / 3


def test_dots_on_a_heat_map_of_errors_can_be_told_from_it():
    history = history_of(EUR, {"a": 9.0, "b": 1.0})
    history.rows += [(0, "a", "in_cohort", 1.0), (0, "b", "in_cohort", 1.0)]
    ax = fl.plot_client_heatmap(history)
    colours = dict(zip(ax.collections[0].get_offsets()[:, 1].tolist(), ax.collections[0].get_facecolor(), strict=True))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    assert colours[0][:3].max() < 0.1  # of the best, which is bright
    assert colours[1][:3].min() > 0.9


def test_no_client_has_the_metric():
    history = fl.History({"task": fl.Task.binary("ill").to_dict()}, [(0, "global", "auc", 0.5), (0, "a", "loss", 0.7)])
    assert history.client_table().empty
    assert list(history.client_table()) == ["auc", "gain", "rounds_trained"]
    assert fl.plot_client_heatmap(history).texts[0].get_text() == "no client has test examples of both classes"


def test_the_unit_is_no_formula():
    history = history_of(fl.Task.regression(unit="US$/A$"), ERRORS, LATER)
    assert fl.plot_accuracy(history).get_ylabel() == r"RMSE (US\$/A\$)"
    assert history.format(5) == "5 US$/A$"


def test_a_table_that_says_nothing_is_one_of_accuracies():
    table = pd.DataFrame({"before": [0.5], "after": [0.75]}, index=["a"])
    assert fl.before_and_after(table).attrs["metric"] == "accuracy"
    with pytest.raises(fl.UsageError, match="before: expected an accuracy from 0 to 1"):
        fl.before_and_after(pd.DataFrame({"before": [20.0], "after": [0.75]}, index=["a"]))


def test_a_run_that_diverged_is_drawn():
    history = history_of(EUR, ERRORS, {"a": np.inf, "b": 6.0, "c": 9.0}, baseline=8.5, central_accuracy=3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = fl.plot_run(history)
        figure_png(figure)
        figure_png(fl.plot_race({"one": history, "two": history}).get_figure())
    curve = figure.axes[0]
    assert np.isfinite(curve.get_ylim()).all()
    assert "inf EUR" in [text.get_text() for text in curve.texts]
