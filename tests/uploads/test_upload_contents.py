"""Everything with a read() is uploaded as what read() returns."""

import array
import bz2
import gc
import gzip
import io
import itertools
import lzma
import mmap
import os
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.errors import InvalidRequestError, SourceChangedError, SourceError, UploadError
from aihub_async.transport import file_body
from aihub_async.uploads import contents
from aihub_async.uploads.contents import ByteStream

TEXT = b"Invoice: 4711\nTotal: 12.50\n" * 200
BIG = bytes(range(256)) * 4096  # 1 MiB: four chunks of the transport


def tar_member(path):
    with tarfile.open(path / "t.tar", "w") as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT))
    whole = io.BytesIO((path / "t.tar").read_bytes())
    return tarfile.open(fileobj=whole).extractfile("a.txt")


def zip_member(path):
    with zipfile.ZipFile(path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TEXT)
    return zipfile.ZipFile(path / "z.zip").open("a.txt")


def compressed(module):
    def opened(path):
        with module.open(path / f"a.{module.__name__}", "wb") as file:
            file.write(TEXT)
        return module.open(path / f"a.{module.__name__}")

    return opened


def named_temporary(path):
    file = tempfile.NamedTemporaryFile(dir=path)  # noqa: SIM115  # the test closes it
    file.write(TEXT)
    file.seek(0)
    return file


def spooled(path):
    file = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115  # the test closes it
    file.write(TEXT)
    file.seek(0)
    return file


def unflushed(path):
    file = (path / "written").open("w+b")
    file.write(TEXT)
    file.seek(0)
    file.write(TEXT[:1])
    file.seek(0)
    return file


def appending(path):
    (path / "log").write_bytes(TEXT)
    file = (path / "log").open("a+b")
    file.seek(0)
    return file


def mapped(path):
    (path / "mapped").write_bytes(TEXT)
    with (path / "mapped").open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Lower:
    """Changes what it reads, and has the descriptor of what it reads from, as wrappers for progress do."""

    def __init__(self, file):
        self._file = file

    def read(self, size=-1):
        return self._file.read(size).lower()

    def __getattr__(self, name):
        return getattr(self._file, name)


class OwnRead(io.FileIO):
    """A subclass of a plain file that is no plain file."""

    def read(self, size=-1):
        return super().read(size).lower()


KINDS = {
    "gzip": compressed(gzip),
    "bz2": compressed(bz2),
    "lzma": compressed(lzma),
    "zip member": zip_member,
    "tar member": tar_member,
    "named temporary": named_temporary,
    "spooled temporary": spooled,
    "written, not flushed": unflushed,
    "opened to append": appending,
    "mmap": mapped,
    "bytes in memory": lambda path: io.BytesIO(TEXT),
    "buffered bytes": lambda path: io.BufferedReader(io.BytesIO(TEXT)),
}


@pytest.mark.parametrize("read", [0, 2000])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_read_returns_is_stored(client, batch, stored, folder, sha256, kind, read):
    file = KINDS[kind](folder.path)
    try:
        file.read(read)
        await client.batches.add_file(batch, "a.txt", file)
        assert stored() == {"a.txt": sha256(TEXT[read:])}
        # A second upload of the same object, as after an error, stores the same again.
        assert file.tell() == read
        await client.batches.add_large_file(batch, "b.txt", file)
        assert stored()["b.txt"] == sha256(TEXT[read:])
    finally:
        file.close()


@pytest.mark.parametrize("make", [lambda path: Lower(path.open("rb")), OwnRead], ids=["wrapper", "subclass"])
async def test_a_read_of_its_own_counts_and_not_the_descriptor(client, batch, stored, folder, sha256, make):
    file = make(folder.add("shout.txt", b"SHOUT"))
    await client.batches.add_file(batch, "a.txt", file)
    file.close()
    assert stored() == {"a.txt": sha256(b"shout")}


