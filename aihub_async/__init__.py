"""Async-first client for Instabase AI Hub."""

from aihub_async._version import __version__
from aihub_async.client import AsyncAIHub
from aihub_async.transport.events import AttemptEvent, capture_responses

__all__ = ["AsyncAIHub", "AttemptEvent", "__version__", "capture_responses"]
