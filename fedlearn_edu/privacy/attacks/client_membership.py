"""Membership inference on whole clients: did this client take part in the training?"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.attacks.membership import cross_entropy, score_membership
from fedlearn_edu.privacy.attacks.received import head_logits
from fedlearn_edu.privacy.attacks.result import AttackResult


def client_membership(
    model_weights: Sequence[np.ndarray],
    reference_weights: Sequence[np.ndarray],
    features: FederatedDataset,
    member_ids: Collection[str],
) -> AttackResult:
    """Guesses that a client took part if the model fits its data better than a reference model does.

    What client-level differential privacy promises to hide, tested. The attacker has the client's data (or data like
    it) and a reference model, trained in the same way on other clients. Some clients are easy for every model; the
    reference takes that out. A client's score is the mean over its training examples of loss under the reference -
    loss under the model, and the guess is "member" where it is above 0.

    Args:
        model_weights: Of the attacked head, `[kernel, bias]`; with an output a class, or the one of a binary task.
        reference_weights: Of the attacker's head, of the same shapes, trained on clients that are not in `features`. A
            reference that has seen the non-members makes every model look as if it leaked.
        features: The clients in question, members and others.
        member_ids: Who took part in training the attacked model; both kinds must occur. The attacker does not know
            it, the score does.

    Returns:
        As `score_membership`: success is the AUC, baseline 0.5. Details also have `balanced_accuracy` of the guess (0.5
        = guessing), which epsilon and delta bound (`largest_attack_accuracy`).

    Raises:
        UsageError: Shapes do not fit, an id is unknown, all or none of the clients took part, or the task has no
            classes.

    References:
        Sablayrolles et al., White-box vs black-box: Bayes optimal strategies for membership inference, ICML 2019,
        arXiv:1908.11229 (loss against a calibrated threshold). Nasr, Shokri, Houmansadr, Comprehensive privacy analysis
        of deep learning, S&P 2019, arXiv:1812.00910 (in federations).
    """
    features.task.require("classification", "binary", what="client_membership")
    members = set(member_ids)
    unknown = sorted(members - set(features.client_ids))
    if unknown:
        raise UsageError(f"member_ids: expected ids of clients in features, got {unknown[0]!r}")
    is_member = np.array([client_id in members for client_id in features.client_ids])
    scores = []
    for client_id in features.client_ids:
        x, y = features.train(client_id)
        own, reference = (cross_entropy(head_logits(w, x), y) for w in (model_weights, reference_weights))
        scores.append(np.mean(reference - own))
    result = score_membership(np.array(scores), is_member, attack="client membership")
    said = np.array(scores) > 0
    balanced = float(said[is_member].mean() + (~said)[~is_member].mean()) / 2
    return dataclasses.replace(result, details={**result.details, "balanced_accuracy": balanced})
