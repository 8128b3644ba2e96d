"""`client.process()`: of bad input nothing is left on the server."""

import gzip
import io
from pathlib import Path

import pytest

from aihub_async import AsyncAIHub, UnknownSettingWarning
from aihub_async.emulator import Emulator
from aihub_async.errors import InvalidRequestError, NotFoundError, RequestError, SourceError, UploadError

TEXT = b"Total: 12.50\n"
APP = {"app_name": "key-values"}


def add(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TEXT)


def many(count):
    return [(f"{number}.txt", TEXT) for number in range(count)]


@pytest.mark.parametrize(
    ("sources", "options", "error", "message"),
    [
        ("nosuch.pdf", {}, UploadError, "1 of 1 files failed.*nosuch.pdf"),
        (["a.txt", "nosuch.pdf", "none.pdf"], {}, UploadError, "2 of 3 files failed.*, and 1 more"),
        ([], {}, InvalidRequestError, "the sources hold no files"),
        ("empty", {}, InvalidRequestError, "the sources hold no files"),
        ("litter", {}, InvalidRequestError, r"no files but those of the operating system: .*\.DS_Store"),
        ("folder", {"include": "*.xlsx"}, InvalidRequestError, "the sources hold no files"),
        ("folder", {"exclude": "*"}, InvalidRequestError, "the sources hold no files"),
        ("folder", {}, UploadError, "naming='relative'"),
        ("folder", {"naming": "sideways"}, InvalidRequestError, "naming"),
        (many(1001), {}, InvalidRequestError, r"more than 1000 files: .*client\.ingest\(\)"),
        ([("a/../b\0", TEXT)], {}, UploadError, "NUL"),
        ([("a.txt", "text that is no path")], {}, UploadError, "cannot read"),
        ([("a.txt", 7)], {}, UploadError, "not int"),
        ("a.txt", {"batch_name": "x" * 256}, InvalidRequestError, "1 to 255 characters"),
        ("a.txt", {"settings": {"tags": "text"}}, InvalidRequestError, "list of strings"),
        ("a.txt", {"settings": {"keys": {"custom": {"a": object()}}}}, InvalidRequestError, "JSON"),
        ("a.txt", {"app_id": "too"}, InvalidRequestError, "only one of"),
        ("a.txt", {"app_name": None}, InvalidRequestError, "pass app_name"),
        ("a.txt", {"app_name": None, "deployment_id": "a/b"}, InvalidRequestError, "not an id"),
        ("a.txt", {"app_name": None, "deployment_id": "d", "owner": "me"}, InvalidRequestError, "owner"),
        ("a.txt", {"batch_id": 7}, InvalidRequestError, "pass sources"),
        (None, {}, InvalidRequestError, "pass sources"),
        (None, {"batch_id": "seven"}, InvalidRequestError, "must be a number"),
        (None, {"batch_id": 7, "include": "*.pdf"}, InvalidRequestError, "include cannot change the batch 7"),
        ("s3://bucket/a.pdf", {}, UploadError, "s3://bucket"),
        (Path("s3://bucket/a.pdf"), {}, UploadError, "pass a URL as text"),
        ("nosuch://a.pdf", {}, UploadError, "nosuch"),
    ],
)
async def test_bad_input_is_refused_before_the_first_request(
    client: AsyncAIHub, hub: Emulator, tmp_path: Path, monkeypatch, sources, options, error, message
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    add(tmp_path, "a.txt", "litter/.DS_Store", "litter/._a.txt", "folder/x/a.txt", "folder/y/a.txt")
    with pytest.raises(error, match=message):
        await client.process(sources, **{**APP, **options})
    assert hub.requests.total == 0


async def test_a_file_that_may_not_be_read_is_found_first(client, hub, tmp_path, monkeypatch) -> None:
    add(tmp_path, "secret.txt")
    monkeypatch.setattr("aihub_async.uploads.contents.os.access", lambda path, mode: False)
    with pytest.raises(UploadError) as caught:
        await client.process(tmp_path / "secret.txt", **APP)
    assert isinstance(caught.value.__cause__, SourceError)
    assert hub.requests.total == 0


async def at_its_end(folder):
    file = io.BytesIO()
    file.write(TEXT)
    return file


async def compressed_at_its_end(folder):
    (folder / "a.gz").write_bytes(gzip.compress(TEXT))
    file = gzip.open(folder / "a.gz")  # noqa: SIM115  # the test closes it
    file.read()
    return file


async def closed(folder):
    with (folder / "a.txt").open("wb") as file:
        return file


async def stream_without_length(folder):
    async def chunks():
        yield TEXT

    return chunks()


@pytest.mark.parametrize("make", [at_its_end, compressed_at_its_end, closed, stream_without_length])
async def test_open_files_are_checked_before_the_first_request(client, hub, tmp_path, make) -> None:
    content = await make(tmp_path)
    with pytest.raises(UploadError, match=r"1 of 2 files failed: a\.txt: (?!a\.txt)"):
        await client.process([("ok.txt", TEXT), ("a.txt", content)], **APP)
    assert hub.requests.total == 0
    if hasattr(content, "close"):
        content.close()


async def test_checking_an_open_file_does_not_move_it(client, hub, tmp_path) -> None:
    with io.BytesIO(b"skipped" + TEXT) as memory, gzip.open(tmp_path / "a.gz", "wb") as packed:
        packed.write(TEXT)
        packed.close()
        memory.seek(7)
        with gzip.open(tmp_path / "a.gz") as unpacked:
            processed = await client.process([("a.txt", memory), ("b.txt", unpacked)], **APP)
        assert [record.size for record in processed.upload] == [len(TEXT)] * 2
        assert memory.tell() == 7


async def test_a_generator_is_not_pulled_into_memory_and_stops_at_the_limit(client, hub) -> None:
    pulled = []

    def endless():
        for number in range(100_000):
            pulled.append(number)
            yield f"{number}.txt", TEXT

    with pytest.raises(InvalidRequestError, match="more than 1000 files"):
        await client.process(endless(), **APP)
    # What was in flight at the limit was sent, and no run was started.
    assert len(pulled) == 1001
    assert hub.requests.count("addFileToBatch") == 1000
    assert hub.requests.count("runApp") == 0


async def test_a_generator_of_nothing_leaves_nothing(client, hub) -> None:
    async def nothing():
        return
        yield

    for sources in (nothing(), iter([])):
        with pytest.raises(InvalidRequestError, match="no files"):
            await client.process(sources, **APP)
    assert hub.requests.total == 0


async def test_an_app_that_the_api_does_not_know_uploads_nothing(recorder, offline: AsyncAIHub) -> None:
    recorder.says(status=404)
    with pytest.raises(NotFoundError):
        await offline.process([("a.txt", TEXT)], app_name="none")
    assert [request.operation.name for request in recorder.sent] == ["listRuns"]


async def test_who_may_not_list_runs_may_start_them(client, hub) -> None:
    from aihub_async.emulator.faults import Fault

    hub.faults.add(Fault(kind="status", status=403, operation="listRuns", times=1))
    processed = await client.process([("a.txt", TEXT)], **APP)
    assert {row.value for row in processed} == {"12.50"}


async def test_folders_are_named_and_chosen_as_by_upload(client, hub, tmp_path) -> None:
    add(
        tmp_path,
        "x/a.txt",
        "y/a.txt",
        "y/b.log",
        "y/draft/c.txt",
        ".DS_Store",
        "x/Thumbs.db",
        "y/~$a.docx",
        "y/._a.txt",
    )
    processed = await client.process(tmp_path, naming="relative", include="*.txt", exclude="draft", **APP)
    assert sorted(file.original_file_name for file in processed.files) == ["x__a.txt", "y__a.txt"]
    assert {Path(path).name for path in processed.upload.skipped} == {"._a.txt"}
    everything = await client.process(tmp_path, naming="relative", exclude=["*.log", "draft"], **APP)
    assert len(everything.upload.files) == 2
    assert {Path(path).name for path in everything.upload.skipped} == {".DS_Store", "Thumbs.db", "~$a.docx", "._a.txt"}
    assert "4 skipped" in repr(everything.upload)


async def test_litter_that_is_asked_for_is_uploaded(client, hub, tmp_path) -> None:
    add(tmp_path, ".DS_Store", "~$a.docx", "a.txt")
    batch = await client.batches.create("litter")
    report = await client.batches.upload(batch.id, tmp_path, include=["*.txt", "~$*"])
    assert sorted(record.name for record in report) == ["a.txt", "~$a.docx"]
    assert list(report.skipped) == []
    named = await client.batches.upload(batch.id, [tmp_path / ".DS_Store"])
    assert [record.name for record in named] == [".DS_Store"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"webhok_config": {"url": "https://x.example"}}, "'webhok_config'; did you mean 'webhook_config'"),
        ({"tag": ["a"]}, "'tag'; did you mean 'tags'"),
        ({"webhook": {}}, "'webhook'; did you mean 'webhook_config'"),
        ({"keys": {"customs": {}}}, r"settings\.keys has the unknown name 'customs'; did you mean 'custom'"),
        ({"runtime_config": {"generate_post_proces_pdf": True}}, "did you mean 'generate_post_process_pdf'"),
    ],
)
async def test_a_misspelt_setting_warns_and_is_sent(recorder, offline: AsyncAIHub, settings, message) -> None:
    recorder.says({"id": "r", "status": "RUNNING"})
    with pytest.warns(UnknownSettingWarning, match=message):
        await offline.apps.runs.submit(app_name="a", batch_id=1, settings=settings, dedupe=False)
    assert recorder.json["settings"] == settings


