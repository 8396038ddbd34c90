"""The station's journal: one SQLite file, events are the truth, everything else is derived."""
