"""Checkpoints of a run: files of its server state, its history and what its clients keep."""

from __future__ import annotations

import json
import os
import pathlib

from fedlearn_edu.data.names import is_showable, quoted
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.folder_lock import FolderLock
from fedlearn_edu.simulation.client_state_files import ClientStateFiles
from fedlearn_edu.simulation.client_states import ClientStates
from fedlearn_edu.simulation.history import GLOBAL, History
from fedlearn_edu.simulation.history_files import HistoryFiles
from fedlearn_edu.simulation.settings_changes import describe_changes
from fedlearn_edu.simulation.state_files import StateFiles

VERSION = "fedlearn_edu_version"
_FILES = ("client_states_", "history.", "round_", "settings.", "weights.")  # how their names begin


class Checkpoints:
    """Saves a run after every round so that it can go on exactly where it was, whatever ended it.

    Of round t, the clients' states are written first, then the history, and the server state last. A run that is killed
    before that has files that are one round ahead of its state, or partly so, and loading drops that round.
    All files are data, arrays and text, and none is pickled: resuming runs nothing that is in them.
    One object at a time holds a folder, from its making to `release` or until nobody refers to it.

    Args:
        directory: Folder of one run's checkpoints; created if missing.
        settings: The run's settings. A folder that holds another run's checkpoint is refused.
        resume: Whether the folder may hold rounds of this run.

    Raises:
        UsageError: The folder cannot be written, is in use by another run, or holds a checkpoint of a run with other
            settings, of another version of this package, or in the form of TensorFlow programs that it was once
            written in.
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
        self._history = HistoryFiles(self._directory)
        self._states = StateFiles(self._directory)
        if old := self._states.find_old_layout():
            raise UsageError(
                f"checkpoint_dir: {old} is a SavedModel, the form that checkpoints had before and that is not read any "
                "more (it was a program, now they are numbers); choose another folder"
            )
        if self.exist and not resume:
            raise UsageError(
                f"checkpoint_dir: {self._directory} already holds rounds of this run; resume it or choose another "
                "folder"
            )
        for name in _FILES:
            for leftover in self._directory.glob(f".{name}*.tmp"):  # of a process that was killed while it wrote
                leftover.unlink()
        settings_text = json.dumps(self._settings, indent=2)
        write_whole(self._directory / "settings.json", lambda file: file.write(settings_text.encode()))

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
        return bool(self._states.rounds)

    def save(self, state, history: History, client_states: ClientStates) -> None:
        """Saves the server state, the history and what clients keep after `history.num_rounds` rounds.

        Raises:
            RunError: The disk is full or the folder has become unwritable; what was saved before stays valid.
        """
        try:
            self._client_states.save(history.num_rounds, client_states)
            self._history.save(history)
            self._states.save(history.num_rounds, state)
            self._client_states.remove_replaced()
        except OSError as error:
            raise RunError(
                f"checkpoint of round {history.num_rounds} cannot be written to {self._directory}: "
                f"{error.strerror or error}; free some space, then resume"
            ) from None

    def load(self, structure, client_states: ClientStates) -> tuple[object, History]:
        """Returns the newest server state and the history up to that round, and restores what clients kept.

        Args:
            structure: A server state of the same process, e.g. `process.initialize()`, that gives the structure.
            client_states: Of the same process; filled.

        Raises:
            RunError: The checkpoint is damaged.
        """
        round_num = self._states.rounds[-1]
        try:
            state = self._states.load(round_num, structure)
        except Exception:  # damaged files make NumPy and pandas raise whatever they stumble over
            raise RunError(
                f"checkpoint_dir: {self._states.path(round_num)} is damaged; delete it to go on from the state before "
                "it, or choose another folder"
            ) from None
        try:
            self._client_states.load(round_num, client_states)
            history = self._history.load(round_num)
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
        return state, history


def _check_path(directory) -> None:
    """Refuses what is no path of a folder on this machine: an address, or no text that can be shown."""
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else directory
    if not isinstance(path, str) or not path or not is_showable(path) or "://" in path:
        raise UsageError(
            "checkpoint_dir: expected the path of a folder on this machine, in UTF-8 and without control characters, "
            f"got {quoted(path)}"
        )


def _cannot_be_written(directory, error: OSError) -> UsageError:
    return UsageError(f"checkpoint_dir: expected a folder that can be written, got {directory} ({error.strerror})")
