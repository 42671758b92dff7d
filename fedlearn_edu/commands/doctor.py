"""`fedlearn-edu doctor`."""

from __future__ import annotations

import sys

import click


@click.command()
def doctor():
    """Check the installation, JupyterLab, disk and memory, and run a first computation.

    Every problem comes with its cause and a one-line fix. It changes nothing, and takes about half a minute, on a
    busy machine some minutes.

    \b
    Marks:
      ✓   in order
      !   works, but read the line
      ✗   does not work; the exit code is then 1, else 0

    \b
    Examples:
      fedlearn-edu doctor
      fedlearn-edu doctor && fedlearn-edu lab
    """
    from fedlearn_edu.doctor import run_checks

    sys.exit(run_checks())
