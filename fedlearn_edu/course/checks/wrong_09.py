"""Stored wrong answers of lesson 09, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "class_sums": {
        "means": """
def class_sums(x, y, num_classes):
    counts = np.bincount(y, minlength=num_classes)
    sums = np.stack([x[y == c].sum(axis=0) for c in range(num_classes)])
    return sums / np.maximum(counts, 1)[:, None], counts
""",
        "an index assigns once": """
def class_sums(x, y, num_classes):
    sums, counts = np.zeros([num_classes, x.shape[1]]), np.zeros(num_classes)
    sums[y] += x
    counts[y] += 1
    return sums, counts
""",
        "classes that are there": """
def class_sums(x, y, num_classes):
    classes, counts = np.unique(y, return_counts=True)
    return np.array([x[y == c].sum(axis=0) for c in classes]), counts
""",
        "up to the largest label": """
def class_sums(x, y, num_classes):
    counts = np.bincount(y)
    return np.array([x[y == c].sum(axis=0) for c in range(len(counts))]), counts
""",
        "shares in place of counts": """
def class_sums(x, y, num_classes):
    counts = np.bincount(y, minlength=num_classes)
    sums = np.stack([x[y == c].sum(axis=0) for c in range(num_classes)])
    return sums, counts / max(len(y), 1)
""",
    },
    "covariance_from_means": {
        "plain covariance of the means": """
def covariance_from_means(sums, counts):
    means = sums[counts > 0] / counts[counts > 0][:, None]
    if len(means) == 1:
        return np.zeros([sums.shape[1]] * 2)
    return np.cov(means.T)
""",
        "the centre is the mean of means": """
def covariance_from_means(sums, counts):
    n = counts[counts > 0][:, None]
    means = sums[counts > 0] / n
    deviations = means - means.mean(axis=0)
    return (n * deviations).T @ deviations / max(len(means) - 1, 1)
""",
        "a client without examples has mean zero": """
def covariance_from_means(sums, counts):
    means = sums / np.maximum(counts, 1)[:, None]
    deviations = means - sums.sum(axis=0) / counts.sum()
    return (counts[:, None] * deviations).T @ deviations / max(len(means) - 1, 1)
""",
        "one client is no special case": """
def covariance_from_means(sums, counts):
    n = counts[counts > 0][:, None]
    deviations = sums[counts > 0] / n - sums.sum(axis=0) / counts.sum()
    with np.errstate(invalid="ignore"):
        return (n * deviations).T @ deviations / np.float64(len(n) - 1)
""",
    },
}

_MEANS = """
def global_means(messages):
    {kept}
    sums = sum(s for s, n in kept)
    counts = sum(n for s, n in kept)
    return sums / np.where(counts > 0, counts, 1)[:, None]
"""
WRONG_ANSWERS["global_means"] = {
    "each message counts": _MEANS.format(kept="kept = [(s, n) for _, s, n in messages]"),
    "the first message counts": _MEANS.format(
        kept="kept = list({name: (s, n) for name, s, n in reversed(messages)}.values())"
    ),
    "the same numbers count once": _MEANS.format(
        kept="kept = list({s.tobytes(): (s, n) for s, n in {i: (s, n) for i, s, n in messages}.values()}.values())"
    ),
    "the fullest message counts": _MEANS.format(
        kept="kept = list({i: (s, n) for i, s, n in sorted(messages, key=lambda m: m[2].sum())}.values())"
    ),
    "only clients with one message": _MEANS.format(
        kept="names = [m[0] for m in messages]; kept = [(s, n) for i, s, n in messages if names.count(i) == 1]"
    ),
    "a mean of means": """
def global_means(messages):
    last = {name: (s, n) for name, s, n in messages}
    return np.mean([s / np.maximum(n, 1)[:, None] for s, n in last.values()], axis=0)
""",
    "nothing over nothing": """
def global_means(messages):
    last = {name: (s, n) for name, s, n in messages}
    with np.errstate(invalid="ignore"):
        return sum(s for s, n in last.values()) / sum(n for s, n in last.values())[:, None]
""",
}

_RIDGE = """
def ridge_head(messages, penalty):
    gram, sums, counts = (sum(m[i] for m in messages) for i in range(3))
    n = counts.sum()
    mean = sums.sum(axis=0) / n
    covariance = gram - n * np.outer(mean, mean)
    with_labels = sums.T - np.outer(mean, counts)
    {solve}
"""
_SOLVE = "kernel = np.linalg.solve({matrix}, {target})\n    return {answer}"
_IDENTITY, _BIAS = "np.eye(len(mean))", "kernel, counts / n - mean @ kernel"
WRONG_ANSWERS["ridge_head"] = {
    "no bias": _RIDGE.format(
        solve=_SOLVE.format(
            matrix=f"gram + penalty * {_IDENTITY}", target="sums.T", answer="kernel, np.zeros(len(counts))"
        )
    ),
    "nothing subtracted": _RIDGE.format(
        solve=_SOLVE.format(matrix=f"gram + penalty * {_IDENTITY}", target="sums.T", answer=_BIAS)
    ),
    "the penalty of a mean": _RIDGE.format(
        solve=_SOLVE.format(matrix=f"covariance + n * penalty * {_IDENTITY}", target="with_labels", answer=_BIAS)
    ),
    "the penalty on all entries": _RIDGE.format(
        solve=_SOLVE.format(matrix="covariance + penalty", target="with_labels", answer=_BIAS)
    ),
    "a bias of shares": _RIDGE.format(
        solve=_SOLVE.format(
            matrix=f"covariance + penalty * {_IDENTITY}", target="with_labels", answer="kernel, counts / n"
        )
    ),
    "as many examples at every client": _RIDGE.replace("counts.sum()", "len(messages) * messages[0][2].sum()").format(
        solve=_SOLVE.format(matrix=f"covariance + penalty * {_IDENTITY}", target="with_labels", answer=_BIAS)
    ),
    "a mean of the clients' means": _RIDGE.replace(
        "sums.sum(axis=0) / n", "np.mean([m[1].sum(axis=0) / m[2].sum() for m in messages], axis=0)"
    ).format(solve=_SOLVE.format(matrix=f"covariance + penalty * {_IDENTITY}", target="with_labels", answer=_BIAS)),
    "a penalised bias": """
