"""A local AI Hub: every operation over real HTTP on loopback, with real files, real runs and real webhooks.

Example:
    >>> async with Emulator() as hub:
    ...     client = AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub_async.emulator.app import Emulator
    from aihub_async.emulator.clock import EmulatorClock
    from aihub_async.emulator.documents import Box, Document, ExtractedDocument, Field, Page
    from aihub_async.emulator.faults import Fault
    from aihub_async.emulator.samples import write_samples
    from aihub_async.emulator.scenario import Scenario, ScenarioError, load_scenario
    from aihub_async.emulator.webhooks import WebhookPlan

__all__ = [
    "Box",
    "Document",
    "Emulator",
    "EmulatorClock",
    "ExtractedDocument",
    "Fault",
    "Field",
    "Page",
    "Scenario",
    "ScenarioError",
    "WebhookPlan",
    "load_scenario",
    "write_samples",
]

# The pytest plugin lives in this package and is imported at every pytest start: nothing heavy may load with it.
_HOMES = {
    "Emulator": "app",
    "EmulatorClock": "clock",
    "Box": "documents",
    "Document": "documents",
    "ExtractedDocument": "documents",
    "Field": "documents",
    "Page": "documents",
    "Fault": "faults",
    "Scenario": "scenario",
    "ScenarioError": "scenario",
    "load_scenario": "scenario",
    "write_samples": "samples",
    "WebhookPlan": "webhooks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
