"""Ranges: what is written is what the server has, whatever happens on the way."""

import asyncio
import errno
import io
import os
from pathlib import Path

import pytest

from aihub_async import errors
from aihub_async.models import FileMetadata
from aihub_async.resources import _download
from aihub_async.resources._download import Download, local_name

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)
DATE = "Sat, 01 Aug 2026 12:00:00 GMT"


@pytest.fixture
def remote(wire):
    """Answers of a server that has CONTENT."""

    class Remote:
        head = wire.answer(200, Content_Length=str(SIZE), Content_Type="application/octet-stream", Last_Modified=DATE)
        whole = wire.answer(200, CONTENT, Last_Modified=DATE)

        @staticmethod
        def part(start, end=SIZE, total=SIZE, content=CONTENT, **headers):
            headers = {"Content_Range": f"bytes {start}-{end - 1}/{total}", "Last_Modified": DATE, **headers}
            return wire.answer(206, content[start:end], **headers)

    return Remote


def ranges(server):
    return [seen.headers.get("range") for seen in server.seen[1:]]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.bin"


async def test_download_of_a_file_into_a_folder(server, client, remote, tmp_path):
    server.says(remote.head, remote.whole)
    path = await client.files.download("/org/ws/fs/drive/evil.bin", tmp_path)
    assert path == tmp_path / "evil.bin"
    assert path.read_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["evil.bin"]
    assert ranges(server) == [None]
    assert all(seen.headers["accept-encoding"] == "identity" for seen in server.seen)


