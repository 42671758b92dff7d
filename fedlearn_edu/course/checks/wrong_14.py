"""Stored wrong answers of lesson 14, by function: plausible slips that its checks must catch (the tests prove it)."""

_ROWS = """
def _finite(deltas):
    return deltas[np.isfinite(deltas).all(axis=1)]
"""

_DISTANCES = """
def _squared_distances(deltas):
    return ((deltas[:, None, :] - deltas[None, :, :]) ** 2).sum(axis=2)
"""

_TRIMMED = (
    _ROWS
    + """
def trimmed_mean(deltas, num_trimmed):
    rows = np.sort(_finite(deltas), axis=0)
    if not len(rows):
        return np.zeros(deltas.shape[1])
    {middle}
    return middle.mean(axis=0) if len(middle) else np.zeros(deltas.shape[1])
"""
)
_MIDDLE = "dropped = min(num_trimmed, {most})\n    middle = rows[dropped : len(rows) - dropped]"

_KRUM = (
    _DISTANCES
    + """
def krum(deltas, num_attackers):
    n = len(deltas)
    if n < {smallest}:
        return None
    scores = np.sort(_squared_distances(deltas), axis=1)[:, 1 : n - num_attackers - 1].sum(axis=1)
    return int(np.argmin(scores)), scores
"""
)

_WEISZFELD = """
def geometric_median(deltas, num_iterations, smoothing):
    point = deltas.mean(axis=0)
    for _ in range({steps}):
        distances = np.linalg.norm(deltas - point, axis=1)
        {stop}
        weights = 1 / {distances}
        point = weights @ deltas / weights.sum()
    return point
"""
_STEPS = {"steps": "num_iterations", "stop": "pass", "distances": "np.maximum(distances, smoothing)"}

