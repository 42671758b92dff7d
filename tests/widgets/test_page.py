"""What widgets show on real screens: figures that wrap and follow the theme, tiles in columns, no button too soon."""

import itertools
import re

import numpy as np
import pytest
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png, figure_svg, plot_run
from fedlearn_edu.plotting.page import panel_boxes
from fedlearn_edu.plotting.pretraining_runs import plot_pretraining_runs
from fedlearn_edu.plotting.style import NotebookFigure
from fedlearn_edu.simulation.stored_runs import pretraining_runs
from fedlearn_edu.widgets import training_session as session_module
from fedlearn_edu.widgets.training_session import TrainingSession

pytestmark = pytest.mark.usefixtures("written")

WAIT_S = 120
LAB_AT_1024 = 590  # CSS pixels of an output in JupyterLab on a screen of 1024, with its list of files open


def run_of(num_rounds, num_clients=3):
    history = fl.History({})
    for round_num in range(num_rounds + 1):
        history.add(round_num, "global", accuracy=0.1 + 0.1 * round_num)
        for i in range(num_clients):
            history.add(round_num, f"client_{i}", accuracy=0.1 * (i + round_num), in_cohort=1)
    history.central_accuracy = 0.9
    return history


@pytest.fixture(scope="module")
def run_svg():
    return figure_svg(plot_run(run_of(4)), name="one")


def panels(svg):
    """Of each: the part of the drawing it shows (x, width), and the CSS pixels it may be wide."""
    boxes = re.findall(r'<svg viewBox="([\d.]+) [\d.]+ ([\d.]+) [\d.]+" style="[^"]*?max-width: (\d+)px', svg)
    return [tuple(map(float, box)) for box in boxes]


# Size of what is drawn


def test_each_panel_fits_a_small_screen_in_its_full_size(run_svg):
    shown = panels(run_svg)
    assert len(shown) == 2
    for _, points, pixels in shown:
        assert pixels <= LAB_AT_1024
        assert pixels / points == pytest.approx(1.25, abs=0.01)  # so the smallest text, of 8 points, has 10 pixels
    assert "flex-wrap: wrap" in run_svg
    assert sum(points for _, points, _ in shown) == pytest.approx(11 * 72, abs=0.1)  # nothing between them is lost


def test_panels_are_cut_where_nothing_is_drawn():
    figure = plot_run(run_of(4))
    figure_png(figure)
    renderer = figure._get_renderer()
    (border,) = [left.x1 for left, _ in itertools.pairwise(panel_boxes(figure))]
    curve, heatmap = (ax.get_tightbbox(renderer) for ax in figure.axes)
    assert curve.x1 < border < heatmap.x0


def test_a_legend_of_all_panels_is_whole():
    figure = plot_pretraining_runs(
        pretraining_runs(), dataset="fashion", depth="frozen", concentration=0.1, round_num=20
    )
    svg = figure_svg(figure, name="legend")
    left, right, legend = panels(svg)
    assert left[0] + left[1] == pytest.approx(right[0], abs=0.1)
    assert legend[0] < right[0] < legend[0] + legend[1]  # it stands across the border, so it is a part of its own
    assert legend[2] <= LAB_AT_1024
    curve, other, below = panel_boxes(figure)
    assert min(curve.y0, other.y0) >= below.y1 - 0.1, "it is not shown in parts as well"
    assert svg.count('<g id="legend-all">') == 1
    assert svg.count('<use href="#legend-all"/>') == 2  # drawn once, shown in parts


@pytest.mark.parametrize("make", [fl.AlgorithmRace, lambda: fl.PartitionExplorer(fl.load_dataset("fashion"))])
def test_one_panel_keeps_its_text_readable_on_a_small_screen(make):
    ((_, points, pixels),) = panels(make().picture.value)
    smallest = 8  # points, of the names of clients
    assert smallest * min(pixels, LAB_AT_1024) / points >= 8.5


# Colours


def test_a_page_shows_its_own_background_and_text(run_svg):
    assert not re.search(r"#ffffff(?!; fill-opacity: 0.65)", run_svg)  # but for the dots on dark cells
    for colour in ("#24292f", "#6e7781", "#e3e6ea", "#fffffe", "#000000"):
        outside = re.sub(r"var\(--jp-[^()]*\)", "", run_svg)
        assert colour not in outside, colour
    assert "fill: var(--jp-ui-font-color1" in run_svg
    assert "stroke: var(--jp-border-color3" in run_svg
    assert "#0072b2" in run_svg  # what carries meaning stays


def test_dots_on_bright_cells_stay_dark():
    svg = figure_svg(plot_run(run_of(4, num_clients=9)), name="dots")
    assert "#101010" in svg


def test_a_figure_is_left_as_it_was():
    figure = plot_run(run_of(4))
    before = figure.dpi, figure.canvas, figure.patch.get_visible(), [ax.patch.get_visible() for ax in figure.axes]
    figure_svg(figure, name="other")
    after = figure.dpi, figure.canvas, figure.patch.get_visible(), [ax.patch.get_visible() for ax in figure.axes]
    assert after == before
    assert before[2]


def test_a_file_keeps_its_white_background(tmp_path):
    from PIL import Image

    figure = plot_run(run_of(4))
    figure_svg(figure, name="file")
    figure.savefig(tmp_path / "run.png")
    corner = Image.open(tmp_path / "run.png").convert("RGBA").getpixel((0, 0))
    assert corner == (255, 255, 255, 255)


