"""Results of runs as rows, tables, typed records, review lists and pages; imports models and errors only."""
