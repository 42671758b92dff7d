"""Room 0: TFF's worker and what runs on it."""
