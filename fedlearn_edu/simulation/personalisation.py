"""Local fine-tuning: every client goes on from the global model on its own, and nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count, check_learning_rate, check_seed
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.names import quoted
from fedlearn_edu.engine.runtime import start_runtime
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.local_training import train_locally
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess
from fedlearn_edu.simulation.client_data import (
    CLIENT_TYPE,
    ClientFiles,
    build_batches_computation,
    build_test_computation,
)
from fedlearn_edu.simulation.comparison import marked
from fedlearn_edu.simulation.evaluation import count_metrics, metrics_of_sums
from fedlearn_edu.simulation.run_checks import check_features


def fine_tune_locally(
    process_or_model: FederatedProcess | StatefulFederatedProcess | tff.learning.models.FunctionalModel,
    features: FederatedDataset,
    model_weights: Sequence[np.ndarray],
    *,
    num_epochs: int = 5,
    client_lr: float = 0.1,
    batch_size: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Trains a copy of the global model on each client's own training examples, and measures it on its test examples.

    The simplest personal model, and the one that every other has to beat. The server broadcasts the global model once
    more; each client takes `num_epochs` passes of SGD over its training examples and predicts its own test examples
    before and after. The tuned model stays where it is.

    Args:
        process_or_model: Whose model it is, or the model.
        features: The clients; usually those of the run. Clients that took no part in it can be tuned as well.
        model_weights: Where to start: `history.model_weights`.
        num_epochs: Passes over a client's training examples, at least 1.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        batch_size: Examples per local step, at least 1.
        seed: Of the local shuffles.

    Returns:
        One row per client (index `client_id`) in the order of the clients: `before` and `after`, accuracies of the
        global and of the tuned model (0 to 1), or the primary metric of another task, in its unit; `loss_before` and
        `loss_after` (of classes nats); `num_train` and `num_test`. Values are missing without test examples, an AUC
        also where all of them are of one class. For `fairness_table` and `plot_personalisation`, which read the metric
        in its `attrs`.

    Raises:
        UsageError: An argument is out of its range, features are not finite, the model is of another task, or
            `model_weights` are not those of the model.

    References:
        Yu, Bagdasaryan, Shmatikov, Salvaging federated learning by local adaptation, 2020, arXiv:2002.04758.
        Cheng, Chadha, Duchi, Fine-tuning is fine in federated learning, 2021, arXiv:2108.07313.
    """
    model = getattr(process_or_model, "model", process_or_model)
    check_count("num_epochs", num_epochs)
    check_count("batch_size", batch_size)
    shuffle_seed = check_seed(seed)
    check_features(features)
    optimizer = tff.learning.optimizers.build_sgdm(check_learning_rate("client_lr", client_lr))
    weights = _checked(model_weights, model)
    target_dtype = _target_dtype(model, features)
    start_runtime()
    files = ClientFiles(features)
    read_train = build_batches_computation(
        features.feature_dim, num_epochs=num_epochs, batch_size=batch_size, target_dtype=target_dtype
    )
    read_test = build_test_computation(features.feature_dim, target_dtype=target_dtype)
    tune = _tuning(model, weights, optimizer, read_train, read_test)
    sums = tune(weights, files.told(features.client_ids, shuffle_seed=shuffle_seed))
    primary, columns = features.task.primary, {}
    for metric, prefix in ((primary.name, ""), ("loss", "loss_")):
        for when in ("before", "after"):
            of_client = metrics_of_sums(zip(features.client_ids, (s[when] for s in sums), strict=True))[1]
            columns[f"{prefix}{when}"] = [
                of_client[c].values.get(metric, np.nan) if c in of_client else np.nan for c in features.client_ids
            ]
    columns |= {f"num_{part}": [len(getattr(s, part)) for s in features.clients.values()] for part in ("train", "test")}
    return marked(pd.DataFrame(columns, index=pd.Index(features.client_ids, name="client_id")), primary)


def _tuning(model, weights, optimizer, read_train, read_test) -> tff.Computation:
    """Returns `(<weights@SERVER, {client}@CLIENTS> -> {sums of the metrics before and after}@CLIENTS)`."""
    weights_type = tff.to_type(tf.nest.map_structure(lambda w: tff.TensorType(w.dtype, w.shape), weights))

    @tff.tensorflow.computation(weights_type, read_train.type_signature.result, read_test.type_signature.result)
    @tf.function(autograph=False)
    def tune(weights, batches, test):
        trained = train_locally(model, weights, batches, optimizer)
        own = tff.learning.models.ModelWeights(trained.trainable, tuple(weights.non_trainable))
        sent = tff.learning.models.ModelWeights(tuple(weights.trainable), own.non_trainable)
        return {"before": count_metrics(model, sent, test), "after": count_metrics(model, own, test)}

    @tff.federated_computation(tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(CLIENT_TYPE, tff.CLIENTS))
    def tune_all(weights, clients):
        examples, test = tff.federated_map(read_train, clients), tff.federated_map(read_test, clients)
        return tff.federated_map(tune, (tff.federated_broadcast(weights), examples, test))

    return tune_all


def _target_dtype(model, features: FederatedDataset) -> str:
    """Returns the dtype of the targets by name; raises UsageError if the model is not one of the features' task."""
    primary, measured = features.task.primary.name, model.initialize_metrics_state()
    if primary not in measured or model.input_spec[1].dtype != features.task.target_dtype:
        raise UsageError(
            f"process_or_model: expected a model of the {features.task.kind} task of {quoted(features.name)}, measured "
            f"by {primary}, got one measured by {', '.join(name for name in measured if name != 'num_examples')}; "
            "build it from these features"
        )
    return features.task.target_dtype.name


def _checked(model_weights, model) -> tff.learning.models.ModelWeights:
    trainable, non_trainable = model.initial_weights
    given = tuple(np.asarray(w, np.float32) for w in getattr(model_weights, "trainable", model_weights))
    expected, found = [np.shape(w) for w in trainable], [w.shape for w in given]
    if expected != found or not all(np.isfinite(w).all() for w in given):
        raise UsageError(
            f"model_weights: expected finite arrays of the shapes {expected}, got {found}; take history.model_weights "
            "of a run of this model"
        )
    return tff.learning.models.ModelWeights(given, tuple(np.asarray(w) for w in non_trainable))
