"""Publishes a Keras image model as a TF2 SavedModel in TF-Hub's feature-vector format, small and atomically."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping

import tensorflow as tf

from fedlearn_edu.backbone.contract import check_contract, find_image_size, load_layer
from fedlearn_edu.errors import RunError, UsageError


def publish(
    model: tf.keras.Model,
    directory: str | os.PathLike,
    *,
    card: str = "Not described.\n",
    files: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a model as a reusable TF-Hub module: what `hub.KerasLayer` and `load_backbone` read.

    The module has `__call__(inputs, training=False)`, `variables`, `trainable_variables`,
    `regularization_losses` and a `serving_default` signature (`inputs` -> `default`). Keras' own
    description of every layer is left out: it would outweigh the weights of a small network.

    Args:
        model: Maps float32 images `[batch, size, size, 3]` in [0, 1] to features `[batch, feature_dim]`.
        directory: Folder to create.
        card: Text of its `MODEL_CARD.md`: data, method, licence, limits.
        files: Texts to put beside it, by file name.
        overwrite: Replace the published backbone that is there, once the new one is complete.

    Example:
        ```python
        fl.publish(tf.keras.models.load_model("my_network.keras"), "my_backbone")
        fl.load_backbone("my_backbone")
        ```

    Raises:
        UsageError: `directory` exists (or, to overwrite, is no backbone), or the model takes or gives something else,
            has regularization losses, or could not be loaded again.
        RunError: The disk is full or the folder has become unwritable.

    References:
        TF2 SavedModels for image feature vectors, "Common SavedModel APIs for Image Tasks", tensorflow.org/hub.
    """
    directory = pathlib.Path(directory)
    check_output(directory, overwrite=overwrite, argument="directory")
    _check_model(model)
    # Written beside its place and renamed, so that a half-written module never has the real name.
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _save(model, scratch)
        for name, text in {"MODEL_CARD.md": card, **(files or {})}.items():
            (scratch / name).write_text(text, encoding="utf-8")
        # What is published can be used: nothing that `load_backbone` would refuse gets its name.
        layer = load_layer(scratch, name=directory.name)
        size = find_image_size(layer, name=directory.name, image_size=None)
        check_contract(layer, name=directory.name, image_size=size)
        scratch.chmod(0o755)
        if directory.exists():
            _swap(scratch, directory)
        else:
            os.rename(scratch, directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def check_output(directory: pathlib.Path, *, overwrite: bool, argument: str = "output") -> None:
    """Refuses a folder that cannot be written to or must not be replaced; called before hours of work, too.

    Raises:
        UsageError: See above.
    """
    if directory.exists():
        if not overwrite:
            raise UsageError(
                f"{argument}: expected a folder that does not exist yet, got {str(directory)!r}; overwrite replaces it"
            )
        if not (directory / "saved_model.pb").is_file():
            raise UsageError(
                f"{argument}: only a published backbone is overwritten, and {str(directory)!r} has no saved_model.pb"
            )
    if not directory.parent.is_dir():
        raise UsageError(f"{argument}: expected its parent folder to exist, got {str(directory)!r}")
    if not os.access(directory.parent, os.W_OK):
        raise UsageError(f"{argument}: no permission to write in {str(directory.parent)!r}")


def _swap(new: pathlib.Path, old: pathlib.Path) -> None:
    """Puts a folder in another's place; if that fails, the old one is back where it was."""
    aside = new.with_name(new.name + ".old")
    os.rename(old, aside)
    try:
        os.rename(new, old)
    except BaseException:
        os.rename(aside, old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _check_model(model: tf.keras.Model) -> None:
    """Refuses what is no model from float32 images to float32 features, before anything is written.

    Raises:
        UsageError: See above.
    """
    if not isinstance(model, tf.keras.Model):
        raise UsageError(f"model: expected a Keras model, got {type(model).__name__}")
    if not model.inputs:
        raise UsageError(
            f"model: expected a functional or Sequential model that begins with tf.keras.Input([size, size, 3]), got a "
            f"{type(model).__name__} that does not know its input"
        )
    for ends, kind in ((model.input, "input"), (model.output, "output")):
        if isinstance(ends, (dict, list, tuple)):
            raise UsageError(f"model: expected one {kind}, got a {type(ends).__name__} of {len(ends)}")
    shape, features = model.input.shape, model.output.shape
    if shape.rank != 4 or shape[1] != shape[2] or shape[3] != 3 or features.rank != 2:
        raise UsageError(
            f"model: expected images [batch, size, size, 3] -> features [batch, dim], got {shape} -> {features}"
        )
    if shape[0] is not None:
        raise UsageError(f"model: expected any number of images at a time, got a fixed batch of {shape[0]}")
    dtypes = [tf.as_dtype(ends.dtype).name for ends in (model.input, model.output)]
    if dtypes != ["float32", "float32"]:
        raise UsageError(
            f"model: expected float32 -> float32, got {' -> '.join(dtypes)}; cast in its first and last layer, e.g. "
            "tf.keras.layers.Activation('linear', dtype='float32') after mixed precision"
        )
    if model.losses:
        raise UsageError(f"model: expected no regularization losses, got {len(model.losses)}; they would be lost")


def _save(model: tf.keras.Model, directory: pathlib.Path) -> None:
    options = tf.saved_model.SaveOptions(save_debug_info=False, experimental_custom_gradients=False)
    try:
        module, signature = _hub_module(model)
        tf.saved_model.save(module, str(directory), signatures={"serving_default": signature}, options=options)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(f"directory: the model cannot be written: {reason[:160]}") from None
    except Exception as error:  # layers of anyone's own raise anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UsageError(f"model: cannot be written as a SavedModel: {reason}") from None


def _hub_module(model: tf.keras.Model):
    """Returns the object to save and its serving signature; the Keras model stays outside, in closures."""
    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="inputs")

    @tf.function
    def call(inputs, training=False):
        return model(inputs, training=training)

    @tf.function(input_signature=[spec])
    def serving(inputs):
        return {"default": call(inputs, training=False)}

    # TF-Hub modules are called with a Python bool; both graphs have to be in the file.
    graphs = [call.get_concrete_function(spec, training=training).graph for training in (True, False)]
    module = tf.train.Checkpoint()  # the trackable that TF-Hub's own description of the format uses
    module.__call__ = call
    module.variables = list(model.variables)
    module.trainable_variables = list(model.trainable_variables)
    # The states of random layers, e.g. RandomFlip, which Keras does not count among a model's variables.
    known = {id(variable) for variable in model.variables}
    module.generator_states = [v for graph in graphs for v in graph.variables if id(v) not in known]
    module.regularization_losses = []
    return module, serving