async def test_what_is_like_nothing_known_is_sent_without_a_warning(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"id": "r", "status": "RUNNING"})
    settings = {"runtime_config": {"timeout_s": 5}, "keys": {"custom": {"anything": 1}}, "priority": 1}
    await offline.apps.runs.submit(app_name="a", batch_id=1, settings=settings, dedupe=False)
    assert recorder.json["settings"] == settings


@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_a_batch_that_does_not_exist_is_one_error(client, hub, on_error) -> None:
    with pytest.raises(NotFoundError):
        await client.batches.upload(99999, many(500), on_error=on_error, max_concurrency=4)
    assert hub.requests.total <= 4


async def test_a_batch_that_is_deleted_on_the_way_keeps_the_report(client, hub) -> None:
    batch = await client.batches.create("short-lived")

    async def sources():
        for number in range(3):
            yield f"{number}.txt", TEXT
        await client.batches.delete(batch.id)
        for number in range(3, 100):
            yield f"{number}.txt", TEXT

    with pytest.raises(UploadError) as caught:
        await client.batches.upload(batch.id, sources(), on_error="collect", max_concurrency=1)
    report = caught.value.report
    assert (len(report.files), len(report.failed)) == (3, 1)
    assert isinstance(caught.value.__cause__, NotFoundError)


async def test_a_report_is_counted_iterated_and_shown(client, hub) -> None:
    batch = await client.batches.create("report")
    report = await client.batches.upload(batch.id, [*many(3), ("x.txt", 7)], on_error="collect")
    assert (len(report), [record.name for record in report], len(report.files)) == (
        4,
        ["0.txt", "1.txt", "2.txt", "x.txt"],
        3,
    )
    assert repr(report).startswith("<UploadReport: 3 of 4 files uploaded, 39 bytes in 0.")
    assert bool(await client.batches.upload(batch.id, [])) is True


@pytest.mark.parametrize("status", [200, 404, 502])
async def test_a_web_page_in_place_of_an_answer_gets_the_same_hint(recorder, offline: AsyncAIHub, status) -> None:
    recorder.says(b"<html>login</html>", status, Content_Type="text/html")
    with pytest.raises(RequestError, match=r"HTML page: check api_root"):
        await offline.with_options(max_retries=0).batches.get(1)