async def test_plain_files_are_read_by_their_descriptor(client, batch, stored, folder, sha256, monkeypatch):
    positions = []
    real = os.pread
    monkeypatch.setattr(
        file_body.os, "pread", lambda descriptor, size, at: positions.append(at) or real(descriptor, size, at)
    )
    path = folder.add("plain.txt", TEXT)
    with path.open("rb") as buffered, path.open("rb", buffering=0) as raw:
        buffered.read(7)
        await client.batches.upload(batch, [("buffered.txt", buffered), ("raw.txt", raw)])
        assert (buffered.tell(), raw.tell()) == (7, 0)
    assert stored() == {"buffered.txt": sha256(TEXT[7:]), "raw.txt": sha256(TEXT)}
    assert sorted(positions) == [0, 7]


async def test_a_pipe_is_read_to_its_end(client, batch, stored, sha256):
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        await client.batches.add_file(batch, "pipe.txt", pipe)
    assert stored() == {"pipe.txt": sha256(b"from a pipe")}


async def test_bytes_of_every_shape(client, batch, stored, sha256):
    numbers = array.array("I", [1, 2, 3])
    await client.batches.upload(
        batch,
        {
            "strided.bin": memoryview(TEXT)[::2],
            "reversed.bin": memoryview(b"abc")[::-1],
            "numbers.bin": memoryview(numbers),
            "empty.bin": memoryview(b""),
        },
    )
    assert stored() == {
        "strided.bin": sha256(TEXT[::2]),
        "reversed.bin": sha256(b"cba"),
        "numbers.bin": sha256(numbers.tobytes()),
        "empty.bin": sha256(b""),
    }


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_file_at_its_end_is_an_error_that_says_so(client, hub, batch, folder, in_memory):
    with io.BytesIO() if in_memory else (folder.path / "x").open("w+b") as file:
        file.write(b"Total: 5")
        with pytest.raises(InvalidRequestError, match=r"at its end \(byte 8\).*seek\(0\)"):
            await client.batches.add_file(batch, "not-rewound.txt", file)
    with folder.add("y").open("rb") as plain:
        plain.read()
        with pytest.raises(InvalidRequestError, match="at its end"):
            await client.batches.add_file(batch, "read.txt", plain)
    assert hub.requests.total == 0


async def test_one_open_file_under_two_names_is_stored_twice(client, batch, stored, sha256, monkeypatch):
    monkeypatch.setattr(contents, "_READ_SIZE", 1000)
    file = io.BytesIO(b"head" + TEXT)
    file.seek(4)
    await client.batches.upload(batch, [(f"{number}.txt", file) for number in range(20)])
    assert stored() == {f"{number}.txt": sha256(TEXT) for number in range(20)}
    assert file.tell() == 4
    gc.collect()
    assert len(contents.SeekableFile._in_use) == 0


@pytest.mark.parametrize("large", [False, True])
async def test_an_open_file_that_grows_is_an_error(client, hub, batch, large):
    class Growing(io.BytesIO):
        def read(self, size=-1):
            data = super().read(size)
            if size > 1:
                position = self.tell()
                self.seek(0, os.SEEK_END)
                self.write(b"more")
                self.seek(position)
            return data

    call = client.batches.add_large_file if large else client.batches.add_file
    with pytest.raises(SourceChangedError, match="grew"):
        await call(batch, "growing.txt", Growing(TEXT))
    assert hub.batch_files(batch) == []


class Failing:
    def __init__(self, **answers):
        self._answers = answers

    def read(self, size=-1):
        answer = self._answers["read"]
        if isinstance(answer, Exception):
            raise answer
        return answer


def as_text(path):
    return io.TextIOWrapper(io.BytesIO(b"text"))


