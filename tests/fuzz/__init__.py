"""Mutated answers: whatever a server or an attacker sends, the client reads it or raises an error of its own.

``python -m tests.fuzz --cases 1000000`` runs many; the seed that it prints repeats a failure.
"""
