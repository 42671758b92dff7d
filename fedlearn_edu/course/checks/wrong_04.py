"""Stored wrong answers of lesson 04, by function: plausible slips that its checks must catch (the tests prove it)."""

_GRADIENT = """
def _grad(weights, x, y):
    kernel, bias = weights
    scores = x @ kernel + bias
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    error = (p - np.eye(len(bias))[y]) / len(y)
    return [x.T @ error, error.sum(axis=0)]
"""

_CLIENT = (
    _GRADIENT
    + """
def _train(weights, batches, client_lr):
    for x, y in batches:
        weights = [w - client_lr * g for w, g in zip(weights, _grad(weights, x, y))]
    return weights
"""
)

WRONG_ANSWERS = {
    "softmax_gradient": {
        "sum in place of mean": """
def softmax_gradient(weights, x, y):
    kernel, bias = weights
    scores = x @ kernel + bias
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    error = p / p.sum(axis=1, keepdims=True) - np.eye(len(bias))[y]
    return [x.T @ error, error.sum(axis=0)]
""",
        "flipped sign": _GRADIENT
        + """
def softmax_gradient(weights, x, y):
    return [-g for g in _grad(weights, x, y)]
""",
        "overflows": """
def softmax_gradient(weights, x, y):
    kernel, bias = weights
    p = np.exp(x @ kernel + bias)
    error = (p / p.sum(axis=1, keepdims=True) - np.eye(len(bias))[y]) / len(y)
    return [x.T @ error, error.sum(axis=0)]
""",
        "no bias": _GRADIENT
        + """
def softmax_gradient(weights, x, y):
    kernel, bias = _grad(weights, x, y)
    return [kernel, np.zeros_like(bias)]
""",
    },
    "client_update": {
        "flipped sign": _CLIENT
        + """
def client_update(weights, batches, client_lr):
    trained = _train(weights, batches, client_lr)
    return [t - w for w, t in zip(weights, trained)], sum(len(y) for _, y in batches)
""",
        "sends the trained model": _CLIENT
        + """
def client_update(weights, batches, client_lr):
    return _train(weights, batches, client_lr), sum(len(y) for _, y in batches)
""",
        "all gradients at the received weights": _CLIENT
        + """
def client_update(weights, batches, client_lr):
    delta = [np.zeros_like(w) for w in weights]
    for x, y in batches:
        delta = [d + client_lr * g for d, g in zip(delta, _grad(weights, x, y))]
    return delta, sum(len(y) for _, y in batches)
""",
        "counts batches, not examples": _CLIENT
        + """
def client_update(weights, batches, client_lr):
    trained = _train(weights, batches, client_lr)
    return [w - t for w, t in zip(weights, trained)], len(batches)
""",
        "changes the received weights in place": _GRADIENT
        + """
def client_update(weights, batches, client_lr):
    trained = weights
    for x, y in batches:
        for w, g in zip(trained, _grad(trained, x, y)):
            w -= client_lr * g
    return [w - t for w, t in zip(weights, trained)], sum(len(y) for _, y in batches)
""",
    },
    "weighted_mean": {
        "unweighted": """
def weighted_mean(model_deltas, client_weights):
    return [np.mean(part, axis=0) for part in zip(*model_deltas)]
""",
        "weighted sum": """
def weighted_mean(model_deltas, client_weights):
    return [sum(n * d for n, d in zip(client_weights, part)) for part in zip(*model_deltas)]
""",
        "divides by the number of clients": """
def weighted_mean(model_deltas, client_weights):
    return [sum(n * d for n, d in zip(client_weights, part)) / len(part) for part in zip(*model_deltas)]
""",
        "weights by the inverse": """
def weighted_mean(model_deltas, client_weights):
    return [np.average(part, axis=0, weights=1 / (np.array(client_weights) + 1e-9)) for part in zip(*model_deltas)]
""",
    },
    "server_update": {
        "flipped sign": """
def server_update(weights, mean_delta, server_lr):
    return [w + server_lr * d for w, d in zip(weights, mean_delta)]
""",
        "ignores the learning rate": """
def server_update(weights, mean_delta, server_lr):
    return [w - d for w, d in zip(weights, mean_delta)]
""",
        "shrinks the weights": """
def server_update(weights, mean_delta, server_lr):
    return [server_lr * (w - d) for w, d in zip(weights, mean_delta)]
""",
    },
    "fed_avg_round": {
        "unweighted": _CLIENT
        + """
def fed_avg_round(weights, client_batches, client_lr):
    models = [_train(weights, batches, client_lr) for batches in client_batches]
    return [np.mean(part, axis=0) for part in zip(*models)]
""",
        "client after client": _CLIENT
        + """
def fed_avg_round(weights, client_batches, client_lr):
    for batches in client_batches:
        weights = _train(weights, batches, client_lr)
    return weights
""",
        "flipped sign": _CLIENT
        + """
def fed_avg_round(weights, client_batches, client_lr):
    sizes = [sum(len(y) for _, y in batches) for batches in client_batches]
    models = [_train(weights, batches, client_lr) for batches in client_batches]
    return [2 * w - np.average(part, axis=0, weights=sizes) for w, part in zip(weights, zip(*models))]
""",
        "adds the deltas up": _CLIENT
        + """
def fed_avg_round(weights, client_batches, client_lr):
    models = [_train(weights, batches, client_lr) for batches in client_batches]
    return [w + sum(t - w for t in part) for w, part in zip(weights, zip(*models))]
""",
    },
}
