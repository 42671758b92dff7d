"""Stored wrong answers of lesson 06, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "paired_difference": {
        "pairs by place": """
def paired_difference(ours, theirs):
    differences = np.array([a - b for a, b in zip(ours.values(), theirs.values())])
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))
""",
        "no pairs": """
def paired_difference(ours, theirs):
    shared = [seed for seed in ours if seed in theirs]
    a, b = np.array([ours[s] for s in shared]), np.array([theirs[s] for s in shared])
    return a.mean() - b.mean(), np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
""",
        "divides by n": """
def paired_difference(ours, theirs):
    differences = np.array([ours[seed] - theirs[seed] for seed in ours if seed in theirs])
    return differences.mean(), differences.std() / np.sqrt(len(differences))
""",
        "standard deviation": """
def paired_difference(ours, theirs):
    differences = np.array([ours[seed] - theirs[seed] for seed in ours if seed in theirs])
    return differences.mean(), differences.std(ddof=1)
""",
        "theirs minus ours": """
def paired_difference(ours, theirs):
    differences = np.array([theirs[seed] - ours[seed] for seed in ours if seed in theirs])
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))
""",
        "a missing partner counts as 0": """
def paired_difference(ours, theirs):
    differences = np.array([ours.get(seed, 0) - theirs.get(seed, 0) for seed in {**ours, **theirs}])
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))
""",
    },
    "bytes_until": {
        "counts records": """
def bytes_until(curve, target, num_trained):
    for number, (_, accuracy) in enumerate(curve):
        if accuracy >= target:
            return number * num_trained * 4
    return None
""",
        "more than the target": """
def bytes_until(curve, target, num_trained):
    for round_num, accuracy in curve:
        if accuracy > target:
            return round_num * num_trained * 4
    return None
""",
        "for good": """
def bytes_until(curve, target, num_trained):
    reached = None
    for round_num, accuracy in curve:
        if accuracy < target:
            reached = None
        elif reached is None:
            reached = round_num
    return None if reached is None else reached * num_trained * 4
""",
        "never costs all rounds": """
def bytes_until(curve, target, num_trained):
    for round_num, accuracy in curve:
        if accuracy >= target:
            return round_num * num_trained * 4
    return curve[-1][0] * num_trained * 4
""",
        "0 counts as never": """
def bytes_until(curve, target, num_trained):
    reached = [round_num for round_num, accuracy in curve if accuracy >= target]
    return reached[0] * num_trained * 4 if reached and reached[0] else None
""",
        "numbers, not bytes": """
def bytes_until(curve, target, num_trained):
    reached = [round_num for round_num, accuracy in curve if accuracy >= target]
    return reached[0] * num_trained if reached else None
""",
    },
    "optimizer_spread": {
        "over all optimizers": """
def optimizer_spread(accuracies):
    result = {}
    for depth, runs in accuracies.items():
        means = [np.mean(values) for values in runs.values()]
        result[depth] = max(means) - min(means)
    return result
""",
    },
}

_SPREAD = """
def optimizer_spread(accuracies):
    common = set.intersection(*(set(runs) for runs in accuracies.values()))
    result = {{}}
    for depth, runs in accuracies.items():
        tried = {{name: runs[name] for name in runs if name in common}}
        result[depth] = {answer}
    return result
"""
WRONG_ANSWERS["optimizer_spread"] |= {
    "best and worst run": _SPREAD.format(
        answer="max(max(v) for v in tried.values()) - min(min(v) for v in tried.values())"
    ),
    "standard deviation of the means": _SPREAD.format(answer="np.std([np.mean(v) for v in tried.values()])"),
    "best against plain averaging": _SPREAD.format(
        answer="max(np.mean(v) for v in tried.values()) - np.mean(tried['sgd'])"
    ),
    "first seed only": _SPREAD.format(answer="max(v[0] for v in tried.values()) - min(v[0] for v in tried.values())"),
}

_GAP = """
def gap_table(rows):
    by_run = {{}}
    for depth, concentration, seed, accuracy in rows:
        by_run.setdefault(depth, {{}}).setdefault(seed, {{}})[concentration] = accuracy
    alike, skewed = max(row[1] for row in rows), min(row[1] for row in rows)
    result = {{}}
    for depth, seeds in by_run.items():
        gaps = [{gap} for run in seeds.values() if {counts}]
        result[depth] = (np.mean(gaps), np.std(gaps, ddof={ddof}))
    return result
"""
_BOTH, _LOST = "alike in run and skewed in run", "run[alike] - run[skewed]"
WRONG_ANSWERS["gap_table"] = {
    "skewed minus alike": _GAP.format(gap="run[skewed] - run[alike]", counts=_BOTH, ddof=1),
    "the size of the gap": _GAP.format(gap="abs(run[alike] - run[skewed])", counts=_BOTH, ddof=1),
    "divides by n": _GAP.format(gap=_LOST, counts=_BOTH, ddof=0),
    "best minus worst": _GAP.format(gap="max(run.values()) - min(run.values())", counts=_BOTH, ddof=1),
    "a missing end counts as 0": _GAP.format(gap="run.get(alike, 0) - run.get(skewed, 0)", counts="True", ddof=1),
    "relative": _GAP.format(gap="1 - run[skewed] / run[alike]", counts=_BOTH, ddof=1),
}

_BUDGET = """
def best_depth(depths, budget):
    best = None
    for name, depth in depths.items():
        for round_num, accuracy in {records}:
            upload = round_num * depth["num_trained"] * 4
            if {affordable}:
                chosen = (accuracy, {then}, name)
        if best is None or chosen > best:
            best = chosen
    return best[2], best[0]
"""
_ALL, _BY_ROUND = 'depth["curve"]', 'sorted(depth["curve"], key=lambda record: record[1])'
WRONG_ANSWERS["best_depth"] = {
    "no budget": _BUDGET.format(records=_ALL, affordable="True", then="-upload"),
    "one byte must be left": _BUDGET.format(
        records=_ALL, affordable="upload < budget or not round_num", then="-upload"
    ),
    "the best on the way": _BUDGET.format(records=_BY_ROUND, affordable="upload <= budget", then="-upload"),
    "a tie goes to the dearer": _BUDGET.format(records=_ALL, affordable="upload <= budget", then="upload"),
    "a tie goes to fewer rounds": _BUDGET.format(records=_ALL, affordable="upload <= budget", then="-round_num"),
    "the price of one round": _BUDGET.format(
        records=_ALL, affordable='depth["num_trained"] * 4 <= budget or not round_num', then="-upload"
    ),
}