def closed(path):
    with path.open("rb") as file:
        return file


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (closed, SourceError),
        (lambda path: path.open("ab"), SourceError),
        (lambda path: path.open(), InvalidRequestError),
        (lambda path: io.StringIO("text"), InvalidRequestError),
        (as_text, InvalidRequestError),
        (gzip.open, SourceError),
        (lambda path: Failing(read=None), InvalidRequestError),
        (lambda path: Failing(read=KeyError("of theirs")), SourceError),
        (lambda path: (chunk for chunk in [b"a"]), InvalidRequestError),
        (lambda path: [b"a", b"b"], InvalidRequestError),
        (lambda path: object(), InvalidRequestError),
    ],
)
async def test_what_cannot_be_read_is_that_files_error(client, hub, batch, folder, make, error):
    content = make(folder.add("plain.txt", b"not compressed"))
    report = await client.batches.upload(batch, [("bad", content), ("ok.txt", b"ok")], on_error="collect")
    if hasattr(content, "close"):
        content.close()
    assert [type(record.error) for record in report.records] == [error, type(None)]
    assert hub.requests.counts == {"addFileToBatch": 1}


@pytest.mark.skipif(sys.platform == "win32", reason="os.pread")
@pytest.mark.parametrize("size", [100_000, len(BIG)])
async def test_reads_that_return_less_than_asked_are_continued(
    client, batch, stored, folder, sha256, size, monkeypatch
):
    real = os.pread
    monkeypatch.setattr(file_body.os, "pread", lambda descriptor, size, at: real(descriptor, min(size, 30_000), at))
    report = await client.batches.upload(batch, folder.add("mounted.bin", BIG[:size]))
    assert report.ok
    assert stored() == {"mounted.bin": sha256(BIG[:size])}


