"""`fedlearn-edu doctor`."""

from __future__ import annotations

import sys

import click


@click.command()
def doctor():
    """Check Python, platform, TensorFlow Federated, proxy, ports, and run a first computation.

    Every problem comes with its cause and a one-line fix. Exit code 0 if the engine works.
    """
    from fedlearn_edu.doctor import run_checks

    sys.exit(run_checks())