def test_two_figures_of_a_page_share_no_name():
    figure = plot_run(run_of(2))
    svg, other = (figure_svg(figure, name=name) for name in ("one", "two"))
    names = [set(re.findall(r' id="([^"]+)"', text)) for text in (svg, other)]
    assert names[0]
    assert not names[0] & names[1]
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= names[0]  # and each finds its own
    assert "<style" not in svg  # which would be the whole page's


def test_names_from_a_file_are_no_markup():
    figure = NotebookFigure()
    figure.add_subplot().set(xlabel='"><script>', ylabel="a & b")
    svg = figure_svg(figure, name="x")
    assert "<script" not in svg
    assert 'aria-label="a &amp; b by &quot;&gt;&lt;script&gt;"' in svg


def test_a_long_run_is_no_larger_than_its_pixels():
    rng = np.random.default_rng(0)
    history = fl.History({})
    for round_num in range(201):
        history.add(round_num, "global", accuracy=0.5)
        for i in range(40):
            history.add(round_num, f"client_{i}", accuracy=float(rng.uniform()), in_cohort=1)
    assert figure_svg(plot_run(history), name="long").count("<use ") < 1000  # of 8,040 dots


# The dashboard


def test_tiles_stand_in_columns_of_one_width():
    numbers = fl.TrainingDashboard(run_of(4)).view.numbers.value
    least, gap = map(int, re.search(r"minmax\((\d+)px, 1fr\)\); gap: \d+px (\d+)px", numbers).groups())
    assert numbers.count('class="fl-') == 5
    assert 5 * least + 4 * gap <= 465  # a screen of 1366 at 150 %, with the list of files open


def test_the_status_is_below_the_bar_and_wraps():
    dashboard = fl.TrainingDashboard(features=make_features())
    (box,) = [child for child in dashboard.children if dashboard.status in getattr(child, "children", ())]
    assert type(box).__name__ == "VBox"
    assert list(box.children) == [dashboard.progress, dashboard.status]
    assert type(dashboard.status).__name__ == "HTML"  # a Label is cut off
    dashboard.close()


class Rounds(TrainingSession):
    """A session whose rounds are made up, so that what is shown can be tested without training."""

    def _rounds(self, run):
        history = run_of(0)
        for round_num in range(run.settings.config.num_rounds + 1):
            if round_num:
                for row in run_of(round_num).rows:
                    if row[0] == round_num:
                        history.rows.append(row)
            self.history = history
            yield history


def test_buttons_are_free_only_when_all_is_drawn(monkeypatch):
    monkeypatch.setattr("fedlearn_edu.widgets.dashboard.TrainingSession", Rounds)
    dashboard = fl.TrainingDashboard(features=make_features(), num_rounds=5)
    events, view = [], dashboard.view
    for name, widget in (("picture", view.picture), ("numbers", view.numbers), ("worst", view.worst)):
        widget.observe(lambda change, name=name: events.append(name), names="value")
    dashboard.step_button.observe(lambda change: events.append(change["new"]), names="disabled")
    for round_num in (1, 2):
        events.clear()
        dashboard.step_button.click()
        dashboard.wait(WAIT_S)
        assert events[0] is True
        assert events[-1] is False, events
        assert {"picture", "numbers", "worst"} <= set(events[:-1])
        assert f">{round_num} of 5<" in view.numbers.value
        heatmap = view.picture.figure.axes[1].images[0]
        assert heatmap.get_array().shape == (3, round_num + 1)
        assert not dashboard.stop_button.disabled or not dashboard.run_button.disabled
    dashboard.close()


def test_numbers_follow_the_picture(monkeypatch):
    """While the picture is being drawn, nothing beside it speaks of another round."""
    view = fl.TrainingDashboard(run_of(3)).view
    shown = []
    draw = type(view.picture).draw
    monkeypatch.setattr(
        type(view.picture), "draw", lambda *args, **kwargs: (shown.append(view.numbers.value), draw(*args, **kwargs))
    )
    view.round_slider.value = 1
    assert ">3 of 3<" in shown[0]
    assert ">1 of 3<" in view.numbers.value


def test_a_stopped_preparation_says_so(monkeypatch):
    class Stopping(TrainingSession):
        def _rounds(self, run):
            self._tell(run, self._on_progress, "extracting features", 256, 2000)
            raise session_module._Stopped("extracting features", 256, 2000)
            yield

    monkeypatch.setattr("fedlearn_edu.widgets.dashboard.TrainingSession", Stopping)
    dashboard = fl.TrainingDashboard(features=make_features())
    dashboard.run()
    dashboard.wait(WAIT_S)
    assert dashboard.status.value == (
        "stopped while extracting features: 256 of 2,000. What is done is kept: Run or Step goes on from there"
    )
    assert (dashboard.progress.value, dashboard.progress.max) == (256, 2000)
    assert not dashboard.run_button.disabled
    dashboard.reset()
    assert dashboard.status.value.startswith("ready")
    assert dashboard.progress.value == 0
    dashboard.close()


def test_a_picture_that_comes_back_is_the_same_text(written):
    explorer = fl.PretrainingExplorer()
    before = explorer.picture.value
    for control, other in ((explorer.dataset, "emoji"), (explorer.dataset, "fashion")):
        control.value = other
        assert (explorer.picture.value == before) == (other == "fashion")
