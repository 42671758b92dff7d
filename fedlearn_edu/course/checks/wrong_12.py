"""Stored wrong answers of lesson 12, by function: plausible slips that its checks must catch (the tests prove it)."""

_AUDIT = """
def _means(deltas, num_examples, clip_norm):
    norms = np.linalg.norm(deltas, axis=1, keepdims=True)
    clipped = deltas * np.minimum(1, clip_norm / norms)
    mean = deltas.mean(axis=0)
    return {
        "fine": clipped.mean(axis=0),
        "clips too late": mean * min(1, clip_norm / np.linalg.norm(mean)),
        "weights clients": np.average(clipped, axis=0, weights=num_examples),
    }
"""

WRONG_ANSWERS = {
    "clip_delta": {
        "each array by itself": """
def clip_delta(model_delta, clip_norm):
    return [a * min(1.0, clip_norm / max(np.linalg.norm(a), 1e-12)) for a in model_delta]
""",
        "each number by itself": """
def clip_delta(model_delta, clip_norm):
    return [np.clip(a, -clip_norm, clip_norm) for a in model_delta]
""",
        "makes all of them equally long": """
def clip_delta(model_delta, clip_norm):
    norm = np.sqrt(sum((a**2).sum() for a in model_delta))
    return [a * clip_norm / max(norm, 1e-12) for a in model_delta]
""",
        "no square root": """
def clip_delta(model_delta, clip_norm):
    norm = sum((a**2).sum() for a in model_delta)
    return [a * min(1.0, clip_norm / max(norm, 1e-12)) for a in model_delta]
""",
        "divides by zero": """
def clip_delta(model_delta, clip_norm):
    norm = np.sqrt(sum((a**2).sum() for a in model_delta))
    return [a / norm * min(norm, clip_norm) for a in model_delta]
""",
    },
    "private_mean": {
        "divides by who came": """
def private_mean(clipped_deltas, standard_noise, clip_norm, noise_multiplier, expected_cohort):
    sums = [sum(part) for part in zip(*clipped_deltas)] or [0 * n for n in standard_noise]
    noisy = [s + noise_multiplier * clip_norm * n for s, n in zip(sums, standard_noise)]
    return [s / max(len(clipped_deltas), 1) for s in noisy]
""",
        "noise on the mean": """
def private_mean(clipped_deltas, standard_noise, clip_norm, noise_multiplier, expected_cohort):
    sums = [sum(part) for part in zip(*clipped_deltas)] or [0 * n for n in standard_noise]
    return [s / expected_cohort + noise_multiplier * clip_norm * n for s, n in zip(sums, standard_noise)]
""",
        "forgets the clip norm": """
def private_mean(clipped_deltas, standard_noise, clip_norm, noise_multiplier, expected_cohort):
    sums = [sum(part) for part in zip(*clipped_deltas)] or [0 * n for n in standard_noise]
    return [(s + noise_multiplier * n) / expected_cohort for s, n in zip(sums, standard_noise)]
""",
        "the same noise for every client": """
def private_mean(clipped_deltas, standard_noise, clip_norm, noise_multiplier, expected_cohort):
    total = [0 * n for n in standard_noise]
    for delta in clipped_deltas:
        total = [t + d + noise_multiplier * clip_norm * n for t, d, n in zip(total, delta, standard_noise)]
    return [t / expected_cohort for t in total]
""",
        "no noise when nobody came": """
def private_mean(clipped_deltas, standard_noise, clip_norm, noise_multiplier, expected_cohort):
    if not clipped_deltas:
        return [0 * n for n in standard_noise]
    sums = [sum(part) for part in zip(*clipped_deltas)]
    return [(s + noise_multiplier * clip_norm * n) / expected_cohort for s, n in zip(sums, standard_noise)]
""",
    },
    "influence": {
        "no clipping": """
def influence(deltas, clip_norm, expected_cohort):
    return np.linalg.norm(deltas, axis=1) / expected_cohort
""",
        "divides by who is left": """
def influence(deltas, clip_norm, expected_cohort):
    norms = np.maximum(np.linalg.norm(deltas, axis=1, keepdims=True), 1e-12)
    clipped = deltas * np.minimum(1, clip_norm / norms)
    moves = []
    for i in range(len(clipped)):
        rest = np.delete(clipped, i, axis=0)
        moves.append(np.linalg.norm(clipped.mean(axis=0) - rest.mean(axis=0)))
    return np.array(moves)
""",
        "the bound for everyone": """
def influence(deltas, clip_norm, expected_cohort):
    return np.full(len(deltas), clip_norm / expected_cohort)
""",
        "clips the mean": """
def influence(deltas, clip_norm, expected_cohort):
    def clipped_mean(rows):
        mean = rows.sum(axis=0) / expected_cohort
        return mean * min(1, clip_norm / max(np.linalg.norm(mean), 1e-12))
    return np.array([
        np.linalg.norm(clipped_mean(deltas) - clipped_mean(np.delete(deltas, i, axis=0))) for i in range(len(deltas))
    ])
""",
    },
    "calibrate_noise": {
        "noise of the sum": """
def calibrate_noise(epsilon, delta, clip_norm, expected_cohort):
    return clip_norm * np.sqrt(2 * np.log(1.25 / delta)) / epsilon
""",
        "a variance": """
def calibrate_noise(epsilon, delta, clip_norm, expected_cohort):
    return (clip_norm * np.sqrt(2 * np.log(1.25 / delta)) / epsilon) ** 2 / expected_cohort
""",
        "averaging like independent noises": """
def calibrate_noise(epsilon, delta, clip_norm, expected_cohort):
    return clip_norm * np.sqrt(2 * np.log(1.25 / delta)) / epsilon / np.sqrt(expected_cohort)
""",
        "logarithm to base 10": """
def calibrate_noise(epsilon, delta, clip_norm, expected_cohort):
    return clip_norm * np.sqrt(2 * np.log10(1.25 / delta)) / epsilon / expected_cohort
""",
    },
    "find_flaw": {
        "believes everyone": """
def find_flaw(deltas, num_examples, clip_norm, noise_multiplier, releases):
    return "fine"
""",
        "looks at the noise only": """
def find_flaw(deltas, num_examples, clip_norm, noise_multiplier, releases):
    wanted = noise_multiplier * clip_norm / len(deltas)
    return "too little noise" if releases.std(axis=0).min() < 0.8 * wanted else "fine"
""",
        "looks at the mean only": _AUDIT
        + """
def find_flaw(deltas, num_examples, clip_norm, noise_multiplier, releases):
    means = _means(deltas, num_examples, clip_norm)
    return min(means, key=lambda name: np.linalg.norm(means[name] - releases.mean(axis=0)))
""",
        "expects the noise of the sum": _AUDIT
        + """
def find_flaw(deltas, num_examples, clip_norm, noise_multiplier, releases):
    if releases.std(axis=0).min() < 0.8 * noise_multiplier * clip_norm:
        return "too little noise"
    means = _means(deltas, num_examples, clip_norm)
    return min(means, key=lambda name: np.linalg.norm(means[name] - releases.mean(axis=0)))
""",
        "looks at the first coordinate's noise": _AUDIT
        + """
def find_flaw(deltas, num_examples, clip_norm, noise_multiplier, releases):
    if releases[:, 0].std() < 0.8 * noise_multiplier * clip_norm / len(deltas):
        return "too little noise"
    means = _means(deltas, num_examples, clip_norm)
    return min(means, key=lambda name: np.linalg.norm(means[name] - releases.mean(axis=0)))
""",
    },
    "adapt_clip": {
        "the wrong way": """
def adapt_clip(clip_norm, delta_norms, count_noise, target_quantile, expected_cohort, learning_rate):
    share = ((delta_norms <= clip_norm).sum() + count_noise) / expected_cohort
    return clip_norm * np.exp(learning_rate * (share - target_quantile))
""",
        "counts who is clipped": """
def adapt_clip(clip_norm, delta_norms, count_noise, target_quantile, expected_cohort, learning_rate):
    share = ((delta_norms > clip_norm).sum() + count_noise) / expected_cohort
    return clip_norm * np.exp(-learning_rate * (share - target_quantile))
""",
        "the bound itself counts as clipped": """
def adapt_clip(clip_norm, delta_norms, count_noise, target_quantile, expected_cohort, learning_rate):
    share = ((delta_norms < clip_norm).sum() + count_noise) / expected_cohort
    return clip_norm * np.exp(-learning_rate * (share - target_quantile))
""",
        "reads the quantile off, without noise": """
def adapt_clip(clip_norm, delta_norms, count_noise, target_quantile, expected_cohort, learning_rate):
    return np.quantile(delta_norms, target_quantile)
""",
        "noise on the share": """
def adapt_clip(clip_norm, delta_norms, count_noise, target_quantile, expected_cohort, learning_rate):
    share = (delta_norms <= clip_norm).sum() / expected_cohort + count_noise
    return clip_norm * np.exp(-learning_rate * (share - target_quantile))
""",
    },
}
