"""Stored wrong answers of lesson 07, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "normalise": {
        "always live": """
def normalise(x, mean, variance, scale, offset, epsilon):
    axes = tuple(range(x.ndim - 1))
    return scale * (x - x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + epsilon) + offset
""",
        "divides by the variance": """
def normalise(x, mean, variance, scale, offset, epsilon):
    if mean is None:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return scale * (x - mean) / (variance + epsilon) + offset
""",
        "over the batch only": """
def normalise(x, mean, variance, scale, offset, epsilon):
    if mean is None:
        mean, variance = x.mean(axis=0), x.var(axis=0)
    return scale * (x - mean) / np.sqrt(variance + epsilon) + offset
""",
        "epsilon outside the root": """
def normalise(x, mean, variance, scale, offset, epsilon):
    if mean is None:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return scale * (x - mean) / (np.sqrt(variance) + epsilon) + offset
""",
        "divides by one less": """
def normalise(x, mean, variance, scale, offset, epsilon):
    if mean is None:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes, ddof=1)
    return scale * (x - mean) / np.sqrt(variance + epsilon) + offset
""",
    },
    "pool_statistics": {
        "averages the variances": """
def pool_statistics(means, variances, num_examples):
    share = num_examples / num_examples.sum()
    return share @ means, share @ variances
""",
        "all clients alike": """
def pool_statistics(means, variances, num_examples):
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)
""",
        "means between clients unweighted": """
def pool_statistics(means, variances, num_examples):
    share = num_examples / num_examples.sum()
    return share @ means, share @ variances + means.var(axis=0)
""",
        "shares squared": """
def pool_statistics(means, variances, num_examples):
    share = num_examples / num_examples.sum()
    mean = share @ means
    return mean, share**2 @ variances + share @ (means - mean) ** 2
""",
    },
    "updates_to_forget": {
        "one too early": """
def updates_to_forget(momentum, share):
    return int(np.log(share) / np.log(momentum))
""",
        "the weight of the batch": """
def updates_to_forget(momentum, share):
    return int(np.ceil(np.log(share) / np.log(1 - momentum)))
""",
        "linear forgetting": """
def updates_to_forget(momentum, share):
    return int(np.ceil((1 - share) / (1 - momentum)))
""",
        "at least one update": """
def updates_to_forget(momentum, share):
    return max(1, int(np.ceil(np.log(share) / np.log(momentum))))
""",
    },
    "live_layers": {
        "outermost layers only": """
def live_layers(layers):
    return [
        layer["name"]
        for layer in layers
        if layer["type"] == "batch_norm" and layer["trainable"] and layer["training"] is not False
    ]
""",
    },
}

_SEARCH = """
def live_layers(layers):
    def search(layers, path, training):
        found = []
        for layer in layers:
            called = {called}
            name = path + layer["name"]
            if layer["type"] == "model"{model}:
                found += search(layer["layers"], name + "/", called)
            elif layer["type"] == "batch_norm" and called{layer}:
                found.append(name)
        return found
    return search(layers, "", True)
"""
_GIVEN = 'training if layer["training"] is None else layer["training"]'
_TRAINABLE = ' and layer["trainable"]'
WRONG_ANSWERS["live_layers"] |= {
    "a frozen model freezes nothing": _SEARCH.format(called=_GIVEN, model="", layer=_TRAINABLE),
    "trainable is not looked at": _SEARCH.format(called=_GIVEN, model="", layer=""),
    "training is not looked at": _SEARCH.format(called="training", model=_TRAINABLE, layer=_TRAINABLE),
    "None starts anew": _SEARCH.format(called='layer["training"] is not False', model=_TRAINABLE, layer=_TRAINABLE),
    "False outside wins over True inside": _SEARCH.format(
        called='training and layer["training"] is not False', model=_TRAINABLE, layer=_TRAINABLE
    ),
}
