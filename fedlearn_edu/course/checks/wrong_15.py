"""Stored wrong answers of lesson 15, by function: plausible slips that its checks must catch (the tests prove it)."""

_REPORT = """
def _pairs(before, after):
    ids = [c for c in before if before[c] == before[c] and after[c] == after[c]]
    return np.array([before[c] for c in ids]), np.array([after[c] for c in ids])


def _told(after, worst, num_worse):
    return {"mean": after.mean(), "worst_decile": worst, "num_worse": int(num_worse)}
"""

_WORST = """
def fairness_report(before, after):
    b, a = _pairs(before, after)
    return _told(a, {worst}, (a < b).sum())
"""

_SHARES = """
def predict_with_shares(scores, own_counts, all_counts):
    with np.errstate(divide="ignore"):
        return np.argmax(scores + np.log({own}) - np.log({others}), axis=1)
"""

_EPOCHS = """
def choose_epochs(epochs, validation, test):
    values = {values}
    best = {best}
    return epochs[best], {told}
"""
_MEAN, _TOLD = "validation.mean(axis=1)", "test[best].mean()"
_BEST = "max(range(len(epochs)), key=lambda i: (values[i], -epochs[i]))"

WRONG_ANSWERS = {
    "fairness_report": {
        "the nearest whole number": _REPORT
        + _WORST.format(worst="np.sort(a)[: max(1, int(len(a) / 10 + 0.5))].mean()"),
        "one more, always": _REPORT + _WORST.format(worst="np.sort(a)[: len(a) // 10 + 1].mean()"),
        "a tenth of all, tested or not": _REPORT + _WORST.format(worst="np.sort(a)[: -(-len(after) // 10)].mean()"),
        "all up to a limit": _REPORT + _WORST.format(worst="a[a <= np.quantile(a, 0.1)].mean()"),
        "rounds down": _REPORT
        + """
def fairness_report(before, after):
    b, a = _pairs(before, after)
    tenth = max(1, len(a) // 10)
    return _told(a, np.sort(a)[:tenth].mean(), (a < b).sum())
""",
        "a quantile": _REPORT
        + """
def fairness_report(before, after):
    b, a = _pairs(before, after)
    return _told(a, np.quantile(a, 0.1), (a < b).sum())
""",
        "those who were worst before": _REPORT
        + """
def fairness_report(before, after):
    b, a = _pairs(before, after)
    tenth = -(-len(a) // 10)
    return _told(a, a[np.argsort(b)[:tenth]].mean(), (a < b).sum())
""",
        "who did not gain lost": _REPORT
        + """
def fairness_report(before, after):
    b, a = _pairs(before, after)
    tenth = -(-len(a) // 10)
    return _told(a, np.sort(a)[:tenth].mean(), (a <= b).sum())
""",
        "no test examples, no accuracy: 0": _REPORT
        + """
def fairness_report(before, after):
    b = np.nan_to_num([before[c] for c in before])
    a = np.nan_to_num([after[c] for c in before])
    tenth = -(-len(a) // 10)
    return _told(a, np.sort(a)[:tenth].mean(), (a < b).sum())
""",
        "pairs by place": """
def fairness_report(before, after):
    b, a = np.array(list(before.values())), np.array(list(after.values()))
    tenth = -(-len(a) // 10)
    known = np.sort(a[~np.isnan(a)])
    return {"mean": known.mean(), "worst_decile": known[:-(-len(known) // 10)].mean(), "num_worse": int((a < b).sum())}
""",
    },
    "ditto_step": {
        "pushes away": """
def ditto_step(personal, global_weights, gradients, strength, lr):
    return [v - lr * (g - strength * (v - w)) for v, w, g in zip(personal, global_weights, gradients)]
""",
        "the pull without the learning rate": """
def ditto_step(personal, global_weights, gradients, strength, lr):
    return [v - lr * g - strength * (v - w) for v, w, g in zip(personal, global_weights, gradients)]
""",
        "twice the pull": """
def ditto_step(personal, global_weights, gradients, strength, lr):
    return [v - lr * (g + 2 * strength * (v - w)) for v, w, g in zip(personal, global_weights, gradients)]
""",
        "half the pull": """
def ditto_step(personal, global_weights, gradients, strength, lr):
    return [v - lr * (g + strength / 2 * (v - w)) for v, w, g in zip(personal, global_weights, gradients)]
""",
        "one after the other": """
def ditto_step(personal, global_weights, gradients, strength, lr):
    stepped = [v - lr * g for v, g in zip(personal, gradients)]
    return [v - lr * strength * (v - w) for v, w in zip(stepped, global_weights)]
""",
        "starts from the global model": """
def ditto_step(personal, global_weights, gradients, strength, lr):
    return [w - lr * (g + strength * (v - w)) for v, w, g in zip(personal, global_weights, gradients)]
""",
    },
    "best_mix": {
        "leaves the line between the two": """
def best_mix(global_weights, local_weights, target, curvature):
    step = local_weights - global_weights
    scale = np.sum(curvature * step**2)
    return float(np.sum(curvature * step * (target - global_weights)) / scale) if scale else 0.0
""",
        "all weights alike": """
def best_mix(global_weights, local_weights, target, curvature):
    step = local_weights - global_weights
    scale = np.sum(step**2)
    return float(np.clip(np.sum(step * (target - global_weights)) / scale, 0, 1)) if scale else 0.0
""",
        "ends swapped": """
def best_mix(global_weights, local_weights, target, curvature):
    step = global_weights - local_weights
    scale = np.sum(curvature * step**2)
    return float(np.clip(np.sum(curvature * step * (target - local_weights)) / scale, 0, 1)) if scale else 0.0
""",
        "compares distances": """
def best_mix(global_weights, local_weights, target, curvature):
    to_global = np.sqrt(np.sum(curvature * (target - global_weights) ** 2))
    to_local = np.sqrt(np.sum(curvature * (target - local_weights) ** 2))
    same = np.array_equal(global_weights, local_weights)
    return 0.0 if same else float(to_global / (to_global + to_local))
""",
        "a coarse grid": """
def best_mix(global_weights, local_weights, target, curvature):
    def loss(alpha):
        mixed = global_weights + alpha * (local_weights - global_weights)
        return np.sum(curvature * (mixed - target) ** 2)
    return min([i / 10 for i in range(11)], key=loss)
""",
        "divides by zero": """
def best_mix(global_weights, local_weights, target, curvature):
    step = local_weights - global_weights
    with np.errstate(all="ignore"):
        return float(np.clip(np.sum(curvature * step * (target - global_weights)) / np.sum(curvature * step**2), 0, 1))
""",
    },
    "predict_with_shares": {
        "adds shares": """
def predict_with_shares(scores, own_counts, all_counts):
    own, everyone = own_counts + 1, all_counts + 1
    return np.argmax(scores + own / own.sum() - everyone / everyone.sum(), axis=1)
""",
        "one more at this client only": _SHARES.format(own="own_counts + 1", others="np.maximum(all_counts, 1e-9)"),
        "over the share of the others": _SHARES.format(own="own_counts + 1", others="all_counts - own_counts + 1"),
        "decimal logarithms": _SHARES.format(own="own_counts + 1", others="all_counts + 1").replace("log(", "log10("),
        "forgets what the model knows": """
def predict_with_shares(scores, own_counts, all_counts):
    return np.argmax(scores + np.log((own_counts + 1) / (own_counts + 1).sum()), axis=1)
""",
        "the wrong way round": """
def predict_with_shares(scores, own_counts, all_counts):
    return np.argmax(scores + np.log(all_counts + 1) - np.log(own_counts + 1), axis=1)
""",
        "never what it has not seen": """
def predict_with_shares(scores, own_counts, all_counts):
    with np.errstate(divide="ignore"):
        return np.argmax(scores + np.log(own_counts) - np.log(all_counts + 1), axis=1)
""",
        "multiplies scores": """
def predict_with_shares(scores, own_counts, all_counts):
    return np.argmax(scores * (own_counts + 1) / (all_counts + 1), axis=1)
""",
        "only masks": """
def predict_with_shares(scores, own_counts, all_counts):
    return np.argmax(np.where(own_counts > 0, scores, -np.inf), axis=1)
""",
    },
    "choose_epochs": {
        "chooses on test": """
def choose_epochs(epochs, validation, test):
    means = test.mean(axis=1)
    best = max(range(len(epochs)), key=lambda i: (means[i], -epochs[i]))
    return epochs[best], means[best]
""",
        "reports what it chose on": """
def choose_epochs(epochs, validation, test):
    means = validation.mean(axis=1)
    best = max(range(len(epochs)), key=lambda i: (means[i], -epochs[i]))
    return epochs[best], means[best]
""",
        "each client its own best": """
def choose_epochs(epochs, validation, test):
    means = validation.mean(axis=1)
    best = max(range(len(epochs)), key=lambda i: (means[i], -epochs[i]))
    own = validation.argmax(axis=0)
    return epochs[best], test[own, np.arange(test.shape[1])].mean()
""",
        "the first of the best": """
def choose_epochs(epochs, validation, test):
    best = int(np.argmax(validation.mean(axis=1)))
    return epochs[best], test[best].mean()
""",
        "the last of the best": _EPOCHS.format(
            values=_MEAN, best="max(range(len(epochs)), key=lambda i: (values[i], i))", told=_TOLD
        ),
        "reports the typical client": _EPOCHS.format(values=_MEAN, best=_BEST, told="np.median(test[best])"),
        "a vote": _EPOCHS.format(
            values="np.bincount(validation.argmax(axis=0), minlength=len(epochs))", best=_BEST, told=_TOLD
        ),
        "the worst client decides": _EPOCHS.format(values="validation.min(axis=1)", best=_BEST, told=_TOLD),
        "the best client decides": _EPOCHS.format(values="validation.max(axis=1)", best=_BEST, told=_TOLD),
        "the place instead of the epochs": """
def choose_epochs(epochs, validation, test):
    means = validation.mean(axis=1)
    best = max(range(len(epochs)), key=lambda i: (means[i], -epochs[i]))
    return best, test[best].mean()
""",
        "the typical client": """
def choose_epochs(epochs, validation, test):
    means = np.median(validation, axis=1)
    best = max(range(len(epochs)), key=lambda i: (means[i], -epochs[i]))
    return epochs[best], test[best].mean()
""",
    },
}
