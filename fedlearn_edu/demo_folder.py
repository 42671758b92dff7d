"""The folder of a demo run: chosen, locked, marked with the run's options, and removed if nothing came of it."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Mapping

from fedlearn_edu.errors import UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.folder_lock import FolderLock

_DEFAULT_ROOT = pathlib.Path("fedlearn-edu-run")
_RESULTS = ("history.csv", "summary.json", "accuracy.png", "model", "checkpoint")
_RUN_FILE = "run.json"


class DemoFolder:
    """Holds a folder against any other run, from here to `close`.

    Args:
        output: The folder; None takes the next number under `fedlearn-edu-run/`, or to resume the newest.
        resume: Whether a run may be there already.

    Raises:
        UsageError: Another run is using the folder, its results would be overwritten, or it cannot be written.
    """

    def __init__(self, output: pathlib.Path | None, *, resume: bool):
        if output is not None and output.exists() and not output.is_dir():
            raise UsageError(f"--output: expected a folder, got the file {output}")
        self._made = []
        try:
            self.path = self._make(output, resume)
            self._lock = FolderLock(self.path, argument="--output")
        except OSError as error:
            self._remove_made()
            raise UsageError(f"--output: {output or _DEFAULT_ROOT} cannot be written ({error.strerror})") from None
        self._run_file = self.path / _RUN_FILE
        self.is_new = not self._run_file.exists()
        try:
            self._check(resume)
        except UsageError:
            if self.is_new:
                self._lock.remove()
            self._lock.release()
            raise

    def _make(self, output: pathlib.Path | None, resume: bool) -> pathlib.Path:
        if output is not None:
            return self._make_with_parents(output)
        self._make_with_parents(_DEFAULT_ROOT)
        while True:
            newest = max((int(p.name) for p in _DEFAULT_ROOT.glob("*") if _is_number(p.name)), default=0)
            if resume and newest:
                return _DEFAULT_ROOT / str(newest)
            path = _DEFAULT_ROOT / str(newest + 1)
            try:
                path.mkdir()
            except FileExistsError:
                continue  # another run has just taken this number
            self._made.insert(0, path)
            return path

    def _make_with_parents(self, output: pathlib.Path) -> pathlib.Path:
        for folder in [folder for folder in (output, *output.parents) if not folder.exists()][::-1]:
            folder.mkdir(exist_ok=True)
            self._made.insert(0, folder)
        return output

    def _check(self, resume: bool) -> None:
        if not self.is_new:
            if not resume:
                raise UsageError(
                    f"--output: {self.path} already holds a run; add --resume to go on, or choose another folder"
                )
            return
        for name in _RESULTS:
            if (self.path / name).exists():
                raise UsageError(f"--output: {self.path / name} exists and is not of a demo run; choose another folder")

    @property
    def has_rounds(self) -> bool:
        """Whether there is something to go on from."""
        return any((self.path / "checkpoint").glob("round_*"))

    def options(self) -> dict | None:
        """Returns the options that the run here was started with; None if there is none.

        Raises:
            UsageError: They cannot be read.
        """
        if self.is_new:
            return None
        try:
            saved = json.loads(self._run_file.read_text())
            if isinstance(saved, dict):
                return saved
        except (ValueError, OSError, RecursionError):
            pass
        raise self.damaged()

    def damaged(self) -> UsageError:
        """Returns the error that says so of the run's options."""
        return UsageError(f"--resume: {self._run_file} is damaged; choose another --output")

    def save_options(self, options: Mapping) -> None:
        """Writes the run's options, by which the folder is recognised from now on."""
        text = json.dumps(options, indent=2)
        try:
            write_whole(self._run_file, lambda file: file.write(text.encode()))
        except OSError as error:
            raise UsageError(f"--output: {self.path} cannot be written ({error.strerror})") from None

    def close(self) -> None:
        """Lets other runs in; a new run that has come to no round leaves the folder as it was found."""
        if self.is_new and not self.has_rounds:
            self._run_file.unlink(missing_ok=True)
            shutil.rmtree(self.path / "checkpoint", ignore_errors=True)
            self._lock.remove()
            self._remove_made()
        else:
            self._lock.release()

    def _remove_made(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return  # someone else has put something there


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
