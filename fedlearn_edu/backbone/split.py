"""Cuts a TF-Hub module in two: a frozen part, computed once per image, and a part that clients train."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tensorflow as tf

from fedlearn_edu.backbone.graph import ModuleGraph
from fedlearn_edu.backbone.hub import Backbone, image_folder, run_in_batches
from fedlearn_edu.errors import UsageError, nearest_names

DEPTHS = ("head", "batch_norm", "last_block", "all")
_BLOCK = re.compile(r"(?:^|/)block_(\d+)_")
_MAX_BYTES = 4 * 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class SplitBackbone:
    """A backbone whose chosen variables are to be trained, over rows that the rest of it has computed.

    It takes a `Backbone`'s place in `extract_features`: what comes back is one row of numbers per image at the *cut*,
    the last tensors that no chosen variable has touched, or the image itself where these would be larger.

    Attributes:
        backbone: The whole one.
        trainable: What was asked for: a depth or name patterns.
        names: Of the variables that are trained.
        initial_values: float32 arrays, the pre-trained value of each.
        cut: Name and shape of each tensor in a row, in order.
        feature_dim: Numbers in a row.
        fingerprint: Key of the rows in the feature cache; equal cuts of one module share it.
    """

    backbone: Backbone
    trainable: str | tuple[str, ...]
    names: tuple[str, ...]
    initial_values: tuple[np.ndarray, ...]
    cut: tuple[tuple[str, tuple[int, ...]], ...]
    feature_dim: int
    fingerprint: str
    _graph: ModuleGraph = dataclasses.field(repr=False)
    modality: ClassVar[str] = "image"

    def key(self) -> str:
        """Returns the name of its folder in the feature cache."""
        return image_folder(self)

    @property
    def image_size(self) -> int:
        """Height and width in pixels that the network takes."""
        return self.backbone.image_size

    @property
    def source(self) -> str:
        """The URL or folder it was loaded from."""
        return self.backbone.source

    @property
    def layer(self) -> Any:
        """The frozen `hub.KerasLayer` of the whole module."""
        return self.backbone.layer

    @property
    def num_trainable(self) -> int:
        """Numbers that each client trains and uploads, the head's not included."""
        return sum(value.size for value in self.initial_values)

    def summary(self) -> pd.DataFrame:
        """Returns one row per trained variable: name, shape, num_parameters."""
        rows = [(name, value.shape, value.size) for name, value in zip(self.names, self.initial_values, strict=True)]
        return pd.DataFrame(rows, columns=["name", "shape", "num_parameters"])

    def features(
        self,
        images: np.ndarray,
        *,
        batch_size: int | None = None,
        on_batch: Callable[[int], object] = lambda num_images: None,
    ) -> np.ndarray:
        """Computes the row of every image; arguments and errors as `Backbone.features`.

        Shapes:
            uint8 `[num_images, height, width, 3]` -> float32 `[num_images, feature_dim]`.

        Raises:
            UsageError: The rows would take more than 4 GiB.
        """
        if not self.names:
            return self.backbone.features(images, batch_size=batch_size, on_batch=on_batch)
        size = len(images) * self.feature_dim * 4
        if size > _MAX_BYTES:
            raise UsageError(
                f"trainable: {self.trainable!r} keeps {self.feature_dim:,} numbers of each of {len(images):,} images, "
                f"{size / 2**30:.0f} GiB; expected at most {_MAX_BYTES / 2**30:.0f}: take fewer images, or train less"
            )
        return run_in_batches(
            self.forward_fn, images, self.feature_dim, self.image_size, batch_size=batch_size, on_batch=on_batch
        )

    def forward_fn(self, height: int, width: int):
        """Returns the traced function uint8 `[batch, height, width, 3]` -> rows, for any batch size."""
        concrete = self._rows.get_concrete_function(tf.TensorSpec([None, height, width, 3], tf.uint8))
        return lambda batch: concrete(tf.constant(batch)).numpy()

    def serving_fn(self):
        """Returns a `tf.function` uint8 `[batch, height, width, 3]` of any size -> rows, for exporting."""
        spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
        return tf.function(self._rows.python_function, input_signature=[spec], autograph=False)

    @functools.cached_property
    def _rows(self):
        size = self.image_size
        feeds = {self._graph.image: tf.TensorSpec([None, size, size, 3], tf.float32)}
        frozen = self._graph.function(feeds, [name for name, _ in self.cut])

        def rows(images):
            tensors = zip(frozen(self.backbone.preprocess(images)), self.cut, strict=True)
            return tf.concat([tf.reshape(tensor, [-1, _size(shape)]) for tensor, (_, shape) in tensors], axis=1)

        return tf.function(rows, autograph=False)

    @functools.cached_property
    def _trained(self):
        """The part behind the cut, by whether its batch normalisation is live: cut tensors, variables -> features."""
        feeds = {name: tf.TensorSpec([None, *shape], tf.float32) for name, shape in self.cut}
        for name, value in zip(self.names, self.initial_values, strict=True):
            feeds[self._graph.constants[name]] = tf.TensorSpec(value.shape, tf.float32)
        build = functools.partial(self._graph.function, feeds, [self._graph.output])
        return {live: build(live_batch_norm=live) for live in (False, True)}

    def forward(self, values: Sequence, rows, *, live_batch_norm: bool = False):
        """Computes the backbone's feature vectors from rows, with these values of the trained variables.

        Differentiable in `values`.

        Args:
            values: One float32 tensor per trained variable.
            rows: What `features` computes.
            live_batch_norm: Every batch normalisation behind the cut that works on images uses the mean and variance of
                this batch, as Keras does with `training=True`, in place of the stored ones.

        Shapes:
            rows `[batch, self.feature_dim]` -> float32 `[batch, backbone.feature_dim]`.
        """
        if not self.names:
            return tf.convert_to_tensor(rows)
        parts = tf.split(rows, [_size(shape) for _, shape in self.cut], axis=1)
        parts = [tf.reshape(part, [-1, *shape]) for part, (_, shape) in zip(parts, self.cut, strict=True)]
        (features,) = self._trained[live_batch_norm](*parts, *map(tf.convert_to_tensor, values))
        return tf.ensure_shape(features, [None, self.backbone.feature_dim])


