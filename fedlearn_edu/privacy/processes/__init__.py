"""One private process a file: a TFF learning process and the guarantee that comes with it."""
