"""Room 4: rounds."""
