"""README's result tables say what the stored runs say, cell by cell, to the last digit that is printed."""

import importlib
import re

import numpy as np
import pandas as pd
import pytest
from shared import REPOSITORY

from fedlearn_edu.simulation.fairness import worst_decile
from fedlearn_edu.simulation.stored_runs import stored_runs

DOCS = REPOSITORY / "docs"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def table(first_header: str) -> list[list[str]]:
    """The rows below the table's header, which begins with the given cell or cells."""
    lines = README.split(f"\n| {first_header} |", 1)[1].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    raise AssertionError(first_header)


def numbers(cell: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?", cell)


def assert_printed(cell: str, expected, where) -> None:
    """Each number in the cell is the expected one, rounded to as many digits as are printed."""
    found = numbers(cell)
    assert len(found) == len(expected), (where, cell)
    for text, value in zip(found, expected, strict=True):
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])
        assert abs(float(text) - value) <= half + 1e-9, (*where, f"README has {cell!r}, the runs {value:.4f}")


def spread(values) -> list[float]:
    """Mean and standard deviation over seeds, in %."""
    values = 100 * np.asarray(values, float)
    assert len(values) == 3
    return [values.mean(), values.std(ddof=1)]


def last_rounds(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return runs.loc[runs.groupby(keys)["round_num"].idxmax()]


def test_does_pre_training_help():
    runs = pd.read_csv(DOCS / "pretraining_matters.csv")
    depths = {
        "from scratch": "scratch",
        "frozen backbone, head": "head",
        "frozen backbone, one-shot": "one_shot",
        "last block and head": "last_block",
    }
    rows = table("start | data")
    assert len(rows) == 8
    for start, data, *cells in rows:
        here = runs[(runs["depth"] == depths[start]) & (runs["dataset"] == data.lower())]
        plain, adam = (here[here["server_optimizer"] == name] for name in ("sgd", "adam"))
        accuracy = {c: plain.loc[plain["concentration"] == c, "accuracy"] for c in (100, 1, 0.3, 0.1)}
        for (concentration, values), cell in zip(accuracy.items(), cells, strict=False):
            assert_printed(cell, spread(values), (start, data, concentration))
        assert_printed(cells[4], [100 * (accuracy[100].mean() - accuracy[0.1].mean())], (start, data, "lost"))
        if start.endswith("one-shot"):
            assert not cells[5]
        else:
            assert_printed(cells[5], spread(adam["accuracy"]), (start, data, "FedAdam"))


@pytest.mark.parametrize("dataset", ["Fashion", "emoji"])
def test_unlike_clients(dataset):
    runs = stored_runs("algorithm_runs")
    keys = ["dataset", "algorithm", "concentration", "seed"]
    runs = last_rounds(runs[runs["dataset"] == dataset.lower()], keys)
    ceiling = runs[(runs["algorithm"] == "central ceiling") & (runs["concentration"] == 0.1)]["accuracy"].mean()
    rows = table(f"head, on {dataset}")
    assert {row[0] for row in rows} == set(runs["algorithm"])
    for name, *cells in rows:
        here = runs[runs["algorithm"] == name]
        for concentration, cell in zip((100, 1, 0.3, 0.1), cells, strict=False):
            values = here[here["concentration"] == concentration]["accuracy"]
            assert_printed(cell, spread(values), (dataset, name, concentration))
        skewed = here[here["concentration"] == 0.1]
        assert abs(float(cells[4]) - skewed["accuracy"].mean() / ceiling) <= 0.00051, (dataset, name, "of the ceiling")
        assert_printed(cells[5], [100 * skewed["worst_decile"].mean()], (dataset, name, "worst tenth"))


def test_hostile_clients():
    runs = stored_runs("attack_runs")
    attacks = "none", "label flip", "sign flip", "sign flip, 5 times", "Gaussian noise", "inner product", "backdoor"
    rows = table("clients | aggregation")
    assert len(rows) == 14
    for clients, aggregation, *cells in rows:
        partition = {"label skew": "dirichlet:1", "minority": "minority:1"}[clients]
        here = runs[(runs["partition"] == partition) & (runs["aggregator"] == aggregation)]
        at = {a: here[(here["attack"] == a) & (here["num_attackers"] == (4 if a != "none" else 0))] for a in attacks}
        for attack, cell in zip(attacks, cells, strict=False):
            assert_printed(cell, spread(at[attack]["accuracy"]), (clients, aggregation, attack))
        assert_printed(cells[7], spread(at["backdoor"]["backdoor_success"]), (clients, aggregation, "succeeds"))
        assert_printed(cells[8], spread(at["none"]["minority_accuracy"]), (clients, aggregation, "minority"))


def test_one_model_for_all_or_one_each():
    runs = stored_runs("personalisation_runs")
    rows = table("model | Fashion: 100")
    assert {row[0] for row in rows} == set(runs["method"])
    settings = [(dataset, c) for dataset in ("fashion", "emoji") for c in (100, 1, 0.1)]
    for method, *cells in rows:
        (head,) = runs.loc[runs["method"] == method, "head"].unique()
        (rival,) = runs.loc[(runs["method_name"] == "global_model") & (runs["head"] == head), "method"].unique()
        for (dataset, concentration), cell in zip(settings, cells, strict=True):
            here = runs[(runs["dataset"] == dataset) & (runs["concentration"] == concentration)]
            per_seed = []
            for _, seed in here.groupby("seed"):
                accuracy = seed.pivot(index="client_id", columns="method", values="accuracy")
                worse = (accuracy[method] < accuracy[rival]).mean()
                per_seed.append((accuracy[method].mean(), worst_decile(accuracy[method]), worse))
            means, worst, worse = np.transpose(per_seed)
            expected = [*spread(means), 100 * worst.mean(), 100 * worse.mean()]
            assert_printed(cell, expected, (method, dataset, concentration))


def test_what_a_guarantee_costs():
    runs = pd.read_csv(DOCS / "privacy_utility.csv")
    rows = table("epsilon | accuracy on pre-trained features")
    assert len(rows) == 5
    for name, *cells in rows:
        here = runs[runs["epsilon"] == (np.inf if name.startswith("no noise") else float(name))]
        features, pixels = (here[here["features"] == kind] for kind in ("pre-trained features", "pixels"))
        assert_printed(cells[0], spread(features["accuracy"]), (name, "features"))
        assert_printed(cells[1], spread(pixels["accuracy"]), (name, "pixels"))
        guesses = [100 * kind["attack_accuracy"].mean() for kind in (features, pixels)]
        assert_printed(cells[2], guesses, (name, "right guesses"))
        assert_printed(cells[3], [100 * here["attack_accuracy_bound"].mean()], (name, "no attack beats"))


def test_what_a_server_reads():
    runs = pd.read_csv(DOCS / "privacy_attacks.csv")
    attack, expected, cells = None, [], []
    for name, _, success, guessing in table("attack | what the server receives"):
        attack = name or attack
        kind = next(k for k in ("label counts", "feature recovery", "client membership") if _told(k) in attack)
        here = runs[runs["attack"] == kind]
        rows = here.iloc[sum(c for k, c in cells if k == kind) :][: len(success.split(" / "))]
        cells.append((kind, len(rows)))
        assert_printed(success, rows["success"], (attack, success))
        assert_printed(guessing, [rows["baseline"].iloc[0]], (attack, "guessing"))
        expected += list(rows.index)
    assert sorted(expected) == list(runs.index)


def _told(kind: str) -> str:
    return {"label counts": "classes of", "feature recovery": "feature vector", "client membership": "take part"}[kind]


@pytest.fixture
def readme_demo(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    return importlib.import_module("readme_demo")


def test_the_demos_block_is_what_its_tool_leaves_of_the_output(readme_demo):
    """Idempotent on the block in README; and of a whole output, written here by hand, nothing else is left out."""
    (block,) = re.findall(r"^```text\n(fashion: .*?)^```$", README, re.M | re.S)
    assert readme_demo.abridge(block) == block
    rounds = [f"{n:5}   {n + 10}.0% ██   0.5   0.0%   75.0%   {n}.0 MB" for n in range(14)]
    clients = [f"client_{n:02}   67.5%   -7.5%   11" for n in range(5)]
    head, tail = ["fashion: 10,000 images", "", "round  global accuracy"], ["", "global accuracy 87.2%, 40 rounds", ""]
    names = ["", "Every client after round 14, worst first:", "client_id   accuracy    gain  rounds trained"]
    kept = [*head, *rounds[:3], "  ...", rounds[5], "  ...", rounds[10], "  ...", *names, *clients[:3], "...", *tail]
    assert readme_demo.abridge("\n".join([*head, *rounds, *names, *clients, *tail])) == "\n".join(kept)


def test_the_block_is_put_between_its_markers_and_nowhere_else(readme_demo, monkeypatch, tmp_path):
    path = tmp_path / "README.md"
    monkeypatch.setattr(readme_demo, "README", path)
    monkeypatch.setattr(readme_demo, "run_demo", lambda: "fashion: new\n")
    monkeypatch.setattr("sys.argv", ["readme_demo.py"])
    path.write_text(f"before\n\n{readme_demo.START}old\n{readme_demo.END}after\n")
    for _ in range(2):
        readme_demo.main()
        assert path.read_text() == (
            f"before\n\n{readme_demo.START}```text\nfashion: new\n```\n{readme_demo.END}after\n"
        )
    path.write_text("no markers\n")
    with pytest.raises(SystemExit, match=r"^README.md: expected one line '<!-- demo: made by"):
        readme_demo.main()
    assert path.read_text() == "no markers\n"
