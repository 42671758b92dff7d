"""Stored wrong answers of lesson 11, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "to_fixed_point": {
        "cuts the fraction off": """
def to_fixed_point(values, clip, step, modulus):
    if not np.isfinite(values).all() or np.abs(values).max() > clip:
        return None
    return (values / step).astype(int) % modulus
""",
        "negative numbers stay negative": """
def to_fixed_point(values, clip, step, modulus):
    if not np.isfinite(values).all() or np.abs(values).max() > clip:
        return None
    return np.rint(values / step).astype(int)
""",
        "clips in secret": """
def to_fixed_point(values, clip, step, modulus):
    return np.rint(np.nan_to_num(np.clip(values, -clip, clip)) / step).astype(int) % modulus
""",
        "NaN passes": """
def to_fixed_point(values, clip, step, modulus):
    if any(abs(value) > clip for value in values):
        return None
    return np.rint(np.nan_to_num(values) / step).astype(int) % modulus
""",
        "looks at one side only": """
def to_fixed_point(values, clip, step, modulus):
    if not np.isfinite(values).all() or values.max() > clip:
        return None
    return np.rint(values / step).astype(int) % modulus
""",
        "refuses the limit itself": """
def to_fixed_point(values, clip, step, modulus):
    if not np.isfinite(values).all() or np.abs(values).max() >= clip:
        return None
    return np.rint(values / step).astype(int) % modulus
""",
    },
    "split_into_shares": {
        "the last share is off the clock": """
def split_into_shares(secret, num_shares, modulus, seed):
    random = np.random.default_rng(seed).integers(0, modulus, (num_shares - 1, len(secret)))
    return np.concatenate([random, [secret - random.sum(axis=0)]])
""",
        "one number for a whole share": """
def split_into_shares(secret, num_shares, modulus, seed):
    random = np.random.default_rng(seed).integers(0, modulus, (num_shares - 1, 1))
    random = np.repeat(random, len(secret), axis=1)
    return np.concatenate([random, [(secret - random.sum(axis=0)) % modulus]])
""",
        "cuts the secret into parts": """
def split_into_shares(secret, num_shares, modulus, seed):
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, secret + 1, (num_shares - 1, len(secret))), axis=0)
    return np.diff(cuts, axis=0, prepend=0 * cuts[:1], append=secret[None])
""",
        "half a clock": """