TOUCHES = {
    "hard link": lambda path: os.link(path, path.with_name("link")),
    "chmod": lambda path: path.chmod(0o600),
    "rename": lambda path: path.rename(path.with_name("renamed")),
    "utime": os.utime,
    "link renamed": lambda path: [os.link(path, path.with_name("a")), path.with_name("a").rename(path.with_name("b"))],
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.parametrize("way", ["at once", "in chunks", "in parts", "open file"])
@pytest.mark.parametrize("touch", TOUCHES)
async def test_unchanged_content_is_uploaded_whatever_happens_to_the_name(
    client, hub, batch, stored, folder, sha256, monkeypatch, touch, way
):
    content = BIG[:20_000] if way == "at once" else BIG
    path = folder.add("touched.bin", content)
    real, done = os.pread, []

    def pread(descriptor, size, position):
        data = real(descriptor, size, position)
        if (position and not done) or (way == "at once" and not done):
            done.append(TOUCHES[touch](path))
        return data

    with path.open("rb") as file:
        monkeypatch.setattr(file_body.os, "pread", pread)
        if way == "open file":
            file.seek(100)
            await client.batches.add_file(batch, "touched.bin", file)
        elif way == "in parts":
            await client.batches.add_large_file(batch, "touched.bin", path)
        else:
            report = await client.batches.upload(batch, path, digest=False)
            assert report.ok
    assert done
    assert stored() == {"touched.bin": sha256(content[100:] if way == "open file" else content)}


@pytest.mark.parametrize("parts", [False, True])
async def test_a_rewrite_in_the_middle_is_stored_as_a_whole(client, batch, stored, folder, sha256, monkeypatch, parts):
    """Also where neither size nor time nor the beginnings of chunks show it: never half of each version."""
    path = folder.add("rewritten.bin", bytes(len(BIG)))
    real, done = os.pread, []

    def pread(descriptor, size, position):
        data = real(descriptor, size, position)
        if position and not done:
            done.append(path.stat())
            with path.open("r+b") as file:
                for middle in range(1000, len(BIG), 100_000):
                    file.seek(middle)
                    file.write(b"new")
            os.utime(path, ns=(done[0].st_atime_ns, done[0].st_mtime_ns))
        return data

    monkeypatch.setattr(file_body.os, "pread", pread)
    await client.batches.upload(batch, path, multipart_threshold=1000 if parts else 10_000_000)
    assert stored() == {"rewritten.bin": sha256(path.read_bytes())}


async def test_a_digest_is_that_of_what_was_stored(client, batch, stored, folder, sha256, monkeypatch):
    path = folder.add("touched.bin", BIG)
    real, reads = os.pread, []

    def pread(descriptor, size, position):
        reads.append(position)
        if len(reads) == 6:
            path.chmod(0o600)
        return real(descriptor, size, position)

    monkeypatch.setattr(file_body.os, "pread", pread)
    report = await client.batches.upload(batch, path, digest=True)
    assert stored() == {"touched.bin": sha256(BIG)}
    assert report.records[0].digest == sha256(BIG)


async def test_a_file_that_is_touched_again_and_again_is_an_error(client, hub, batch, folder, monkeypatch):
    path = folder.add("busy.bin", BIG)
    real = os.pread

    def pread(descriptor, size, position):
        path.chmod(0o600)
        os.utime(path)
        return real(descriptor, size, position)

    monkeypatch.setattr(file_body.os, "pread", pread)
    with pytest.raises(UploadError) as caught:
        await client.batches.upload(batch, path)
    assert isinstance(caught.value.__cause__, SourceChangedError)
    assert hub.batch_files(batch) == []


async def test_no_descriptor_is_left_open(client, batch, folder, descriptors, monkeypatch):
    path = folder.add("touched.bin", BIG)
    real, done = os.pread, []

    def pread(descriptor, size, position):
        data = real(descriptor, size, position)
        if position and not done:
            done.append(path.chmod(0o600))
        return data

    monkeypatch.setattr(file_body.os, "pread", pread)
    await client.batches.upload(batch, path)
    gc.collect()
    assert descriptors() == set()


async def test_two_paths_in_a_tuple_are_two_files(client, batch, stored, folder, sha256, monkeypatch):
    monkeypatch.chdir(folder.path)
    jan, feb = folder.add("jan.txt", b"jan"), folder.add("feb.txt", b"feb")
    both = {"jan.txt": sha256(b"jan"), "feb.txt": sha256(b"feb")}
    for sources in [("jan.txt", "feb.txt"), (jan, feb), (jan, "feb.txt"), ["jan.txt", feb], (jan, ("feb.txt", feb))]:
        await client.batches.upload(batch, sources)
        assert stored() == both, sources
        for name in both:
            await client.batches.delete_file(batch, name)


async def test_a_tuple_that_may_mean_either_is_refused(client, hub, batch, folder, monkeypatch):
    monkeypatch.chdir(folder.path)
    folder.add("jan.txt")
    feb = folder.add("feb.txt", b"feb")
    with pytest.raises(InvalidRequestError, match=r"two files, or one file and its name"):
        await client.batches.upload(batch, ("jan.txt", feb))
    assert hub.requests.total == 0
    report = await client.batches.upload(batch, ("new-name.txt", feb))
    assert [record.name for record in report] == ["new-name.txt"]


async def test_a_dict_is_contents_by_name(client, batch, stored, folder, sha256, monkeypatch):
    monkeypatch.chdir(folder.path)
    folder.add("a.txt", b"on disk")
    await client.batches.upload(batch, {"a.txt": b"in memory", "b.txt": folder.add("c.txt", b"c")})
    assert stored() == {"a.txt": sha256(b"in memory"), "b.txt": sha256(b"c")}


async def test_paths_of_bytes_and_directory_entries(client, batch, stored, folder, sha256):
    class BytesPath:
        def __fspath__(self):
            return os.fsencode(folder.add("b.txt", b"b"))

    folder.add("a.txt", b"a")
    with os.scandir(folder.path) as entries:
        (entry,) = entries
    await client.batches.upload(batch, [entry, BytesPath(), ("c.txt", BytesPath())])
    assert stored() == {"a.txt": sha256(b"a"), "b.txt": sha256(b"b"), "c.txt": sha256(b"b")}


async def test_uploads_of_web_frameworks(client, batch, stored, sha256):
    datastructures = pytest.importorskip("starlette.datastructures")
    upload = datastructures.UploadFile(io.BytesIO(TEXT), size=len(TEXT), filename="form.txt")
    await client.batches.upload(batch, [upload, ("renamed.txt", upload)])
    await client.batches.add_file(batch, "added.txt", upload)
    assert stored() == dict.fromkeys(["form.txt", "renamed.txt", "added.txt"], sha256(TEXT))


async def test_asynchronous_files_with_a_file_inside(client, batch, stored, folder, sha256):
    async with await anyio.open_file(folder.add("a.txt", TEXT), "rb") as file:
        await client.batches.add_file(batch, "a.txt", file)
    assert stored() == {"a.txt": sha256(TEXT)}


async def test_streams_without_a_length_name_what_to_use(client, hub, batch):
    async def stream():
        yield b"chunk"

    class Reader:
        async def read(self, size=-1):
            return b""

    for content in (stream(), Reader()):
        with pytest.raises(InvalidRequestError, match=r"aihub_async\.ByteStream\(open, length\)"):
            await client.batches.add_file(batch, "a.txt", content)
    for sources in (stream(), [b"bytes"], b"bytes"):
        with pytest.raises(InvalidRequestError, match=r"bytes need a name.*ByteStream"):
            await client.batches.upload(batch, sources)
    assert hub.requests.total == 0


async def test_a_path_made_of_a_url_names_the_url(client, hub, batch):
    report = await client.batches.upload(batch, [Path("s3://bucket/a.pdf")], on_error="collect")
    assert isinstance(report.failed[0].error, SourceError)
    assert "'s3://bucket/a.pdf'" in str(report.failed[0].error)
    for call in (client.batches.add_file, client.batches.add_large_file):
        with pytest.raises(SourceError, match=r"'s3://bucket/a\.pdf'"):
            await call(batch, "a.pdf", Path("s3://bucket/a.pdf"))
    report = await client.batches.upload(batch, ["nosuch://bucket/a.pdf"], on_error="collect")
    assert isinstance(report.failed[0].error, SourceError)
    assert hub.requests.total == 0


async def test_a_stream_resumes_only_as_itself(client, batch):
    async def chunks():
        yield b"x"

    async def chunks_again():
        yield b"y"

    stream = ByteStream(chunks, 1)
    assert stream.body("a").identity == stream.body("a").identity
    assert stream.body("a").identity != ByteStream(chunks_again, 1).body("a").identity


async def test_a_file_that_was_sent_once_more_counts_once(client, hub, batch, folder, monkeypatch):
    path = folder.add("touched.bin", BIG)
    real, done, seen = os.pread, [], []

    def pread(descriptor, size, position):
        data = real(descriptor, size, position)
        if position and not done:
            done.append(path.chmod(0o600))
        return data

    monkeypatch.setattr(file_body.os, "pread", pread)
    # In parts, of which the emulator of the tests wants many: some are sent before the touch is found.
    report = await client.batches.upload(batch, path, multipart_threshold=1000, on_progress=seen.append)
    assert (report.ok, report.records[0].attempts) == (True, 2)
    assert (seen[-1].bytes_found, seen[-1].bytes_done) == (len(BIG), len(BIG))


def unzipped(data):
    return gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data)))


