"""Silences what TensorFlow, gRPC and TFF print while they load; errors that matter are exceptions and stay."""

from __future__ import annotations

import atexit
import os
import sys
import warnings


def silence_import_noise() -> None:
    """Sets the variables that TensorFlow and gRPC read when they load (the TFF worker inherits them); quiet at exit.

    Anything the user has set already is left alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # gRPC's fork handlers print and may dead-lock when a notebook runs a shell command.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    warnings.filterwarnings("ignore", message="Deprecated call to `pkg_resources")
    atexit.register(_forget_default_context)


def _forget_default_context() -> None:
    """Takes away TFF's own context while Python still can: an unused one prints an error when modules are gone."""
    if "tensorflow_federated" in sys.modules:
        framework = sys.modules["tensorflow_federated"].framework
        ended = type("EndedContext", (framework.SyncContext,), {"invoke": None})
        framework.set_default_context(ended())
