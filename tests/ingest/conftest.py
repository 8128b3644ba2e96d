from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def make_files(tmp_path: Path) -> Callable[..., Path]:
    """Write `count` small documents into a folder: ``make_files("scans", 10)``; contents differ."""

    def make(folder: str, count: int, *, prefix: str = "doc") -> Path:
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (path / f"{prefix}-{number:05d}.txt").write_text(f"Invoice number: {number}\nTotal: {number}.50\n")
        return path

    return make
