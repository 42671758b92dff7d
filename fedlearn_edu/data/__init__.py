"""Room 1: whose data it is."""
