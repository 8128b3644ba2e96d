"""The examples, run as the programs that they are."""

import json
import sys
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.programs.conftest import EXAMPLES, PATIENCE, Stage, needs, redis_server

INVOICE = b"Vendor: Acme\nTotal: 12.50"


@needs("flask", "gunicorn")
def test_flask_under_gunicorn_with_preload(stage: Stage, free_port: int, answers: Callable[..., bytes]) -> None:
    """The client is made before the fork; two processes with threads use it concurrently."""
    address = f"127.0.0.1:{free_port}"
    command = ("gunicorn", "--preload", "--workers", "2", "--threads", "4", "--bind", address, "flask_service:app")
    with stage.start(sys.executable, "-m", *command):
        answers(f"http://{address}/extract/first.txt", INVOICE)
        with ThreadPoolExecutor(8) as pool:
            urls = [f"http://{address}/extract/{number}.txt" for number in range(16)]
            found = [json.loads(body) for body in pool.map(answers, urls, [INVOICE] * 16)]
    assert [each["fields"]["Total"] for each in found] == ["12.50"] * 16
    assert len({each["run"] for each in found}) == 16
    assert len(stage.hub.runs()) == 17


@needs("celery")
def test_celery_prefork_worker(stage: Stage) -> None:
    """Tasks run in forked processes; a killed worker process is replaced and the queue continues."""
    queue, results = stage.folder / "queue", stage.folder / "results"
    queue.mkdir()
    results.mkdir()
    environment = {
        "CELERY_BROKER_URL": "filesystem://",
        "CELERY_BROKER_FOLDER": str(queue),
        "CELERY_RESULT_BACKEND": f"file://{results}",
    }
    caller = (
        "from celery_worker import extract\n"
        "jobs = [extract.delay(f'{n}.txt', 'Vendor: Acme\\nTotal: 12.50') for n in range(6)]\n"
        "print([job.get(timeout=60)['Total'] for job in jobs])\n"
    )
    worker = ("celery", "--app", "celery_worker", "worker", "--pool", "prefork", "--concurrency", "2", "-l", "INFO")
    with stage.start(sys.executable, "-m", *worker, **environment):
        assert stage.run(sys.executable, "-c", caller, **environment).strip() == str(["12.50"] * 6)
    assert len(stage.hub.runs()) == 6


@needs("nbclient", "ipykernel")
def test_notebook(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Top-level await with the async client, and the sync client next to the notebook's own event loop."""
    import nbclient
    import nbformat

    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=str(stage.folder))
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = [str(output.get("data", {}).get("text/plain", output)) for output in outputs]
    assert any("'Total': '12.50'" in text for text in texts)
    assert any("COMPLETE" in text for text in texts)


@needs("xdist")
def test_users_tests_under_xdist(stage: Stage) -> None:
    """The emulator's fixtures work in several test processes."""
    test = stage.folder / "test_users.py"
    test.write_text(
        "import pytest\n"
        "from aihub_async.emulator import Emulator\n"
        "from aihub_sync import AIHub\n\n"
        "@pytest.mark.parametrize('number', range(6))\n"
        "def test_upload(number):\n"
        "    with Emulator() as hub, AIHub(hub.api_key, api_root=hub.api_root) as client:\n"
        "        batch = client.batches.create(f'batch {number}')\n"
        "        client.batches.add_file(batch.id, 'a.txt', b'Total: 1')\n"
        "        assert len(list(client.batches.iter_files(batch.id))) == 1\n"
    )
    # Temporary folders of other runs, which pytest cleans up at its end, are none of this test's business.
    options = ("-n", "2", "-p", "no:cacheprovider", "--basetemp", str(stage.folder / "temporary"))
    printed = stage.run(sys.executable, "-m", "pytest", *options, str(test), "--rootdir", str(stage.folder))
    assert "6 passed" in printed


def hook_settings(port: int) -> dict[str, str]:
    return {"HOOK_URL": f"http://127.0.0.1:{port}/hooks/aihub", "HOOK_SECRET": "between-us"}


