"""Room 2: what was learned before."""
