"""TrainingDashboard: look at a run, or start, step and stop one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import ipywidgets as widgets

from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.config import RunConfig
from fedlearn_edu.simulation.history import History
from fedlearn_edu.widgets.controls import PartitionControls, TrainingControls
from fedlearn_edu.widgets.elements import ErrorLine, shown_to_learner
from fedlearn_edu.widgets.history_view import HistoryView
from fedlearn_edu.widgets.prepared_run import Pipeline, RunSettings
from fedlearn_edu.widgets.training_session import TrainingSession

_REDRAW_INTERVAL_S = 0.5  # numbers move every round; drawing as often would take longer than training


class TrainingDashboard(widgets.VBox):
    """Shows a federated run: global curve with the central ceiling, every client, worst and best, bytes.

    `TrainingDashboard(history)` looks at a run that was made before; a slider goes back to any round. Given data
    instead, it is live: choose the settings, press Run, Step or Stop. Training runs in a background thread, so
    that page and kernel stay free. Run goes on with a paused run as long as no setting was changed.

    Args:
        history: A run to look at; or, for a live dashboard, one of:
        dataset: images, texts or a table that the dashboard deals out as its controls say;
        clients: such examples dealt out already;
        features: extracted features.
        backbone: An encoder such as a `Backbone`, or a name for `load_backbone`; not used with `features`. Tables and
            texts have the package's own encoders in place of `"bundled"`.
        build_model: `features -> model`; default `linear_head`.
        build_process: Any `build_*` function; default `build_unweighted_fed_avg`. It is given the model, the learning
            rates of the controls, the number of clients and the size of the cohort, as far as it takes them. What else
            it cannot do without, `functools.partial(build, noise_multiplier=1.0)` gives.
        num_clients: At the start, with `dataset`.
        num_rounds: At the start, at least 1.
        clients_per_round: At the start, at least 1.
        num_epochs: Local epochs at the start, at least 1.
        batch_size: Examples per local step, at least 1.
        client_lr: At the start, above 0.
        server_lr: At the start, above 0.
        seed: At the start, of partition and training.

    Attributes:
        history: The `History` that is shown, growing while the run does; None before round 0.
        error: The exception that ended the run or that a control caused, or None; also shown in the dashboard.

    Raises:
        UsageError: Not exactly one of history, dataset, clients and features was given.

    Example:
        >>> run = History({}, [(0, "global", "accuracy", 0.1), (0, "a", "accuracy", 0.1)])
        >>> TrainingDashboard(run).history is run
        True
    """

    _session: TrainingSession | None = None  # also of one that was refused, when ipywidgets closes what is left of it

    def __init__(
        self,
        history: History | None = None,
        *,
        dataset: Dataset | None = None,
        clients: FederatedDataset | None = None,
        features: FederatedDataset | None = None,
        backbone="bundled",
        build_model: Callable | None = None,
        build_process: Callable | None = None,
        num_clients: int = 20,
        num_rounds: int = 20,
        clients_per_round: int = 5,
        num_epochs: int = 1,
        batch_size: int = 20,
        client_lr: float = 0.1,
        server_lr: float = 1.0,
        seed: int = 0,
    ):
        sources = {"history": history, "dataset": dataset, "clients": clients, "features": features}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise UsageError(
                f"TrainingDashboard: expected exactly one of history, dataset, clients and features, "
                f"got {' and '.join(given) or 'none'}"
            )
        self.error: BaseException | None = None
        self.view = HistoryView()
        self.error_line = ErrorLine()
        if history is not None:
            if not isinstance(history, History):
                raise UsageError(f"history: expected a History, e.g. from run_rounds, got {type(history).__name__}")
            super().__init__([self.error_line, self.view])
            self.view.show(history)
            return
        config = RunConfig(num_rounds, clients_per_round, num_epochs=num_epochs, batch_size=batch_size, seed=seed)
        self._make_controls(dataset, num_clients, config, client_lr=client_lr, server_lr=server_lr)
        pipeline = Pipeline(
            dataset=dataset,
            clients=clients,
            features=features,
            backbone=backbone,
            build_model=build_model,
            build_process=build_process,
        )
        self._session = TrainingSession(
            pipeline, on_progress=self._preparing, on_round=self._round_done, on_state=self._state_changed
        )
        self._rendering = threading.Lock()
        self._last_drawn = 0.0
        panels = [self.partition_controls] if self.partition_controls else []
        super().__init__(
            [
                widgets.HBox([*panels, self.training_controls], layout={"flex_flow": "row wrap"}),
                widgets.HBox([self.run_button, self.step_button, self.stop_button, self.reset_button]),
                widgets.VBox([self.progress, self.status]),  # below, or a narrow page would cut the text off
                self.error_line,
                self.view,
            ]
        )
        self.add_class("fl-dashboard")
        self._state_changed()

    @property
    def history(self) -> History | None:
        return self.view.history if self._session is None else self._session.history

    def run(self) -> None:
        """Runs all rounds that are left; as the button Run."""
        self._advance(None)

    def step(self) -> None:
        """Runs one round more; as the button Step."""
        self._advance(1)

    def stop(self) -> None:
        """Pauses after the round that is running; as the button Stop."""
        if self._session is not None:
            self._session.stop()
            self.status.value = "stopping after this round …"

    def reset(self) -> None:
        """Forgets the run; the settings stay. As the button Reset."""
        self.error = None
        self.error_line.clear()
        if self._session is not None:
            self._session.reset()

    def wait(self, timeout: float | None = None) -> None:
        """Blocks until no round is running, and raises what went wrong; for scripts and tests.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            TimeoutError: It took longer.
            Exception: Whatever ended the run, or the exception of a control.
        """
        if self._session is not None:
            self._session.wait(timeout)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Ends the run and its thread, and removes the dashboard from the page."""
        if self._session is not None:
            self._session.close()
        super().close()

    def _make_controls(self, dataset, num_clients, config: RunConfig, **learning_rates: float) -> None:
        self.partition_controls = None
        if dataset is not None:
            self.partition_controls = PartitionControls(dataset, num_clients=num_clients, seed=config.seed)
        self.training_controls = TrainingControls(config, **learning_rates)
        self.run_button = _button("Run", "play", "Run all rounds that are left", "success", self._run_clicked)
        self.step_button = _button("Step", "step-forward", "Run one round", "", self._step_clicked)
        self.stop_button = _button("Stop", "stop", "Pause after this round", "", self._stop_clicked)
        self.reset_button = _button("Reset", "undo", "Forget the run", "", self._reset_clicked)
        self.progress = widgets.IntProgress(value=0, min=0, max=1, layout={"width": "370px"})
        self.status = widgets.HTML()  # unlike a label it wraps
        self.status.add_class("fl-status")

    @shown_to_learner
    def _run_clicked(self, button):
        self.run()

    @shown_to_learner
    def _step_clicked(self, button):
        self.step()

    @shown_to_learner
    def _stop_clicked(self, button):
        self.stop()

    @shown_to_learner
    def _reset_clicked(self, button):
        self.reset()

    def _advance(self, num_rounds: int | None) -> None:
        if self._session is None:
            raise UsageError("TrainingDashboard: a finished history cannot run; make one with dataset= or features=")
        self.error = None
        self.error_line.clear()
        self._session.advance(self._settings(), num_rounds)

    def _settings(self) -> RunSettings:
        dealt, trained = self.partition_controls, self.training_controls
        return RunSettings(
            scheme=dealt.scheme if dealt else None,
            num_clients=dealt.num_clients.value if dealt else None,
            partition_seed=dealt.seed.value if dealt else 0,
            learning_rates=trained.learning_rates,
            config=trained.config,
        )

    def _preparing(self, what: str, done: int, total: int) -> None:
        self.progress.max = max(total, 1)
        self.progress.value = done
        self.status.value = progress_text(what, done, total) + ("" if total else " …")

    def _round_done(self, history: History) -> None:
        num_rounds = self._session.settings.config.num_rounds
        self.progress.max, self.progress.value = num_rounds, history.num_rounds
        self.status.value = f"round {history.num_rounds} of {num_rounds}"
        draw = time.monotonic() - self._last_drawn > _REDRAW_INTERVAL_S or history.num_rounds == 0
        self.view.follow(history, num_rounds=num_rounds, draw=draw)
        if draw:
            self._last_drawn = time.monotonic()

    def _state_changed(self) -> None:
        with self._rendering:  # the learner's thread and the training thread may both have something to tell
            session = self._session
            state = session.state
            working = state == "working"
            if working:
                self._enable(state)
            if session.history is not None and not working:
                self.view.show(session.history)
            elif session.history is None:
                self.view.await_run() if working else self.view.clear()
            if session.error is not None:
                self.error = session.error
                self.error_line.show(session.error)
            if not working:
                self.status.value = self._status(state)
                # Last: who presses a button has seen where the run stands.
                self._enable(state)
            if state == "idle" and session.stopped_while is None:
                self.progress.value = 0

    def _enable(self, state: str) -> None:
        working = state == "working"
        self.run_button.disabled = self.step_button.disabled = working
        self.stop_button.disabled = not working
        self.reset_button.disabled = working or state == "idle"
        panels = [self.training_controls, self.partition_controls]
        for control in [control for panel in panels if panel for control in panel.inputs]:
            control.disabled = working

    def _status(self, state: str) -> str:
        session = self._session
        done = session.history.num_rounds if session.history else 0
        if state == "idle" and session.stopped_while is not None:
            what = progress_text(*session.stopped_while)
            return f"stopped while {what}. What is done is kept: Run or Step goes on from there"
        return {
            "idle": "ready: press Run, or Step for a single round",
            "paused": f"paused after round {done}: Run or Step goes on",
            "finished": f"finished after {done} rounds",
            "failed": f"failed after round {done}" if session.history else "not started",
            "closed": "closed",
        }[state]


def progress_text(what: str, done: int, total: int) -> str:
    """Returns what is being done and, if it has steps, how many are done.

    Example:
        >>> progress_text("extracting features", 256, 2000), progress_text("loading the backbone", 0, 0)
        ('extracting features: 256 of 2,000', 'loading the backbone')
    """
    return f"{what}: {done:,} of {total:,}" if total else what


def _button(description: str, icon: str, tooltip: str, style: str, callback) -> widgets.Button:
    button = widgets.Button(
        description=description, icon=icon, tooltip=tooltip, button_style=style, layout={"width": "92px"}
    )
    button.on_click(callback)
    return button