@given(
    content=st.binary(max_size=3000),
    skipped=st.integers(0, 3000),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=9),
    make=st.sampled_from(
        [
            io.BytesIO,
            lambda data: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data))),
            lambda data: Lower(io.BytesIO(data)),
        ]
    ),
)
async def test_any_reader_from_any_position(content, skipped, sizes, make):
    """Readers that return less than requested, in steps of any size, return every byte once."""
    sizes = itertools.cycle(sizes)

    class Short:
        def __init__(self, file):
            self._file = file

        def read(self, size=-1):
            return self._file.read(min(size, next(sizes)) if size > 0 else size)

        def __getattr__(self, name):
            return getattr(self._file, name)

    file = make(content)
    expected = content.lower() if isinstance(file, Lower) else content
    file.read(skipped)
    start = min(skipped, len(content))
    if start == len(content) and start > 0:
        with pytest.raises(InvalidRequestError, match="at its end"):
            await contents.to_body(Short(file), "a")
        return
    body = await contents.to_body(Short(file), "a")
    assert await body.read_all() == expected[start:]
    assert file.tell() == start
    cut = body.length // 2
    parts = body.parts()
    first, second = await parts.part(0, cut), await parts.part(cut, body.length - cut)
    assert await second.read_all() == expected[start + cut :]
    assert await first.read_all() == expected[start : start + cut]
