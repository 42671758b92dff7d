"""Stored wrong answers of lesson 13, by function: plausible slips that its checks must catch (the tests prove it)."""

_RENYI = """
def _divergence(order, noise_multiplier, q):
    k = np.arange(order + 1)
    log_terms = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    log_terms = log_terms + xlogy(k, q) + xlogy(order - k, 1 - q) + k * (k - 1) / (2 * noise_multiplier**2)
    return logsumexp(log_terms) / (order - 1)
"""
_BISECT = """
def _bisect(target_epsilon, num_rounds, population, clients_per_round, delta, num_steps, highest):
    run = dict(num_rounds=num_rounds, population=population, clients_per_round=clients_per_round, delta=delta)
    low, high = 0.01, highest
    for _ in range(num_steps):
        middle = (low + high) / 2
        if fl.epsilon(noise_multiplier=middle, **run) > target_epsilon:
            low = middle
        else:
            high = middle
    return low, high
"""
_CHOICE = """
def _mean_and_error(accuracies):
    mean = accuracies.mean(axis=1)
    return mean, accuracies.std(axis=1, ddof=1) / np.sqrt(accuracies.shape[1])
"""

WRONG_ANSWERS = {
    "attack_limit": {
        "one inequality only": """
def attack_limit(false_positive_rate, epsilon, delta):
    return min(1.0, np.exp(min(epsilon, 700.0)) * false_positive_rate + delta)
""",
        "forgets delta": """
def attack_limit(false_positive_rate, epsilon, delta):
    odds = np.exp(min(epsilon, 700.0))
    return min(1.0, odds * false_positive_rate, 1 - (1 - false_positive_rate) / odds)
""",
        "overflows": """
def attack_limit(false_positive_rate, epsilon, delta):
    first = np.exp(epsilon) * false_positive_rate + delta
    return min(1.0, first, 1 - np.exp(-epsilon) * (1 - delta - false_positive_rate))
""",
        "epsilon in place of its odds": """
def attack_limit(false_positive_rate, epsilon, delta):
    first = (1 + epsilon) * false_positive_rate + delta
    return min(1.0, first, 1 - (1 - delta - false_positive_rate) / (1 + epsilon))
""",
        "the average attack": """
def attack_limit(false_positive_rate, epsilon, delta):
    advantage = np.tanh(epsilon / 2) + 2 * delta / (1 + np.exp(min(epsilon, 700.0)))
    return min(1.0, false_positive_rate + advantage)
""",
    },
    "compose_epsilon": {
        "adds epsilon up": """
def compose_epsilon(noise_multiplier, num_rounds, delta):
    rho = 1 / (2 * noise_multiplier**2)
    return num_rounds * (rho + 2 * np.sqrt(rho * np.log(1 / delta)))
""",
        "forgets the 2 in rho": """
def compose_epsilon(noise_multiplier, num_rounds, delta):
    rho = num_rounds / noise_multiplier**2
    return rho + 2 * np.sqrt(rho * np.log(1 / delta))
""",
        "the square root only": """
def compose_epsilon(noise_multiplier, num_rounds, delta):
    return 2 * np.sqrt(num_rounds / (2 * noise_multiplier**2) * np.log(1 / delta))
""",
        "logarithm to base 10": """
def compose_epsilon(noise_multiplier, num_rounds, delta):
    rho = num_rounds / (2 * noise_multiplier**2)
    return rho + 2 * np.sqrt(rho * np.log10(1 / delta))
""",
    },
    "sampled_epsilon": {
        "plain sums": """
def sampled_epsilon(noise_multiplier, num_rounds, sampling_probability, delta, orders):
    q = sampling_probability
    found = []
    for order in orders:
        k = np.arange(order + 1)
        ways = np.exp(gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1))
        terms = ways * q**k * (1 - q) ** (order - k) * np.exp(k * (k - 1) / (2 * noise_multiplier**2))
        found.append(num_rounds * np.log(terms.sum()) / (order - 1) + np.log(1 / delta) / (order - 1))
    return min(found)
""",
        "the last order": _RENYI
        + """
def sampled_epsilon(noise_multiplier, num_rounds, sampling_probability, delta, orders):
    order = orders[-1]
    spent = num_rounds * _divergence(order, noise_multiplier, sampling_probability)
    return spent + np.log(1 / delta) / (order - 1)
""",
        "divides by the order": _RENYI
        + """
def sampled_epsilon(noise_multiplier, num_rounds, sampling_probability, delta, orders):
    q = sampling_probability
    return min(num_rounds * _divergence(a, noise_multiplier, q) + np.log(1 / delta) / a for a in orders)
""",
        "one round's epsilon times the rounds": _RENYI
        + """
def sampled_epsilon(noise_multiplier, num_rounds, sampling_probability, delta, orders):
    q = sampling_probability
    return num_rounds * min(_divergence(a, noise_multiplier, q) + np.log(1 / delta) / (a - 1) for a in orders)
""",
        "scales the unsampled divergence": """
def sampled_epsilon(noise_multiplier, num_rounds, sampling_probability, delta, orders):
    one = sampling_probability / (2 * noise_multiplier**2)
    return min(num_rounds * a * one + np.log(1 / delta) / (a - 1) for a in orders)
""",
    },
    "noise_for": {
        "keeps the wrong half": """
def noise_for(target_epsilon, num_rounds, population, clients_per_round, delta):
    run = dict(num_rounds=num_rounds, population=population, clients_per_round=clients_per_round, delta=delta)
    low, high = 0.1, 100.0
    for _ in range(5):
        middle = (low + high) / 2
        if fl.epsilon(noise_multiplier=middle, **run) < target_epsilon:
            low = middle
        else:
            high = middle
    return high
""",
        "stops too early": _BISECT
        + """
def noise_for(target_epsilon, num_rounds, population, clients_per_round, delta):
    return _bisect(target_epsilon, num_rounds, population, clients_per_round, delta, 6, 200.0)[1]
""",
        "the end with too little noise": _BISECT
        + """
def noise_for(target_epsilon, num_rounds, population, clients_per_round, delta):
    return _bisect(target_epsilon, num_rounds, population, clients_per_round, delta, 12, 200.0)[0]
""",
        "a straight line": """
def noise_for(target_epsilon, num_rounds, population, clients_per_round, delta):
    run = dict(num_rounds=num_rounds, population=population, clients_per_round=clients_per_round, delta=delta)
    return fl.epsilon(noise_multiplier=2.0, **run) / target_epsilon * 2.0
""",
    },
    "choose_setting": {
        "the most accurate": """
def choose_setting(epsilons, accuracies, max_epsilon):
    return int(np.argmax(accuracies.mean(axis=1)))
""",
        "the most accurate that is affordable": """
def choose_setting(epsilons, accuracies, max_epsilon):
    affordable = np.array(epsilons) <= max_epsilon
    if not affordable.any():
        return -1
    return int(np.argmax(np.where(affordable, accuracies.mean(axis=1), -1)))
""",
        "the smallest epsilon": """
def choose_setting(epsilons, accuracies, max_epsilon):
    return int(np.argmin(epsilons)) if min(epsilons) <= max_epsilon else -1
""",
        "compares with the best of all": _CHOICE
        + """
def choose_setting(epsilons, accuracies, max_epsilon):
    mean, error = _mean_and_error(accuracies)
    best = np.argmax(mean)
    good = [i for i in range(len(mean)) if epsilons[i] <= max_epsilon and mean[i] >= mean[best] - error[best]]
    return min(good, key=lambda i: epsilons[i]) if good else -1
""",
        "one standard deviation": """
def choose_setting(epsilons, accuracies, max_epsilon):
    mean, spread = accuracies.mean(axis=1), accuracies.std(axis=1, ddof=1)
    able = [i for i in range(len(mean)) if epsilons[i] <= max_epsilon]
    if not able:
        return -1
    best = max(able, key=lambda i: mean[i])
    return min((i for i in able if mean[i] >= mean[best] - 2 * spread[best]), key=lambda i: epsilons[i])
""",
        "the budget may not be spent": _CHOICE
        + """
def choose_setting(epsilons, accuracies, max_epsilon):
    mean, error = _mean_and_error(accuracies)
    able = [i for i in range(len(mean)) if epsilons[i] < max_epsilon]
    if not able:
        return -1
    best = max(able, key=lambda i: mean[i])
    return min((i for i in able if mean[i] >= mean[best] - error[best]), key=lambda i: epsilons[i])
""",
    },
}
