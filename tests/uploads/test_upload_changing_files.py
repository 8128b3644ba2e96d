"""Hostile cases 45 to 50: files that change while they are read, and things that are no files."""

import os
import socket

import pytest

from aihub_async.errors import SourceChangedError, SourceError, UploadError
from aihub_async.transport import file_body as bodies
from aihub_async.uploads.contents import ByteStream

BIG = bytes(range(256)) * 4096  # 1 MiB: four chunks


@pytest.fixture
def at_first_read(monkeypatch):
    """Do something between the first read of a file and the next step."""

    def arrange(change):
        real, done = os.pread, []

        def pread(descriptor, size, position):
            data = real(descriptor, size, position)
            if not done:
                done.append(True)
                change()
            return data

        monkeypatch.setattr(bodies.os, "pread", pread)

    return arrange


def shrink(path):
    os.truncate(path, 10)


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def rewrite_and_restore_mtime(path):
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("size", [len(BIG), 20_000], ids=["in chunks", "at once"])
@pytest.mark.parametrize("change", [shrink, grow, rewrite_and_restore_mtime])
async def test_a_file_that_changes_is_never_half_uploaded(
    client, hub, batch, folder, at_first_read, descriptors, size, change
):
    path = folder.add("changing.bin", BIG[:size])
    at_first_read(lambda: change(path))
    with pytest.raises(UploadError) as caught:
        await client.batches.upload(batch, path)
    assert isinstance(caught.value.__cause__, SourceChangedError)
    assert hub.batch_files(batch) == []
    assert hub.requests.count("addFileToBatch") <= 1
    assert descriptors() == set()


async def test_a_file_that_changes_between_measuring_and_sending(client, hub, batch, folder, monkeypatch):
    path = folder.add("replaced.bin", b"x" * 100)
    real = bodies.open_file

    def replaced_first(name):
        other = folder.add("other.bin", b"y" * 100)
        other.replace(path)
        return real(name)

    monkeypatch.setattr(bodies, "open_file", replaced_first)
    with pytest.raises(SourceChangedError):
        await client.batches.add_file(batch, "replaced.bin", path)
    assert hub.requests.total == 0


async def test_a_file_deleted_while_it_is_sent_is_still_whole(client, hub, batch, folder, stored, sha256):
    path = folder.add("deleted.bin", BIG)
    with path.open("rb") as file:
        path.unlink()
        await client.batches.add_file(batch, "deleted.bin", file)
    assert stored() == {"deleted.bin": sha256(BIG)}


async def test_a_large_file_that_changes_is_aborted(client, hub, batch, folder, at_first_read):
    path = folder.add("large.bin", BIG[:5000])
    at_first_read(lambda: grow(path))
    with pytest.raises(SourceChangedError):
        await client.batches.add_large_file(batch, "large.bin", path)
    assert hub.batch_files(batch) == []
    # The last one is the abort.
    assert [record.operation for record in hub.requests.records][-1] == "commitMultipartUploadSession"
    assert hub.requests.count("commitMultipartUploadSession") == 1


async def test_things_that_are_no_files_are_refused_without_blocking(client, hub, batch, folder, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(tmp_path / "socket"))
    listener.close()
    paths = [tmp_path / "fifo", tmp_path / "socket", "/dev/zero", "/dev/null", tmp_path / "missing", "a\0b"]
    report = await client.batches.upload(batch, paths, on_error="collect")
    assert [type(record.error) for record in report.records] == [SourceError] * 6
    with pytest.raises(SourceError):
        await client.batches.add_file(batch, "folder", folder.path)
    assert hub.requests.total == 0


async def test_a_file_that_may_not_be_read(client, hub, batch, folder, monkeypatch):
    path = folder.add("secret.txt")
    real = os.open

    def refuse(name, *args, **options):
        if os.fspath(name) == os.fspath(path):
            raise PermissionError(13, "Permission denied", os.fspath(name))
        return real(name, *args, **options)

    monkeypatch.setattr(bodies.os, "open", refuse)
    report = await client.batches.upload(batch, [path, ("ok.txt", b"ok")], on_error="collect")
    assert "Permission denied" in str(report.failed[0].error)
    assert hub.requests.total == 1


async def test_links_out_of_the_folder_and_loops_are_recorded(client, batch, folder, stored, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"outside")
    folder.add("real.txt")
    (folder.path / "inside").symlink_to(folder.path / "real.txt")
    (folder.path / "escape").symlink_to(outside)
    (folder.path / "loop").symlink_to(folder.path)
    (folder.path / "self").symlink_to(folder.path / "self")
    os.mkfifo(folder.path / "fifo")
    report = await client.batches.upload(batch, folder.path, on_error="collect")
    assert set(stored()) == {"real.txt", "inside"}
    assert {record.name for record in report.failed} == {"escape", "loop", "self", "fifo"}
    assert {type(record.error) for record in report.failed} == {SourceError}


@pytest.mark.parametrize(("length", "error"), [(5, SourceChangedError), (3, SourceChangedError)])
@pytest.mark.parametrize("large", [False, True])
async def test_a_stream_of_another_length(client, hub, batch, length, error, large):
    async def chunks():
        yield b"four"

    call = client.batches.add_large_file if large else client.batches.add_file
    with pytest.raises(error, match="than the"):
        await call(batch, "stream.bin", ByteStream(chunks, length))
    assert hub.batch_files(batch) == []


async def test_a_stream_that_fails_is_the_files_error(client, hub, batch):
    async def chunks():
        yield b"four"
        raise OSError("cable pulled")

    report = await client.batches.upload(batch, [("s.bin", ByteStream(chunks, 8))], on_error="collect")
    assert isinstance(report.failed[0].error, SourceError)
    assert "cable pulled" in str(report.failed[0].error)
    assert hub.batch_files(batch) == []
