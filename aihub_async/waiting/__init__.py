"""Waiting for runs and jobs: one poller per client, webhooks that wake it, and requests that must happen once."""
