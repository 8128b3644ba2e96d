"""Mutated answers: the client reads anything that a server or an attacker sends, or raises one of its own errors.

``python -m tests.fuzz --cases 1000000`` runs many; the seed that it prints repeats a failure.
"""
