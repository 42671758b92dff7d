"""Arguments of the data room: brought to the form that it keeps, or refused in one line."""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from fedlearn_edu.data.names import check_name, quoted, same_name
from fedlearn_edu.errors import UsageError

_LARGEST = 1e16  # of targets that are numbers: the squares of a million of them have a sum in float32


def as_images(images) -> np.ndarray:
    """Returns images as uint8 `[num_images, height, width, 3]`; an array that is so already is not copied."""
    if _stays_in_files(images):
        return images
    array = _as_array("images", images)
    if array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() <= 255:
        array = array.astype(np.uint8, copy=False)
    if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8:
        raise UsageError(f"images: expected uint8 [num_images, height, width, 3], got {_form(array)}")
    if 0 in array.shape:
        raise UsageError(f"images: expected at least one image and one pixel, got {_form(array)}")
    return array


def as_examples(examples, *, modality: str = "image") -> np.ndarray:
    """Returns inputs of any modality, or feature vectors in their place, as an array `[num_examples, ...]`."""
    if modality not in _AS_INPUTS:
        raise UsageError(f"modality: expected one of {', '.join(_AS_INPUTS)}, got {quoted(modality)}")
    if _stays_in_files(examples):
        return examples
    array = _as_array("examples", examples)
    if array.ndim >= 2 and array.dtype.kind in "iuf":
        return array
    if modality == "image":
        raise UsageError(f"examples: expected numbers [num_examples, ...], images or features, got {_form(array)}")
    return as_inputs(array, modality=modality)


def as_inputs(inputs, *, modality: str) -> np.ndarray:
    """Returns the inputs of a data set in the form of their modality (see `Dataset`)."""
    if modality not in _AS_INPUTS:
        raise UsageError(f"modality: expected one of {', '.join(_AS_INPUTS)}, got {quoted(modality)}")
    return _AS_INPUTS[modality](inputs)


def _as_texts(texts) -> np.ndarray:
    array = _as_array("inputs", texts, dtype=texts.dtype if isinstance(texts, np.ndarray) else object)
    if array.ndim != 1 or array.dtype.kind not in "UO":
        raise UsageError(f"inputs: expected one text per example, got {_form(array)}")
    if array.dtype == object:  # kept so: as NumPy's own text, every one would take as much as the longest
        strange = next((row for row, text in enumerate(array) if not isinstance(text, str)), None)
        if strange is not None:
            raise UsageError(f"inputs: expected one text per example, got {quoted(array[strange])} for row {strange}")
    return _some("inputs", array)


def _as_records(records) -> np.ndarray:
    array = _as_array("inputs", records)
    if array.ndim != 1 or not array.dtype.names:
        raise UsageError(
            f"inputs: expected one record per example, an array with a named field per column, got {_form(array)}"
        )
    return _some("inputs", array)


def _as_ids(ids) -> np.ndarray:
    array = _as_array("inputs", ids)
    if array.ndim < 1 or array.dtype.kind not in "iu":
        raise UsageError(f"inputs: expected whole numbers as ids [num_examples, ...], got {_form(array)}")
    return _some("inputs", array)


def _some(name: str, array: np.ndarray) -> np.ndarray:
    if not len(array):
        raise UsageError(f"{name}: expected at least one example, got none")
    return array


_AS_INPUTS = {"image": as_images, "text": _as_texts, "table": _as_records, "ids": _as_ids}


