"""Room 7: figures become dashboards; nothing is computed here."""
