"""The work of a contestant."""

import ssl
from pathlib import Path

import attrs

BATCH = 1
WINDOW = 32
"""Requests in flight of every contestant that has no default itself."""
PARTS_IN_FLIGHT = 8
"""Parts of 10 MiB that bare aiohttp and the raw client hold in flight; with 32 they would hold 320 MB."""


@attrs.frozen
class Job:
    """Upload all files of `folder`: each as one PUT, or in parts when `large`."""

    root: str
    folder: Path
    large: bool
    concurrency: int | None
    certificate: str | None

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def ssl_context(self) -> ssl.SSLContext | None:
        return None if self.certificate is None else ssl.create_default_context(cafile=self.certificate)
