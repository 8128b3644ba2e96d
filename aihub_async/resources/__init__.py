"""One class per group of operations, one method per operation."""
