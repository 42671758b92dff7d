"""Heads that the server computes in one round, from sums of statistics of the clients' frozen features."""
