"""Checks: `check("03.weighted_mean", weighted_mean)` and `progress()`, and the registry of all exercises."""

from __future__ import annotations

from fedlearn_edu.course.checks.learner import check, progress

__all__ = ["EXERCISES", "check", "progress"]


def __getattr__(name: str):
    if name == "EXERCISES":  # every lesson's checks are loaded when someone asks for all of them
        from fedlearn_edu.course.checks.registry import all_exercises

        return all_exercises()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
