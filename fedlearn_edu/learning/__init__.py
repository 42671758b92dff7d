"""Room 3: TFF learning processes and the models they train."""
