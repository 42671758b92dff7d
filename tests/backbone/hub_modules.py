"""Writes SavedModels to test with."""

MOBILENET_V2_URL = "https://tfhub.dev/google/tf2-preview/mobilenet_v2/feature_vector/4"

# Of the copy beside a development checkout: a module with this one's interface and other weights, not Google's files.
STAND_IN_FINGERPRINT = "661d02994c4b9d189a3a8c4cea8cf9d9e712b4f5e26591573dac87eba6b8fde5"


def save_module(folder, fn, *, input_shape=(None, None, None, 3), variables=()):
    """Saves `fn(inputs)` as a callable TF2 SavedModel and returns the folder as text."""
    import tensorflow as tf

    module = tf.train.Checkpoint()
    module.__call__ = tf.function(fn, input_signature=[tf.TensorSpec(input_shape, tf.float32, name="inputs")])
    module.variables = list(variables)
    module.trainable_variables = list(variables)
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder))
    return str(folder)
