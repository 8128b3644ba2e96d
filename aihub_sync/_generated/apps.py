# Written by `python -m aihub_sync._generate` from aihub_async/resources/apps.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.apps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade
from aihub_sync._generated.deployments import Deployments
from aihub_sync._generated.runs import Runs

if TYPE_CHECKING:
    from aihub_async.resources import apps
    from aihub_sync._facade import Lease


class Apps(Facade):
    """Apps: `runs` starts and reads runs of apps, `deployments` those of deployments."""

    _async: apps.Apps
    runs: Runs
    """Runs of apps."""
    deployments: Deployments
    """Deployments: `runs` starts and reads their runs."""

    def _bind(self, wrapped: apps.Apps, lease: Lease) -> None:
        super()._bind(wrapped, lease)
        self.runs = Runs(wrapped.runs, lease)
        self.deployments = Deployments(wrapped.deployments, lease)
