"""The programs that are measured against each other; each runs in a fresh process (see `run.py`)."""
