"""PartitionExplorer: move a slider, see who holds which classes."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.partition import partition
from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting import plot_label_counts
from fedlearn_edu.widgets.controls import PartitionControls
from fedlearn_edu.widgets.elements import ErrorLine, Picture, shown_to_learner, table_html


class PartitionExplorer(widgets.VBox):
    """Shows, while its controls are moved, how a scheme deals a dataset out to clients.

    A bar for each client shows how many examples of each class it holds; a table shows how much the clients
    differ. What is shown can be taken on: `explorer.clients` is the partition, `explorer.scheme` its scheme.

    Args:
        dataset: What is dealt out.
        num_clients: At the start, at least 1.
        seed: At the start; the same seed deals the same.

    Attributes:
        clients: The partition that is shown, a `FederatedDataset`.
        error: The exception of the last change, or None; it is also shown in the widget.

    Raises:
        UsageError: `dataset` is no data set, has no classes, or cannot be dealt out to so many clients.
    """

    def __init__(self, dataset: Dataset, *, num_clients: int = 20, seed: int = 0):
        if not isinstance(dataset, Dataset):
            raise UsageError(
                f"dataset: expected a data set, e.g. load_dataset('fashion'), got {type(dataset).__name__}"
            )
        dataset.task.require("classification", "binary", what="PartitionExplorer")
        self.dataset = dataset
        self.clients: FederatedDataset | None = None
        self.error: Exception | None = None
        self.controls = PartitionControls(dataset, num_clients=num_clients, seed=seed)
        self.statistics = widgets.HTML()
        self.error_line = ErrorLine()
        self._deal()
        self.picture = Picture(plot_label_counts(self.clients).get_figure(root=True))
        self._show()
        for control in self.controls.inputs:
            control.observe(self._changed, names="value")
        top = widgets.HBox([self.controls, self.statistics], layout={"flex_flow": "row wrap", "align_items": "center"})
        super().__init__([top, self.error_line, self.picture])
        self.add_class("fl-explorer")

    @property
    def scheme(self):
        """The scheme that the controls show, e.g. `Dirichlet(concentration=0.3)`."""
        return self.controls.scheme

    @shown_to_learner
    def _changed(self, change):
        self._deal()
        self._show()

    def _deal(self) -> None:
        controls = self.controls
        self.clients = partition(
            self.dataset, controls.scheme, num_clients=controls.num_clients.value, seed=controls.seed.value
        )

    def _show(self) -> None:
        self.picture.draw(self._plot)
        self.statistics.value = table_html(
            spread(self.clients), title=f"{self.clients.num_clients} clients", css_class="fl-statistics"
        )

    def _plot(self) -> None:
        figure = self.picture.figure
        rows = min(self.clients.num_clients, 60)
        figure.set_size_inches(7.2, min(1.2 + 0.17 * rows, 7))
        plot_label_counts(self.clients, ax=figure.axes[0])


def spread(clients: FederatedDataset) -> pd.DataFrame:
    """Returns least, median and most over the clients of examples, classes, and the commonest class's share, as text.

    Example:
        >>> import numpy as np
        >>> from fedlearn_edu.data.federated import ClientSplit
        >>> rows = {"a": ClientSplit(np.arange(3), np.array([3])), "b": ClientSplit(np.array([4]), np.array([5]))}
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> clients = FederatedDataset("toy", np.zeros((6, 1)), labels, ("x", "y"), rows)
        >>> spread(clients).loc["share of commonest class"].tolist()
        ['75 %', '88 %', '100 %']
    """
    summary = clients.summary()
    numbers = pd.DataFrame(
        {
            "examples held": summary["num_train"] + summary["num_test"],
            "classes held": summary["num_classes"],
            "share of commonest class": summary["top_class_share"],
        }
    )
    numbers = numbers.quantile([0, 0.5, 1]).set_axis(["least", "median", "most"]).T
    text = numbers.map("{:.0f}".format)
    shares = numbers.loc["share of commonest class"]
    text.loc["share of commonest class"] = [f"{100 * share:.0f} %" for share in shares]
    return text
