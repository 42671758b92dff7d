"""Room 5: what leaks, what secure aggregation hides, what differential privacy guarantees, and how much."""