def split_backbone(
    backbone: Backbone, trainable: str | Sequence[str] = "last_block", *, num_blocks: int = 1
) -> SplitBackbone:
    """Chooses what of a frozen backbone the clients shall train.

    The module is taken as it is, by its graph in inference mode: batch normalisation uses its stored mean and variance,
    which nobody trains. Variables that are not chosen become constants of the graph: they are neither broadcast nor
    uploaded, and what comes before the first chosen one is computed once per image.

    Args:
        backbone: From `load_backbone`.
        trainable: How deep: `"head"` (nothing of the backbone), `"batch_norm"` (scale and offset of every batch
            normalisation), `"last_block"` (the last inverted-residual block and everything after it), `"all"`; or
            patterns for variable names such as `["Conv_1*", "block_16_*"]`.
        num_blocks: How many of the last blocks `"last_block"` means, at least 1.

    Raises:
        UsageError: Unknown depth, the module has no such variables, or its graph cannot be taken apart.

    References:
        Scale and offset alone: Frankle, Schwab, Morcos, "Training BatchNorm and Only BatchNorm", arXiv:2003.00152.
        Frozen statistics in federated learning: Hsieh et al., arXiv:1910.00189.
    """
    if num_blocks < 1:
        raise UsageError(f"num_blocks: expected at least 1, got {num_blocks}")
    if isinstance(trainable, str) and trainable not in DEPTHS:
        raise UsageError(
            f"trainable: expected a depth or a list of name patterns, got {trainable!r}; "
            f"{nearest_names(trainable, DEPTHS)}"
        )
    asked = trainable if isinstance(trainable, str) else tuple(trainable)
    if asked == "head":
        cut = (("features", (backbone.feature_dim,)),)
        return SplitBackbone(backbone, asked, (), (), cut, backbone.feature_dim, backbone.fingerprint, None)
    graph = _graph_of(backbone)
    names = _chosen(graph, asked, num_blocks, backbone.name)
    cut = graph.frontier([graph.constants[name] for name in names])
    image = (backbone.image_size, backbone.image_size, 3)
    width = sum(_size(shape) for _, shape in cut)
    if width >= _size(image):
        cut, width = ((graph.image, image),), _size(image)
    key = hashlib.sha256(f"{backbone.fingerprint} {cut}".encode()).hexdigest()
    values = tuple(graph.values[name] for name in names)
    return SplitBackbone(backbone, asked, names, values, tuple(cut), width, key, graph)


def depth_table(backbone: Backbone, *, num_classes: int = 10) -> pd.DataFrame:
    """Tells what each depth of fine-tuning costs, with a linear head on top.

    Returns:
        A row per depth the module allows: `depth`, `variables`, `trained` (numbers that a client trains),
        `upload_mb` (float32, a client and round, in 10^6 bytes) and `values_per_image` (numbers at the cut).
    """
    head = (backbone.feature_dim + 1) * num_classes
    rows = []
    for depth in DEPTHS:
        try:
            split = split_backbone(backbone, depth)
        except UsageError:
            continue
        trained = split.num_trainable + head
        rows.append((depth, len(split.names), trained, trained * 4 / 1e6, split.feature_dim))
    return pd.DataFrame(rows, columns=["depth", "variables", "trained", "upload_mb", "values_per_image"])


@functools.lru_cache(maxsize=2)
def _graph_of(backbone: Backbone) -> ModuleGraph:
    return ModuleGraph(backbone)


def _chosen(graph: ModuleGraph, asked, num_blocks: int, module: str) -> tuple[str, ...]:
    """Returns the names of the trainable variables that a depth or patterns stand for, in the module's order."""
    known = [name for name in graph.trainable if name in graph.constants]
    if not known:
        raise UsageError(f"trainable: expected 'head', got {asked!r}; {module!r} has no trainable variables")
    if asked == "all":
        return tuple(known)
    if asked == "batch_norm":
        affine = graph.batch_norm_affine()
        chosen = [name for name in known if graph.constants[name] in affine]
        reason = "has no batch normalisation with a trained scale or offset"
    elif asked == "last_block":
        blocks = sorted({int(match[1]) for match in map(_BLOCK.search, known) if match})[-num_blocks:]
        starts = [graph.position(name) for name in known if (m := _BLOCK.search(name)) and int(m[1]) in blocks]
        chosen = [name for name in known if starts and graph.position(name) >= min(starts)]
        reason = "has no variables named block_<number>_...; choose some by name patterns"
    else:
        chosen = [name for name in known if any(fnmatch.fnmatchcase(name, pattern) for pattern in asked)]
        reason = f"has no such variable; {nearest_names(asked[0] if asked else '', known)}"
    if not chosen:
        raise UsageError(f"trainable: got {asked!r}, but {module!r} {reason}")
    return tuple(chosen)


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape))
