"""Stored runs with what was run in columns of its own: a name of the catalogue, a parameter, its value. Run once."""

from __future__ import annotations

import pathlib

import pandas as pd

ROOT = pathlib.Path(__file__).parent.parent
ASSETS = ROOT / "fedlearn_edu" / "simulation" / "assets"
NAMES = {
    "central ceiling": ("central",),
    "FedNCM": ("one_shot_ncm",),
    "FedCOF": ("one_shot_cof",),
    "Fed3R": ("one_shot_ridge",),
    "FedAvg": ("weighted_fed_avg",),
    "FedAvg, unweighted": ("unweighted_fed_avg",),
    "FedProx, 0.1": ("fed_prox", "proximal_strength", "0.1"),
    "FedNova": ("fed_nova",),
    "SCAFFOLD": ("scaffold",),
    "FedDyn, 0.1": ("fed_dyn", "strength", "0.1"),
    "Mime Lite": ("mime_lite", "momentum", "0.9"),
    "FedAdam": ("fed_adam",),
    "FedYogi": ("fed_yogi",),
    "FedAdagrad": ("fed_adagrad",),
    "q-FedAvg, q = 1": ("q_fed_avg", "q", "1"),
    "none": ("none",),
    "label flip": ("flip_labels",),
    "sign flip": ("sign_flip", "strength", "1"),
    "sign flip, 5 times": ("sign_flip", "strength", "5"),
    "Gaussian noise": ("gaussian_update", "stddev", "1"),
    "inner product": ("inner_product", "strength", "0.5"),
    "backdoor": ("add_backdoor", "fraction", "0.5"),
    "mean": ("mean",),
    "norm bounding": ("norm_bounding", "max_norm", "1"),
    "median": ("coordinate_median",),
    "trimmed mean": ("trimmed_mean", "num_trimmed", "4"),
    "geometric median": ("geometric_median",),
    "Krum": ("krum", "num_attackers", "4"),
    "Multi-Krum": ("multi_krum", "num_attackers", "4"),
    "global model": ("global_model",),
    "fine-tuned, 1 epoch": ("fine_tuned", "num_epochs", "1"),
    "fine-tuned, 5 epochs": ("fine_tuned", "num_epochs", "5"),
    "local alone": ("local_alone",),
    "Ditto": ("ditto", "strength", "1"),
    "FedPer": ("fed_per",),
    "FedRep": ("fed_rep", "head_epochs", "5"),
}


def convert(path: pathlib.Path, *subjects: str) -> None:
    runs = pd.read_csv(path, dtype=str, keep_default_na=False)
    for subject in subjects:
        place, labels = runs.columns.get_loc(subject), runs.pop(subject)
        if subject == "method":
            runs.insert(place, "head", ["mlp" if label.startswith("MLP, ") else "linear" for label in labels])
            labels, place = labels.str.removeprefix("MLP, "), place + 1
        parts = [(*NAMES[label], "", "")[:3] for label in labels]
        for offset, part in enumerate(("name", "parameter", "value")):
            runs.insert(place + offset, f"{subject}_{part}", [each[offset] for each in parts])
    runs.to_csv(path, index=False)


if __name__ == "__main__":
    convert(ASSETS / "algorithm_runs.csv", "algorithm")
    convert(ROOT / "docs" / "unlike_clients_rates.csv", "algorithm")
    for name in ("attack_runs.csv", "attack_selections.csv"):
        convert(ASSETS / name, "attack", "aggregator")
    convert(ASSETS / "personalisation_runs.csv", "method")
