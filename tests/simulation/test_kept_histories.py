"""Runs on features of images and classes give the numbers that they gave before data sets held anything else."""

import pathlib

import pandas as pd
import pytest
from shared import make_features

import fedlearn_edu as fl

KEPT = pathlib.Path(__file__).with_name("kept_histories.csv")
PROCESSES = {
    "fed_avg": lambda head: fl.build_unweighted_fed_avg(head, client_lr=0.05),
    "scaffold": lambda head: fl.build_scaffold(head, num_clients=6, client_lr=0.05),
    "ditto": lambda head: fl.build_ditto(head, client_lr=0.05),
}


def history_of(name):
    features = make_features()
    process = PROCESSES[name](fl.linear_head(features))
    history = fl.run_rounds(
        process, features, num_rounds=3, clients_per_round=4, num_epochs=2, batch_size=5, seed=5, progress=False
    )
    return history.to_frame()


@pytest.mark.parametrize("name", PROCESSES)
def test_histories_are_those_kept(name):
    kept = pd.read_csv(KEPT, float_precision="round_trip")
    kept = kept[kept["process"] == name].drop(columns="process").reset_index(drop=True)
    # On the machine that kept them they are equal to the bit; another processor may round a sum otherwise.
    pd.testing.assert_frame_equal(history_of(name), kept, check_exact=False, check_dtype=False, rtol=1e-6, atol=0)
