"""FedCOF: class covariances estimated from the spread of clients' class means, and a ridge-like head from them."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.checks import check_positive
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.learning.one_shot.aggregation import StackFactory
from fedlearn_edu.learning.one_shot.head import (
    ABSENT_SCORE,
    OneShotHead,
    build_one_shot_head,
    class_means,
    normalized,
    present_classes,
)


def one_shot_cof(features: FederatedDataset, *, shrinkage: float = 1.0) -> OneShotHead:
    """A head from class covariances that nobody sent (FedCOF): clients send what FedNCM sends, and no more.

    Nothing is broadcast. Each client sends, per class, the sum of its feature vectors and their number, that is, its
    class means and counts. If client k's n_kc examples of class c are a random sample of that class, the mean of
    them has the covariance Sigma_c / n_kc, so that the spread of client means tells Sigma_c. From the paper:

        Sigma_c = 1 / (K_c - 1) * sum_k n_kc (mean_kc - mean_c)(mean_kc - mean_c)'  +  gamma I
        G = sum_c (N_c - 1) Sigma_c + N * mean mean',    W = G^-1 [sum of x of class c]_c,    columns of length 1

    where K_c clients have N_c examples of class c. The estimate is unbiased; G leaves out the covariance between
    classes, which the authors found to work better; there is no bias. A class held by one client only has no spread,
    and its Sigma_c is gamma I (as in the authors' code). From here, not from the paper: gamma is `shrinkage` times the
    average variance that was estimated, in place of a fixed number, so that it fits features of any scale.

    The assumption is the weak point: where clients' examples of one class differ by kind (emoji by vendor), their
    means spread far more than chance explains, and the covariance comes out too large.

    A class that no client has gets the bias -1e9 and is never predicted.

    Privacy: the server must see every client's class means, side by side: a sum, secure or not, is not enough, so
    there is no aggregator to exchange. Of a class of which a client has one example it sees that feature vector.

    Args:
        features: What it will be computed from; only `feature_dim` and `num_classes` are read here.
        shrinkage: gamma in units of the average estimated variance, above 0.

    Returns:
        A head for `run_one_shot`; its `notes` have `gamma`, `variance` (estimated, average of a feature within a
        class) and `clients_per_class`.

    Shapes:
        A client sends class_sums `[num_classes, feature_dim]` and class_counts `[num_classes]`, float32. kernel
        `[feature_dim, num_classes]`, bias `[num_classes]`.

    Raises:
        UsageError: `features` still holds images, or `shrinkage` is not a finite number above 0.

    Example:
        >>> result = fl.run_one_shot(fl.one_shot_cof(features), features)
        >>> result.accuracy > 0.5
        True

    References:
        Goswami et al., Covariances for free: exploiting mean distributions for training-free federated learning,
        NeurIPS 2025, arXiv:2412.14326.
    """
    shrinkage = check_positive("shrinkage", shrinkage)

    def solve(statistics):
        return solve_cof(statistics, shrinkage)

    return build_one_shot_head(
        features,
        name="one_shot_cof",
        settings={"shrinkage": shrinkage},
        gram=False,
        statistics_aggregator=StackFactory(),
        solve=solve,
    )


def solve_cof(statistics, shrinkage: float) -> tuple[np.ndarray, np.ndarray, dict]:
    """Returns kernel, bias and notes; `one_shot_cof` has the formulas.

    Args:
        statistics: class_sums `[num_clients, num_classes, feature_dim]`, class_counts `[num_clients, num_classes]`.
        shrinkage: As there.
    """
    sums, counts = statistics["class_sums"], statistics["class_counts"]
    total = {"class_sums": sums.sum(axis=0), "class_counts": counts.sum(axis=0)}
    present = present_classes(total["class_counts"])
    means = class_means(total)
    scatter = np.zeros([sums.shape[2]] * 2)
    for c in np.flatnonzero(present):
        scatter += (total["class_counts"][c] - 1) * class_covariance(sums[:, c], counts[:, c])
    num_examples = total["class_counts"].sum()
    within = num_examples - present.sum()  # sum of N_c - 1
    variance = float(np.trace(scatter) / len(scatter) / max(within, 1))
    size = float(np.mean(means[present] ** 2)) or 1.0
    # One client, or clients that all say the same, tell nothing about the spread; then any gamma gives the same head.
    gamma = shrinkage * (variance if variance > 1e-12 * size else size)
    mean = total["class_sums"].sum(axis=0) / num_examples
    gram = scatter + max(within, 1) * gamma * np.eye(len(mean)) + num_examples * np.outer(mean, mean)
    kernel = normalized(np.linalg.solve(gram, total["class_sums"].T))
    notes = {"gamma": gamma, "variance": variance, "clients_per_class": (counts > 0).sum(axis=0).tolist()}
    return kernel, np.where(present, 0.0, ABSENT_SCORE), notes


def class_covariance(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the unbiased estimate of one class's covariance from its clients' sums, zero for a single client.

    Args:
        sums: float `[num_clients, feature_dim]`, each client's sum of the features of this class.
        counts: float `[num_clients]`, its number of examples of this class; clients with none are left out.

    Example:
        >>> class_covariance(np.array([[1.0], [6.0], [0.0]]), np.array([1.0, 2.0, 0.0]))
        array([[2.66666667]])
    """
    has = counts > 0
    counts = counts[has]
    means = sums[has] / counts[:, None]
    weighted = (means - sums[has].sum(axis=0) / counts.sum()) * np.sqrt(counts)[:, None]
    return weighted.T @ weighted / max(len(counts) - 1, 1)
