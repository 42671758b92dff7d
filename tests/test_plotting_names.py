"""Names are shown as they are, whatever Matplotlib would make of them, and no LaTeX is asked for."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png, plot_client_heatmap, plot_images, plot_label_counts, plot_run

NAMES = ["$10_$20", "a_{b", r"\frac{$x$}", r"back\$slash$", "🙂 東京", "עברית"]
pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing")


def history_of(names):
    rows = [(0, "global", "accuracy", 0.5), (0, "global", "loss", 1.0)]
    rows += [(0, name, metric, 0.1 * i) for i, name in enumerate(names) for metric in ("accuracy", "loss")]
    return fl.History({}, rows)


def drawn(figure):
    """The labels of a figure once it is drawn."""
    from matplotlib.text import Text

    assert figure_png(figure)[:4] == b"\x89PNG"
    return {text.get_text().replace(r"\$", "$") for text in figure.findobj(Text)}


def images_of(names):
    images = np.zeros([12, 8, 8, 3], np.uint8)
    labels = (np.arange(12, dtype=np.int32) + 4) % len(names)  # the first four clients hold the last two names too
    rows = np.arange(12)
    clients = {name: fl.ClientSplit(rows[i::6], rows[:0]) for i, name in enumerate(names)}
    return fl.FederatedDataset("toy", images, labels, tuple(names), clients)


def personal_table(names):
    return pd.DataFrame({"before": 0.5, "after": 0.6}, index=pd.Index(names, name="client_id"))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_run(history_of(NAMES)),
        lambda: plot_client_heatmap(history_of(NAMES)).figure,
        lambda: plot_label_counts(images_of(NAMES)).figure,
        lambda: plot_images(images_of(NAMES)).figure,
        lambda: fl.plot_personalisation(personal_table(NAMES)).figure,
    ],
    ids=["run", "heatmap", "label counts", "images", "personal models"],
)
@pytest.mark.parametrize("usetex", [False, True])
def test_names_are_drawn_as_they_are(draw, usetex):
    with rc_context({"text.usetex": usetex}):
        assert set(NAMES) <= drawn(draw())


def test_a_label_of_dollars_is_no_formula():
    """Matplotlib itself says what it takes for mathematics: after escaping, nothing."""
    from matplotlib.cbook import is_math_text

    from fedlearn_edu.plotting.style import shorten

    assert is_math_text("$10_$20")
    for name in NAMES:
        assert not is_math_text(shorten(name, 40))
    assert shorten("x" * 40, 18) == "x" * 17 + "…"


def test_the_axes_of_the_caller_show_them_too():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    plot_label_counts(make_features(), ax=ax)
    plot_client_heatmap(history_of(NAMES), ax=ax)
    assert set(NAMES) <= drawn(ax.figure)
