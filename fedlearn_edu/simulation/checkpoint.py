"""Checkpoints of a run: TFF's program state manager for the server state, files for history and clients' states."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import pathlib
import shutil

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.backbone.scan import ALLOW_UNSAFE_VARIABLE, allows_unsafe, find_danger
from fedlearn_edu.data.names import is_showable, quoted
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.folder_lock import FolderLock
from fedlearn_edu.folders import check_private
from fedlearn_edu.simulation.client_state_files import ClientStateFiles
from fedlearn_edu.simulation.client_states import ClientStates
from fedlearn_edu.simulation.history import GLOBAL, History, replace_file
from fedlearn_edu.simulation.settings_changes import describe_changes

_STATE_PREFIX = "round_"
_KEPT_STATES = 2
VERSION = "fedlearn_edu_version"


class Checkpoints:
    """Saves a run after every round so that it can go on exactly where it was, whatever ended it.

    Of round t, the clients' states are written first, then the history, and the server state last, each in one atomic
    step. A run that is killed in between has files that are one round ahead of its state, and loading drops that round.
    One object at a time holds a folder, from its making to `release` or until nobody refers to it.

    Args:
        directory: Folder of one run's checkpoints; created if missing.
        settings: The run's settings. A folder that holds another run's checkpoint is refused.
        resume: Whether the folder may hold rounds of this run.

    Raises:
        UsageError: The folder cannot be written, is in use by another run, or holds a checkpoint of a run with other
            settings or of another version of this package.
    """

    def __init__(self, directory: str | os.PathLike, settings: dict, *, resume: bool):
        _check_path(directory)
        self._directory = pathlib.Path(directory).expanduser()
        self._settings = json.loads(json.dumps(settings))  # as it will be read back
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self._directory, argument="checkpoint_dir")
        except OSError as error:
            raise _cannot_be_written(directory, error) from None
        try:
            self._open(resume)
        except OSError as error:
            self.release()
            raise _cannot_be_written(directory, error) from None
        except BaseException:
            self.release()  # now: in a notebook, the last error keeps this object alive
            raise

    def _open(self, resume: bool) -> None:
        self._check_settings()
        self._client_states = ClientStateFiles(self._directory)
        for leftover in self._directory.glob(f"{_STATE_PREFIX}*_temp*"):
            shutil.rmtree(leftover)
        self._states = tff.program.FileProgramStateManager(
            self._directory, prefix=_STATE_PREFIX, keep_total=_KEPT_STATES, keep_first=False
        )
        if self.exist and not resume:
            raise UsageError(
                f"checkpoint_dir: {self._directory} already holds rounds of this run; resume it or choose another "
                "folder"
            )
        settings_text = json.dumps(self._settings, indent=2)
        replace_file(self._directory / "settings.json", lambda file: file.write(settings_text.encode()))

    def release(self) -> None:
        """Lets another run use the folder."""
        self._lock.release()

    def _check_settings(self) -> None:
        try:
            found = json.loads((self._directory / "settings.json").read_text())
            if not isinstance(found, dict):
                raise ValueError("settings")
        except FileNotFoundError:
            return
        except (ValueError, RecursionError):
            raise UsageError(
                f"checkpoint_dir: {self._directory}/settings.json is not readable as JSON; choose another folder"
            ) from None
        made_by, here = found.get(VERSION, "an older version"), self._settings.get(VERSION)
        if made_by != here:
            raise UsageError(
                f"checkpoint_dir: {self._directory} holds the checkpoint of another version of fedlearn_edu "
                f"({made_by}, this is {here}), whose rounds may compute something else; choose another folder"
            )
        if change := describe_changes(found, self._settings):
            raise UsageError(
                f"checkpoint_dir: {self._directory} holds the checkpoint of another run ({change}); choose another "
                "folder or the same settings"
            )

    @property
    def exist(self) -> bool:
        """Whether there is a saved round to resume from."""
        return bool(_run(self._states.get_versions()))

    def clear(self) -> None:
        """Removes all saved rounds."""
        _run(self._states.remove_all())
        self._client_states.clear()

    def save(self, state, history: History, client_states: ClientStates) -> None:
        """Saves the server state, the history and what clients keep after `history.num_rounds` rounds.

        Raises:
            RunError: The disk is full or the folder has become unwritable; what was saved before stays valid.
        """
        leaves = tf.nest.flatten(state)
        try:
            self._client_states.save(history.num_rounds, client_states)
            history.save(self._directory)
            _run(self._states.save(leaves, history.num_rounds))
            self._client_states.remove_replaced()
        except (OSError, tf.errors.OpError) as error:
            raise RunError(
                f"checkpoint of round {history.num_rounds} cannot be written to {self._directory}: "
                f"{getattr(error, 'strerror', None) or getattr(error, 'message', error)}; free some space, then resume"
            ) from None

    def load(self, structure, client_states: ClientStates) -> tuple[object, History]:
        """Returns the newest server state and the history up to that round, and restores what clients kept.

        Args:
            structure: A server state of the same process, e.g. `process.initialize()`, that gives the structure.
            client_states: Of the same process; filled.

        Raises:
            RunError: Another user could have written the checkpoint, its graph could do more than give back numbers, or
                it is damaged.
        """
        round_num = _run(self._states.get_versions())[-1]
        self._check_trust(round_num)
        try:
            leaves = _run(self._states.load(round_num, tf.nest.flatten(structure)))
        except Exception:  # damaged files make TensorFlow, NumPy and pandas raise whatever they stumble over
            raise RunError(
                f"checkpoint_dir: {self._directory}/{_STATE_PREFIX}{round_num} is damaged; delete it to go on from the "
                "state before it, or choose another folder"
            ) from None
        try:
            self._client_states.load(round_num, client_states)
            history = History.load(self._directory)
            history.truncate(round_num)
        except Exception as error:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise RunError(
                f"checkpoint_dir: the checkpoint of round {round_num} in {self._directory} is damaged ({reason}); "
                "choose another folder, or start again without resume"
            ) from None
        if {row[0] for row in history.rows if row[1] == GLOBAL} != set(range(round_num + 1)):
            raise RunError(
                f"checkpoint_dir: {self._directory}/history.csv does not hold every round up to {round_num}, that "
                "of the newest state; one of them was changed by hand, so choose another folder"
            )
        history.status = "running"
        return tf.nest.pack_sequence_as(structure, list(leaves)), history

    def _check_trust(self, round_num: int) -> None:
        """Refuses to load what could be another user's program: TFF keeps a state as a SavedModel and calls it."""
        if allows_unsafe():
            return
        advice = f"move it to a folder of your own, or set {ALLOW_UNSAFE_VARIABLE}=1 if you trust all who can"
        check_private(self._directory, what="checkpoint_dir", advice=advice, contents=True)
        state = self._directory / f"{_STATE_PREFIX}{round_num}"
        if danger := find_danger(state):
            raise RunError(f"checkpoint_dir: {state} is a SavedModel {danger}")


def _check_path(directory) -> None:
    """Refuses a path that TensorFlow would take for something else: a pattern, an address, or no text at all."""
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else directory
    if not isinstance(path, str) or not path or not is_showable(path) or set("*?[]\\") & set(path) or "://" in path:
        raise UsageError(
            "checkpoint_dir: expected the path of a folder in UTF-8, without control characters and * ? [ ] \\, which "
            f"TensorFlow takes for a pattern, got {quoted(path)}"
        )


def _cannot_be_written(directory, error: OSError) -> UsageError:
    return UsageError(f"checkpoint_dir: expected a folder that can be written, got {directory} ({error.strerror})")


def _run(coroutine):
    """Runs a coroutine to its end, also where an event loop is running already (a notebook)."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
