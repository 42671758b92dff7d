"""Figures show what the history and the clients say, redraw in place, and leave pyplot alone."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.plotting import SCREEN_DPI, figure_png, plot_run

PNG = b"\x89PNG\r\n\x1a\n"


def make_history(*, num_clients=4, num_rounds=3, cohort=2, central=0.9, seed=0):
    rng = np.random.default_rng(seed)
    history = fl.History({}, central_accuracy=central)
    names = [f"client_{i}" for i in range(num_clients)]
    for round_num in range(num_rounds + 1):
        if round_num:
            history.add(round_num, "global", train_accuracy=float(rng.random()), upload_bytes_total=10)
            for name in rng.choice(names, min(cohort, num_clients), replace=False):
                history.add(round_num, str(name), in_cohort=1)
        history.add(round_num, "global", accuracy=float(rng.random()), loss=1.0)
        for name in names:
            history.add(round_num, name, accuracy=float(rng.random()), loss=1.0)
    return history


def make_images(num_images=30, num_classes=3):
    images = np.random.default_rng(0).integers(0, 256, [num_images, 8, 8, 3], dtype=np.uint8)
    labels = (np.arange(num_images) % num_classes).astype(np.int32)
    return ImageDataset("toy", images, labels, tuple(f"class_{i}" for i in range(num_classes)))


def line(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def colorbars(ax):
    return len(ax.child_axes)


def test_accuracy_draws_the_history():
    history = make_history()
    ax = fl.plot_accuracy(history)
    metrics = history.global_metrics()
    curve = line(ax, "global model")
    assert list(curve.get_xdata()) == [0, 1, 2, 3]
    assert list(curve.get_ydata()) == metrics["accuracy"].tolist()
    train = line(ax, "the cohort, on its\nown training data")
    assert list(train.get_xdata()) == [1, 2, 3]  # nobody trained in round 0
    assert list(train.get_ydata()) == metrics["train_accuracy"].dropna().tolist()
    assert set(line(ax, "central ceiling").get_ydata()) == {0.9}
    written = {text.get_text() for text in ax.texts}
    assert written == {"90.0 %", f"{100 * history.global_accuracy:.1f} %"}
    ax.figure.draw_without_rendering()
    assert ax.yaxis.get_major_formatter()(0.5) == "50 %"


def test_accuracy_without_a_ceiling():
    ax = fl.plot_accuracy(make_history(central=None))
    assert "central ceiling" not in [line.get_label() for line in ax.lines]
    assert len(ax.texts) == 1


def test_values_that_are_close_are_not_written_over_each_other():
    history = make_history(central=0.5)
    history.rows = [(r, c, m, 0.5 if m == "accuracy" else v) for r, c, m, v in history.rows]
    heights = [text.xy[1] for text in fl.plot_accuracy(history).texts]
    assert abs(heights[0] - heights[1]) > 0.05
    history.central_accuracy = 0.9
    assert sorted(text.xy[1] for text in fl.plot_accuracy(history).texts) == [0.5, 0.9]


def test_axis_can_be_as_long_as_the_run_is_meant_to_be():
    history = make_history()
    assert fl.plot_accuracy(history, num_rounds=20).get_xlim()[1] > 20
    assert fl.plot_accuracy(history, num_rounds=2).get_xlim()[1] > 3  # never cuts off what was run
    assert fl.plot_client_heatmap(history, num_rounds=20).get_xlim() == (-0.5, 20.5)


def test_heatmap_draws_the_history_best_client_on_top():
    history = make_history()
    ax = fl.plot_client_heatmap(history)
    (image,) = ax.images
    table = history.client_table()
    order = table.index[::-1]  # the table has the worst first
    assert np.array_equal(image.get_array(), history.client_metric("accuracy").loc[order])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(order)
    assert image.get_clim() == (0, 1)
    (dots,) = ax.collections
    expected = {
        (round_num, order.get_loc(client)) for round_num, client, metric, _ in history.rows if metric == "in_cohort"
    }
    assert {tuple(map(int, xy)) for xy in dots.get_offsets()} == expected


def test_heatmap_of_many_clients_keeps_the_best_and_the_worst():
    history = make_history(num_clients=100, num_rounds=2)
    ax = fl.plot_client_heatmap(history, max_clients=10)
    final = ax.images[0].get_array()[:, -1]
    assert len(final) == 10
    assert list(final) == sorted(final, reverse=True)
    all_final = history.client_metric("accuracy").iloc[:, -1]
    assert (final[0], final[-1]) == (all_final.max(), all_final.min())
    assert "10 of 100 clients" in ax.get_ylabel()


@pytest.mark.parametrize("num_clients", [1, 2, 25, 26, 30, 50, 51])
def test_however_many_rows_there_are_the_best_and_the_worst_have_their_names(num_clients):
    history = make_history(num_clients=num_clients, num_rounds=1)
    ax = fl.plot_client_heatmap(history)
    order = list(history.client_table().index[::-1])
    rows = ax.get_yticks().astype(int)
    assert [label.get_text() for label in ax.get_yticklabels()] == [order[row] for row in rows]
    assert {rows[0], rows[-1]} == {0, num_clients - 1}
    assert 12 <= len(rows) <= 25 or len(rows) == num_clients
    apart = np.diff(rows)
    assert num_clients <= 2 or apart[:-1].max() <= apart[-1], "the last is no closer to its neighbour than the others"


def test_heatmap_without_test_examples():
    ax = fl.plot_client_heatmap(fl.History({}, [(0, "global", "accuracy", 0.1)]))
    assert not ax.images
    assert "no client has test examples" in ax.texts[0].get_text()


def test_label_counts_are_the_partitions():
    clients = make_features(num_clients=4)
    ax = fl.plot_label_counts(clients)
    counts = clients.label_counts()
    bars = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert [b.get_label() for b in bars] == list(clients.class_names)
    for collection in bars:
        widths = [path.vertices[:, 0].max() - path.vertices[:, 0].min() for path in collection.get_paths()]
        assert widths == counts[collection.get_label()].tolist()
    last = [path.vertices[:, 0].max() for path in bars[-1].get_paths()]
    assert last == counts.sum(axis=1).tolist()  # the bars are stacked


@pytest.mark.parametrize("num_classes", [2, 10, 20, 62])
def test_every_class_has_its_color(num_classes):
    labels = np.arange(num_classes, dtype=np.int32)
    split = fl.ClientSplit(train=np.arange(num_classes), test=np.array([], int))
    names = tuple(f"class {i}" for i in range(num_classes))
    clients = fl.FederatedDataset("toy", np.zeros([num_classes, 2], np.float32), labels, names, {"a": split})
    ax = fl.plot_label_counts(clients)
    colors = {tuple(c.get_facecolor()[0]) for c in ax.collections}
    assert len(colors) == num_classes
    assert len(ax.get_legend().get_texts()) <= 20


def test_images_are_a_sample_with_class_names():
    dataset = make_images()
    ax = fl.plot_images(dataset, num_images=6, seed=1)
    shown = [np.asarray(image.get_array()) for image in ax.images]
    assert len(shown) == 6
    names = [text.get_text() for text in ax.texts if text.get_text()]
    for picture, name in zip(shown, names, strict=True):
        (row,) = [i for i, image in enumerate(dataset.images) if np.array_equal(image, picture)]
        assert dataset.class_names[dataset.labels[row]] == name
    again = [np.asarray(image.get_array()) for image in fl.plot_images(dataset, num_images=6, seed=1).images]
    assert np.array_equal(shown, again)


def test_images_of_clients_are_their_own():
    dataset = make_images()
    clients = fl.partition(dataset, fl.IID(), num_clients=3, seed=0)
    ax = fl.plot_images(clients, num_images=6)
    assert [t.get_text() for t in ax.texts if t.get_text().startswith("client")] == clients.client_ids
    own = {client_id: clients.train(client_id)[0] for client_id in clients.client_ids}
    for i, image in enumerate(ax.images):  # two a client, row by row
        assert any(np.array_equal(image.get_array(), x) for x in own[clients.client_ids[i // 2]])


def test_more_images_than_there_are():
    assert len(fl.plot_images(make_images(num_images=3), num_images=50).images) == 3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: fl.plot_images(make_features()), "expected images, got feature vectors of length 8"),
        (lambda: fl.plot_images(make_images(), num_images=0), "num_images: expected at least 1, got 0"),
        (lambda: fl.plot_client_heatmap(make_history(), max_clients=1), "max_clients: expected at least 2, got 1"),
        (lambda: fl.plot_label_counts(make_features(), max_clients=1), "max_clients: expected at least 2, got 1"),
    ],
)
def test_bad_arguments(draw, message):
    with pytest.raises(fl.UsageError, match=message):
        draw()


@pytest.mark.parametrize(("num_clients", "num_rounds"), [(1, 0), (1, 1), (3, 2), (50, 30), (500, 2)])
def test_run_of_any_size(num_clients, num_rounds):
    history = make_history(num_clients=num_clients, num_rounds=num_rounds)
    figure = plot_run(history)
    assert len(figure.axes) == 2
    assert colorbars(figure.axes[1]) == 1
    assert len(figure.axes[1].images[0].get_array()) == min(50, num_clients)
    assert figure_png(figure).startswith(PNG)


def test_redrawing_in_place_leaves_nothing_behind():
    few, many = make_history(num_rounds=1), make_history(num_rounds=5, seed=1)
    figure = Figure()
    curve, heatmap, bars, images = figure.subplots(1, 4)
    for history in (few, many, many):
        assert fl.plot_accuracy(history, ax=curve) is curve
        assert fl.plot_client_heatmap(history, ax=heatmap) is heatmap
        assert fl.plot_label_counts(make_features(), ax=bars) is bars
        assert fl.plot_images(make_images(), ax=images, num_images=4) is images
    assert len(line(curve, "global model").get_xdata()) == 6
    assert (len(curve.lines), len(heatmap.images), colorbars(heatmap), len(heatmap.collections)) == (3, 1, 1, 1)
    assert (len(bars.collections), len(images.images)) == (3, 4)
    first = figure_png(plot_run(many))
    reused = plot_run(few)
    assert figure_png(plot_run(many, figure=reused)) == first


def test_png_has_the_size_asked_for_and_leaves_the_figure_as_it_was():
    figure = Figure(figsize=(2, 1), dpi=50)
    canvas = figure.canvas
    png = figure_png(figure, scale=2)
    assert int.from_bytes(png[16:20], "big") == 2 * SCREEN_DPI * 2  # width, in the header
    assert (figure.dpi, figure.canvas) == (50, canvas)


def test_notebook_shows_what_a_function_returns():
    for shown in (fl.plot_accuracy(make_history()), plot_run(make_history())):
        png, size = shown._repr_png_()
        assert png.startswith(PNG)
        assert int.from_bytes(png[16:20], "big") == pytest.approx(2 * size["width"], abs=2)


def test_no_pyplot_no_tensorflow():
    code = """
import sys, fedlearn_edu as fl
from fedlearn_edu.simulation.history import History
fl.plot_accuracy(History({}, [(0, "global", "accuracy", 0.1)]))._repr_png_()
sys.exit(" ".join({"matplotlib.pyplot", "tensorflow"} & set(sys.modules)) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, f"loaded: {result.stderr}"
