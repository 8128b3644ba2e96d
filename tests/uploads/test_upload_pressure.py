"""Out of descriptors, host names that cannot be resolved, and a server that requests fewer uploads."""

import asyncio
import errno
import os
import socket
import sys

import pytest

from aihub_async import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.emulator.faults import Fault
from aihub_async.errors import ConnectError
from aihub_async.transport import file_body as bodies


async def test_no_descriptor_for_a_file_is_waited_for(client, hub, batch, folder, monkeypatch, stored):
    path = folder.add("a.txt")
    real, tries = os.open, []

    def scarce(name, *args, **options):
        if os.fspath(name) == os.fspath(path) and len(tries) < 3:
            tries.append(name)
            raise OSError(errno.EMFILE, "Too many open files")
        return real(name, *args, **options)

    monkeypatch.setattr(bodies.os, "open", scarce)
    report = await client.batches.upload(batch, path)
    assert (report.ok, len(tries)) == (True, 3)
    assert report.records[0].attempts == 4
    assert hub.requests.counts == {"addFileToBatch": 1}


UPLOAD_WITH_FEW = """
import asyncio, resource, sys
from aihub_async import AsyncAIHub

async def main(root, key, batch, folder):
    async with AsyncAIHub(api_key=key, api_root=root) as client:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
        report = await client.batches.upload(int(batch), folder, max_concurrency=40, on_error="collect")
        print(len(report.files), [str(record.error) for record in report.failed])

asyncio.run(main(*sys.argv[1:]))
"""


async def test_many_files_with_few_descriptors(hub, batch, folder, stored):
    for number in range(60):
        folder.add(f"{number}.bin", bytes(1000))
    # In a separate process: the emulator's ends of the connections need descriptors too.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UPLOAD_WITH_FEW, hub.api_root, hub.api_key, str(batch), folder.path),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert output.decode().strip() == "60 []"
    assert len(stored()) == 60


async def test_a_resolver_in_trouble_is_waited_for(hub, batch, monkeypatch):
    loop = asyncio.get_running_loop()
    real, tries = loop.getaddrinfo, []

    async def flapping(host, *args, **options):
        tries.append(host)
        if len(tries) <= 8:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await real(host, *args, **options)

    async def no_wait(_seconds):
        await asyncio.sleep(0)

    monkeypatch.setattr(loop, "getaddrinfo", flapping)
    clock = Clock(sleep=no_wait, random=lambda: 0.5)
    root = hub.api_root.replace("127.0.0.1", "localhost")
    async with AsyncAIHub(api_key=hub.api_key, api_root=root, clock=clock, max_retries=1) as client:
        report = await client.batches.upload(batch, [("a.txt", b"a"), ("b.txt", b"b")], max_concurrency=1)
        assert report.ok
        assert client._transport.governor.limit.current < client.settings.max_concurrent_requests
    assert hub.requests.counts == {"addFileToBatch": 2}


async def test_a_name_that_does_not_exist_fails_soon(hub, batch, monkeypatch):
    async def unknown(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def no_wait(_seconds):
        await asyncio.sleep(0)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    root = hub.api_root.replace("127.0.0.1", "localhost")
    clock = Clock(sleep=no_wait, random=lambda: 0.5)
    async with AsyncAIHub(api_key=hub.api_key, api_root=root, clock=clock) as client:
        with pytest.raises(ConnectError) as caught:
            await client.batches.add_file(batch, "a.txt", b"a")
    assert len(caught.value.attempts) == 5


async def test_push_back_is_followed_and_nothing_is_lost(client, hub, batch, stored):
    hub.faults.add(Fault(kind="status", status=429, retry_after=1, operation="addFileToBatch", times=10))
    sources = [(f"{number}.txt", b"x") for number in range(50)]
    report = await client.batches.upload(batch, sources)
    assert report.ok
    assert len(stored()) == 50
    assert hub.requests.count("addFileToBatch") == 60
    assert sum(record.attempts for record in report.records) == 60


async def test_lost_connections_are_sent_again(client, hub, batch, stored):
    hub.faults.add(Fault(kind="reset-before", operation="addFileToBatch", times=5))
    report = await client.batches.upload(batch, [(f"{number}.txt", b"x") for number in range(20)], max_concurrency=4)
    assert report.ok
    assert hub.requests.count("addFileToBatch") == 25
    assert len(stored()) == 20
