"""A row is all it takes: what is added to a registry is on the command line, in lists, controls and pictures."""

import dataclasses
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import fedlearn_edu as fl
from fedlearn_edu.cli import cli
from fedlearn_edu.data import schemes
from fedlearn_edu.data.scheme_parameters import Checked, parameter
from fedlearn_edu.learning import catalogue
from fedlearn_edu.plotting import race


@pytest.fixture
def toy_row(monkeypatch):
    row = dataclasses.replace(catalogue.by_name("fed_prox"), name="fed_toy", label="FedToy", shown="mu = {:g}")
    rows = (*catalogue.ALGORITHMS, row)
    monkeypatch.setattr(catalogue, "ALGORITHMS", rows)
    monkeypatch.setattr(race, "ALGORITHMS", rows)
    monkeypatch.setitem(catalogue._KINDS, "algorithm", rows)
    return row


def test_a_row_of_an_algorithm_is_listed_offered_and_drawn_in_its_familys_colour(toy_row):
    listed = CliRunner().invoke(cli, ["list", "algorithms", "--csv"])
    assert "\nfed_toy,FedToy,local training," in listed.output
    assert "fed_toy" in catalogue.trainable_by_demo()
    runs = {"FedProx": 0.5, "FedToy, mu = 3": 0.6}
    names = {"FedProx": "fed_prox", "FedToy, mu = 3": "fed_toy"}
    assert catalogue.by_name("fed_toy").describe(3) in runs
    table = [(label, names[label], number, value) for label, value in runs.items() for number in (1, 2)]
    columns = ["algorithm", "algorithm_name", "round_num", "accuracy"]
    prox, toy = race.plot_race(pd.DataFrame(table, columns=columns)).lines[:2]
    assert prox.get_color() == toy.get_color() != race.style_of(catalogue.by_name("scaffold"))[0]
    assert prox.get_marker() != toy.get_marker()


@dataclasses.dataclass(frozen=True)
class Halves(Checked):
    """The first client holds a share, the others the rest."""

    share: float = parameter(
        0.5, label="share of the first", letter="H", low=0.1, high=0.9, slider=(0.2, 0.8), step=0.1
    )
    name: ClassVar[str] = "halves"
    label: ClassVar[str] = "Halves (one large)"

    def deal(self, labels, num_clients, rng):
        first = round(self.share * len(labels))
        return [np.arange(first), *np.array_split(np.arange(first, len(labels)), num_clients - 1)]


def test_a_scheme_is_read_checked_listed_and_has_its_slider(monkeypatch):
    monkeypatch.setitem(schemes.SCHEMES, "halves", Halves)
    assert schemes.parse_scheme("halves:0.7") == Halves(0.7)
    with pytest.raises(fl.UsageError, match=r"'halves:2': share: expected a number from 0\.1 to 0\.9, got 2\.0"):
        schemes.parse_scheme("halves:2")
    assert "halves:H" in " ".join(CliRunner().invoke(cli, ["demo", "--help"]).output.split())
    assert "Halves (one large)" in CliRunner().invoke(cli, ["list", "schemes"]).output
    labels = np.arange(100, dtype=np.int32) % 2
    data = fl.ImageDataset("toy", np.zeros([100, 4, 4, 3], np.uint8), labels, ("a", "b"), None)
    explorer = fl.PartitionExplorer(data, num_clients=3)
    explorer.controls.scheme_choice.value = Halves
    (slider,) = explorer.controls.numbers[Halves]
    assert (slider.description, slider.min, slider.max) == ("share of the first", 0.2, 0.8)
    slider.value = 0.6
    assert explorer.scheme == Halves(0.6)
    assert explorer.error is None
    assert len(explorer.clients.summary()) == 3


@pytest.mark.parametrize("what", ["algorithms", "aggregators", "attacks", "datasets", "schemes", "lessons"])
def test_a_list_is_a_table_and_its_csv_the_same(what, tmp_path):
    plain, as_csv = (CliRunner().invoke(cli, ["list", what, *more]) for more in ([], ["--csv"]))
    assert plain.exit_code == as_csv.exit_code == 0, plain.output
    path = tmp_path / "list.csv"
    path.write_text(as_csv.output)
    table = pd.read_csv(path, dtype=str)
    assert len(table) == len(plain.output.splitlines()) - 1 > 4
    assert plain.output.split()[0] == table.columns[0]


def test_a_list_that_is_none_is_one_line():
    result = CliRunner().invoke(cli, ["list", "algorithm"])
    assert result.exit_code == 2
    assert "'algorithm' is not one of 'algorithms', " in result.output
