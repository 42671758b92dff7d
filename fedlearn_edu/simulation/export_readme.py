"""The README of an exported model: the lines of Python that use it, what it answers, where it comes from."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import tensorflow as tf

from fedlearn_edu.backbone.encoder import Encoder
from fedlearn_edu.data.task import Task

BACKBONE_CARD = "BACKBONE_CARD.md"
_IMAGE = 'image = tf.io.decode_image(tf.io.read_file("my_image.jpg"), channels=3, expand_animations=False)\n'
_TEXT = 'text = tf.constant("A text of your own, as long as you like.")\n'


def usage(directory: str | os.PathLike, *, encoder: Encoder | None = None, task: Task | None = None) -> str:
    """Returns the lines of Python that ask an exported model about an example, ready to run as they stand.

    Args:
        directory: Where the model is.
        encoder: Its encoder; None for a backbone of images.
        task: What is asked; None for a classification.
    """
    modality = encoder.modality if encoder else "image"
    given = {"image": _IMAGE, "text": _TEXT}.get(modality) or _row(encoder)
    name, first = given.partition(" ")[0], "[0]" if modality == "table" else ""
    kind = task.kind if task else "classification"
    if kind == "regression":
        answer = f'print(float(model.predict({name})["value"]{first}))\n'
    elif kind == "binary":
        answer = f"answer = model.classify({name})\n"
        answer += f'print(answer["class_name"]{first}.numpy().decode(), float(answer["probability"]{first}))\n'
    else:
        answer = f'print(model.classify({name})["class_name"]{first}.numpy().decode())\n'
    return f"import tensorflow as tf\nmodel = tf.saved_model.load({os.fspath(directory)!r})\n{given}{answer}"


def _row(encoder) -> str:
    """Returns the lines of a row that no client holds: the mean of each number, the commonest of each category."""
    lines = []
    for column in encoder.columns:
        if column in encoder.statistics.means:
            lines.append(f"    {column!r}: tf.constant([{encoder.statistics.means[column]:.6g}], tf.float64),")
        else:
            commonest = next(iter(encoder.statistics.categories[column]), "")
            lines.append(f"    {column!r}: tf.constant([{commonest!r}]),")
    return "\n".join(["row = {", *lines, "}"]) + "\n"


def readme(encoder: Encoder, task: Task, trained_on: str | None) -> str:
    """Returns the text of the README.

    Args:
        encoder: The model's encoder.
        task: What is asked of an example.
        trained_on: Whose examples the head was trained on; None if that is not known.
    """
    release, python = tf.__version__.rpartition(".")[0], f"{sys.version_info.major}.{sys.version_info.minor}"
    examples = {"image": "images", "text": "texts", "table": "rows"}[encoder.modality]
    return f"""\
# {_title(encoder.modality, task)}

A TensorFlow SavedModel: plain TensorFlow is all it needs. The environment that made it has it (`uv run python` in the
folder of fedlearn_edu, if that is how you run it); elsewhere, with Python {python}, as it was made:

```bash
pip install "tensorflow-cpu=={release}.*"
```

```python
{usage(".", encoder=encoder, task=task)}```

(`tensorflow` in place of `tensorflow-cpu` does as well; on a machine without a GPU it begins with lines about cuDNN,
cuFFT, cuBLAS and TensorRT, which mean just that.)

`'.'` is this folder. {_INPUT[encoder.modality]}{_answers(task)}

* Head: trained by federated learning with fedlearn_edu on {trained_on or f"{examples} that its maker did not name"}.
{_origin(encoder)}

{_LIMITS[task.kind]}
"""


def _title(what: str, task: Task) -> str:
    if task.kind == "regression":
        return f"A model of a number, from {'the columns of a table' if what == 'table' else f'{what}s'}"
    return {"image": "An image classifier", "text": "A text classifier", "table": "A classifier of rows"}[what]


_INPUT = {
    "image": """`classify` takes uint8 from 0 to 255 or floats from 0 to 1, RGB, of any height and width, one
image `[height, width, 3]` or several `[batch, height, width, 3]`. It returns """,
    "text": """It takes one text, a string, or several, `[batch]`, as UTF-8 in Unicode's composed form (NFC). It
returns """,
    "table": """It takes the columns of one or more rows: numbers float64 `[batch]` (NaN where one is missing; dates
are days since 1970-01-01), categories strings `[batch]` (`""` where one is missing). The values above are those of no
client: the mean of each number and the commonest of each category. It returns """,
}
_LIMITS = {
    "classification": "It knows these classes only, and names one of them whatever it is shown.",
    "binary": "It names one of the two whatever it is shown; where that one is rare, set a threshold of your own.",
    "regression": "It answers with a number whatever it is shown, also far from what it was trained on.",
}


def _answers(task: Task) -> str:
    if task.kind == "regression":
        return f"`value`{f', in {task.unit}' if task.unit else ''}."
    if task.kind == "binary":
        negative, positive = task.class_names
        named = f"`class_name`, `{positive}` above 0.5, else `{negative}`"
        return f"`probability`, that of `{positive}` (0 to 1), and {named}."
    return f"`class_name` and `probabilities`, one for\neach class in this order:\n\n{_listed(task.class_names)}"


def _origin(encoder: Encoder) -> str:
    if encoder.modality != "image":
        how = {
            "table": "columns standardised and categories one-hot by sums over all clients",
            "text": "counts of short runs of letters, hashed; nothing in it is pre-trained",
        }[encoder.modality]
        return f"* Encoder: {how}, fingerprint (sha256)\n  `{encoder.fingerprint}`."
    card = f"; `{BACKBONE_CARD}` has its data, method, limits and licence" if encoder.model_card else ""
    return f"""\
* Backbone: {encoder.name}, {encoder.image_size} px, fingerprint (sha256)
  `{encoder.fingerprint}`{card}.
  Where no licence is given, that of its origin holds."""


def _listed(class_names: Sequence[str]) -> str:
    return "\n".join(f"{number}. `{name}`" for number, name in enumerate(class_names))
