"""Seeded simulation: client, emulator and network in one process, under virtual time.

One seed decides every latency, fault, reordering, kill, clock jump, lagging list and lost webhook. A seed that fails is
enough to repeat the failure: ``python -m tests.simulation --seed 1234``.
"""
