"""Sending requests: bodies, limits, one attempt, and the one retry loop."""
