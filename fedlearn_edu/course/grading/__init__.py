"""Batch grading: a folder of submissions -> marks, without trusting a line of what came back."""

from __future__ import annotations

from fedlearn_edu.course.grading.batch import grade
from fedlearn_edu.course.grading.command import run_grading
from fedlearn_edu.course.grading.result import GradingResult
from fedlearn_edu.course.grading.term import Term

__all__ = ["GradingResult", "Term", "grade", "run_grading"]
