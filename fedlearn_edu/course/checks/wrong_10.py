"""Plausible wrong answers to the exercises of lesson 10; the tests prove that each fails its check."""

WRONG_ANSWERS = {
    "label_counts": {
        "takes every head for a zero head": """
def label_counts(bias_delta, client_lr, num_examples, initial_bias):
    return np.rint(num_examples * (1 / len(bias_delta) - bias_delta / client_lr))
""",
        "flipped sign": """
def label_counts(bias_delta, client_lr, num_examples, initial_bias):
    belief = np.exp(initial_bias) / np.exp(initial_bias).sum()
    return np.rint(num_examples * (belief + bias_delta / client_lr))
""",
        "shares in place of counts": """
def label_counts(bias_delta, client_lr, num_examples, initial_bias):
    belief = np.exp(initial_bias) / np.exp(initial_bias).sum()
    return belief - bias_delta / client_lr
""",
        "forgets the belief": """
def label_counts(bias_delta, client_lr, num_examples, initial_bias):
    return np.rint(num_examples * np.maximum(-bias_delta / client_lr, 0))
""",
    },
    "recover_feature": {
        "always the first column": """
def recover_feature(kernel_delta, bias_delta):
    return kernel_delta[:, 0] / bias_delta[0]
""",
        "mean over the columns": """
def recover_feature(kernel_delta, bias_delta):
    return (kernel_delta / bias_delta).mean(axis=1)
""",
        "the kernel alone": """
def recover_feature(kernel_delta, bias_delta):
    column = kernel_delta[:, np.argmax(np.abs(bias_delta))]
    return column / np.linalg.norm(column)
""",
        "forgets to divide by the squared length": """
def recover_feature(kernel_delta, bias_delta):
    return kernel_delta @ bias_delta / np.linalg.norm(bias_delta)
""",
    },
    "nearest_public": {
        "nearest by distance": """
def nearest_public(feature, public_features):
    return int(np.argmin(np.linalg.norm(public_features - feature, axis=1)))
""",
        "no centre": """
def nearest_public(feature, public_features):
    similarity = public_features @ feature / np.linalg.norm(public_features, axis=1)
    return int(np.argmax(similarity))
""",
        "no lengths": """
def nearest_public(feature, public_features):
    centre = public_features.mean(axis=0)
    return int(np.argmax((public_features - centre) @ (feature - centre)))
""",
        "centre of the feature itself": """
def nearest_public(feature, public_features):
    public = public_features - public_features.mean(axis=1, keepdims=True)
    own = feature - feature.mean()
    return int(np.argmax(public @ own / np.linalg.norm(public, axis=1)))
""",
    },
    "membership_advantage": {
        "share of right answers": """
def membership_advantage(member_losses, other_losses, threshold):
    right = (member_losses <= threshold).sum() + (other_losses > threshold).sum()
    return right / (len(member_losses) + len(other_losses))
""",
        "counts the found only": """
def membership_advantage(member_losses, other_losses, threshold):
    return float(np.mean(member_losses <= threshold))
""",
        "accuses large losses": """
def membership_advantage(member_losses, other_losses, threshold):
    return float(np.mean(member_losses > threshold) - np.mean(other_losses > threshold))
""",
        "strictly below the threshold": """
def membership_advantage(member_losses, other_losses, threshold):
    return float(np.mean(member_losses < threshold) - np.mean(other_losses < threshold))
""",
        "never below zero": """
def membership_advantage(member_losses, other_losses, threshold):
    return abs(float(np.mean(member_losses <= threshold) - np.mean(other_losses <= threshold)))
""",
    },
    "matching_loss": {
        "mean over the layers": """
def matching_loss(candidate, received):
    cosines = [np.sum(a * b) / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12) for a, b in zip(candidate, received)]
    return 1 - float(np.mean(cosines))
""",
        "similarity, not loss": """
def matching_loss(candidate, received):
    a, b = (np.concatenate([g.ravel() for g in gradients]) for gradients in (candidate, received))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
""",
        "squared distance": """
def matching_loss(candidate, received):
    return float(sum(np.sum((a - b) ** 2) for a, b in zip(candidate, received)))
""",
        "no lengths": """
def matching_loss(candidate, received):
    return 1 - float(sum(np.sum(a * b) for a, b in zip(candidate, received)))
""",
    },
}
