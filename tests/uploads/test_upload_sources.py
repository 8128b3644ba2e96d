import io
import os
from pathlib import Path

import pytest

from aihub_async.errors import InvalidRequestError, SourceError, UploadError
from aihub_async.uploads.contents import ByteStream
from aihub_async.uploads.walking import FolderWalk, PathFilter


async def test_every_kind_of_source(client, hub, batch, stored, folder, sha256):
    async def chunks():
        yield b"str"
        yield b"eam"

    path = folder.add("path.txt", b"path")
    named = folder.add("named.txt", b"named")
    with folder.add("open.txt", b"..open").open("rb") as opened:
        opened.seek(2)
        report = await client.batches.upload(
            batch,
            [
                path,
                str(folder.add("text.txt", b"text")),
                ("bytes.txt", b"bytes"),
                ("array.txt", bytearray(b"array")),
                ("renamed.txt", named),
                ("renamed-too.txt", str(named)),
                ("open.txt", opened),
                ("memory.txt", io.BytesIO(b"memory")),
                ("stream.txt", ByteStream(chunks, 6)),
            ],
        )
    expected = {
        "path.txt": b"path",
        "text.txt": b"text",
        "bytes.txt": b"bytes",
        "array.txt": b"array",
        "renamed.txt": b"named",
        "renamed-too.txt": b"named",
        "open.txt": b"open",
        "memory.txt": b"memory",
        "stream.txt": b"stream",
    }
    assert stored() == {name: sha256(content) for name, content in expected.items()}
    assert [record.name for record in report.records] == list(expected)
    assert [record.size for record in report.records] == [len(content) for content in expected.values()]
    assert {record.attempts for record in report.records} == {1}
    assert (report.ok, len(report.files), report.bytes) == (True, 9, sum(map(len, expected.values())))
    assert hub.requests.counts == {"addFileToBatch": 9}


@pytest.mark.parametrize("kind", ["one path", "str", "pair", "open file", "async"])
async def test_one_source_needs_no_list(client, batch, stored, folder, kind):
    path = folder.add("one.txt", b"one")

    async def later():
        yield path

    with path.open("rb") as opened:
        sources = {
            "one path": path,
            "str": str(path),
            "pair": ("one.txt", b"one"),
            "open file": opened,
            "async": later(),
        }
        report = await client.batches.upload(batch, sources[kind])
    assert [record.name for record in report.records] == ["one.txt"]
    assert list(stored()) == ["one.txt"]


async def test_folders_are_searched_with_patterns(client, batch, stored, folder):
    for name in ["a.pdf", "b.txt", "sub/c.pdf", "sub/deep/d.pdf", "skip/e.pdf", "sub/draft-f.pdf"]:
        folder.add(name, name.encode())
    await client.batches.upload(batch, folder.path, include="*.pdf", exclude=["skip", "sub/draft*"])
    assert set(stored()) == {"a.pdf", "c.pdf", "d.pdf"}


async def test_relative_names_and_a_callable(client, batch, stored, folder):
    folder.add("x/a.txt")
    folder.add("y/a.txt")
    await client.batches.upload(batch, folder.path, naming="relative")
    assert set(stored()) == {"x__a.txt", "y__a.txt"}
    await client.batches.upload(batch, folder.path, naming=lambda path: f"{path.parent.name}-{path.name}")
    assert set(stored()) == {"x__a.txt", "y__a.txt", "x-a.txt", "y-a.txt"}


async def test_an_empty_file_becomes_an_empty_file(client, hub, batch, folder):
    report = await client.batches.upload(batch, folder.add("empty.txt", b""))
    (file,) = hub.batch_files(batch)
    assert (file.name, file.size, report.records[0].size) == ("empty.txt", 0, 0)
    await client.batches.add_large_file(batch, "empty-too.txt", b"")
    assert hub.requests.counts == {"addFileToBatch": 2}


async def test_no_sources_are_an_empty_report(client, hub, batch):
    report = await client.batches.upload(batch, [])
    assert (report.records, report.ok, hub.requests.total) == ([], True, 0)


async def test_an_async_generator_is_closed(client, batch):
    closed = []

    async def sources():
        try:
            for number in range(1000):
                yield (f"{number}.txt", b"x")
        finally:
            closed.append(True)

    async with client.batches.iter_upload(batch, sources(), max_concurrency=2) as uploads:
        assert await uploads.next_page()
    assert closed == [True]


