"""The examples, run as the programs that they are."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.programs.conftest import EXAMPLES, Stage, needs

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
    """Top-level await with the async client, and the sync client beside the notebook's own event loop."""
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
    printed = stage.run(
        sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", str(test), "--rootdir", str(stage.folder)
    )
    assert "6 passed" in printed


def test_every_example_is_in_the_list() -> None:
    text = (EXAMPLES / "README.md").read_text()
    programs = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}}
    assert programs == {name for name in programs if f"`{name}`" in text}
    assert len(programs) >= 3
