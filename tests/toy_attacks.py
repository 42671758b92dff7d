"""Made-up runs under attack, with answers on paper."""

import pandas as pd

KEYS = ["attack", "aggregator", "partition", "num_attackers", "seed"]
PARTITIONS = ("dirichlet:1", "minority:1")
COUNTS = (0, 2, 4)
SEEDS = (1, 2, 3)


def accuracy(attack, aggregator, seed, num_attackers):
    """Seeds differ much, but by the same for all; the mean loses 5 or 8 points an attacker, Multi-Krum 1 or 2."""
    lost = {"mean": 0.05, "Multi-Krum": 0.01}[aggregator] + (0.03 if attack == "noise" else 0)
    return 0.5 + 0.1 * seed - lost * num_attackers


def runs():
    rows = []
    for aggregator in ("mean", "Multi-Krum"):
        for partition in PARTITIONS:
            for attack, counts in (("none", (0,)), ("flip", COUNTS[1:]), ("noise", COUNTS[1:])):
                for count in counts:
                    for seed in SEEDS:
                        value = accuracy(attack, aggregator, seed, count)
                        minority = 0.0 if (aggregator, partition) == ("Multi-Krum", "minority:1") else value - 0.1
                        rows.append((attack, aggregator, partition, count, seed, value, minority))
    return pd.DataFrame(rows, columns=[*KEYS, "accuracy", "minority_accuracy"])


def selections():
    """Ten clients, hostile ones first, the last two a minority; each seed keeps the attackers one round of ten more."""
    rows = []
    for run in runs().itertuples():
        if run.aggregator == "Multi-Krum":
            for i in range(10):
                hostile, minority = int(i < run.num_attackers), int(i >= 8 and run.partition == "minority:1")
                kept = run.seed if hostile else 0 if minority else 10 - i % 2
                key = (run.attack, run.aggregator, run.partition, run.num_attackers, run.seed)
                rows.append((*key, f"client_{i}", hostile, minority, kept, 10))
    return pd.DataFrame(rows, columns=[*KEYS, "client_id", "hostile", "minority", "rounds_kept", "num_rounds"])
