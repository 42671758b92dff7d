"""The numbers of a partition scheme: each says once how it is called, what it may be, and what a slider offers."""

from __future__ import annotations

import dataclasses
from typing import Any

from fedlearn_edu.checks import check_count, check_number


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A number of a scheme.

    Attributes:
        name: As an argument, such as `shards_per_client`.
        whole: Whether it is a whole number.
        default: Taken if nobody says one.
        label: In words, for a control.
        letter: Stands for it in the text form, as in `shards:N`.
        low: Least value.
        high: Largest value; None: no limit.
        slider: Least and largest value that a slider offers.
        step: Of the slider; on a logarithmic one in powers of ten.
        logarithmic: Whether equal steps are equal ratios.
    """

    name: str
    whole: bool
    default: float
    label: str
    letter: str
    low: float
    high: float | None
    slider: tuple[float, float]
    step: float
    logarithmic: bool

    def check(self, value: Any) -> None:
        """Raises UsageError unless `value` is such a number and in its range."""
        if self.whole:
            check_count(self.name, value, least=int(self.low))
        else:
            check_number(self.name, value, low=self.low, high=self.high)


def parameter(
    default: float,
    *,
    label: str,
    letter: str,
    low: float,
    high: float | None = None,
    slider: tuple[float, float],
    step: float = 1,
    logarithmic: bool = False,
) -> Any:
    """Returns the field of a scheme's dataclass for one number, see `Parameter`; an int default means whole numbers."""
    about = dict(label=label, letter=letter, low=low, high=high, slider=slider, step=step, logarithmic=logarithmic)
    return dataclasses.field(default=default, metadata=about)


def parameters_of(scheme: type) -> list[Parameter]:
    """Returns the numbers of a scheme, in the order of its arguments.

    Example:
        >>> from fedlearn_edu.data.schemes import Shards
        >>> [(p.name, p.default, p.slider) for p in parameters_of(Shards)]
        [('shards_per_client', 2, (1, 10))]
    """
    return [
        Parameter(name=field.name, whole=isinstance(field.default, int), default=field.default, **field.metadata)
        for field in dataclasses.fields(scheme)
    ]


class Checked:
    """A scheme whose numbers are checked when it is made."""

    def __post_init__(self):
        for known in parameters_of(type(self)):
            known.check(getattr(self, known.name))
