"""Stored wrong answers of lesson 01, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "one_round": {
        "flipped sign": """
def one_round(received, trained_models, server_lr):
    return [r - server_lr * np.mean([t - r for t in ts], axis=0)
            for r, ts in zip(received, zip(*trained_models))]
""",
        "ignores the server's learning rate": """
def one_round(received, trained_models, server_lr):
    return [np.mean(ts, axis=0) for ts in zip(*trained_models)]
""",
        "sum in place of mean": """
def one_round(received, trained_models, server_lr):
    return [r + server_lr * np.sum([t - r for t in ts], axis=0)
            for r, ts in zip(received, zip(*trained_models))]
""",
        "mean over the entries too": """
def one_round(received, trained_models, server_lr):
    return [r + server_lr * np.mean([t - r for t in ts])
            for r, ts in zip(received, zip(*trained_models))]
""",
    },
    "run_bytes": {
        "one direction only": """
def run_bytes(backbone_parameters, head_parameters, num_rounds, clients_per_round, frozen):
    parameters = head_parameters if frozen else backbone_parameters + head_parameters
    return 4 * parameters * num_rounds * clients_per_round
""",
        "sends the frozen backbone": """
def run_bytes(backbone_parameters, head_parameters, num_rounds, clients_per_round, frozen):
    return 8 * (backbone_parameters + head_parameters) * num_rounds * clients_per_round
""",
        "counts numbers, not bytes": """
def run_bytes(backbone_parameters, head_parameters, num_rounds, clients_per_round, frozen):
    parameters = head_parameters if frozen else backbone_parameters + head_parameters
    return 2 * parameters * num_rounds * clients_per_round
""",
        "forgets the head of a trained backbone": """
def run_bytes(backbone_parameters, head_parameters, num_rounds, clients_per_round, frozen):
    parameters = head_parameters if frozen else backbone_parameters
    return 8 * parameters * num_rounds * clients_per_round
""",
    },
    "per_client_accuracy": {
        "divides by everyone's examples": """
def per_client_accuracy(predicted, labels, owners):
    return {str(c): float(np.sum((predicted == labels) & (owners == c)) / len(labels)) for c in np.unique(owners)}
""",
        "the same number for everyone": """
def per_client_accuracy(predicted, labels, owners):
    return {str(c): float(np.mean(predicted == labels)) for c in np.unique(owners)}
""",
        "forgets clients with nothing right": """
def per_client_accuracy(predicted, labels, owners):
    winners = np.unique(owners[predicted == labels])
    return {str(c): float(np.mean((predicted == labels)[owners == c])) for c in winners}
""",
    },
    "rounds_to_reach": {
        "counts from 1": """
def rounds_to_reach(accuracy, target):
    for round_num, value in enumerate(accuracy, start=1):
        if value >= target:
            return round_num
    return None
""",
        "must exceed": """
def rounds_to_reach(accuracy, target):
    return next((r for r, value in enumerate(accuracy) if value > target), None)
""",
        "0 if never": """
def rounds_to_reach(accuracy, target):
    return int(np.argmax(np.array(accuracy) >= target))
""",
        "counts rounds below": """
def rounds_to_reach(accuracy, target):
    count = sum(value < target for value in accuracy)
    return count if count < len(accuracy) else None
""",
        "round 0 taken for not found": """
def rounds_to_reach(accuracy, target):
    reached = next((r for r, value in enumerate(accuracy) if value >= target), None)
    return reached or None
""",
    },
    "worst_clients_accuracy": {
        "the best ones": """
def worst_clients_accuracy(accuracy, share):
    count = int(np.ceil(share * len(accuracy)))
    return float(np.mean(sorted(accuracy.values(), reverse=True)[:count]))
""",
        "rounds down": """
def worst_clients_accuracy(accuracy, share):
    count = max(1, int(share * len(accuracy)))
    return float(np.mean(sorted(accuracy.values())[:count]))
""",
        "a quantile, not a mean": """
def worst_clients_accuracy(accuracy, share):
    return float(np.quantile(list(accuracy.values()), share))
""",
        "the mean over all": """
def worst_clients_accuracy(accuracy, share):
    return float(np.mean(list(accuracy.values())))
""",
    },
}
