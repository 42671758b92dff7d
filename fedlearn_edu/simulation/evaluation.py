"""Accuracy and loss of the global model, on every client and over all of them."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.learning.process import FederatedProcess


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Accuracy (0 to 1) and mean loss (nats) over `num_examples` test examples."""

    accuracy: float
    loss: float
    num_examples: int


class FederatedEvaluation:
    """Evaluates a global model where the test data are.

    The model is broadcast, each client computes sums over its own test split, and the sums come back. TFF's own
    evaluation process aggregates them before anyone can tell clients apart, and its sampling aggregators return
    values without a client id; here the sums are returned per client, in the order of the ids, because showing
    each client's accuracy is the point. A real deployment would show the server only the total.

    Args:
        process: The process whose model is evaluated.
        test_computation: `(client_id -> <x, y>)`, from `ClientFiles.test_computation()`.
    """

    def __init__(self, process: FederatedProcess, test_computation: tff.Computation):
        model = process.model
        weights_type = process.get_model_weights.type_signature.result

        @tff.tensorflow.computation(weights_type, test_computation.type_signature.result)
        def local_sums(weights, examples):
            x, y = examples
            output = model.predict_on_batch((weights.trainable, weights.non_trainable), x, training=False)
            batch = tff.learning.models.BatchOutput(
                loss=model.loss(output, y), predictions=output, num_examples=tf.size(y)
            )
            return model.update_metrics_state(model.initialize_metrics_state(), labels=y, batch_output=batch)

        @tff.federated_computation(
            tff.FederatedType(weights_type, tff.SERVER),
            tff.FederatedType(test_computation.type_signature.parameter, tff.CLIENTS),
        )
        def evaluate(weights, client_ids):
            test_data = tff.federated_map(test_computation, client_ids)
            return tff.federated_map(local_sums, (tff.federated_broadcast(weights), test_data))

        self._evaluate = evaluate

    def __call__(self, weights, client_ids: list[str]) -> tuple[Metrics | None, dict[str, Metrics]]:
        """Returns the metrics over all clients' test examples, and those of each client that has any.

        Args:
            weights: `tff.learning.models.ModelWeights` of the global model.
            client_ids: Whom to ask.

        Returns:
            `(global, per_client)`. The global accuracy is that of the pooled test examples (a client with twice
            the examples counts twice); None if no client has a test example.
        """
        sums = {}
        for client_id, state in zip(client_ids, self._evaluate(weights, client_ids), strict=True):
            if int(state["num_examples"]):
                correct, loss_sum = float(state["accuracy"][0]), float(state["loss"][0])
                sums[client_id] = (correct, loss_sum, int(state["num_examples"]))
        if not sums:
            return None, {}
        total = tuple(sum(column) for column in zip(*sums.values(), strict=True))
        return _metrics(*total), {client_id: _metrics(*s) for client_id, s in sums.items()}


def _metrics(correct: float, loss_sum: float, num_examples: int) -> Metrics:
    return Metrics(correct / num_examples, loss_sum / num_examples, num_examples)
