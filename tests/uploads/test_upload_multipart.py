"""Large files: parts in parallel, one commit, and what happens when something breaks."""

import asyncio
import io

import pytest

from aihub_async.emulator.faults import Fault
from aihub_async.errors import NotFoundError, OutcomeUnknownError, ServerError, SourceChangedError
from aihub_async.models import FileNode, NodeMetadata
from aihub_async.uploads.contents import ByteStream
from aihub_async.uploads.multipart import UploadResume

CONTENT = bytes(range(256)) * 40  # ten parts of 1 KiB


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "file", "memory", "stream"])
async def test_large_files_of_every_kind(client, hub, batch, folder, stored, sha256, kind):
    async def chunks():
        for start in range(0, len(CONTENT), 700):
            yield CONTENT[start : start + 700]

    path = folder.add("large.bin", CONTENT)
    with path.open("rb") as opened:
        sources = {
            "path": path,
            "str": str(path),
            "bytes": CONTENT,
            "file": opened,
            "memory": io.BytesIO(CONTENT),
            "stream": ByteStream(chunks, len(CONTENT)),
        }
        await client.batches.add_large_file(batch, "large.bin", sources[kind], max_concurrency=3)
    assert stored() == {"large.bin": sha256(CONTENT)}
    assert hub.requests.counts == {
        "createMultipartUploadSession": 1,
        "uploadMultipartPart": 10,
        "commitMultipartUploadSession": 1,
    }


async def test_the_threshold_divides_an_upload(client, hub, batch, stored, sha256):
    sources = [("small", CONTENT[:2000]), ("large", CONTENT[:2001])]
    report = await client.batches.upload(batch, sources, multipart_threshold=2000)
    assert stored() == {"small": sha256(CONTENT[:2000]), "large": sha256(CONTENT[:2001])}
    assert [record.attempts for record in report.records] == [1, 1]
    assert hub.requests.count("addFileToBatch") == 1
    assert hub.requests.count("uploadMultipartPart") == 2


async def test_repeated_parts_are_counted(client, hub, batch, stored, sha256):
    hub.faults.add(Fault(kind="status", status=503, operation="uploadMultipartPart", times=2))
    report = await client.batches.upload(batch, ("large", CONTENT), multipart_threshold=0)
    assert report.records[0].attempts == 3
    assert hub.requests.count("uploadMultipartPart") == 12
    assert stored() == {"large": sha256(CONTENT)}


async def test_a_failed_part_aborts_the_session(client, hub, batch):
    hub.faults.add(Fault(kind="status", status=422, operation="uploadMultipartPart", path="/parts/4$"))
    with pytest.raises(Exception, match="422"):
        await client.batches.add_large_file(batch, "large.bin", CONTENT, max_concurrency=2)
    # Whatever is in flight when the answer comes is cancelled, and nothing new begins.
    assert hub.requests.count("uploadMultipartPart") <= 6
    assert hub.requests.statuses("commitMultipartUploadSession") == [201]
    assert hub.batch_files(batch) == []


async def test_a_broken_upload_goes_on_from_its_parts(client, hub, batch, folder, stored, sha256):
    path, resume = folder.add("large.bin", CONTENT), UploadResume()
    hub.faults.add(Fault(kind="status", status=500, operation="uploadMultipartPart", path="/parts/8$"))
    with pytest.raises(ServerError):
        await client.batches.add_large_file(batch, "large.bin", path, max_concurrency=1, resume=resume)
    assert sorted(resume.parts) == [1, 2, 3, 4, 5, 6, 7]
    assert hub.requests.count("commitMultipartUploadSession") == 0
    hub.faults.clear()
    hub.requests.clear()
    await client.batches.add_large_file(batch, "large.bin", path, resume=resume)
    assert hub.requests.counts == {"uploadMultipartPart": 3, "commitMultipartUploadSession": 1}
    assert stored() == {"large.bin": sha256(CONTENT)}
    assert resume.session is None


async def test_a_changed_file_starts_over(client, hub, batch, folder, stored, sha256):
    path, resume = folder.add("large.bin", CONTENT), UploadResume()
    hub.faults.add(Fault(kind="status", status=500, operation="uploadMultipartPart", path="/parts/8$"))
    with pytest.raises(ServerError):
        await client.batches.add_large_file(batch, "large.bin", path, max_concurrency=1, resume=resume)
    hub.faults.clear()
    hub.requests.clear()
    path.write_bytes(CONTENT[::-1])
    await client.batches.add_large_file(batch, "large.bin", path, resume=resume)
    assert hub.requests.counts == {
        "createMultipartUploadSession": 1,
        "uploadMultipartPart": 10,
        "commitMultipartUploadSession": 2,  # the old session's abort, and the commit
    }
    assert stored() == {"large.bin": sha256(CONTENT[::-1])}


