"""Hostile clients: what they do to their data, and what they send in place of an honest update."""