WRONG_ANSWERS = {
    "hijack_mean": {
        "everyone counts alike": """
def hijack_mean(honest_deltas, honest_weights, own_weight, target):
    k = len(honest_deltas) + 1
    return [k * t - sum(d[i] for d in honest_deltas) for i, t in enumerate(target)]
""",
        "forgets the others": """
def hijack_mean(honest_deltas, honest_weights, own_weight, target):
    total = sum(honest_weights) + own_weight
    return [total / own_weight * t for t in target]
""",
        "the total without itself": """
def hijack_mean(honest_deltas, honest_weights, own_weight, target):
    total = sum(honest_weights)
    pushed = [sum(w * d[i] for w, d in zip(honest_weights, honest_deltas)) for i in range(len(target))]
    return [(total * t - p) / own_weight for t, p in zip(target, pushed)]
""",
        "does not divide by its weight": """
def hijack_mean(honest_deltas, honest_weights, own_weight, target):
    total = sum(honest_weights) + own_weight
    pushed = [sum(w * d[i] for w, d in zip(honest_weights, honest_deltas)) for i in range(len(target))]
    return [total * t - p for t, p in zip(target, pushed)]
""",
        "adds the others": """
def hijack_mean(honest_deltas, honest_weights, own_weight, target):
    total = sum(honest_weights) + own_weight
    pushed = [sum(w * d[i] for w, d in zip(honest_weights, honest_deltas)) for i in range(len(target))]
    return [(total * t + p) / own_weight for t, p in zip(target, pushed)]
""",
    },
    "trimmed_mean": {
        "drops the longest rows": _ROWS
        + """
def trimmed_mean(deltas, num_trimmed):
    rows = _finite(deltas)
    if not len(rows):
        return np.zeros(deltas.shape[1])
    kept = np.argsort(np.linalg.norm(rows, axis=1))[: max(len(rows) - 2 * num_trimmed, 1)]
    return rows[kept].mean(axis=0)
""",
        "trims the top only": _ROWS
        + """
def trimmed_mean(deltas, num_trimmed):
    rows = np.sort(_finite(deltas), axis=0)
    if not len(rows):
        return np.zeros(deltas.shape[1])
    return rows[: max(len(rows) - num_trimmed, 1)].mean(axis=0)
""",
        "sorts along the weights": _ROWS
        + """
def trimmed_mean(deltas, num_trimmed):
    rows = np.sort(_finite(deltas), axis=1)
    if not len(rows):
        return np.zeros(deltas.shape[1])
    dropped = min(num_trimmed, (len(rows) - 1) // 2)
    return rows[dropped : len(rows) - dropped].mean(axis=0)
""",
        "does not look for NaN": """
def trimmed_mean(deltas, num_trimmed):
    dropped = min(num_trimmed, (len(deltas) - 1) // 2)
    return np.sort(deltas, axis=0)[dropped : len(deltas) - dropped].mean(axis=0)
""",
        "zeros in place of NaN": """
def trimmed_mean(deltas, num_trimmed):
    rows = np.sort(np.where(np.isfinite(deltas), deltas, 0.0), axis=0)
    dropped = min(num_trimmed, (len(rows) - 1) // 2)
    return rows[dropped : len(rows) - dropped].mean(axis=0)
""",
        "an even number may be trimmed away": _TRIMMED.format(middle=_MIDDLE.format(most="len(rows) // 2")),
        "counts rows that are left out": _TRIMMED.format(middle=_MIDDLE.format(most="(len(deltas) - 1) // 2")),
        "one of the two in the middle": _TRIMMED.format(
            middle="cut = min(num_trimmed, len(rows) // 2)\n    middle = rows[cut : max(len(rows) - cut, cut + 1)]"
        ),
        "drops the largest absolute values": _TRIMMED.format(
            middle="dropped = min(num_trimmed, (len(rows) - 1) // 2)\n"
            "    middle = np.array([sorted(column, key=abs) for column in rows.T]).T[: len(rows) - 2 * dropped]"
        ),
        "trims everyone away": _ROWS
        + """
def trimmed_mean(deltas, num_trimmed):
    rows = np.sort(_finite(deltas), axis=0)
    middle = rows[num_trimmed : len(rows) - num_trimmed]
    return middle.mean(axis=0) if len(middle) else np.zeros(deltas.shape[1])
""",
    },
    "krum": {
        "is its own neighbour": _DISTANCES
        + """
def krum(deltas, num_attackers):
    n = len(deltas)
    if n < 2 * num_attackers + 3:
        return None
    scores = np.sort(_squared_distances(deltas), axis=1)[:, : n - num_attackers - 2].sum(axis=1)
    return int(np.argmin(scores)), scores
""",
        "distances without the square": _DISTANCES
        + """
def krum(deltas, num_attackers):
    n = len(deltas)
    if n < 2 * num_attackers + 3:
        return None
    scores = np.sqrt(np.sort(_squared_distances(deltas), axis=1)[:, 1 : n - num_attackers - 1]).sum(axis=1)
    return int(np.argmin(scores)), scores
""",
        "all others are neighbours": _DISTANCES
        + """
def krum(deltas, num_attackers):
    if len(deltas) < 2 * num_attackers + 3:
        return None
    scores = _squared_distances(deltas).sum(axis=1)
    return int(np.argmin(scores)), scores
""",
        "one neighbour too many": _DISTANCES
        + """
def krum(deltas, num_attackers):
    n = len(deltas)
    if n < 2 * num_attackers + 3:
        return None
    scores = np.sort(_squared_distances(deltas), axis=1)[:, 1 : n - num_attackers].sum(axis=1)
    return int(np.argmin(scores)), scores
""",
        "wants one client more": _KRUM.format(smallest="2 * num_attackers + 4"),
        "the bound of another theorem": _KRUM.format(smallest="3 * num_attackers + 1"),
        "an honest majority is enough": _KRUM.format(smallest="2 * num_attackers + 1"),
        "takes a cohort of any size": _KRUM.format(smallest="0"),
        "takes the loneliest": _DISTANCES
        + """
def krum(deltas, num_attackers):
    n = len(deltas)
    if n < 2 * num_attackers + 3:
        return None
    scores = np.sort(_squared_distances(deltas), axis=1)[:, 1 : n - num_attackers - 1].sum(axis=1)
    return int(np.argmax(scores)), scores
""",
    },
    "geometric_median": {
        "the mean": """
def geometric_median(deltas, num_iterations, smoothing):
    return deltas.mean(axis=0)
""",
        "the coordinate-wise median": """
def geometric_median(deltas, num_iterations, smoothing):
    return np.median(deltas, axis=0)
""",
        "one over the squared distance": """
def geometric_median(deltas, num_iterations, smoothing):
    point = deltas.mean(axis=0)
    for _ in range(num_iterations):
        weights = 1 / np.maximum(np.linalg.norm(deltas - point, axis=1), smoothing) ** 2
        point = weights @ deltas / weights.sum()
    return point
""",
        "divides by zero": """
def geometric_median(deltas, num_iterations, smoothing):
    point = deltas.mean(axis=0)
    for _ in range(num_iterations):
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = 1 / np.linalg.norm(deltas - point, axis=1)
            point = weights @ deltas / weights.sum()
    return point
""",
        "one step too many": _WEISZFELD.format(**_STEPS | {"steps": "num_iterations + 1"}),
        "smoothing is added": _WEISZFELD.format(**_STEPS | {"distances": "(distances + smoothing)"}),
        "a smoothing of its own": _WEISZFELD.format(**_STEPS | {"distances": "np.maximum(distances, 1e-6)"}),
        "stays with a near client": _WEISZFELD.format(
            **_STEPS | {"stop": "if distances.min() < smoothing: return deltas[distances.argmin()]"}
        ),
        "always from the mean": """
def geometric_median(deltas, num_iterations, smoothing):
    mean = deltas.mean(axis=0)
    for _ in range(num_iterations):
        weights = 1 / np.maximum(np.linalg.norm(deltas - mean, axis=1), smoothing)
        point = weights @ deltas / weights.sum()
    return point
""",
        "the far ones count more": """
def geometric_median(deltas, num_iterations, smoothing):
    point = deltas.mean(axis=0)
    for _ in range(num_iterations):
        weights = np.maximum(np.linalg.norm(deltas - point, axis=1), smoothing)
        point = weights @ deltas / weights.sum()
    return point
""",
    },
    "largest_harm": {
        "any direction is the worst": """
def largest_harm(honest_deltas, num_attackers, max_norm):
    return num_attackers * max_norm / (len(honest_deltas) + num_attackers)
""",
        "divides by the honest": """
def largest_harm(honest_deltas, num_attackers, max_norm):
    norms = np.maximum(np.linalg.norm(honest_deltas, axis=1, keepdims=True), max_norm)
    mean = (honest_deltas * max_norm / norms).mean(axis=0)
    return num_attackers * (max_norm + np.linalg.norm(mean)) / len(honest_deltas)
""",
        "honest deltas as they were sent": """
def largest_harm(honest_deltas, num_attackers, max_norm):
    mean = honest_deltas.mean(axis=0)
    return num_attackers * (max_norm + np.linalg.norm(mean)) / (len(honest_deltas) + num_attackers)
""",
        "the honest are as long as they may be": """
def largest_harm(honest_deltas, num_attackers, max_norm):
    return num_attackers * 2 * max_norm / (len(honest_deltas) + num_attackers)
""",
        "everyone is made equally long": """
def largest_harm(honest_deltas, num_attackers, max_norm):
    norms = np.maximum(np.linalg.norm(honest_deltas, axis=1, keepdims=True), 1e-12)
    mean = (honest_deltas * max_norm / norms).mean(axis=0)
    return num_attackers * (max_norm + np.linalg.norm(mean)) / (len(honest_deltas) + num_attackers)
""",
    },
    "silenced_classes": {
        "must be kept in all rounds": """
def silenced_classes(kept, label_counts):
    heard = label_counts[kept.all(axis=0)].sum(axis=0)
    return [c for c in range(label_counts.shape[1]) if label_counts[:, c].sum() > 0 and heard[c] == 0]
""",
        "a class that nobody holds, too": """
def silenced_classes(kept, label_counts):
    heard = label_counts[kept.any(axis=0)].sum(axis=0)
    return [c for c in range(label_counts.shape[1]) if heard[c] == 0]
""",
        "0 and 1 as row numbers": """
def silenced_classes(kept, label_counts):
    heard = label_counts[kept.max(axis=0)].sum(axis=0)
    return [c for c in range(label_counts.shape[1]) if label_counts[:, c].sum() > 0 and heard[c] == 0]
""",
        "looks at the last round": """
def silenced_classes(kept, label_counts):
    heard = label_counts[kept[-1] > 0].sum(axis=0)
    return [c for c in range(label_counts.shape[1]) if label_counts[:, c].sum() > 0 and heard[c] == 0]
""",
        "every class of a dropped client": """
def silenced_classes(kept, label_counts):
    dropped = label_counts[~kept.any(axis=0)].sum(axis=0)
    return [c for c in range(label_counts.shape[1]) if dropped[c] > 0]
""",
        "names the clients": """
def silenced_classes(kept, label_counts):
    return [i for i in range(kept.shape[1]) if not kept[:, i].any()]
""",
    },
}