async def test_a_session_that_the_server_dropped_starts_over(client, hub, batch, folder, stored):
    path, resume = folder.add("large.bin", CONTENT), UploadResume()
    hub.faults.add(Fault(kind="status", status=404, operation="uploadMultipartPart", path="/parts/8$"))
    with pytest.raises(NotFoundError):
        await client.batches.add_large_file(batch, "large.bin", path, max_concurrency=1, resume=resume)
    hub.faults.clear()
    await client.batches.add_large_file(batch, "large.bin", path, resume=resume)
    assert list(stored()) == ["large.bin"]


async def test_a_commit_whose_answer_was_lost(client, hub, batch, stored, sha256):
    hub.faults.add(Fault(kind="reset-after", operation="commitMultipartUploadSession", times=1))
    await client.batches.add_large_file(batch, "large.bin", CONTENT)
    assert stored() == {"large.bin": sha256(CONTENT)}
    # Looked up, and committed again because only the session knows: it was closed by the first.
    assert hub.requests.statuses("commitMultipartUploadSession") in ([None, 409], [201, 409])
    assert hub.requests.count("listBatchFiles") + hub.requests.count("listFiles") == 1


async def test_a_commit_that_never_arrived(client, hub, batch, stored, sha256):
    hub.faults.add(Fault(kind="reset-before", operation="commitMultipartUploadSession", times=1))
    await client.batches.add_large_file(batch, "large.bin", CONTENT)
    assert stored() == {"large.bin": sha256(CONTENT)}
    assert hub.requests.count("commitMultipartUploadSession") == 2


async def test_an_older_file_of_the_same_size_is_no_proof(client, hub, batch, stored, sha256):
    await client.batches.add_large_file(batch, "large.bin", CONTENT)
    hub.faults.add(Fault(kind="reset-before", operation="commitMultipartUploadSession", times=1))
    await client.batches.add_large_file(batch, "large.bin", CONTENT[::-1])
    assert stored() == {"large.bin": sha256(CONTENT[::-1])}


async def test_a_commit_that_stays_unclear_says_so(client, hub, batch):
    hub.faults.add(Fault(kind="reset-before", operation="commitMultipartUploadSession", times=5))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.add_large_file(batch, "large.bin", CONTENT)
    # Five commits and the abort: a session is committed once, however often it is asked.
    assert hub.requests.count("commitMultipartUploadSession") == 6


async def test_a_commit_refused_without_a_file_stays_unclear(client, hub, batch, monkeypatch):
    async def nothing(*_args, **_options):
        yield FileNode(name="other.bin", metadata=NodeMetadata(size=1))

    monkeypatch.setattr(client.batches, "iter_files", nothing)
    hub.faults.add(Fault(kind="reset-after", operation="commitMultipartUploadSession", times=1))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.add_large_file(batch, "large.bin", CONTENT)


async def test_a_failing_abort_does_not_hide_the_error(client, hub, batch, folder):
    path = folder.add("large.bin", CONTENT)
    hub.faults.add(
        Fault(kind="status", status=400, operation="uploadMultipartPart"),
        Fault(kind="status", status=400, operation="commitMultipartUploadSession"),
    )
    with pytest.raises(Exception, match="uploadMultipartPart"):
        await client.batches.add_large_file(batch, "large.bin", path)


async def test_cancelling_aborts_the_session(client, hub, batch, folder, descriptors):
    path = folder.add("large.bin", CONTENT)
    hub.faults.add(Fault(kind="latency", seconds=30, operation="uploadMultipartPart", skip=2))
    upload = asyncio.create_task(client.batches.add_large_file(batch, "large.bin", path, max_concurrency=3))
    while hub.requests.count("uploadMultipartPart") < 4:
        await asyncio.sleep(0.005)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert hub.requests.statuses("commitMultipartUploadSession") == [201]
    assert descriptors() == set()
    assert client._transport.governor.in_flight == 0
    assert hub.batch_files(batch) == []


async def test_a_stream_that_changes_length_aborts(client, hub, batch):
    async def chunks():
        yield CONTENT

    with pytest.raises(SourceChangedError):
        await client.batches.add_large_file(batch, "large.bin", ByteStream(chunks, len(CONTENT) + 1024))
    assert hub.requests.count("commitMultipartUploadSession") == 1
