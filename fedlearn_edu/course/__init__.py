"""The course: exercises from one source, instant checks, batch grading."""
