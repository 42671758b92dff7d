"""Batch grading: a folder of submissions -> marks, without trusting a line of what came back."""

from __future__ import annotations

from fedlearn_edu.course.grading.batch import GradingResult, grade
from fedlearn_edu.course.grading.command import run_grading

__all__ = ["GradingResult", "grade", "run_grading"]
