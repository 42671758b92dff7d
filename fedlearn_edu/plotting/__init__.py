"""Room 6: histories and partitions as Matplotlib figures; nothing here trains or computes a result.

Every function draws into the `ax` it is given (clearing it first, so that calling again redraws in place) or makes a
figure of its own. Figures are made without pyplot: nothing is kept alive or shown behind the caller's back, and a
background thread may draw. In a notebook, a returned Axes or Figure that ends a cell shows its picture.
"""

from fedlearn_edu.plotting.data import plot_images, plot_label_counts
from fedlearn_edu.plotting.history import plot_accuracy, plot_client_heatmap, plot_run
from fedlearn_edu.plotting.page import figure_svg
from fedlearn_edu.plotting.style import SCREEN_DPI, figure_png

__all__ = [
    "SCREEN_DPI",
    "figure_png",
    "figure_svg",
    "plot_accuracy",
    "plot_client_heatmap",
    "plot_images",
    "plot_label_counts",
    "plot_run",
]
