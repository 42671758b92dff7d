"""One TFF aggregation factory a file."""
