"""Stored wrong answers of lesson 08, by function: plausible slips that its checks must catch (the tests prove it)."""

_FIXED = """
def fed_avg_fixed_point(curvatures, optima, num_steps, client_lr):
    weights = {weights}
    return np.sum(weights * optima) / np.sum(weights)
"""

_PROXIMAL = """
def proximal_steps(received, x, y, client_lr, strength, num_steps):
    weights = received
    for _ in range(num_steps):
        gradient = x.T @ (x @ weights - y) / len(y)
        weights = weights - {step}
    return {result}
"""
_ON_SPRING = "client_lr * (gradient + strength * (weights - received))"

_SCAFFOLD = """
def scaffold_client(received, control, server_control, x, y, client_lr, num_steps):
    weights = received
    first = x.T @ (x @ received - y) / len(y)
    for _ in range(num_steps):
        gradient = x.T @ (x @ weights - y) / len(y)
        weights = weights - client_lr * (gradient {correction})
    delta = received - weights
    return {delta}, {control}
"""
_CORRECTION = "- control + server_control"
_OPTION_2 = "control - server_control + delta / (num_steps * client_lr)"

_NOVA = """
def fed_nova_step(weights, deltas, num_steps, num_examples):
    share = num_examples / num_examples.sum()
    per_step = deltas / num_steps[:, None]
    return weights {step}
"""

_ADAM = """
def fed_adam(weights, mean_deltas, server_lr, beta_1, beta_2, tau):
    m, v = np.zeros_like(weights), {start}
    for t, delta in enumerate(mean_deltas, 1):
        m = {m}
        v = {v}
        weights = weights {step}
    return weights
"""
_M, _V = "beta_1 * m + (1 - beta_1) * delta", "beta_2 * v + (1 - beta_2) * delta**2"
_START, _STEP = "np.full_like(weights, tau**2)", "- server_lr * m / (np.sqrt(v) + tau)"

_FAIR = """
def q_fed_avg_step(weights, deltas, losses, q, client_lr):
    squares = (deltas**2).sum(axis=1)
    importance = {importance}
    bounds = {bounds}
    return weights {step}
"""
_IMPORTANCE, _BOUNDS = "losses**q", "q * losses ** (q - 1) * squares / client_lr + importance"
_QUOTIENT = "- importance @ deltas / bounds.sum()"

