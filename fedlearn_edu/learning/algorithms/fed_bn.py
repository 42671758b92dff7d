"""FedBN: everything is learned together but batch normalisation, whose scale and offset fit each client's data."""

from __future__ import annotations

import re

import tensorflow_federated as tff

from fedlearn_edu.backbone.split import SplitBackbone
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.fed_per import build_fed_per
from fedlearn_edu.learning.client_weighting import ClientWeighting
from fedlearn_edu.learning.process import StatefulFederatedProcess

_AFFINE = re.compile(r"(?:^|/)(?:gamma|beta)(?::\d+)?$")


def build_fed_bn(
    model: tff.learning.models.FunctionalModel,
    split: SplitBackbone,
    *,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
) -> StatefulFederatedProcess:
    """Weighted federated averaging in which each client keeps its batch normalisation for itself.

    As `build_fed_per`, with other personal weights: not the head, but the scale (gamma) and offset (beta) of every
    batch normalisation that is trained. They are neither uploaded nor averaged, so that clients whose images look
    different (lighter, noisier, another scanner) can each bring them to the same footing. The rest, head included, is
    shared.

    The paper's clients also keep their own running mean and variance; in this package these are the stored ones
    of the pre-trained module, which nobody updates (see `split_backbone`). A scale and an offset of one's own can make
    up for both.

    Args:
        model: `fine_tuned_backbone(features, split)`.
        split: From `split_backbone`, with the depth `"batch_norm"`, or any other whose trained variables include some
            named `.../gamma` or `.../beta`.
        client_lr, server_lr, client_optimizer, server_optimizer, client_weighting, model_aggregator: As for
            `build_fed_per`.

    Returns:
        A stateful process for `run_rounds`; types as those of `build_fed_per`.

    Shapes:
        Broadcast and delta have the shapes of all other trainable weights: with depth `"batch_norm"` those of the head.

    Raises:
        UsageError: `split` trains no batch normalisation, `model` is of another split, or a learning rate is out of its
            range.

    Example:
        >>> split = fl.split_backbone(fl.load_backbone("bundled"), ["Conv_1_bn/gamma", "Conv_1_bn/beta"])
        >>> rows = np.zeros([len(features.labels), split.feature_dim], np.float32)  # of no images
        >>> process = fl.build_fed_bn(fl.fine_tuned_backbone(features.with_examples(rows), split), split)
        >>> [w.shape for w in process.initial_client_state("client_0")["personal"]]
        [(1280,), (1280,)]

    References:
        Li et al., FedBN: Federated learning on non-IID features via local batch normalization, ICLR 2021,
        arXiv:2102.07623. (There the clients count alike, as they hold equally many examples.)
    """
    affine = batch_norm_places(split)
    if not affine:
        raise UsageError(
            f"split: expected some trained batch normalisation (.../gamma, .../beta), got {split.trainable!r} with "
            f'{len(split.names)} variables; take split_backbone(backbone, "batch_norm") or a deeper one'
        )
    shapes = [tuple(w.shape) for w in model.initial_weights[0]]
    trained = [tuple(value.shape) for value in split.initial_values]
    if shapes[: len(trained)] != trained or len(shapes) <= len(trained):
        raise UsageError(
            f"model: expected fine_tuned_backbone(features, split) with the {len(trained)} variables of this split and "
            f"a head, got one with {len(shapes)} trainable weights; build it from the same split"
        )
    process = build_fed_per(
        model,
        personal_indices=affine,
        client_lr=client_lr,
        server_lr=server_lr,
        client_optimizer=client_optimizer,
        server_optimizer=server_optimizer,
        client_weighting=client_weighting,
        model_aggregator=model_aggregator,
    )
    process.algorithm = "fed_bn"
    return process


def batch_norm_places(split: SplitBackbone) -> list[int]:
    """Returns which of a split's variables are a batch normalisation's scale or offset, by their place.

    With the depth `"batch_norm"` these are all, whatever their names: `split_backbone` has found them in the graph.
    Else they are told by their names, `.../gamma` and `.../beta`, as Keras gives them.
    """
    if split.trainable == "batch_norm":
        return list(range(len(split.names)))
    return [place for place, name in enumerate(split.names) if _AFFINE.search(name)]