def split_into_shares(secret, num_shares, modulus, seed):
    random = np.random.default_rng(seed).integers(0, modulus // 2, (num_shares - 1, len(secret)))
    return np.concatenate([random, [(secret - random.sum(axis=0)) % modulus]])
""",
        "the same random share again": """
def split_into_shares(secret, num_shares, modulus, seed):
    random = np.random.default_rng(seed).integers(0, modulus, (1, len(secret)))
    random = np.repeat(random, num_shares - 1, axis=0)
    return np.concatenate([random, [(secret - random.sum(axis=0)) % modulus]])
""",
        "no seed of its own": """
def split_into_shares(secret, num_shares, modulus, seed):
    random = np.random.default_rng(0).integers(0, modulus, (num_shares - 1, len(secret)))
    return np.concatenate([random, [(secret - random.sum(axis=0)) % modulus]])
""",
    },
    "mask_vector": {
        "everybody adds": """
def mask_vector(client, vector, pair_masks, others, modulus):
    return (vector + sum(pair_masks[client, other] for other in others)) % modulus
""",
        "the larger number adds": """
def mask_vector(client, vector, pair_masks, others, modulus):
    masked = vector.copy()
    for other in others:
        masked += pair_masks[client, other] if client > other else -pair_masks[client, other]
    return masked % modulus
""",
        "masks with those who are gone": """
def mask_vector(client, vector, pair_masks, others, modulus):
    masked = vector.copy()
    for other in range(len(pair_masks)):
        masked += pair_masks[client, other] if client < other else -pair_masks[client, other]
    return masked % modulus
""",
        "leaves the clock": """
def mask_vector(client, vector, pair_masks, others, modulus):
    masked = vector.copy()
    for other in others:
        masked += pair_masks[client, other] if client < other else -pair_masks[client, other]
    return masked
""",
    },
    "shamir_secret": {
        "fractions as floats": """
def shamir_secret(shares, prime):
    secret = 0
    for point, value in shares.items():
        weight = 1
        for other in shares:
            if other != point:
                weight *= other / (other - point)
        secret += weight * value
    return round(secret) % prime
""",
        "whole division": """
def shamir_secret(shares, prime):
    secret = 0
    for point, value in shares.items():
        numerator = denominator = 1
        for other in shares:
            if other != point:
                numerator, denominator = numerator * other, denominator * (other - point)
        secret += value * numerator // denominator % prime
    return secret % prime
""",
        "a sign in the denominator": """
def shamir_secret(shares, prime):
    secret = 0
    for point, value in shares.items():
        numerator = denominator = 1
        for other in shares:
            if other != point:
                numerator, denominator = numerator * other, denominator * (point - other)
        secret += value * numerator * pow(denominator, -1, prime)
    return secret % prime
""",
        "the value at one": """
def shamir_secret(shares, prime):
    secret = 0
    for point, value in shares.items():
        numerator = denominator = 1
        for other in shares:
            if other != point:
                numerator, denominator = numerator * (other - 1), denominator * (other - point)
        secret += value * numerator * pow(denominator, -1, prime)
    return secret % prime
""",
        "points counted from one": """
def shamir_secret(shares, prime):
    points = range(1, len(shares) + 1)
    secret = 0
    for point, value in zip(points, shares.values()):
        numerator = denominator = 1
        for other in points:
            if other != point:
                numerator, denominator = numerator * other, denominator * (other - point)
        secret += value * numerator * pow(denominator, -1, prime)
    return secret % prime
""",
    },
    "what_to_reveal": {
        "the two kinds swapped": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    enough = threshold <= len(set(contributors)) and 2 * threshold > len(shared_keys)
    if answered_before or not enough or not set(contributors) <= set(shared_keys):
        return None
    return {c: "mask key" if c in contributors else "own mask" for c in shared_keys}
""",
        "counts names, not clients": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    enough = threshold <= len(contributors) and 2 * threshold > len(shared_keys)
    if answered_before or not enough or not set(contributors) <= set(shared_keys):
        return None
    return {c: "own mask" if c in contributors else "mask key" for c in shared_keys}
""",
        "answers as often as it is asked": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    enough = threshold <= len(set(contributors)) and 2 * threshold > len(shared_keys)
    if not enough or not set(contributors) <= set(shared_keys):
        return None
    return {c: "own mask" if c in contributors else "mask key" for c in shared_keys}
""",
        "half is enough": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    enough = threshold <= len(set(contributors)) and 2 * threshold >= len(shared_keys) - 1
    if answered_before or not enough or not set(contributors) <= set(shared_keys):
        return None
    return {c: "own mask" if c in contributors else "mask key" for c in shared_keys}
""",
        "more than the threshold": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    enough = threshold < len(set(contributors)) and 2 * threshold > len(shared_keys)
    if answered_before or not enough or not set(contributors) <= set(shared_keys):
        return None
    return {c: "own mask" if c in contributors else "mask key" for c in shared_keys}
""",
        "believes the list": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    if answered_before or threshold > len(set(contributors)) or 2 * threshold <= len(shared_keys):
        return None
    return {c: "own mask" if c in contributors else "mask key" for c in shared_keys}
""",
        "only about those who are gone": """
def what_to_reveal(shared_keys, contributors, threshold, answered_before):
    enough = threshold <= len(set(contributors)) and 2 * threshold > len(shared_keys)
    if answered_before or not enough or not set(contributors) <= set(shared_keys):
        return None
    return {c: "mask key" for c in shared_keys if c not in contributors}
""",
    },
}
