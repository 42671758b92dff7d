"""Membership inference: was this example among those that the model was trained on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.attacks.received import check_features, check_labels, head_logits
from fedlearn_edu.privacy.attacks.result import AttackResult
from fedlearn_edu.privacy.attacks.shadow_heads import ShadowHeads

LOW_RATES = (0.001, 0.01, 0.1)
# Below so many shadow models per side an example's own variance is too uncertain; one for all serves better (Carlini).
_OWN_VARIANCE_FROM = 32


def loss_threshold_membership(
    model_weights: Sequence[np.ndarray],
    features: np.ndarray,
    labels: np.ndarray,
    is_member: np.ndarray,
) -> AttackResult:
    """Guesses that an example was trained on if the model's loss on it is small.

    The simplest attack there is: it needs the model (every client of a federation has it) and the mean training loss,
    which is its threshold. The AUC needs no threshold at all.

    Args:
        model_weights: Of the trained head, `[kernel, bias]` or the four arrays of `mlp_head`; with an output a class,
            or the one of a binary task.
        features: Of the examples in question, `[num_examples, feature_dim]`.
        labels: Their classes.
        is_member: Which of them the model was trained on, bool `[num_examples]`; both kinds must occur. The attacker
            does not know it, the score does.

    Returns:
        As `score_membership`. Details also have Yeom's `membership_advantage` (true minus false positive rate) and
        `balanced_accuracy` (0.5 = guessing) at the threshold "mean loss of the members".

    Raises:
        UsageError: Shapes or values do not fit.

    References:
        Yeom, Giacomelli, Fredrikson, Jha, Privacy risk in machine learning: analyzing the connection to overfitting,
        CSF 2018, arXiv:1709.01604.
    """
    features, labels, is_member = _check(model_weights, features, labels, is_member)
    losses = cross_entropy(head_logits(model_weights, features), labels)
    said = losses <= losses[is_member].mean()
    advantage = float(said[is_member].mean() - said[~is_member].mean())
    extra = {"membership_advantage": advantage, "balanced_accuracy": (1 + advantage) / 2}
    return score_membership(-losses, is_member, attack="membership by loss", details=extra)


def likelihood_ratio_membership(
    model_weights: Sequence[np.ndarray],
    features: np.ndarray,
    labels: np.ndarray,
    is_member: np.ndarray,
    shadows: ShadowHeads,
) -> AttackResult:
    """Guesses that an example was trained on if shadow models that saw it behave more like the model than others.

    An easy example has a small loss whether or not it was trained on; what counts is the loss *for this example*. The
    attacker trains shadow models on random halves of similar data (`train_shadow_heads`). For each example the
    confidence log(p / (1 - p)) in its class, over the shadows that saw it and over those that did not, gives two
    normal distributions; the score is the log ratio of the model's own confidence under both. (LiRA, online; with
    fewer than 32 shadows a side one variance serves all examples.)

    Args:
        model_weights: Of the attacked head.
        features: Of the examples in question, `[num_examples, feature_dim]`: the same, in the same order, that the
            shadows were drawn from.
        labels: Their classes.
        is_member: Which of them the attacked model was trained on, bool `[num_examples]`.
        shadows: From `train_shadow_heads(features, labels, ...)`.

    Returns:
        As `score_membership`. Details also have `balanced_accuracy` at a log ratio of 0.

    Raises:
        UsageError: Shapes or values do not fit, or some example was in all shadows or in none.

    References:
        Carlini, Chien, Nasr, Song, Terzis, Tramèr, Membership inference attacks from first principles, S&P 2022,
        arXiv:2112.03570.
    """
    features, labels, is_member = _check(model_weights, features, labels, is_member)
    if shadows.saw.shape[1] != len(features):
        raise UsageError(
            f"shadows: expected heads drawn from these {len(features)} examples, got {shadows.saw.shape[1]}"
        )
    num_in, num_out = shadows.saw.sum(axis=0), (~shadows.saw).sum(axis=0)
    if min(num_in.min(), num_out.min()) < 1 or len(shadows.saw) < 4:
        raise UsageError(
            "shadows: expected every example in some shadow's training set and out of another's, 4 or more"
        )
    own = confidence(head_logits(model_weights, features), labels)
    shadow = np.stack([confidence(head_logits(weights, features), labels) for weights in shadows])
    ratio = _log_density(own, shadow, shadows.saw) - _log_density(own, shadow, ~shadows.saw)
    said = ratio > 0
    balanced = float(said[is_member].mean() + (~said)[~is_member].mean()) / 2
    extra = {"membership_advantage": 2 * balanced - 1, "balanced_accuracy": balanced, "num_shadows": len(shadows.saw)}
    return score_membership(ratio, is_member, attack="membership by likelihood ratio", details=extra)


def score_membership(
    scores: np.ndarray, is_member: np.ndarray, *, attack: str = "membership", details: dict | None = None
) -> AttackResult:
    """Measures how well scores tell members from others.

    Args:
        scores: The higher, the more likely a member; finite, `[num_examples]`.
        is_member: bool `[num_examples]`; both kinds must occur.
        attack: Name of the attack.
        details: Further figures for the result.

    Returns:
        Success is the area under the ROC curve (AUC): the probability that a random member scores higher than a random
        other example; baseline 0.5. Details: `best_advantage` (largest true minus false positive rate over all
        thresholds; above 0 by chance in small samples), `tpr_at_fpr_0.001`, `..._0.01` and `..._0.1` (share of members
        found while at most that share of others is accused; guessing finds as many), and the arrays
        `false_positive_rates` and `true_positive_rates`.

    Raises:
        UsageError: Shapes or values do not fit.

    Example:
        >>> score_membership(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False])).success
        1.0
    """
    from sklearn.metrics import auc, roc_curve

    scores, is_member = np.asarray(scores, np.float64), np.asarray(is_member)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise UsageError(f"scores: expected finite numbers [num_examples], got shape {scores.shape}")
    _check_members(is_member, len(scores))
    false, true, _ = roc_curve(is_member, scores, drop_intermediate=False)
    at_low = {f"tpr_at_fpr_{rate:g}": float(true[false <= rate].max()) for rate in LOW_RATES}
    curves = {"false_positive_rates": false, "true_positive_rates": true}
    facts = {"best_advantage": float(np.max(true - false)), **at_low, **(details or {}), **curves}
    return AttackResult(attack, float(auc(false, true)), 0.5, "AUC", facts)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the loss of each example, in nats."""
    return np.logaddexp.reduce(logits, axis=1) - np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]


def confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns log(p / (1 - p)) of each example's class, from the logits, so that p = 1 does not overflow."""
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - np.logaddexp.reduce(others, axis=1)


def _log_density(own: np.ndarray, shadow: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Log density of the model's confidence under normals fitted to the chosen shadows, example by example."""
    count = chosen.sum(axis=0)
    mean = (shadow * chosen).sum(axis=0) / count
    squares = ((shadow - mean) ** 2 * chosen).sum(axis=0)
    if count.min() >= _OWN_VARIANCE_FROM:
        variance = squares / (count - 1)
    else:
        variance = np.full(len(own), squares.sum() / max(count.sum() - len(count), 1))
    variance = np.maximum(variance, 1e-12)
    return -((own - mean) ** 2) / (2 * variance) - np.log(variance) / 2


def _check(model_weights, features, labels, is_member):
    features = check_features("features", features)
    num_classes = max(2, len(np.asarray(model_weights[-1])))  # one output: yes or no
    labels = check_labels("labels", labels, num_examples=len(features), num_classes=num_classes)
    is_member = np.asarray(is_member)
    _check_members(is_member, len(features))
    return features, labels, is_member


def _check_members(is_member: np.ndarray, num_examples: int) -> None:
    if is_member.shape != (num_examples,) or is_member.dtype != bool:
        raise UsageError(f"is_member: expected {num_examples} values True or False, got shape {is_member.shape}")
    if is_member.all() or not is_member.any():
        raise UsageError("is_member: expected members and others, got only one kind; there is nothing to tell apart")
