"""One file a command: its options and its help. What it does stands in the rooms below."""
