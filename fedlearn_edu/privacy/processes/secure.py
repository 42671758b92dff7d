"""Federated averaging under secure aggregation: the server is meant to see the sum of the deltas and nothing else."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.learning.aggregators.secure_mean import secure_mean_factory
from fedlearn_edu.learning.process import FederatedProcess
from fedlearn_edu.privacy.processes.common import private_fed_avg


def build_secure_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    value_bound: float | None = None,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
) -> FederatedProcess:
    """Unweighted federated averaging whose deltas are summed by TFF's secure aggregation.

    The server broadcasts the global model; each client trains a copy and turns its model delta into integers of 32
    bits between two bounds. A secure protocol adds these up, and the server divides the sum by the number of clients.
    It equals the plain mean up to the fixed-point step, `2 * bound / (2**32 - 1)`.

    TFF's local runtime SIMULATES this: the integers are those of a real run, but they are added in the clear, by a
    process on this machine. `fedlearn_edu.privacy.secure_aggregation` has a protocol that really masks them. Nor is
    a secure sum differentially private: the sum itself, round by round, may give a client away. The training metrics
    (accuracy, loss, number of examples) are summed in the clear.

    A coordinate beyond the bound raises instead of being clipped unseen. A client whose training ends in NaN has its
    delta replaced by zero before this, by TFF.

    Args:
        model: What is trained.
        value_bound: Largest magnitude of a delta's coordinate, above 0; e.g. 64 gives a step of 3e-8. None: the bound
            of `tff.learning.secure_aggregator`, which starts at 100 and follows the clients' values.
        client_lr: Learning rate of the clients' SGD.
        server_lr: Learning rate of the server's SGD.

    Returns:
        A learning process. Its `.privacy` is None: there is no epsilon.

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: An argument is out of its range.
        RunError: While running: a client's delta does not fit between the bounds.

    Example:
        >>> process = fl.build_secure_fed_avg(fl.linear_head(features), value_bound=64.0)
        >>> process.privacy is None  # a sum that is secure may still give a client away
        True

    References:
        Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017.
    """
    return private_fed_avg(
        model,
        algorithm="secure_fed_avg",
        model_aggregator=secure_mean_factory(value_bound=value_bound),
        client_lr=client_lr,
        server_lr=server_lr,
        privacy=None,
        hyperparameters={"value_bound": value_bound},
    )
