"""Scripts for the official SDK run with only their import changed."""

import inspect
import os
import re
import time
import traceback
from pathlib import Path
from typing import Any

import aihub
import aihub.exceptions
import pytest

import aihub_sync.exceptions
from aihub_async.emulator import Emulator
from aihub_sync import AIHub

SHARED_GUIDE = Path(__file__).parents[3] / "shared" / "reference" / "seeds" / "run-apps-by-sdk.txt"


def official_methods() -> list[tuple[str, Any]]:
    client = aihub.aihub.AIHub("key", api_root="http://127.0.0.1:1/api")
    groups = {
        "batches": client.batches,
        "apps.runs": client.apps.runs,
        "apps.deployments.runs": client.apps.deployments.runs,
        "jobs": client.jobs,
        "files": client.files,
        "secrets": client.secrets,
    }
    return [
        (f"{path}.{name}", method)
        for path, group in groups.items()
        for name, method in inspect.getmembers(group, inspect.ismethod)
        if not name.startswith("_")
    ]


def find(client: object, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


@pytest.mark.parametrize(("path", "official"), official_methods(), ids=[path for path, _ in official_methods()])
def test_every_method_of_the_official_sdk_with_its_names_and_positions(path: str, official: Any) -> None:
    method = find(AIHub("key", api_root="http://127.0.0.1:1/api"), path)
    ours, theirs = inspect.signature(method).parameters, inspect.signature(official).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        # A parameter that could be left out still can, and one can be given by position where it could before.
        assert ours[name].default is not inspect.Parameter.empty or parameter.default is inspect.Parameter.empty
        assert ours[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


def test_the_constructor_has_the_names_and_positions_of_the_official_one(hub: Emulator) -> None:
    with pytest.warns(DeprecationWarning, match="debug= has no effect") as caught:
        client = AIHub(hub.api_key, None, hub.api_root, False)
    assert caught[0].filename == __file__
    assert client.batches.list().batches == []
    client.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, i: c.batches.create("y", workspace_name="w"), "workspace_name= is now workspace="),
        (lambda c, i: c.batches.list(file_offset=0), "file_offset= is now offset="),
        (lambda c, i: c.batches.get(id=i), "id= is now batch_id="),
        (lambda c, i: c.batches.add_file(id=i, file_name="a.txt", file=b"x"), "id= is now batch_id="),
        (lambda c, i: c.batches.delete_file(id=i, file_name="a.txt"), "id= is now batch_id="),
        (lambda c, i: c.batches.delete(id=i), "id= is now batch_id="),
        (lambda c, i: c.apps.runs.list(output_repo="w"), "output_repo= is now output_workspaces="),
    ],
)
def test_older_names_work_and_tell_the_new_ones(client: AIHub, call: Any, message: str) -> None:
    batch_id = client.batches.create("x").id
    with pytest.warns(DeprecationWarning, match=message) as caught:
        call(client, batch_id)
    assert caught[0].filename == __file__


def test_older_names_of_runs_and_jobs(client: AIHub) -> None:
    batch = client.batches.create("x")
    client.batches.add_file(batch.id, "a.txt", b"Total: 5")
    run = client.apps.runs.create(app_name="key-values", batch_id=str(batch.id))
    client.apps.runs.handle(run.id).wait(timeout=30)
    job = client.batches.delete_file(batch.id, "a.txt")
    with pytest.warns(DeprecationWarning, match="id= is now run_id="):
        assert client.apps.runs.status(id=run.id).status == "COMPLETE"
    with pytest.warns(DeprecationWarning, match="id= is now run_id="):
        assert client.apps.runs.results(id=run.id).files
    with pytest.warns(DeprecationWarning, match="id= is now job_id="):
        client.jobs.status(id=job.job_id)
    with pytest.warns(DeprecationWarning, match="id= is now job_id="):
        client.batches.poll_job(id=job.job_id)


def test_an_old_name_beside_the_new_one_is_an_error(client: AIHub) -> None:
    with pytest.raises(TypeError, match="the old name of batch_id="):
        client.batches.get(batch_id=1, id=1)  # type: ignore[call-arg]


