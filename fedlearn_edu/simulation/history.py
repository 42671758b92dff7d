"""History: what was measured in every round, as tidy tables, and the model at the end."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedlearn_edu.data.metrics import METRICS, Metric
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.simulation.history_index import HistoryIndex
from fedlearn_edu.simulation.history_rows import COLUMNS, Row, end_of_round, write_rows

GLOBAL = "global"
EVALUATION_METRICS = [f"{prefix}{name}" for prefix in ("", "personal_") for name in METRICS]
PRIVACY_METRICS = ["clip_norm", "noise_stddev"]  # that an aggregator may report, beside epsilon
_INFO = ["settings", "status", "central_accuracy", "seconds"]  # in history.json


@dataclasses.dataclass
class History:
    """The record of a federated run.

    Attributes:
        settings: All that decides the run, nested and fit for JSON: `process` (algorithm, hyperparameters, model),
            `run` (cohort, epochs, batch size, seed, evaluation), `data` (with its provenance and baseline), `task`, and
            `privacy` if the process is private.
        rows: One `(round_num, client_id, metric, value)` per measurement, in the order they were made.
            `round_num` is 0 before training; `client_id` is `"global"` for the whole. Metrics: those of the
            task on test examples, of classes `accuracy` and `loss` (global and per client); with `train_` before their
            names those of the cohort during local training; `broadcast_bytes_total` and `upload_bytes_total` of the
            round (global);
            `in_cohort` = 1 for a client that trained in the round; `excluded` = 1 for one whose update was not finite
            and was left out; `selected` = 1 for one that a selecting aggregator took (see `multi_krum`). With
            personal models also `personal_accuracy` and `personal_loss`, each client predicting by its own (per client,
            and global over all test examples). Private runs also: `epsilon` spent so far and, if the process reports
            them, `clip_norm` and `noise_stddev` of the round (global).
        status: `"running"`, `"stopped"` (by the user, everything so far is valid) or `"finished"`.
        model_weights: Trainable weights of the global model after the last round, float32 arrays.
        client_states: What each client that has trained keeps for itself, by client id; empty unless the process is
            stateful. It is part of a checkpoint, but not of what `save` writes.
        central_accuracy: The primary metric (of classes, accuracy) of the same head trained on pooled features, if
            someone has set it (see `train_centrally`); plots draw it as the ceiling.
        seconds: Wall time of the rounds run in this process; not part of `rows`, since it never repeats.
    """

    settings: dict[str, Any]
    rows: list[Row] = dataclasses.field(default_factory=list)
    status: str = "running"
    model_weights: list[np.ndarray] = dataclasses.field(default_factory=list)
    client_states: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    central_accuracy: float | None = None
    seconds: float = 0.0
    _known: HistoryIndex | None = dataclasses.field(default=None, init=False, repr=False, compare=False)

    def add(self, round_num: int, client_id: str, **metrics: float) -> None:
        """Appends one row per metric."""
        self.rows.extend((round_num, client_id, name, value) for name, value in metrics.items())

    def add_round(self, rows: Sequence[Row], **attributes: Any) -> None:
        """Appends a whole round, its rows and what the attributes are after it: both, or when interrupted neither."""
        num_rows, before = len(self.rows), dict(vars(self))
        try:
            self.rows.extend(rows)
            vars(self).update(attributes)
        except BaseException:
            vars(self).update(before)
            del self.rows[num_rows:]
            raise

    @property
    def _index(self) -> HistoryIndex:
        self._known = (self._known or HistoryIndex(GLOBAL, self.primary.name, self.rows)).of(self.rows)
        return self._known

    @property
    def num_rounds(self) -> int:
        """Rounds completed; 0 before training."""
        return self._index.num_rounds

    @property
    def primary(self) -> Metric:
        """The task's primary metric, which tables and pictures show: its name, and which way is better."""
        return Task.from_dict(self.settings["task"]).primary if "task" in self.settings else METRICS["accuracy"]

    @property
    def baseline(self) -> float | None:
        """The primary metric of one answer for all test examples (see `Task.baseline`); None if nobody recorded it."""
        return self.settings.get("data", {}).get("baseline")

    @property
    def global_value(self) -> float:
        """The primary metric of the global model over all clients' test examples at the last evaluation.

        Raises:
            UsageError: No client has a test example.
        """
        return self._last_of(self.primary.name)

    def format(self, value: float) -> str:
        """Returns a value of the primary metric as text, with its unit."""
        return self.primary.format(value)

    @property
    def is_tested(self) -> bool:
        """Whether the global model was measured, for which some client must have a test example."""
        return self._index.is_tested

    @property
    def global_accuracy(self) -> float:
        """Accuracy of the global model over all clients' test examples at the last evaluation (0 to 1).

        Raises:
            UsageError: No client has a test example, or the run is of a task without accuracy.
        """
        if self.is_tested and self.primary.name in ("rmse", "hit_at_10"):
            raise UsageError(
                f"history: this run is measured by {self.primary.label}, not by accuracy; use history.global_value"
            )
        return self._last_of("accuracy")

    def _last_of(self, metric: str) -> float:
        if not self.is_tested:
            raise UsageError(
                "history: expected a run in which some client has test examples, got none, so that there is no "
                f"{METRICS[metric].label}; a client of one example only trains: give clients more (partition's "
                "min_size)"
            )
        if metric == self.primary.name:
            return float(self._index.value[1])
        return float(self.global_metrics()[metric].dropna().iloc[-1])

    def to_frame(self) -> pd.DataFrame:
        """Returns everything as a tidy table with the columns round_num, client_id, metric, value."""
        return pd.DataFrame(self.rows, columns=COLUMNS)

    def global_metrics(self) -> pd.DataFrame:
        """Returns one row per round (index `round_num`, from 0) and one column per global metric."""
        frame = pd.DataFrame(self._index.global_rows, columns=COLUMNS)
        return frame.pivot(index="round_num", columns="metric", values="value").rename_axis(columns=None)

    def client_metric(self, metric: str | None = None) -> pd.DataFrame:
        """Returns one row per client (index `client_id`) and one column per round (from 0).

        Args:
            metric: None for the primary one; `"accuracy"`, `"loss"`, `"in_cohort"` (missing means: not in the cohort),
                `"excluded"`, `"selected"`, `"personal_accuracy"`, `"personal_loss"`.
        """
        metric = self.primary.name if metric is None else metric
        rows = [row for row in self.rows if row[1] != GLOBAL and row[2] == metric]
        frame = pd.DataFrame(rows, columns=COLUMNS)
        return frame.pivot(index="client_id", columns="round_num", values="value")

    def last_client_metric(self, metric: str | None = None) -> pd.Series:
        """Returns each client's value in the last round in which the metric was measured (index `client_id`).

        Rows are looked at from the end, so that asking after every round does not read all of them again. Empty if the
        metric was never measured.

        Args:
            metric: As for `client_metric`.
        """
        metric = self.primary.name if metric is None else metric
        values, measured_in = {}, None
        for round_num, client_id, name, value in reversed(self.rows):
            if measured_in is not None and round_num != measured_in:
                break
            if name == metric and client_id != GLOBAL:
                values[client_id], measured_in = value, round_num
        return pd.Series(values, name=measured_in, dtype=float).rename_axis("client_id").sort_index()

    def client_table(self) -> pd.DataFrame:
        """Returns the final accuracy, its gain over round 0, and rounds trained, per client; worst first.

        Of another task its primary metric takes the place of accuracy; a gain is positive where the client is better
        off, also where less is better. Clients without test examples (of both classes, for AUC) have no row.
        """
        primary, values = self.primary, self.client_metric()
        cohorts = self.client_metric("in_cohort")
        first, last = (values.iloc[:, 0], values.iloc[:, -1]) if len(values) else [pd.Series(dtype=float)] * 2
        table = pd.DataFrame({primary.name: last, "gain": primary.gain(first, last)})
        table["rounds_trained"] = cohorts.count(axis=1).reindex(table.index, fill_value=0).astype(int)
        order = [primary.higher_is_better, True]
        return table.sort_values([primary.name, "rounds_trained"], ascending=order, kind="stable")

    def privacy_ledger(self) -> pd.DataFrame:
        """Returns what a private run has spent, one row per round (index `round_num`, from 0 with epsilon 0).

        Returns:
            The columns `epsilon` (spent up to and including the round), `delta`, `cohort_size`, and what the process
            reports of `clip_norm` and `noise_stddev` (missing in round 0). `settings["privacy"]` says under which
            assumptions epsilon holds. The cohort's size is for the learner's eyes: whoever publishes it as well
            gives away more than epsilon says.

        Raises:
            UsageError: The run had no privacy accountant.
        """
        if "privacy" not in self.settings:
            raise UsageError(
                "history: expected a run of a private process (build_dp_fed_avg, ...), got one without an accountant: "
                "nothing bounds what it gives away"
            )
        metrics = self.global_metrics()
        ledger = metrics[["epsilon"]].copy()
        ledger["delta"] = self.settings["privacy"]["delta"]
        in_cohort = self.client_metric("in_cohort").count()
        ledger["cohort_size"] = in_cohort.reindex(ledger.index, fill_value=0).astype(int)
        for name in PRIVACY_METRICS:
            if name in metrics:
                ledger[name] = metrics[name]
        return ledger

    def truncate(self, num_rounds: int) -> None:
        """Forgets every round after `num_rounds`."""
        self.rows = [row for row in self.rows if row[0] <= num_rounds]

    def forget_evaluation(self, round_num: int) -> None:
        """Forgets what was measured on test examples after a round, as if it had not been due."""
        self.rows = [row for row in self.rows if row[0] != round_num or row[2] not in EVALUATION_METRICS]

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `history.csv`, `history.json` (settings, status) and `weights.npz`; each appears whole or not.

        Args:
            directory: Created if missing.
        """
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.save_model(directory)
        write_whole(directory / "history.csv", lambda file: write_rows(file, self.rows))

    def save_model(self, directory: pathlib.Path) -> None:
        """Writes all but the rows, whose size does not grow with the rounds, to a folder that exists."""
        info = {name: getattr(self, name) for name in _INFO}
        write_whole(directory / "weights.npz", lambda file: np.savez(file, *self.model_weights))
        write_whole(directory / "history.json", lambda file: file.write(json.dumps(info, indent=2).encode()))

    @classmethod
    def load(cls, directory: str | os.PathLike, *, num_rounds: int | None = None) -> History:
        """Reads what `save` wrote.

        Args:
            directory: The folder.
            num_rounds: Read the rounds up to this one; nothing behind them, whole or not, is looked at. None for all.

        Raises:
            UsageError: `directory` holds no saved history, or one that was damaged or edited.
        """
        directory = pathlib.Path(directory)
        try:
            info = json.loads((directory / "history.json").read_text())
            # round_trip: the numbers must come back as they were, bit for bit
            content = (directory / "history.csv").read_bytes()
            end = len(content) if num_rounds is None else end_of_round(content, num_rounds)
            if content[end - 1 : end] != b"\n":
                raise ValueError("history.csv breaks off")
            frame = pd.read_csv(
                io.BytesIO(content[:end]),
                dtype={"round_num": int, "client_id": str, "metric": str, "value": float},
                float_precision="round_trip",
                keep_default_na=False,
                na_values={"value": [""]},
            )
            with np.load(directory / "weights.npz", allow_pickle=False) as arrays:
                weights = [arrays[name] for name in arrays.files]
            if list(frame.columns) != COLUMNS or frame.duplicated(COLUMNS[:3]).any() or info.keys() != set(_INFO):
                raise ValueError
        except FileNotFoundError as error:
            raise UsageError(f"directory: expected a saved history, but {error.filename} is missing") from None
        except Exception as error:  # whatever JSON, pandas or NumPy make of files that were cut or edited
            reason = (str(error).strip().splitlines() or ["its fields or rows are not those that were saved"])[0]
            raise UsageError(
                f"directory: expected a saved history, but what is in {directory} has been damaged or edited ({reason})"
            ) from None
        rows = list(frame.itertuples(index=False, name=None))
        return cls(rows=rows, model_weights=weights, **info)