def ridge_head(messages, penalty):
    gram, sums, counts = (sum(m[i] for m in messages) for i in range(3))
    x = sums.sum(axis=0)
    matrix = np.block([[gram, x[:, None]], [x[None], counts.sum()]])
    solved = np.linalg.solve(matrix + penalty * np.eye(len(matrix)), np.vstack([sums.T, counts]))
    return solved[:-1], solved[-1]
""",
    "each client's own mean": """
def ridge_head(messages, penalty):
    covariance, with_labels = 0, 0
    for gram, sums, counts in messages:
        mean = sums.sum(axis=0) / counts.sum()
        covariance = covariance + gram - counts.sum() * np.outer(mean, mean)
        with_labels = with_labels + sums.T - np.outer(mean, counts)
    kernel = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), with_labels)
    total = sum(m[2] for m in messages)
    mean = sum(m[1].sum(axis=0) for m in messages) / total.sum()
    return kernel, total / total.sum() - mean @ kernel
""",
    "an average of heads": """
def ridge_head(messages, penalty):
    heads = []
    for gram, sums, counts in messages:
        n, mean = counts.sum(), sums.sum(axis=0) / counts.sum()
        matrix = gram - n * np.outer(mean, mean) + penalty * np.eye(len(mean))
        kernel = np.linalg.solve(matrix, sums.T - np.outer(mean, counts))
        heads.append((kernel, counts / n - mean @ kernel))
    return tuple(np.mean(part, axis=0) for part in zip(*heads))
""",
}

_BYTES = """
def upload_bytes(num_examples, feature_dim, num_classes):
    d, size = feature_dim, {size}
    head = size * num_classes * (d + 1)
    ridge = size * {gram} + {sums}
    raw = size * num_examples * {row}
    rounds = {rounds}
    return {{"class means": head, "ridge": ridge, "raw features": raw, "break-even": rounds}}
"""
_RIGHT = {"size": 4, "gram": "(d * (d + 1) // 2)", "sums": "head", "row": "(d + 1)", "rounds": "ridge // head + 1"}
WRONG_ANSWERS["upload_bytes"] = {
    "the whole matrix": _BYTES.format(**_RIGHT | {"gram": "d * d"}),
    "no diagonal": _BYTES.format(**_RIGHT | {"gram": "(d * (d - 1) // 2)"}),
    "numbers, not bytes": _BYTES.format(**_RIGHT | {"size": 1}),
    "float64": _BYTES.format(**_RIGHT | {"size": 8}),
    "the Gram matrix alone": _BYTES.format(**_RIGHT | {"sums": "0"}),
    "features without labels": _BYTES.format(**_RIGHT | {"row": "d"}),
    "the nearest whole number": _BYTES.format(**_RIGHT | {"rounds": "round(ridge / head) + 1"}),
    "a head without bias": _BYTES.format(**_RIGHT | {"rounds": "ridge // (4 * d * num_classes) + 1"}),
    "as much is more": _BYTES.format(**_RIGHT | {"rounds": "-(-ridge // head)"}),
}

_COVARIANCE = """
def covariance_from_means(sums, counts):
    n = counts[counts > 0][:, None]
    deviations = sums[counts > 0] / n - sums.sum(axis=0) / counts.sum()
    return ({weights} * deviations).T @ deviations / {divisor}
"""
WRONG_ANSWERS["covariance_from_means"] |= {
    "divides by the clients": _COVARIANCE.format(weights="n", divisor="len(n)"),
    "divides by the examples": _COVARIANCE.format(weights="n", divisor="max(n.sum() - 1, 1)"),
    "counts absent clients": _COVARIANCE.format(weights="n", divisor="max(len(counts) - 1, 1)"),
    "weights squared": _COVARIANCE.format(weights="n**2", divisor="max(len(n) - 1, 1)"),
}

_LONE = """
def lone_examples(sums_with, counts_with, sums_without, counts_without):
    sums, counts = {difference}
    return {{c: {value} for c in range(len(counts)) if {chosen}}}
"""
_SUBTRACT = "sums_with - sums_without, counts_with - counts_without"
WRONG_ANSWERS["lone_examples"] = {
    "without minus with": _LONE.format(
        difference="sums_without - sums_with, counts_without - counts_with",
        value="sums[c]",
        chosen="round(abs(counts[c])) == 1",
    ),
    "exactly one": _LONE.format(difference=_SUBTRACT, value="sums[c]", chosen="counts[c] == 1"),
    "rounded down": _LONE.format(difference=_SUBTRACT, value="sums[c]", chosen="int(counts[c]) == 1"),
    "one in the total": _LONE.format(difference=_SUBTRACT, value="sums[c]", chosen="round(counts_with[c]) == 1"),
    "all class means": _LONE.format(
        difference=_SUBTRACT, value="sums[c] / round(counts[c])", chosen="round(counts[c]) >= 1"
    ),
    "the mean of everybody": _LONE.format(
        difference=_SUBTRACT, value="sums_with[c] / counts_with[c]", chosen="round(counts[c]) == 1"
    ),
}
