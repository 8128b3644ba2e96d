"""Receive webhooks, and share them between processes."""