async def test_an_iterable_that_fails_ends_the_upload_after_what_is_in_flight(client, batch, stored):
    def sources():
        yield ("a.txt", b"a")
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        await client.batches.upload(batch, sources(), max_concurrency=1)
    assert list(stored()) == ["a.txt"]


@pytest.mark.parametrize(
    ("sources", "options"),
    [
        (7, {}),
        (["a"], {"naming": "upside down"}),
        (["a"], {"max_concurrency": 0}),
        (["a"], {"on_error": "ignore"}),
        ([7], {}),
        ([("a.txt", b"a", "more")], {}),
    ],
)
async def test_arguments_that_cannot_be_used(client, hub, batch, sources, options):
    with pytest.raises(InvalidRequestError):
        await client.batches.upload(batch, sources, **options)
    assert hub.requests.total == 0


async def test_content_without_bytes_is_that_files_error(client, hub, batch, folder):
    with folder.add("text.txt").open() as text:
        sources = [("number.txt", 7), ("text.txt", text), ("io.txt", io.StringIO("x")), ("ok.txt", b"ok")]
        report = await client.batches.upload(batch, sources, on_error="collect")
    assert [type(record.error) for record in report.records] == [InvalidRequestError] * 3 + [type(None)]
    assert hub.requests.count("addFileToBatch") == 1


async def test_fsspec_urls(client, batch, stored, sha256):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/scans/a.txt": b"a" * 3000, "/scans/sub/b.txt": b"b"})
    try:
        report = await client.batches.upload(
            batch, ["memory://scans", ("c.txt", "memory://scans/a.txt"), "memory://none"], on_error="collect"
        )
    finally:
        memory.rm("/scans", recursive=True)
    assert stored() == {"a.txt": sha256(b"a" * 3000), "b.txt": sha256(b"b"), "c.txt": sha256(b"a" * 3000)}
    assert [type(record.error) for record in report.failed] == [SourceError]


async def test_digests(client, batch, folder, sha256):
    async def chunks():
        yield b"s" * 500

    big, small = b"b" * 300_000, b"small"
    sources = [folder.add("big", big), folder.add("small", small), ("bytes", b"x"), ("stream", ByteStream(chunks, 500))]
    report = await client.batches.upload(batch, sources, digest=True)
    assert [record.digest for record in report.records] == [sha256(data) for data in (big, small, b"x", b"s" * 500)]


async def test_verify_finds_what_the_batch_does_not_have(client, hub, batch, folder, monkeypatch):
    from aihub_async.models import FileNode, NodeMetadata

    sources = [("a.txt", b"a"), ("b.txt", b"bb"), ("c.txt", b"ccc")]
    assert (await client.batches.upload(batch, sources, verify=True)).ok

    async def listed(*_args, **_options):
        yield FileNode(name="a.txt", metadata=NodeMetadata(size=1))
        yield FileNode(name="b.txt", metadata=NodeMetadata(size=1))

    monkeypatch.setattr(client.batches, "iter_files", listed)
    with pytest.raises(UploadError, match="2 of 3 files failed") as caught:
        await client.batches.upload(batch, sources, verify=True)
    assert [record.name for record in caught.value.report.failed] == ["b.txt", "c.txt"]


async def test_the_first_error_stops_and_keeps_the_report(client, hub, batch, folder):
    sources = [("a.txt", b"a"), folder.path / "missing.txt", *((f"{number}.txt", b"x") for number in range(50))]
    with pytest.raises(UploadError) as caught:
        await client.batches.upload(batch, sources, max_concurrency=1)
    report = caught.value.report
    assert [(record.name, record.error is None) for record in report.records] == [
        ("a.txt", True),
        ("missing.txt", False),
    ]
    assert isinstance(caught.value.__cause__, SourceError)
    assert hub.requests.total == 1


def test_a_walk_gives_a_little_at_a_time(tmp_path: Path):
    for number in range(600):
        (tmp_path / f"{number}").touch()
    walk = FolderWalk(os.fspath(tmp_path), PathFilter())
    assert [len(walk.take()) for _ in range(4)] == [256, 256, 88, 0]
