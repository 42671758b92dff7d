"""Stored wrong answers of lesson 03, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "dirichlet_split": {
        "ignores the concentration": """
def dirichlet_split(labels, num_clients, concentration, seed):
    return np.array_split(np.random.default_rng(seed).permutation(len(labels)), num_clients)
""",
        "one draw for all classes": """
def dirichlet_split(labels, num_clients, concentration, seed):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(num_clients, concentration))
    ends = np.rint(np.cumsum(share)[:-1] * len(labels)).astype(int)
    return np.split(rng.permutation(len(labels)), ends)
""",
        "rounds each piece down": """
def dirichlet_split(labels, num_clients, concentration, seed):
    rng = np.random.default_rng(seed)
    held = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        counts = (rng.dirichlet(np.full(num_clients, concentration)) * len(rows)).astype(int)
        for client, piece in zip(held, np.split(rows, np.cumsum(counts))[:-1]):
            client.extend(piece)
    return [np.array(client, int) for client in held]
""",
        "draws with replacement": """
def dirichlet_split(labels, num_clients, concentration, seed):
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    held = []
    for _ in range(num_clients):
        mix = rng.dirichlet(np.full(len(classes), concentration))
        wanted = rng.choice(classes, size=len(labels) // num_clients, p=mix)
        held.append(np.array([rng.choice(np.flatnonzero(labels == label)) for label in wanted]))
    return held
""",
        "the rows are not shuffled": """
def dirichlet_split(labels, num_clients, concentration, seed):
    rng = np.random.default_rng(seed)
    held = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        share = rng.dirichlet(np.full(num_clients, concentration))
        ends = np.rint(np.cumsum(share)[:-1] * len(rows)).astype(int)
        for client, piece in zip(held, np.split(rows, ends)):
            client.extend(piece)
    return [np.array(client, int) for client in held]
""",
        "no seed": """
def dirichlet_split(labels, num_clients, concentration, seed):
    rng = np.random.default_rng()
    held = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        share = rng.dirichlet(np.full(num_clients, concentration))
        ends = np.rint(np.cumsum(share)[:-1] * len(rows)).astype(int)
        for client, piece in zip(held, np.split(rows, ends)):
            client.extend(piece)
    return [np.array(client, int) for client in held]
""",
        "concentration upside down": """
def dirichlet_split(labels, num_clients, concentration, seed):
    rng = np.random.default_rng(seed)
    held = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        share = rng.dirichlet(np.full(num_clients, 1 / concentration))
        ends = np.rint(np.cumsum(share)[:-1] * len(rows)).astype(int)
        for client, piece in zip(held, np.split(rows, ends)):
            client.extend(piece)
    return [np.array(client, int) for client in held]
""",
    },
    "quantity_sizes": {
        "rounds each piece down": """
def quantity_sizes(num_examples, num_clients, skew):
    share = np.arange(1, num_clients + 1) ** -float(skew)
    return (share / share.sum() * num_examples).astype(int)
""",
        "smallest first": """
def quantity_sizes(num_examples, num_clients, skew):
    share = np.arange(1, num_clients + 1) ** float(skew)
    ends = np.rint(np.cumsum(share / share.sum()) * num_examples).astype(int)
    return np.diff(ends, prepend=0)
""",
        "exponential in place of a power": """
def quantity_sizes(num_examples, num_clients, skew):
    share = np.exp(-skew * np.arange(num_clients))
    ends = np.rint(np.cumsum(share / share.sum()) * num_examples).astype(int)
    return np.diff(ends, prepend=0)
""",
        "fractions of examples": """
def quantity_sizes(num_examples, num_clients, skew):
    share = np.arange(1, num_clients + 1) ** -float(skew)
    return share / share.sum() * num_examples
""",
    },
    "label_distance": {
        "counts every difference twice": """
def label_distance(label_counts):
    mix = label_counts / label_counts.sum(axis=1, keepdims=True)
    whole = label_counts.sum(axis=0) / label_counts.sum()
    return np.abs(mix - whole).sum(axis=1)
""",
        "mean of the mixes in place of the whole": """
def label_distance(label_counts):
    mix = label_counts / label_counts.sum(axis=1, keepdims=True)
    return np.abs(mix - mix.mean(axis=0)).sum(axis=1) / 2
""",
        "counts, not shares": """
def label_distance(label_counts):
    return np.abs(label_counts - label_counts.mean(axis=0)).sum(axis=1) / label_counts.sum() / 2
""",
        "shares of each class in place of each client": """
def label_distance(label_counts):
    mix = label_counts / label_counts.sum(axis=0, keepdims=True)
    return np.abs(mix - 1 / len(label_counts)).sum(axis=1) / 2
""",
    },
    "server_view": {
        "withholds nothing": """
def server_view(label_counts, min_clients):
    return label_counts.sum(axis=0)
""",
        "counts examples, not clients": """
def server_view(label_counts, min_clients):
    total = label_counts.sum(axis=0)
    return np.where(total >= min_clients, total, 0)
""",
        "needs one client more": """
def server_view(label_counts, min_clients):
    return np.where((label_counts > 0).sum(axis=0) > min_clients, label_counts.sum(axis=0), 0)
""",
        "sums over classes": """
def server_view(label_counts, min_clients):
    return np.where((label_counts > 0).sum(axis=1) >= min_clients, label_counts.sum(axis=1), 0)
""",
    },
    "label_mix_from_delta": {
        "flipped sign": """
def label_mix_from_delta(bias_delta, client_lr):
    return 1 / len(bias_delta) + bias_delta / client_lr
""",
        "forgets where the model started": """
def label_mix_from_delta(bias_delta, client_lr):
    return -bias_delta / client_lr
""",
        "forgets the learning rate": """
def label_mix_from_delta(bias_delta, client_lr):
    return 1 / len(bias_delta) - bias_delta
""",
        "scales until it adds up": """
def label_mix_from_delta(bias_delta, client_lr):
    mix = np.maximum(-bias_delta, 0)
    return mix / max(mix.sum(), 1e-12)
""",
    },
}
