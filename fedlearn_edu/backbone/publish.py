"""Publishes a Keras image model as a TF2 SavedModel in TF-Hub's feature-vector format, small and atomically."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import tensorflow as tf

from fedlearn_edu.errors import UsageError


def publish(model: tf.keras.Model, directory: str | os.PathLike, *, card: str = "Not described.\n") -> None:
    """Writes a model as a reusable TF-Hub module: what `hub.KerasLayer` and `load_backbone` read.

    The module has `__call__(inputs, training=False)`, `variables`, `trainable_variables`,
    `regularization_losses` and a `serving_default` signature (`inputs` -> `default`). Keras' own
    description of every layer is left out: it would outweigh the weights of a small network.

    Args:
        model: Maps float32 images `[batch, size, size, 3]` in [0, 1] to features `[batch, feature_dim]`.
        directory: Folder to create.
        card: Text of its `MODEL_CARD.md`: data, method, licence, limits.

    Example:
        ```python
        fl.publish(tf.keras.models.load_model("my_network.keras"), "my_backbone")
        fl.load_backbone("my_backbone")
        ```

    Raises:
        UsageError: `directory` exists, or the model is of another shape or has regularization losses.

    References:
        TF2 SavedModels for image feature vectors, "Common SavedModel APIs for Image Tasks", tensorflow.org/hub.
    """
    directory = pathlib.Path(directory)
    if directory.exists():
        raise UsageError(f"directory: expected a folder that does not exist yet, got {str(directory)!r}")
    if not directory.parent.is_dir():
        raise UsageError(f"directory: expected its parent folder to exist, got {str(directory)!r}")
    if len(model.input_shape) != 4 or model.input_shape[3] != 3 or len(model.output_shape) != 2:
        raise UsageError(
            f"model: expected images [batch, size, size, 3] -> features [batch, dim], "
            f"got {model.input_shape} -> {model.output_shape}"
        )
    if model.losses:
        raise UsageError(f"model: expected no regularization losses, got {len(model.losses)}; they would be lost")
    # Written beside its place and renamed, so that a half-written module never has the real name.
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        module, signature = _hub_module(model)
        options = tf.saved_model.SaveOptions(save_debug_info=False, experimental_custom_gradients=False)
        tf.saved_model.save(module, str(scratch), signatures={"serving_default": signature}, options=options)
        (scratch / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        scratch.chmod(0o755)
        os.rename(scratch, directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _hub_module(model: tf.keras.Model):
    """Returns the object to save and its serving signature; the Keras model stays outside, in closures."""
    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="inputs")

    @tf.function
    def call(inputs, training=False):
        return model(inputs, training=training)

    @tf.function(input_signature=[spec])
    def serving(inputs):
        return {"default": model(inputs, training=False)}

    # TF-Hub modules are called with a Python bool; both graphs have to be in the file.
    call.get_concrete_function(spec, training=True)
    call.get_concrete_function(spec, training=False)
    module = tf.train.Checkpoint()  # the trackable that TF-Hub's own description of the format uses
    module.__call__ = call
    module.variables = list(model.variables)
    module.trainable_variables = list(model.trainable_variables)
    module.regularization_losses = []
    return module, serving