async def test_a_broken_download_goes_on_where_it_stopped(server, client, remote, wire, target):
    server.says(
        remote.head,
        wire.broken_off(remote.whole[: len(remote.whole) - SIZE + 5000]),
        wire.reset,
        wire.broken_off(remote.part(5000)[:-1000]),
        remote.part(SIZE - 1000),
    )
    await client.files.download("/a", target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=5000-", "bytes=5000-", f"bytes={SIZE - 1000}-"]


async def test_a_later_call_goes_on_with_what_an_earlier_one_left(server, make_client, remote, wire, target):
    client = make_client(max_retries=0)
    server.says(remote.head, wire.broken_off(remote.whole[: len(remote.whole) - SIZE + 4000]))
    with pytest.raises(errors.ConnectionLostError):
        await client.files.download("/a", target)
    assert not target.exists()
    server.seen.clear()
    server.says(remote.head, remote.part(4000))
    await client.files.download("/a", target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == ["bytes=4000-"]


@pytest.mark.parametrize("change", ["resume", "size", "date", "path", "note", "too long"])
async def test_what_does_not_belong_together_is_begun_anew(server, make_client, remote, wire, target, change):
    client = make_client(max_retries=0)
    server.says(remote.head, wire.broken_off(remote.whole[: len(remote.whole) - SIZE + 4000]))
    with pytest.raises(errors.ConnectionLostError):
        await client.files.download("/a", target)
    server.seen.clear()
    head = {
        "size": wire.answer(200, Content_Length=str(SIZE + 1), Content_Type="x/y", Last_Modified=DATE),
        "date": remote.head.replace(b"12:00:00", b"12:00:01"),
    }.get(change, remote.head)
    content = CONTENT + b"1" if change == "size" else CONTENT
    if change == "note":
        target.with_name("file.bin.part.json").write_bytes(b"{torn")
    if change == "too long":
        target.with_name("file.bin.part").write_bytes(CONTENT * 2)
    server.says(head, wire.answer(200, content))
    await client.files.download("/b" if change == "path" else "/a", target, resume=change != "resume")
    assert target.read_bytes() == content
    assert ranges(server) == [None]


# 34
@pytest.mark.parametrize(
    "bad",
    ["wrong start", "no range", "other total", "other date", "compressed", "whole of another size", "letters"],
)
async def test_answers_that_do_not_fit_are_never_spliced(server, client, remote, wire, target, bad):
    second = {
        "wrong start": remote.part(3999),
        "no range": wire.answer(206, CONTENT[4000:]),
        "other total": remote.part(4000, total=SIZE + 5),
        "other date": remote.part(4000, Last_Modified="Sun, 02 Aug 2026 12:00:00 GMT"),
        "compressed": remote.part(4000, Content_Encoding="deflate"),
        "whole of another size": wire.answer(200, CONTENT[1:]),
        "letters": remote.part(4000, Content_Range="bytes x-y/z"),
    }[bad]
    target.write_bytes(b"the old file")
    server.says(remote.head, wire.broken_off(remote.whole[: len(remote.whole) - SIZE + 4000]), second)
    with pytest.raises(errors.ProtocolError):
        await client.files.download("/a", target)
    assert target.read_bytes() == b"the old file"
    assert ranges(server) == [None, "bytes=4000-"]


async def test_a_whole_answer_to_a_range_starts_anew(server, client, remote, wire, target):
    server.says(remote.head, wire.broken_off(remote.whole[: len(remote.whole) - SIZE + 4000]), remote.whole)
    await client.files.download("/a", target)
    assert target.read_bytes() == CONTENT
    assert len(server.seen) == 3


async def test_a_server_that_gives_short_ranges_is_asked_on(server, client, remote, target):
    server.says(remote.head, remote.part(0, 3000), remote.part(3000, 6000), remote.part(6000))
    await client.files.download("/a", target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=3000-", "bytes=6000-"]


async def test_all_bytes_without_the_end_of_the_answer(server, client, remote, wire, target):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (SIZE, CONTENT)
    server.says(remote.head, wire.broken_off(chunked), remote.part(SIZE - 1))
    await client.files.download("/a", target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={SIZE - 1}-"]


async def test_a_short_answer_that_never_grows_is_an_error(server, client, remote, target):
    short = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    server.says(remote.head, short)
    with pytest.raises(errors.ProtocolError, match="received only"):
        await client.files.download("/a", target)
    assert len(server.seen) == 3


async def test_an_endless_answer_does_not_fill_the_disk(server, client, remote, wire, target):
    async def endless(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await exchange.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    server.says(remote.head, endless)
    with pytest.raises(errors.ProtocolError, match="more than"):
        await client.files.download("/a", target)
    assert target.with_name("file.bin.part").stat().st_size <= SIZE
    assert len(server.seen) == 2


async def test_unknown_size_is_streamed_to_its_end(server, client, wire, target):
    server.says(wire.answer(200, length=False, Content_Type="x/y", Connection="close"), wire.answer(200, CONTENT))

    await client.files.download("/a", target)
    assert target.read_bytes() == CONTENT
    assert len(server.seen) == 2


async def test_an_empty_file_and_a_folder(server, client, wire, target):
    server.says(wire.answer(200, Content_Length="0", Content_Type="application/octet-stream"))
    await client.files.download("/a", target)
    assert target.read_bytes() == b""
    server.says(wire.answer(200, Content_Type="application/json"))
    with pytest.raises(errors.InvalidRequestError, match="folder"):
        await client.files.download("/a", target)
    assert len(server.seen) == 2


async def test_two_downloads_never_write_the_same_file(server, client, remote, wire, target):
    server.says(remote.head, wire.silence)
    first = asyncio.create_task(client.files.download("/a", target))
    while len(server.seen) < 2:
        await asyncio.sleep(0)
    server.says(remote.head)
    with pytest.raises(BlockingIOError, match="another download"):
        await client.files.download("/a", target)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.says(remote.head, remote.head, remote.head, remote.head, remote.whole)
    assert (await client.files.download("/a", target)).read_bytes() == CONTENT
    assert len(server.seen) == 5


# 51
async def test_full_disk_leaves_the_old_file(server, client, remote, target, monkeypatch):
    class Full(io.FileIO):
        def write(self, _data):
            raise OSError(errno.ENOSPC, "No space left on device")

    original = Download.prepare.__func__

    def prepare(cls, *args, **kwargs):
        download = original(cls, *args, **kwargs)
        download._file.close()
        download._file = Full(target.with_name("file.bin.part"), "r+")
        return download

    monkeypatch.setattr(Download, "prepare", classmethod(prepare))
    target.write_bytes(b"the old file")
    server.says(remote.head, remote.whole)
    with pytest.raises(OSError, match="No space") as caught:
        await client.files.download("/a", target)
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"the old file"
    assert len(server.seen) == 2


async def test_an_error_answer_is_not_written(server, client, remote, wire, target):
    server.says(remote.head, wire.answer(404, {"message": "gone"}))
    with pytest.raises(errors.NotFoundError, match="gone"):
        await client.files.download("/a", target)
    assert not target.exists()
    assert target.with_name("file.bin.part").read_bytes() == b""


# files.read
async def test_reading_a_range(server, client, remote):
    server.says(remote.part(2, 5), remote.whole, remote.whole)
    assert await client.files.read("/a", range="bytes=2-4") == CONTENT[2:5]
    assert await client.files.read("/a", range="bytes=2-4") == CONTENT[2:5]
    assert await client.files.read("/a", range="bytes=10000-") == CONTENT[10000:]
    assert len(server.seen) == 3


@pytest.mark.parametrize("start", [1, 3, None])
async def test_reading_a_range_and_getting_another(server, client, remote, wire, start):
    server.says(wire.answer(206, b"abc") if start is None else remote.part(start, start + 3))
    with pytest.raises(errors.ProtocolError, match="bytes=2-4"):
        await client.files.read("/a", range="bytes=2-4")
    assert len(server.seen) == 1


# 8
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.txt", "b.txt"),
        ("../../etc/passwd", "passwd"),
        ("/etc/", "etc"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("a/..", "_"),
        ("..", "_"),
        ("/", "_"),
        ("", "_"),
        ("NUL", "_NUL"),
        ("com1.txt", "_com1.txt"),
        ("con .txt", "_con .txt"),
        ("a:b|c?.txt", "a_b_c_.txt"),
        ("a\x00b\n.txt", "a_b_.txt"),
        ("trailing. . ", "trailing"),
        ("sur\ud800rogate", "sur_rogate"),
        ("x" * 300 + ".pdf", "x" * 236 + ".pdf"),
        ("日" * 255, "日" * 80),
    ],
)
def test_local_names_stay_in_their_folder(path, name):
    assert local_name(path) == name
    assert "/" not in local_name(path)


def test_local_names_can_be_made(tmp_path):
    for path in ("日" * 255 + ".pdf", "." + "x" * 300, "a." + "x" * 300):
        name = local_name(path)
        (tmp_path / f"{name}.part.json").write_bytes(b"")


def test_a_download_does_not_leave_the_folder(tmp_path):
    metadata = FileMetadata(200, {"Content-Length": "1", "Content-Type": "x/y"})
    folder = tmp_path / "inner"
    folder.mkdir()
    with Download.prepare("..\\../../evil", folder, metadata, resume=True) as download:
        assert download.target == folder / "evil"
    assert {file.name for file in tmp_path.iterdir()} == {"inner"}
    assert _download._part(folder / "x") == folder / "x.part"


@pytest.mark.parametrize("suffix", [".part", ".part.json"])
@pytest.mark.parametrize("link", ["symbolic", "dangling", "hard"])
async def test_a_link_in_the_way_is_never_written_through(server, client, remote, tmp_path, suffix, link):
    precious, target = tmp_path / "precious.txt", tmp_path / "out" / "f.txt"
    target.parent.mkdir()
    if link != "dangling":
        precious.write_bytes(b"precious")
    place = target.with_name(target.name + suffix)
    if link == "hard":
        place.hardlink_to(precious)
    else:
        place.symlink_to(precious)
    server.says(remote.head, remote.whole)
    if suffix == ".part":
        with pytest.raises(FileExistsError, match=r"f\.txt\.part"):
            await client.files.download("/org/ws/fs/d/f.txt", target)
        assert not target.exists()
    else:
        await client.files.download("/org/ws/fs/d/f.txt", target)
        assert target.read_bytes() == CONTENT
    assert precious.read_bytes() == b"precious" if link != "dangling" else not precious.exists()


async def test_a_pipe_in_the_way_does_not_block(server, client, remote, target):
    os.mkfifo(target.with_name(target.name + ".part"))
    server.says(remote.head, remote.whole)
    with pytest.raises(FileExistsError):
        await client.files.download("/org/ws/fs/d/file.bin", target)


@pytest.mark.parametrize("to", ["s3://bucket/f.txt", Path("s3://bucket/f.txt"), "no/such/folder/f.txt"])
async def test_where_to_is_checked_before_the_first_request(server, client, tmp_path, monkeypatch, to):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((errors.InvalidRequestError, FileNotFoundError)):
        await client.files.download("/org/ws/fs/d/f.txt", to)
    assert (server.seen, list(tmp_path.iterdir())) == ([], [])
