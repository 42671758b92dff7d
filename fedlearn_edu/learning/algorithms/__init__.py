"""One builder a file, named as in its paper."""
