"""Starts a narrow MobileNetV2 from a wide one: a closed form per layer instead of random weights.

A block of MobileNetV2 ends in a *linear* bottleneck, so any basis of it serves as well as the one it was trained in:
the narrow network takes its leading principal components, one basis for all blocks that add to each other. Between two
bottlenecks it keeps the channels that move the block's output most, with their depthwise filters; every 1 x 1
convolution is then the least-squares solution that makes the narrow network compute, from its own activations so far,
what the wide one has there. At equal width the narrow network *is* the wide one.

References:
    MobileNetV2: arXiv:1801.04381. Pruning channels by least squares: He, Zhang, Sun, "Channel Pruning for Accelerating
    Very Deep Neural Networks", ICCV 2017, arXiv:1707.06168.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from fedlearn_edu.bars import progress_bar

_BATCH = 250
_STAGES = ((0,), (1, 2), (3, 4, 5), (6, 7, 8, 9), (10, 11, 12), (13, 14, 15), (16,))  # blocks that share a basis


def compress(teacher: tf.keras.Model, student: tf.keras.Model, images: np.ndarray, *, ridge: float = 1e-4) -> None:
    """Sets the student's weights so that it computes, as nearly as its width allows, what the teacher computes.

    Args:
        teacher: A Keras model that holds a MobileNetV2 of the same image size, at least as wide.
        student: A model from `build_student`; its weights are replaced.
        images: uint8 images that are typical of what the student shall see; some hundreds do.
        ridge: Added to the normal equations, as a share of their mean diagonal entry.

    Shapes:
        `images`: `[num_images, size, size, 3]`; activations of one layer of all of them are held in memory.
    """
    wide, narrow = _network(teacher), _network(student)
    inputs = images / np.float32(127.5) - 1
    blocks = ["expanded_conv", *(f"block_{number}" for number in range(1, 17))]
    bases = {}
    for stage in _STAGES:
        names = [blocks[number] for number in stage]
        outputs = [
            activations.reshape(-1, activations.shape[-1]) for activations in _run(wide, inputs, _ends(wide, names))
        ]
        size = narrow.get_layer(f"{names[0]}_project").kernel.shape[-1]
        bases |= dict.fromkeys(names, _principal_basis(np.concatenate(outputs), size))

    stem, relu, depthwise = _run(wide, inputs, ["Conv1", "Conv1_relu", "expanded_conv_depthwise_relu"])
    kept = _most_important(depthwise, wide, "expanded_conv", narrow.get_layer("Conv1").kernel.shape[-1])
    narrow.get_layer("Conv1").set_weights([wide.get_layer("Conv1").kernel.numpy()[..., kept]])
    _set_norm(
        narrow.get_layer("bn_Conv1"), stem[..., kept], *(part[kept] for part in _affine(wide.get_layer("bn_Conv1")))
    )
    hidden = relu[..., kept]
    for name in progress_bar(blocks, desc="compress", unit="block"):
        before = hidden
        if name != blocks[0]:
            expanded, depthwise = _run(wide, inputs, [f"{name}_expand_BN", f"{name}_depthwise_relu"])
            kept = _most_important(depthwise, wide, name, narrow.get_layer(f"{name}_expand").kernel.shape[-1])
            hidden = _fit(narrow, f"{name}_expand", f"{name}_expand_BN", hidden, expanded[..., kept], ridge)
            hidden = np.clip(hidden, 0, 6)
        hidden = np.clip(_copy_depthwise(wide, narrow, name, hidden, kept), 0, 6)
        (end,) = _ends(wide, [name])
        target = _run(wide, inputs, [end])[0] @ bases[name]
        residual = before if end.endswith("_add") else np.float32(0)
        hidden = residual + _fit(narrow, f"{name}_project", f"{name}_project_BN", hidden, target - residual, ridge)
    (target,) = _run(wide, inputs, ["Conv_1_bn"])
    features = np.clip(_fit(narrow, "Conv_1", "Conv_1_bn", hidden, target, ridge), 0, 6).mean(axis=(1, 2))
    student.get_layer("standardise").set_weights([features.mean(axis=0), features.var(axis=0)])


def _network(model: tf.keras.Model) -> tf.keras.Model:
    """Returns the MobileNetV2 inside a model that scales its input first."""
    return next(layer for layer in model.layers if isinstance(layer, tf.keras.Model))


def _ends(network, names: list[str]) -> list[str]:
    """Returns the layer that each block's output comes from: the sum, in a block that has a shortcut."""
    layers = {layer.name for layer in network.layers}
    return [f"{name}_add" if f"{name}_add" in layers else f"{name}_project_BN" for name in names]


