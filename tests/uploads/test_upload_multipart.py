"""Large files: parts in parallel, one commit, and what happens when something breaks."""

import asyncio
import io

import pytest

from aihub_async import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.emulator.faults import Fault
from aihub_async.errors import (
    BadRequestError,
    NotFoundError,
    OutcomeUnknownError,
    RequestDetails,
    ServerError,
    SourceChangedError,
)
from aihub_async.models import FileNode, MultipartUploadSession, NodeMetadata
from aihub_async.transport.body import BytesBody
from aihub_async.uploads.contents import ByteStream
from aihub_async.uploads.multipart import UploadResume, upload_in_parts

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
    # Requests in flight when the answer arrives are cancelled, and nothing new begins.
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
    hub.faults.add(Fault(kind="reset-before", operation="commitMultipartUploadSession", times=20))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.add_large_file(batch, "large.bin", CONTENT)
    # Twenty commits and the abort: a session is committed once, however often it is requested.
    assert hub.requests.count("commitMultipartUploadSession") == 21


@pytest.mark.parametrize("kind", ["reset-before", "reset-after"])
async def test_a_commit_that_is_unclear_for_minutes_is_repeated_with_pauses(hub, batch, stored, sha256, kind):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        await asyncio.sleep(0)

    hub.faults.add(Fault(kind=kind, operation="commitMultipartUploadSession", times=10))
    clock = Clock(sleep=sleep, random=lambda: 1.0)
    async with AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root, clock=clock) as client:
        await client.batches.add_large_file(batch, "large.bin", CONTENT)
    assert stored() == {"large.bin": sha256(CONTENT)}
    if kind == "reset-before":
        assert [pause for pause in pauses if pause] == [0.5, 1, 2, 4, 8, 15, 15, 15, 15, 15]


async def test_a_refused_second_commit_is_compared_when_the_list_works_again(client, hub, batch, stored, sha256):
    hub.faults.add(
        Fault(kind="reset-after", operation="commitMultipartUploadSession", times=1),
        Fault(kind="status", status=503, operation="listFiles", times=12),
    )
    await client.batches.add_large_file(batch, "large.bin", CONTENT)
    assert stored() == {"large.bin": sha256(CONTENT)}


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


class LateParts:
    """Stores a second copy of some parts, under another id, before each of the first commits."""

    def __init__(self, late, *, repeated, unclear=False):
        self.clock = Clock(sleep=self.sleep, random=lambda: 1.0)
        self.late, self.repeated, self.unclear = list(late), repeated, unclear
        self.parts, self.sent, self.pauses = {}, [], []
        self.stored = None

    async def sleep(self, seconds):
        self.pauses.append(seconds)

    async def open_session(self, _name, _size):
        return MultipartUploadSession(session_id="s", part_size=1024)

    async def put_part(self, _session, number, body):
        first = number not in self.sent
        self.sent.append(number)
        self.parts[number] = (f"{number}-{len(self.sent)}", bytes(await body.read_all()))
        return self.parts[number][0], 2 if first and number in self.repeated else 1

    async def commit(self, _session, parts):
        if self.late:
            for number in self.late.pop(0):
                self.parts[number] = (f"late {len(self.late)}", self.parts[number][1])
        if self.unclear:
            self.unclear = False
            raise OutcomeUnknownError("lost", RequestDetails("commitMultipartUploadSession", "POST", "/"))
        if {number: part_id for number, (part_id, _) in self.parts.items()} != parts:
            details = RequestDetails("commitMultipartUploadSession", "POST", "/", status=400)
            raise BadRequestError("no such part", details)
        self.stored = b"".join(content for _, (_, content) in sorted(self.parts.items()))

    async def abort(self, _session):
        self.parts = {}

    async def size_of(self, _name):
        return None if self.stored is None else len(self.stored)


@pytest.mark.parametrize("unclear", [False, True])
async def test_parts_that_a_late_copy_replaced_are_sent_again(unclear):
    steps = LateParts([{3, 5}, {5}], repeated={3, 5, 7}, unclear=unclear)
    assert await upload_in_parts(steps, "large.bin", BytesBody(CONTENT)) == 1 + 3 + 2 * 3 - (3 if unclear else 0)
    assert steps.stored == CONTENT
    # Only those of which there can be a late copy.
    assert {number for number in steps.sent if steps.sent.count(number) > 1} == {3, 5, 7}


async def test_a_refused_commit_of_parts_that_were_sent_once_is_final():
    steps = LateParts([{3}], repeated={})
    with pytest.raises(BadRequestError):
        await upload_in_parts(steps, "large.bin", BytesBody(CONTENT))
    assert (len(steps.sent), steps.pauses, steps.parts) == (10, [], {})


async def test_parts_that_are_always_replaced_are_given_up():
    steps = LateParts([{3}] * 100, repeated={3})
    with pytest.raises(BadRequestError):
        await upload_in_parts(steps, "large.bin", BytesBody(CONTENT))
    assert steps.sent.count(3) == 7
    assert steps.pauses == [1, 2, 4, 8, 15, 15]
