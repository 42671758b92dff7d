"""Controls for the settings of a run: who holds what, and how it is trained."""

from __future__ import annotations

import dataclasses
import math

import ipywidgets as widgets
import numpy as np

from fedlearn_edu.checks import check_seed
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.scheme_parameters import Parameter, parameters_of
from fedlearn_edu.data.schemes import IID, SCHEMES, Dirichlet, Natural, Scheme
from fedlearn_edu.simulation.config import RunConfig

_STYLE = {"description_width": "130px"}
_LAYOUT = {"width": "370px"}
_FIELD = {"width": "240px"}


class PartitionControls(widgets.VBox):
    """Which scheme deals the examples out, to how many clients, with which seed.

    Args:
        dataset: Decides whether the natural owners can be chosen, and the schemes that deal classes out.
        num_clients: At the start, at least 1; no more than there are natural owners.
        seed: At the start.

    Attributes:
        numbers: The sliders of each scheme, by its class.
    """

    def __init__(self, dataset: Dataset, *, num_clients: int = 20, seed: int = 0):
        natural, has_classes = dataset.natural_client_ids is not None, bool(dataset.class_names)
        if natural:
            num_clients = min(num_clients, len(np.unique(dataset.natural_client_ids)))
        self.scheme_choice = widgets.Dropdown(
            options=[
                (scheme.label, scheme)
                for scheme in SCHEMES.values()
                if (natural or not getattr(scheme, "needs_owners", False))
                and (has_classes or not getattr(scheme, "needs_classes", False))
            ],
            value=Natural if natural else Dirichlet if has_classes else IID,
            description="partition",
            style=_STYLE,
            layout=_LAYOUT,
        )
        self.numbers = {
            scheme: [_number(known) for known in parameters_of(scheme)] for _, scheme in self.scheme_choice.options
        }
        self.num_clients = _slider("clients", num_clients, 1, max(200, num_clients))
        self.seed = whole_number("partition seed", check_seed(seed), 0, 2**31 - 1)
        sliders = [slider for of_scheme in self.numbers.values() for slider in of_scheme]
        self.inputs = [*sliders, self.scheme_choice, self.num_clients, self.seed]
        self.scheme_choice.observe(self._show_what_applies, names="value")
        self._show_what_applies()
        super().__init__([self.scheme_choice, *sliders, self.num_clients, self.seed])

    @property
    def scheme(self) -> Scheme | Natural:
        """The chosen scheme with its numbers."""
        chosen = self.scheme_choice.value
        return chosen(*(slider.value for slider in self.numbers[chosen]))

    def _show_what_applies(self, change=None):
        for scheme, sliders in self.numbers.items():
            for slider in sliders:
                slider.layout.display = "" if scheme is self.scheme_choice.value else "none"


class TrainingControls(widgets.VBox):
    """Rounds, cohort, local epochs, learning rates, seed.

    Args:
        config: What they show at the start, and what they have no control for.
        client_lr: At the start.
        server_lr: At the start.
    """

    def __init__(self, config: RunConfig, *, client_lr: float, server_lr: float):
        self._config = config
        self.num_rounds = whole_number("rounds", config.num_rounds, 1, 10_000)
        self.clients_per_round = whole_number("clients per round", config.clients_per_round, 1, 10_000)
        self.num_epochs = whole_number("local epochs", config.num_epochs, 1, 100)
        self.client_lr = _rate("client learning rate", client_lr)
        self.server_lr = _rate("server learning rate", server_lr)
        self.seed = whole_number("training seed", config.seed, 0, 2**31 - 1)
        self.inputs = [
            self.num_rounds,
            self.clients_per_round,
            self.num_epochs,
            self.client_lr,
            self.server_lr,
            self.seed,
        ]
        super().__init__(self.inputs)

    @property
    def config(self) -> RunConfig:
        """What a run shall do, as the controls show it now."""
        return dataclasses.replace(
            self._config,
            num_rounds=self.num_rounds.value,
            clients_per_round=self.clients_per_round.value,
            num_epochs=self.num_epochs.value,
            seed=self.seed.value,
        )

    @property
    def learning_rates(self) -> dict[str, float]:
        """By the names of the builders' arguments."""
        return {"client_lr": self.client_lr.value, "server_lr": self.server_lr.value}


def whole_number(description: str, value: int, low: int, high: int) -> widgets.BoundedIntText:
    """Returns a field for a whole number that keeps it in its range."""
    return widgets.BoundedIntText(value=value, min=low, max=high, description=description, style=_STYLE, layout=_FIELD)


def _slider(description: str, value: int, low: int, high: int) -> widgets.IntSlider:
    return widgets.IntSlider(value=value, min=low, max=high, description=description, style=_STYLE, layout=_LAYOUT)


def _number(known: Parameter) -> widgets.Widget:
    """Returns a slider for a number of a scheme."""
    look = {"value": known.default, "description": known.label, "style": _STYLE, "layout": dict(_LAYOUT)}
    low, high = known.slider
    if known.logarithmic:
        ends = {"min": math.log10(low), "max": math.log10(high), "step": known.step}
        return widgets.FloatLogSlider(base=10, readout_format=".2f", **ends, **look)
    slider = widgets.IntSlider if known.whole else widgets.FloatSlider
    return slider(min=low, max=high, step=known.step, **look)


def _rate(description: str, value: float) -> widgets.FloatText:
    # Without bounds: an absurd rate is refused by the process builder, whose message says what can be meant.
    return widgets.FloatText(value=value, step=0.01, description=description, style=_STYLE, layout=_FIELD)
