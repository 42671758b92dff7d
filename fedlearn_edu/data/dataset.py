"""Dataset: examples of one kind in memory (images, texts, a table, ids), what is asked of each, and its owner."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd

from fedlearn_edu.data.arguments import as_flags, as_inputs, as_owners
from fedlearn_edu.data.fingerprint import fingerprint_of
from fedlearn_edu.data.names import check_name, quoted
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples that nobody holds yet; `partition` says who holds which.

    Attributes:
        name: What the examples are, e.g. `"loans"`.
        inputs: `[num_examples, ...]`. Images: uint8 `[num_examples, height, width, 3]`. Texts: str `[num_examples]`.
            A table: one record an example, named fields of any type. Ids: whole numbers, `[num_examples, ...]`.
        targets: int32 classes or items, or float32 numbers, `[num_examples]`; see `task`.
        task: What is asked of an example.
        modality: `"image"`, `"text"`, `"table"` or `"ids"`: which encoders can read the inputs.
        class_names: The task's own; what is given must be those.
        natural_client_ids: The owner of each example, str or whole numbers, `[num_examples]`, or None.
        report: What was met while reading, one row per client; may be empty.
        is_test: bool `[num_examples]`: the test examples of a data set that comes with a split of its own, or None.

    Raises:
        UsageError: The arrays do not fit together, or are not of the kind that task and modality say.

    Example:
        >>> texts = np.array(["good", "bad", "very good"])
        >>> data = Dataset("toy", texts, [1, 0, 1], Task.binary(positive="praise"), modality="text")
        >>> data.targets.dtype.name, data.class_names
        ('int32', ('not praise', 'praise'))
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    task: Task
    modality: str = "image"
    class_names: tuple[str, ...] = ()
    natural_client_ids: np.ndarray | None = None
    report: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    is_test: np.ndarray | None = None

    def __post_init__(self):
        check_name("name", self.name, what="a data set")
        if not isinstance(self.task, Task):
            raise UsageError(f"task: expected one such as Task.regression(), got {quoted(self.task)}")
        inputs = as_inputs(self.inputs, modality=self.modality)
        targets = self.task.as_targets(self.targets, num_examples=len(inputs))
        if len(self.class_names) and tuple(self.class_names) != self.task.class_names:
            raise UsageError(
                f"class_names: expected those of the task, {quoted(self.task.class_names)}, "
                f"got {quoted(tuple(self.class_names))}; leave them out"
            )
        arrays = {"inputs": inputs, "targets": targets, "class_names": self.task.class_names}
        if self.natural_client_ids is not None:
            arrays["natural_client_ids"] = as_owners(self.natural_client_ids, num_examples=len(inputs))
        if self.is_test is not None:
            arrays["is_test"] = as_flags("is_test", self.is_test, num_examples=len(inputs))
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    @property
    def labels(self) -> np.ndarray:
        """The targets, as data sets with classes have always called them."""
        return self.targets

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of inputs, targets, task, owners and split; computed when it is first asked for."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "report"}
        parts["inputs"] = getattr(self.inputs, "keys", self.inputs)  # of images in files, their hashes
        return fingerprint_of(parts)