def delivered(stage: Stage, answers: Callable[..., bytes], port: int, documents: int) -> list[dict]:
    """Extract documents concurrently."""
    urls = [f"http://127.0.0.1:{port}/extract/{number}.txt" for number in range(documents)]
    answers(urls[0], INVOICE)
    with ThreadPoolExecutor(8) as pool:
        return [json.loads(body) for body in pool.map(answers, urls, [INVOICE] * documents)]


@needs("fastapi", "uvicorn", "redis")
@pytest.mark.skipif(redis_server() is None, reason="there is no redis-server")
def test_fastapi_workers_with_redis(stage: Stage, free_port: int, answers: Callable[..., bytes]) -> None:
    """Webhooks arrive at either worker, and Redis passes them to the one that waits."""
    socket_path = str(stage.folder / "redis.sock")
    environment = {**hook_settings(free_port), "REDIS_URL": f"unix://{socket_path}"}
    redis = (redis_server() or "", "--port", "0", "--unixsocket", socket_path, "--save", "", "--dir", str(stage.folder))
    service = ("uvicorn", "--workers", "2", "--port", str(free_port), "fastapi_service:app")
    with stage.start(*redis), stage.start(sys.executable, "-m", *service, **environment):
        found = delivered(stage, answers, free_port, 8)
    assert [each["fields"]["Total"] for each in found] == ["12.50"] * 8
    assert len({each["run"] for each in found}) == 8


@needs("django", "uvicorn")
def test_django_under_asgi(stage: Stage, free_port: int, answers: Callable[..., bytes]) -> None:
    """The view that waits and the view that receives webhooks share one event loop."""
    service = ("uvicorn", "--port", str(free_port), "django_service:application")
    with stage.start(sys.executable, "-m", *service, **hook_settings(free_port)):
        found = delivered(stage, answers, free_port, 4)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            answers(f"http://127.0.0.1:{free_port}/hooks/aihub", b'{"job_id": "forged"}')
    assert [each["fields"]["Total"] for each in found] == ["12.50"] * 4


def test_watched_folder(stage: Stage) -> None:
    """Documents are taken as they arrive, and the program ends cleanly on SIGTERM."""
    inbox, results, done = (stage.folder / name for name in ("inbox", "results", "done"))
    inbox.mkdir()
    with stage.start(sys.executable, "watched_folder.py", str(inbox), str(results), str(done)) as program:
        for name in ("first.txt", "second.txt"):
            (inbox / name).write_bytes(INVOICE)
            deadline = time.monotonic() + PATIENCE
            while not (done / name).exists():
                assert time.monotonic() < deadline
                assert program.poll() is None
                time.sleep(0.05)
        program.terminate()
        assert program.wait(PATIENCE) == 0
    rows = [json.loads(line) for part in results.glob("*.jsonl") for line in part.read_text().splitlines()]
    assert {"first.txt", "second.txt"} <= {row.get("file") for row in rows}
    assert list(inbox.iterdir()) == []


@needs("moto", "s3fs", "duckdb", "pyarrow")
def test_s3_to_duckdb(stage: Stage, free_port: int, answers: Callable[..., bytes]) -> None:
    """The documents come from an S3 server; the parts have the field of each of them."""
    endpoint = f"http://127.0.0.1:{free_port}"
    aws = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    filling = (
        "import s3fs\n"
        "files = s3fs.S3FileSystem()\n"
        "files.mkdir('scans')\n"
        "for number in range(3): files.pipe(f'scans/in/{number}.txt', b'Vendor: Acme\\nTotal: 12.50')\n"
    )
    with stage.start(sys.executable, "-m", "moto.server", "-p", str(free_port)):
        answers(f"{endpoint}/moto-api/")
        stage.run(sys.executable, "-c", filling, **aws)
        results = str(stage.folder / "results")
        printed = stage.run(sys.executable, "s3_to_duckdb.py", "s3://scans/in", results, **aws)
    assert "Total\t3\t12.50" in printed.splitlines()


def test_every_example_is_in_the_list() -> None:
    text = (EXAMPLES / "README.md").read_text()
    programs = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}}
    assert programs == {name for name in programs if f"`{name}`" in text}
    assert len(programs) >= 3