def test_ids_as_text_or_number(client: AIHub) -> None:
    batch = client.batches.create("x")
    assert client.batches.get(str(batch.id)).id == client.batches.get(batch.id).id == batch.id


def test_the_api_key_is_in_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIHUB_API_ROOT", raising=False)
    try:
        AIHub("very-" + "secret", api_root="ftp://nowhere")
    except aihub_sync.errors.ConfigurationError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "very-secret" not in text


# Exceptions


def test_every_official_exception_has_its_name_and_place_in_the_tree() -> None:
    for name, official in inspect.getmembers(aihub.exceptions, inspect.isclass):
        if not issubclass(official, aihub.exceptions.OpenApiException):
            continue
        ours = getattr(aihub_sync.exceptions, name)
        for base in official.__mro__[1:]:
            if base.__module__ == "aihub.exceptions":
                assert issubclass(ours, getattr(aihub_sync.exceptions, base.__name__))
        assert name in aihub_sync.exceptions.__all__


def test_except_clauses_keep_working(client: AIHub) -> None:
    from aihub_sync.exceptions import ApiException, NotFoundException, OpenApiException

    for kind in (NotFoundException, ApiException, OpenApiException):
        try:
            client.batches.get(404)
        except kind as error:
            caught = error
        assert (caught.status, caught.reason, caught.data) == (404, "Not Found", None)
        assert isinstance(caught.body, str)
        assert caught.headers is not None


# The guide


def guide() -> str:
    """The complete script of the vendor's guide where it is at hand, else one of ours that does the same."""
    if not SHARED_GUIDE.exists():
        return OWN_SCRIPT
    page = SHARED_GUIDE.read_text()
    numbered = re.findall(r"^\d+((?:[^\d.\n].*)?)$", page[page.index("\nComplete script\n") :], re.MULTILINE)
    code: list[str] = []
    level = 0
    # The page kept one space of any indentation: a line is inside what the last line with a colon began.
    for text in numbered[numbered.index("import os") :]:
        if not text.startswith(" "):
            level = 0
        elif code[-1].endswith(":"):
            level += 1
        code.append("    " * level + text.strip())
    return "\n".join(code)


OWN_SCRIPT = """
import os
import time

from aihub import AIHub

client = AIHub(api_root=<API-ROOT>, api_key=<API-TOKEN>, ib_context=<IB-CONTEXT>)

batch = client.batches.create(name=<BATCH-NAME>)
for path in [<PATH/TO/FILE1>, <PATH/TO/FILE2>]:
    with open(path, 'rb') as file:
        client.batches.add_file(batch_id=batch.id, file_name=os.path.basename(path), file=file)

run = client.apps.runs.create(app_name=<APP-NAME>, owner=<OWNER>, batch_id=batch.id)
status = client.apps.runs.status(run.id)
while status.status == 'RUNNING':
    time.sleep(5)
    status = client.apps.runs.status(run.id)

results = client.apps.runs.results(run.id)
"""


def test_the_guide_runs_with_only_its_import_changed(hub: Emulator, tmp_path: Path, monkeypatch) -> None:
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for number, path in enumerate(files, 1):
        path.write_text(f"Invoice: {number}\nTotal: {number}.00 EUR\n")
    values = {
        "API-ROOT": hub.api_root,
        "API-TOKEN": hub.api_key,
        "IB-CONTEXT": None,
        "BATCH-NAME": "guide",
        "PATH/TO/FILE1": os.fspath(files[0]),
        "PATH/TO/FILE2": os.fspath(files[1]),
        "APP-NAME": "key-values",
        "OWNER": None,
    }
    script = guide().replace("from aihub import", "from aihub_sync import")
    script = re.sub(r"<([A-Z/0-9-]+)>", lambda found: repr(values[found[1]]), script)
    # The guide polls every 5 seconds.
    monkeypatch.setattr("time.sleep", lambda seconds, sleep=time.sleep: sleep(seconds / 500))
    names: dict[str, Any] = {}
    exec(compile(script, "guide", "exec"), names)
    names["client"].close()
    assert names["status"].status == "COMPLETE"
    assert sorted(file.original_file_name for file in names["results"].files) == ["one.txt", "two.txt"]
