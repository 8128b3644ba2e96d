"""A URL where a local path is expected is refused: it would become a folder of that name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.emulator.samples import write_samples
from aihub_async.errors import ConfigurationError, InvalidRequestError
from aihub_async.ingest.report import write_report
from aihub_async.models import Run
from aihub_async.paths import local_path
from aihub_async.results.processed import Processed

URLS = ["s3://bucket/out", Path("s3://bucket/out"), "memory://x", "zip::s3://bucket/a.zip", Path("zip::s3://b/a.zip")]
processed = Processed(run=Run(id="r"), batch_id=1, files=[])

USES: dict[str, Callable[[Any], object]] = {
    "table": lambda url: processed.table().write(url),
    "view": processed.view,
    "view source": lambda url: processed.view("page.html", source=url),
    "report": lambda url: write_report(Path("job.db"), url),
    "emulator": lambda url: Emulator(data_dir=url),
    "samples": write_samples,
}


@pytest.mark.parametrize("url", URLS, ids=repr)
@pytest.mark.parametrize("use", USES)
def test_a_url_is_no_local_path(use: str, url: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequestError, match=r"not a URL: '[a-z0-9:]+://"):
        USES[use](url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "url", "said"),
    [
        # Results may go to a URL, but a path has lost one of its slashes.
        ("out", Path("s3://bucket/out"), "is no local folder; pass a URL as text: 's3://bucket/out'"),
        ("journal", "s3://bucket/job.db", "journal must be a path on this machine, not a URL: 's3://bucket/job.db'"),
    ],
)
def test_a_job_refuses_a_folded_url(option: str, url: str | Path, said: str, tmp_path: Path) -> None:
    client = AsyncAIHub("k" * 12, api_root="http://127.0.0.1:9/api")
    with pytest.raises(ConfigurationError, match=said):
        client.ingest(tmp_path, **{"app_name": "a", "out": tmp_path, option: url})


@pytest.mark.parametrize("text", ["C:/scans/a.csv", "a:b", "s3:x", "./s3:/b", "", "a/b://c"])
def test_other_colons_are_paths(text: str) -> None:
    assert local_path(text, "path") == Path(text)
