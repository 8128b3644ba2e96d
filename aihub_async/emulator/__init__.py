"""A local AI Hub: every operation over real HTTP on loopback, with real files, real runs and real webhooks.

Example:
    >>> async with Emulator() as hub:
    ...     client = AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key)
    >>> with Emulator() as hub:
    ...     client = AIHub(api_root=hub.api_root, api_key=hub.api_key)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub_async.emulator.app import Emulator
    from aihub_async.emulator.clock import EmulatorClock
    from aihub_async.emulator.documents import Box, Document, ExtractedDocument, Field, Page
    from aihub_async.emulator.faults import KINDS, Fault
    from aihub_async.emulator.packets import PacketField, RunDocument
    from aihub_async.emulator.recordings import load_recordings, save_recording
    from aihub_async.emulator.samples import write_samples
    from aihub_async.emulator.scenario import Scenario, ScenarioError, load_scenario
    from aihub_async.emulator.webhooks import WebhookPlan
    from aihub_async.emulator.world import Organization, User, World

__all__ = [
    "KINDS",
    "Box",
    "Document",
    "Emulator",
    "EmulatorClock",
    "ExtractedDocument",
    "Fault",
    "Field",
    "Organization",
    "PacketField",
    "Page",
    "RunDocument",
    "Scenario",
    "ScenarioError",
    "User",
    "WebhookPlan",
    "World",
    "load_recordings",
    "load_scenario",
    "save_recording",
    "write_samples",
]

# The pytest plugin lives in this package and is imported at every pytest start: nothing heavy may load with it.
_HOMES = {
    "KINDS": "faults",
    "Box": "documents",
    "Document": "documents",
    "Emulator": "app",
    "EmulatorClock": "clock",
    "ExtractedDocument": "documents",
    "Fault": "faults",
    "Field": "documents",
    "Organization": "world",
    "PacketField": "packets",
    "Page": "documents",
    "RunDocument": "packets",
    "Scenario": "scenario",
    "ScenarioError": "scenario",
    "User": "world",
    "WebhookPlan": "webhooks",
    "World": "world",
    "load_recordings": "recordings",
    "load_scenario": "scenario",
    "save_recording": "recordings",
    "write_samples": "samples",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
