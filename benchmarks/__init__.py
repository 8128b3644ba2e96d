"""Measurements against the official SDK: ``python -m benchmarks NAME``."""