def _run(network, inputs: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Returns the activations of some layers in inference mode, each `[num_images, height, width, channels]`."""
    part = tf.keras.Model(network.input, [network.get_layer(name).output for name in names])
    batches = [tf.nest.flatten(part(inputs[i : i + _BATCH], training=False)) for i in range(0, len(inputs), _BATCH)]
    return [np.concatenate(column) for column in zip(*batches, strict=True)]


def _affine(norm) -> tuple[np.ndarray, np.ndarray]:
    """Returns factor and offset, each `[channels]`, of a BatchNorm in inference mode."""
    scale, offset, mean, variance = norm.get_weights()
    factor = scale / np.sqrt(variance + norm.epsilon)
    return factor, offset - factor * mean


def _set_norm(norm, activations: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> None:
    """Makes a BatchNorm compute `factor * activations + offset`, with the statistics of these activations."""
    rows = activations.reshape(-1, activations.shape[-1])
    mean, variance = rows.mean(axis=0), rows.var(axis=0)
    norm.set_weights([factor * np.sqrt(variance + norm.epsilon), offset + factor * mean, mean, variance])


def _principal_basis(rows: np.ndarray, size: int) -> np.ndarray:
    """Returns the leading `size` principal directions of `[num_rows, dim]`, as columns `[dim, size]`."""
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred / len(rows))
    return directions[:, ::-1][:, :size]


def _most_important(depthwise: np.ndarray, network, name: str, count: int) -> np.ndarray:
    """Returns which channels of a block to keep: those whose variance moves its output most."""
    projection = network.get_layer(f"{name}_project").kernel.numpy()[0, 0]
    projection = projection * _affine(network.get_layer(f"{name}_project_BN"))[0]
    moved = depthwise.reshape(-1, depthwise.shape[-1]).var(axis=0) * (projection**2).sum(axis=1)
    return np.sort(np.argsort(-moved)[:count])


def _fit(network, convolution: str, norm: str, hidden: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """Sets a 1 x 1 convolution and its BatchNorm to predict `target` from `hidden`; returns what they predict."""
    rows, wanted = hidden.reshape(-1, hidden.shape[-1]), target.reshape(-1, target.shape[-1])
    mean, wanted_mean = rows.mean(axis=0), wanted.mean(axis=0)
    rows = rows - mean
    gram = (rows.T @ rows).astype(np.float64)
    gram += np.eye(len(gram)) * (ridge * np.trace(gram) / len(gram))
    kernel = np.linalg.solve(gram, rows.T @ (wanted - wanted_mean)).astype(np.float32)
    offset = wanted_mean - mean @ kernel
    network.get_layer(convolution).set_weights([kernel[None, None]])
    activations = hidden @ kernel
    _set_norm(network.get_layer(norm), activations, np.ones_like(offset), offset)
    return activations + offset


def _copy_depthwise(wide, narrow, name: str, hidden: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Copies the depthwise filters of the channels that are kept; returns what they compute, normalised."""
    layer = narrow.get_layer(f"{name}_depthwise")
    layer.set_weights([wide.get_layer(f"{name}_depthwise").get_weights()[0][:, :, kept]])
    if f"{name}_pad" in {other.name for other in narrow.layers}:
        pad = narrow.get_layer(f"{name}_pad")
        hidden = np.pad(hidden, ((0, 0), *pad.padding, (0, 0)))
    batches = [layer(hidden[start : start + _BATCH]).numpy() for start in range(0, len(hidden), _BATCH)]
    activations = np.concatenate(batches)
    factor, offset = (part[kept] for part in _affine(wide.get_layer(f"{name}_depthwise_BN")))
    _set_norm(narrow.get_layer(f"{name}_depthwise_BN"), activations, factor, offset)
    return activations * factor + offset
