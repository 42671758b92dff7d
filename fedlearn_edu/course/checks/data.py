"""Plain data, and how it is shown: the only thing that passes between a learner's function and a check."""

from __future__ import annotations

import hashlib
import reprlib
import sys
from typing import Any

import numpy as np

_MAX_DEPTH = 20  # deeper than any exercise needs; also stops at a list that holds itself
_NUMERIC_KINDS = "biuf"
_ARRAY_KINDS = _NUMERIC_KINDS + "U"
_USUAL = (np.float64, np.int64, np.bool_)  # the types that NumPy does not name either
_MAX_SHOWN, _FIRST = 12, 4  # entries of a short array; of a long one
_MAX_CHARACTERS, _MAX_WORD = 160, 40


class NotDataError(TypeError):
    """A function gave back something that is not plain data; the message is one line for the learner."""


def to_data(value: Any, *, where: str = "") -> Any:
    """Copies `value` into plain data: None, bool, int, float, str, list, tuple, dict, NumPy array.

    NumPy scalars become Python numbers and eager TensorFlow tensors become arrays, so that a check never has to tell
    them apart. Everything is copied, and subclasses become what they are a subclass of.

    Args:
      value: Anything.
      where: For the message: the place inside a larger value, such as "[2]['kernel']".

    Returns:
      A copy that holds nothing but the types above; dict keys are str or int, arrays numeric, bool or str.

    Raises:
      NotDataError: The value, or something in it, is none of these.

    Example:
        >>> to_data({"loss": np.float32(0.5), "sizes": (np.int64(3), True)})
        {'loss': 0.5, 'sizes': (3, True)}
    """
    if where.count("[") > _MAX_DEPTH:
        raise NotDataError(f"lists within lists, more than {_MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    # int(x) and the like would ask the object; these read the value it holds, also of a subclass.
    for kind, plain in ((int, int.__int__), (float, float.__float__), (str, str.__str__)):
        if isinstance(value, kind):
            result = plain(value)
            return result if type(result) is kind else kind(result)
    if isinstance(value, np.generic):
        return _scalar(value, where)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _ARRAY_KINDS:
            raise NotDataError(f"an array of dtype {value.dtype}{_at(where)}; return numbers, or a list of arrays")
        return np.array(value, copy=True, subok=False)
    if isinstance(value, list | tuple):
        items = [to_data(item, where=f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {_key(key, where): to_data(item, where=f"{where}[{key!r:.40}]") for key, item in value.items()}
    if _is_tensor(value):
        return _tensor(value, where)
    raise NotDataError(f"{_kind_of(value)}{_at(where)}; return numbers, text, a list, a dict or a NumPy array")


def _at(where: str) -> str:
    return f" at {where}" if where else ""


def _scalar(value: np.generic, where: str):
    if value.dtype.kind not in _ARRAY_KINDS:
        raise NotDataError(f"a NumPy {value.dtype} number{_at(where)}; return a real number")
    item = value.item()
    return float(item) if isinstance(item, np.floating) else item  # a long double stays NumPy's in .item()


def _key(key: Any, where: str):
    key = key.item() if isinstance(key, np.integer | np.str_) else key
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise NotDataError(f"a dict{_at(where)} with a key of type {type(key).__name__}; use str or int keys")
    return int(key) if isinstance(key, int) else str(key)


def _is_tensor(value: Any) -> bool:
    """Whether TensorFlow made it; TensorFlow is looked up, not loaded: if it is absent nothing can be a tensor."""
    tf = sys.modules.get("tensorflow")
    kinds = tuple(kind for name in ("Tensor", "Variable") if (kind := getattr(tf, name, None)))
    return isinstance(value, kinds)


def _tensor(value: Any, where: str):
    try:
        array = np.asarray(value.numpy())
    except Exception:  # a symbolic tensor, inside tf.function
        raise NotDataError(f"a TensorFlow tensor without a value{_at(where)}; return it outside tf.function") from None
    return to_data(array[()] if array.ndim == 0 else array, where=where)


def _kind_of(value: Any) -> str:
    kind = type(value)
    package = kind.__module__.split(".")[0]
    if package == "pandas":
        return f"a pandas {kind.__name__} (use .to_numpy() or .to_dict())"
    name = kind.__name__ if package in ("builtins", "__main__") else f"{package} {kind.__name__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def as_number(value: Any) -> float | int | None:
    """Returns plain data as one number, or None if it is none: bool, text, a list, an array with a shape.

    Example:
        >>> as_number(np.array(0.5)), as_number([0.5]), as_number(True)
        (0.5, None, None)
    """
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value.item()
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_array(value: Any) -> np.ndarray | None:
    """Returns plain data as a numeric array, or None if it is none: text, None, a ragged list.

    Example:
        >>> as_array([[1, 2], [3, 4]]).shape, as_array([[1], [2, 3]]), as_array("a")
        ((2, 2), None, None)
    """
    if isinstance(value, dict):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def answer_digest(value: Any) -> str:
    """Returns a hash of plain data: equal for answers that differ only in their types or in the 7th digit.

    Example:
        >>> answer_digest([1, float("nan")]) == answer_digest(np.array([1.0, float("nan")]))
        True
        >>> answer_digest({"a": 0.5}) == answer_digest({"a": 0.25})
        False
    """
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key!r}:{_canonical(item)}" for key, item in value.items())) + "}"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else f"{value:.6g}"
    return str(int(value)) if isinstance(value, bool) else repr(value)


class _Short(reprlib.Repr):
    """Shortens long values. A short array is shown as NumPy prints it, a long one by its shape and first values."""

    def __init__(self):
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 6
        self.maxstring = self.maxother = 120
        self.maxlevel = 4

    def repr_ndarray(self, value, level):
        usual = value.dtype in _USUAL or value.dtype.kind == "U"
        kind = "" if usual else f" and dtype {value.dtype}"
        if not value.size:  # it may have many axes all the same
            return f"array of shape {value.shape}{kind}" if value.ndim > 1 else "array([])"
        if value.size <= _MAX_SHOWN:
            text = f"array({_items(value)})" if usual else f"array({_items(value)}, dtype={value.dtype})"
            if len(text) <= _MAX_CHARACTERS:
                return text
        return f"array of shape {value.shape}{kind}: {_items(value, most=_FIRST)}"

    def repr_float(self, value, level):
        return f"{value:.6g}"

    def repr_dict(self, value, level):  # reprlib sorts keys, which fails on mixed ones and hides the real order
        if level <= 0 and value:
            return "{...}"
        items = [
            f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in list(value.items())[: self.maxdict]
        ]
        return "{" + ", ".join(items + ["..."] * (len(value) > self.maxdict)) + "}"


def _items(value: np.ndarray, *, most: int = _MAX_SHOWN) -> str:
    """An array as nested lists: of a short one all items, of a long one the first `most` of the first row."""
    if value.ndim == 0:
        item = value.item()
        return _decimal(item) if isinstance(item, float) else _shortened(repr(item))
    shown = most if value.ndim == 1 or most == _MAX_SHOWN else 1
    items = [_items(item, most=most) for item in map(np.asarray, value[:shown])]
    return f"[{', '.join(items + ['...'] * (len(value) > shown))}]"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_WORD else f"{text[: _MAX_WORD - 4]}...{text[-1]}"


def _decimal(value: float) -> str:
    """A float with a point, as Python writes it, rounded to 6 digits."""
    text = f"{value:.6g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text


_SHORT = _Short()


def describe(value: Any, *, limit: int = 400) -> str:
    """Returns plain data as one short line for a learner.

    Example:
        >>> describe(np.array([[0.5, 1], [2, 3]]))
        'array([[0.5, 1.0], [2.0, 3.0]])'
        >>> describe(np.zeros([20, 9], np.float32))
        'array of shape (20, 9) and dtype float32: [[0.0, 0.0, 0.0, 0.0, ...], ...]'
        >>> describe([0.1 + 0.2, "a"])
        "[0.3, 'a']"
    """
    try:
        text = " ".join(_SHORT.repr(value).split())
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
