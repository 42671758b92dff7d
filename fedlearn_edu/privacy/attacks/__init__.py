"""One attack a file, each on what a server really receives."""
