"""Stored wrong answers of lesson 00, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "model_delta": {
        "flipped sign": """
def model_delta(received, trained):
    return [after - before for before, after in zip(received, trained)]
""",
        "the trained weights themselves": """
def model_delta(received, trained):
    return trained
""",
        "the size of the change only": """
def model_delta(received, trained):
    return [np.abs(before - after) for before, after in zip(received, trained)]
""",
        "first array only": """
def model_delta(received, trained):
    return [received[0] - trained[0]]
""",
    },
    "sample_cohorts": {
        "a client may be drawn twice": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    rng = np.random.default_rng(seed)
    return [list(rng.choice(client_ids, size=clients_per_round)) for _ in range(num_rounds)]
""",
        "the same cohort in every round": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    cohorts = []
    for _ in range(num_rounds):
        rng = np.random.default_rng(seed)
        cohorts.append(list(rng.choice(client_ids, size=clients_per_round, replace=False)))
    return cohorts
""",
        "the seed is ignored": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    rng = np.random.default_rng()
    return [list(rng.choice(client_ids, size=clients_per_round, replace=False))
            for _ in range(num_rounds)]
""",
        "one generator for all runs": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    rng = np.random.default_rng(0)
    return [list(rng.choice(client_ids, size=clients_per_round, replace=False))
            for _ in range(num_rounds)]
""",
        "one shuffle for all rounds": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    order = list(np.random.default_rng(seed).permutation(client_ids))
    return [[order[(r * clients_per_round + i) % len(order)] for i in range(clients_per_round)]
            for r in range(num_rounds)]
""",
        "shuffled again when all have trained": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    rng = np.random.default_rng(seed)
    cohorts, waiting = [], []
    for _ in range(num_rounds):
        if len(waiting) < clients_per_round:
            waiting = list(rng.permutation(client_ids))
        cohorts.append(waiting[:clients_per_round])
        waiting = waiting[clients_per_round:]
    return cohorts
""",
        "always the first ones": """
def sample_cohorts(client_ids, clients_per_round, num_rounds, seed):
    return [client_ids[:clients_per_round] for _ in range(num_rounds)]
""",
    },
    "round_bytes": {
        "one direction only": """
def round_bytes(weight_shapes, clients_per_round, bytes_per_number):
    numbers = sum(int(np.prod(shape)) for shape in weight_shapes)
    return numbers * bytes_per_number * clients_per_round
""",
        "adds the sides of an array": """
def round_bytes(weight_shapes, clients_per_round, bytes_per_number):
    numbers = sum(sum(shape) for shape in weight_shapes)
    return 2 * numbers * bytes_per_number * clients_per_round
""",
        "one broadcast for all clients": """
def round_bytes(weight_shapes, clients_per_round, bytes_per_number):
    numbers = sum(int(np.prod(shape)) for shape in weight_shapes)
    return (1 + clients_per_round) * numbers * bytes_per_number
""",
        "always four bytes": """
def round_bytes(weight_shapes, clients_per_round, bytes_per_number):
    return 8 * clients_per_round * sum(int(np.prod(shape)) for shape in weight_shapes)
""",
    },
    "global_accuracy": {
        "mean of the clients' accuracies": """
def global_accuracy(num_correct, num_test):
    return float(np.mean([c / n for c, n in zip(num_correct, num_test) if n]))
""",
        "a client without examples counts as zero": """
def global_accuracy(num_correct, num_test):
    return float(np.mean([c / n if n else 0.0 for c, n in zip(num_correct, num_test)]))
""",
        "weighted by what was right": """
def global_accuracy(num_correct, num_test):
    accuracies = [c / max(n, 1) for c, n in zip(num_correct, num_test)]
    return float(np.average(accuracies, weights=num_correct))
""",
    },
}
