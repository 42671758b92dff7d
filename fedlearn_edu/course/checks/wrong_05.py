"""Stored wrong answers of lesson 05, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "keep_public": {
        "uint8 goes round": """
def keep_public(public, private, largest_difference):
    differences = np.abs(public[:, None] - private[None]).mean(axis=(2, 3, 4))
    return differences.min(axis=1) > largest_difference
""",
        "forgets the sign": """
def keep_public(public, private, largest_difference):
    differences = (public[:, None].astype(float) - private[None]).mean(axis=(2, 3, 4))
    return np.abs(differences).min(axis=1) > largest_difference
""",
        "the largest pixel": """
def keep_public(public, private, largest_difference):
    differences = np.abs(public[:, None].astype(float) - private[None]).max(axis=(2, 3, 4))
    return differences.min(axis=1) > largest_difference
""",
        "far from some is enough": """
def keep_public(public, private, largest_difference):
    differences = np.abs(public[:, None].astype(float) - private[None]).mean(axis=(2, 3, 4))
    return differences.max(axis=1) > largest_difference
""",
        "only exact copies": """
def keep_public(public, private, largest_difference):
    return np.array([not any(np.array_equal(one, other) for other in private) for one in public])
""",
        "what to throw away": """
def keep_public(public, private, largest_difference):
    differences = np.abs(public[:, None].astype(float) - private[None]).mean(axis=(2, 3, 4))
    return differences.min(axis=1) <= largest_difference
""",
    },
    "hold_out": {
        "by image": """
def hold_out(groups, share, seed):
    held_out = np.zeros(len(groups), bool)
    order = np.random.default_rng(seed).permutation(len(groups))
    held_out[order[: max(1, round(share * len(groups)))]] = True
    return held_out
""",
        "the first groups": """
def hold_out(groups, share, seed):
    names = np.unique(groups)
    return np.isin(groups, names[: max(1, round(share * len(names)))])
""",
        "a coin for each group": """
def hold_out(groups, share, seed):
    names = np.unique(groups)
    return np.isin(groups, names[np.random.default_rng(seed).random(len(names)) < share])
""",
        "draws with replacement": """
def hold_out(groups, share, seed):
    names = np.unique(groups)
    return np.isin(groups, np.random.default_rng(seed).choice(names, max(1, round(share * len(names)))))
""",
        "the seed is ignored": """
def hold_out(groups, share, seed):
    names = np.random.default_rng(0).permutation(np.unique(groups))
    return np.isin(groups, names[: max(1, round(share * len(names)))])
""",
        "another split each time": """
def hold_out(groups, share, seed):
    names = np.random.default_rng().permutation(np.unique(groups))
    return np.isin(groups, names[: max(1, round(share * len(names)))])
""",
        "maybe none": """
def hold_out(groups, share, seed):
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    return np.isin(groups, names[: round(share * len(names))])
""",
        "what is trained on": """
def hold_out(groups, share, seed):
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    return ~np.isin(groups, names[: max(1, round(share * len(names)))])
""",
    },
    "cosine_rate": {
        "a straight line": """
def cosine_rate(step, num_steps, warmup_steps, peak):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * (1 - (step - warmup_steps) / (num_steps - warmup_steps))
""",
        "starts at zero": """
def cosine_rate(step, num_steps, warmup_steps, peak):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak / 2 * (1 + np.cos(np.pi * (step - warmup_steps) / (num_steps - warmup_steps)))
""",
        "the warm-up counts as way down": """
def cosine_rate(step, num_steps, warmup_steps, peak):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak / 2 * (1 + np.cos(np.pi * step / num_steps))
""",
        "no half": """
def cosine_rate(step, num_steps, warmup_steps, peak):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * (1 + np.cos(np.pi * (step - warmup_steps) / (num_steps - warmup_steps)))
""",
        "a quarter of a wave": """
def cosine_rate(step, num_steps, warmup_steps, peak):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * np.cos(np.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps))
""",
    },
    "teacher_targets": {
        "over all sources": """
def teacher_targets(features, sources):
    return (features - features.mean(axis=0)) / features.std(axis=0)
""",
        "zero by zero": """
def teacher_targets(features, sources):
    targets = np.empty(features.shape)
    for source in np.unique(sources):
        rows = features[sources == source]
        with np.errstate(invalid="ignore"):
            targets[sources == source] = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return targets
""",
        "one deviation for all dimensions": """
def teacher_targets(features, sources):
    targets = np.empty(features.shape)
    for source in np.unique(sources):
        rows = features[sources == source]
        targets[sources == source] = (rows - rows.mean(axis=0)) / rows.std()
    return targets
""",
        "the mean only": """
def teacher_targets(features, sources):
    targets = np.empty(features.shape)
    for source in np.unique(sources):
        rows = features[sources == source]
        targets[sources == source] = rows - rows.mean(axis=0)
    return targets
""",
        "sorts by source": """
def teacher_targets(features, sources):
    parts = [features[sources == source] for source in np.unique(sources)]
    scales = [np.where(part.std(axis=0) > 0, part.std(axis=0), 1) for part in parts]
    return np.concatenate([(part - part.mean(axis=0)) / scale for part, scale in zip(parts, scales)])
""",
        "divides by one less": """
def teacher_targets(features, sources):
    targets = np.empty(features.shape)
    for source in np.unique(sources):
        rows = features[sources == source]
        deviation = rows.std(axis=0, ddof=1)
        targets[sources == source] = (rows - rows.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return targets
""",
    },
}

_CLAUSES = """
def broken_clauses(module):
    inputs, outputs = module["inputs"], module["outputs"]
    a, b = inputs["shape"], outputs["shape"]
    kept = {{
        "call": {call},
        "inputs": {inputs},
        "outputs": {outputs},
        "variables": {variables},
        "signature": {signature},
    }}
    return [clause for clause, holds in kept.items() if not holds]
"""
_RIGHT = {
    "call": '{"inputs", "training"} <= set(module["arguments"])',
    "inputs": 'inputs["dtype"] == "float32" and len(a) == 4 and a[0] is None and a[1] == a[2] and a[3] == 3',
    "outputs": 'outputs["dtype"] == "float32" and len(b) == 2 and b[0] is None and b[1] is not None',
    "variables": 'set(module["trainable_variables"]) <= set(module["variables"])',
    "signature": '"default" in module["signatures"].get("serving_default", {})',
}


def _but(**wrong: str) -> str:
    return _CLAUSES.format(**_RIGHT | wrong)


WRONG_ANSWERS["broken_clauses"] = {
    "exactly two arguments": _but(call='module["arguments"] == ["inputs", "training"]'),
    "training is not asked for": _but(call='"inputs" in module["arguments"]'),
    "dtypes are not looked at": _but(
        inputs="len(a) == 4 and a[0] is None and a[1] == a[2] and a[3] == 3",
        outputs="len(b) == 2 and b[0] is None and b[1] is not None",
    ),
    "any output with a last axis": _but(outputs='outputs["dtype"] == "float32" and b[-1] is not None'),
    "some trainable variable is enough": _but(
        variables='set(module["trainable_variables"]) & set(module["variables"])'
    ),
    "some must be frozen": _but(variables='set(module["trainable_variables"]) < set(module["variables"])'),
    "any signature": _but(signature='any("default" in outputs for outputs in module["signatures"].values())'),
    "the output's name is not looked at": _but(signature='"serving_default" in module["signatures"]'),
    "stops at the first": _but().replace("if not holds]", "if not holds][:1]"),
}