def as_numbers(name: str, values, *, num_examples: int) -> np.ndarray:
    """Returns finite numbers as float32 `[num_examples]`, whose squares can be added up as such."""
    array = _as_array(name, values)
    if array.shape != (num_examples,) or array.dtype.kind not in "iuf":
        raise UsageError(f"{name}: expected {num_examples} numbers, one per example, got {_form(array)}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise UsageError(f"{name}: expected finite numbers (as float32), got {array[row]} for example {row}")
    if np.abs(array).max(initial=0) > _LARGEST:
        row = int(np.argmax(np.abs(array)))
        raise UsageError(
            f"{name}: expected numbers of at most {_LARGEST:g}, since their squares are added up in float32, got "
            f"{array[row]:g} for example {row}; scale them down"
        )
    return array


def as_rows(name: str, rows) -> np.ndarray:
    """Returns row numbers as whole numbers, `[num_rows]`."""
    array = _as_array(name, rows)
    if array.shape == (0,):
        array = array.astype(np.int64, copy=False)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(f"{name}: expected row numbers, whole and in one row, got {_form(array)}")
    return array


def as_labels(labels, *, num_examples: int, num_classes: int | None = None) -> np.ndarray:
    """Returns labels as int32 `[num_examples]`, each in `[0, num_classes)` if that is given."""
    array = _as_array("labels", labels)
    if array.shape != (num_examples,) or array.dtype.kind not in "iu":
        raise UsageError(f"labels: expected {num_examples} whole numbers, one per example, got {_form(array)}")
    if num_classes is not None and (array.min(initial=0) < 0 or array.max(initial=-1) >= num_classes):
        raise UsageError(
            f"labels: expected values in [0, {num_classes}), one per class name, got {array.min()} to {array.max()}"
        )
    return array.astype(np.int32, copy=False)


def as_class_names(class_names: Iterable[str | int]) -> tuple[str, ...]:
    """Returns class names as a tuple of different texts, in Unicode's composed form."""
    try:
        if isinstance(class_names, str | bytes):  # iterable, too, but letters are no names
            raise TypeError
        names = [str(name) if _is_whole(name) else name for name in class_names]
    except TypeError as error:
        raise UsageError(f"class_names: expected one name per label, got {quoted(class_names)}") from error
    for name in names:
        check_name("class_names", name, what="a class")
    names = tuple(same_name(str(name)) for name in names)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"class_names: expected different names, but two classes are called {quoted(twice)}")
    return names


def as_owners(owners, *, num_examples: int) -> np.ndarray:
    """Returns owners as an array of text or of whole numbers, `[num_examples]`, text in Unicode's composed form."""
    array = _as_array("natural_client_ids", owners)
    if array.shape != (num_examples,):
        raise UsageError(f"natural_client_ids: expected one owner per image ({num_examples}), got {_form(array)}")
    if array.dtype.kind in "iu":
        return array
    if not isinstance(owners, np.ndarray):  # as objects, since NumPy turns None and numbers beside text into text
        array = _as_array("natural_client_ids", owners, dtype=object)
    number_of, names = pd.factorize(array.astype(object))
    for number, name in enumerate(names):
        if _is_whole(name):
            continue
        if not isinstance(name, str):
            _refuse_owner(name, np.argmax(number_of == number))
        check_name("natural_client_ids", name, what="an owner")
    if number_of.min() < 0:
        row = np.argmin(number_of)
        _refuse_owner(array[row], row)
    same = [same_name(str(name)) for name in names]
    return array if array.dtype.kind == "U" and same == names.tolist() else np.array(same)[number_of]


def _refuse_owner(owner, row: int) -> NoReturn:
    raise UsageError(
        f"natural_client_ids: expected an owner for each image, text or a whole number, got {quoted(owner)} for image "
        f"{row}; name it, or leave natural_client_ids out"
    )


def as_flags(name: str, flags, *, num_examples: int) -> np.ndarray:
    """Returns flags as bool `[num_examples]`."""
    array = _as_array(name, flags)
    if array.shape != (num_examples,) or array.dtype != bool:
        raise UsageError(f"{name}: expected one bool per image ({num_examples}), got {_form(array)}")
    return array


def _stays_in_files(images) -> bool:
    """Tells whether these are `LazyImages`, which were checked when they were made and are decoded when used."""
    return hasattr(images, "keys") and hasattr(images, "paths")


def _as_array(name: str, values, *, dtype: type | None = None) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=dtype)
        if array.dtype == object and dtype is None and len({type(value) for value in array.flat}) == 1:
            array = np.array(array.tolist())  # pandas keeps even whole numbers as objects where it allows gaps
    except Exception as error:  # what is no array can raise anything when it is asked to become one
        raise UsageError(f"{name}: expected an array, all of one size, got {quoted(values)}") from error
    return array


def _is_whole(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def as_provenance(provenance) -> dict[str, Any]:
    """Returns a data set's provenance as JSON gives it back, or raises `UsageError`."""
    try:
        if isinstance(provenance, Mapping):
            return json.loads(json.dumps(provenance))
    except (TypeError, ValueError, RecursionError):
        pass
    raise UsageError(
        "provenance: expected a dictionary of names, numbers and texts, nested as you like, that JSON can hold, got "
        f"{quoted(provenance)}"
    )
