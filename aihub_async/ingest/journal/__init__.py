"""The journal of a bulk job: its SQLite file, rows and queries."""