WRONG_ANSWERS = {
    "fed_avg_fixed_point": {
        "the optimum of the mean loss": _FIXED.format(weights="curvatures"),
        "the mean of the optima": _FIXED.format(weights="np.ones(len(optima))"),
        "steps that never get shorter": _FIXED.format(weights="1 - (1 - num_steps * client_lr * curvatures)"),
        "what is left of the way": _FIXED.format(weights="(1 - client_lr * curvatures) ** num_steps"),
        "infinitely small steps": _FIXED.format(weights="1 - np.exp(-client_lr * curvatures * num_steps)"),
        "a step too long counts like a short one": _FIXED.format(
            weights="1 - np.abs(1 - client_lr * curvatures) ** num_steps"
        ),
        "a handful of rounds": """
def fed_avg_fixed_point(curvatures, optima, num_steps, client_lr):
    number = optima.mean()
    for _ in range(10):
        trained = np.full(len(optima), number)
        for _ in range(num_steps):
            trained = trained - client_lr * curvatures * (trained - optima)
        number = trained.mean()
    return number
""",
        "one round from 0": """
def fed_avg_fixed_point(curvatures, optima, num_steps, client_lr):
    trained = np.zeros(len(optima))
    for _ in range(num_steps):
        trained = trained - client_lr * curvatures * (trained - optima)
    return trained.mean()
""",
    },
    "proximal_steps": {
        "pushed away": _PROXIMAL.format(
            step="client_lr * (gradient + strength * (received - weights))", result="weights"
        ),
        "pulled to zero": _PROXIMAL.format(step="client_lr * (gradient + strength * weights)", result="weights"),
        "no half": _PROXIMAL.format(
            step="client_lr * (gradient + 2 * strength * (weights - received))", result="weights"
        ),
        "the spring without learning rate": _PROXIMAL.format(
            step="client_lr * gradient - strength * (weights - received)", result="weights"
        ),
        "no spring at all": _PROXIMAL.format(step="client_lr * gradient", result="weights"),
        "twice the gradient": _PROXIMAL.format(step=_ON_SPRING.replace("gradient", "2 * gradient"), result="weights"),
        "the way, not the weights": _PROXIMAL.format(step=_ON_SPRING, result="received - weights"),
        "the model received is changed, too": _PROXIMAL.format(step="0", result="weights").replace(
            "weights = weights - 0", f"weights -= {_ON_SPRING}"
        ),
        "the sum of the losses": """
def proximal_steps(received, x, y, client_lr, strength, num_steps):
    weights = received
    with np.errstate(all="ignore"):  # it runs away
        for _ in range(num_steps):
            weights = weights - client_lr * (x.T @ (x @ weights - y) + strength * (weights - received))
    return weights
""",
        "a spring that comes along": """
def proximal_steps(received, x, y, client_lr, strength, num_steps):
    weights, last = received, received
    for _ in range(num_steps):
        gradient = x.T @ (x @ weights - y) / len(y) + strength * (weights - last)
        weights, last = weights - client_lr * gradient, weights
    return weights
""",
    },
    "scaffold_client": {
        "the correction the other way round": _SCAFFOLD.format(
            correction="+ control - server_control", delta="delta", control=_OPTION_2
        ),
        "the model received is changed, too": _SCAFFOLD.format(
            correction=_CORRECTION, delta="delta", control=_OPTION_2
        ).replace("weights = weights - ", "weights -= "),
        "takes off only": _SCAFFOLD.format(correction="- control", delta="delta", control=_OPTION_2),
        "trained minus received": _SCAFFOLD.format(correction=_CORRECTION, delta="-delta", control=_OPTION_2),
        "leaves the server's control in": _SCAFFOLD.format(
            correction=_CORRECTION, delta="delta", control="control + delta / (num_steps * client_lr)"
        ),
        "the way without what was corrected": _SCAFFOLD.format(
            correction=_CORRECTION, delta="delta", control="delta / (num_steps * client_lr)"
        ),
        "forgets the number of steps": _SCAFFOLD.format(
            correction=_CORRECTION, delta="delta", control="control - server_control + delta / client_lr"
        ),
        "forgets the learning rate": _SCAFFOLD.format(
            correction=_CORRECTION, delta="delta", control="control - server_control + delta / num_steps"
        ),
        "the gradient where it started": _SCAFFOLD.format(correction=_CORRECTION, delta="delta", control="first"),
        "the change of the control": _SCAFFOLD.format(
            correction=_CORRECTION, delta="delta", control="delta / (num_steps * client_lr) - server_control"
        ),
    },
    "fed_nova_step": {
        "weighted FedAvg": _NOVA.format(step="- share @ deltas"),
        "unweighted FedAvg": _NOVA.format(step="- deltas.mean(axis=0)"),
        "one step long": _NOVA.format(step="- share @ per_step"),
        "the plain mean of the steps": _NOVA.format(step="- num_steps.mean() * (share @ per_step)"),
        "no weights": _NOVA.format(step="- num_steps.mean() * per_step.mean(axis=0)"),
        "all the steps": _NOVA.format(step="- num_steps.sum() * (share @ per_step)"),
        "per example": _NOVA.format(step="- (share @ num_examples) * (share @ (deltas / num_examples[:, None]))"),
        "uphill": _NOVA.format(step="+ (share @ num_steps) * (share @ per_step)"),
    },
    "fed_adam": {
        "uphill": _ADAM.format(start=_START, m=_M, v=_V, step=_STEP.replace("-", "+", 1)),
        "corrects the averages for their start": _ADAM.format(
            start="np.zeros_like(weights)",
            m=_M,
            v=_V,
            step="- server_lr * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + tau)",
        ).replace("1 - beta_1**t", "max(1 - beta_1**t, 1e-12)"),
        "corrects what needs no correction": _ADAM.format(
            start=_START, m=_M, v=_V, step="- server_lr * (m / (1 - beta_1**t)) / (np.sqrt(v) + tau)"
        ),
        "v starts at 0": _ADAM.format(start="np.zeros_like(weights)", m=_M, v=_V, step=_STEP),
        "no root": _ADAM.format(start=_START, m=_M, v=_V, step="- server_lr * m / (v + tau)"),
        "tau under the root": _ADAM.format(start=_START, m=_M, v=_V, step="- server_lr * m / np.sqrt(v + tau)"),
        "one v for all": _ADAM.format(start=_START, m=_M, v=_V.replace("delta**2", "np.mean(delta**2)"), step=_STEP),
        "the square of m": _ADAM.format(start=_START, m=_M, v=_V.replace("delta**2", "m**2"), step=_STEP),
        "the betas swapped": _ADAM.format(
            start=_START, m=_M.replace("beta_1", "beta_2"), v=_V.replace("beta_2", "beta_1"), step=_STEP
        ),
        "momentum that adds up": _ADAM.format(start=_START, m="beta_1 * m + delta", v=_V, step=_STEP),
    },
    "q_fed_avg_step": {
        "a weighted mean": _FAIR.format(importance=_IMPORTANCE, bounds="importance", step=_QUOTIENT),
        "the loss to the power of q + 1": _FAIR.format(importance="losses ** (q + 1)", bounds=_BOUNDS, step=_QUOTIENT),
        "forgets the learning rate": _FAIR.format(
            importance=_IMPORTANCE, bounds=_BOUNDS.replace(" / client_lr", ""), step=_QUOTIENT
        ),
        "the norm, not its square": _FAIR.format(
            importance=_IMPORTANCE, bounds=_BOUNDS.replace("squares", "np.sqrt(squares)"), step=_QUOTIENT
        ),
        "a bound for each client": _FAIR.format(
            importance=_IMPORTANCE, bounds=_BOUNDS, step="- (importance / bounds) @ deltas / len(deltas)"
        ),
        "the mean of the bounds": _FAIR.format(
            importance=_IMPORTANCE, bounds=_BOUNDS, step="- importance @ deltas / bounds.mean()"
        ),
        "the well served count more": _FAIR.format(importance="losses**-q", bounds=_BOUNDS, step=_QUOTIENT),
        "uphill": _FAIR.format(importance=_IMPORTANCE, bounds=_BOUNDS, step=_QUOTIENT.replace("-", "+", 1)),
    },
}
