"""`process_each`: one run a group, several at a time, nothing kept; and the limit of requests per second."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import InvalidRequestError
from aihub_async.policies.pacing import RequestRate
from aihub_sync import AIHub


def group(number: int, files: int = 2) -> list[tuple[str, bytes]]:
    return [(f"{number}-{index}.txt", f"Total: {number}\n".encode()) for index in range(files)]


async def test_each_group_is_a_run_of_its_own(hub: Emulator, client: AsyncAIHub) -> None:
    found = {}
    async for outcome in client.process_each(map(group, range(12)), app_name="key-values", max_in_flight=4):
        assert outcome.ok
        assert outcome.result is not None
        found[outcome.index] = sorted(file.original_file_name for file in outcome.result.files)
    assert found == {number: [f"{number}-0.txt", f"{number}-1.txt"] for number in range(12)}
    assert len(hub.runs()) == 12


async def test_an_error_of_one_group_leaves_the_others_alone(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    groups = [group(0), tmp_path / "missing.txt", group(2)]
    outcomes = [each async for each in client.process_each(groups, app_name="key-values", ordered=True)]
    assert [each.index for each in outcomes] == [0, 1, 2]
    assert [each.ok for each in outcomes] == [True, False, True]
    assert outcomes[1].sources == tmp_path / "missing.txt"


async def test_outcomes_can_be_had_in_order(hub: Emulator, client: AsyncAIHub) -> None:
    hub.faults.add(Fault(kind="latency", seconds=0.5, operation="addFileToBatch", path="/0-0.txt"))
    groups = (group(number, 1) for number in range(9))
    outcomes = [each.index async for each in client.process_each(groups, app_name="key-values", ordered=True)]
    assert outcomes == list(range(9))


async def test_groups_are_pulled_no_faster_than_outcomes_are_taken(hub: Emulator, client: AsyncAIHub) -> None:
    pulled = 0

    async def groups() -> AsyncIterator[list[tuple[str, bytes]]]:
        nonlocal pulled
        for number in range(100):
            pulled += 1
            yield group(number, 1)

    async with client.process_each(groups(), app_name="key-values", max_in_flight=3) as outcomes:
        await outcomes.next_page()
    assert pulled <= 12


async def test_an_error_of_the_groups_is_raised_after_what_is_in_flight(hub: Emulator, client: AsyncAIHub) -> None:
    def groups() -> Iterator[Any]:
        yield group(0)
        raise RuntimeError("the database is gone")

    outcomes = client.process_each(groups(), app_name="key-values")
    page = await outcomes.next_page()
    assert page is not None
    assert [outcome.ok for outcome in page] == [True]
    with pytest.raises(RuntimeError, match="database"):
        await outcomes.next_page()


async def test_arguments_are_checked_before_anything_is_sent(hub: Emulator, client: AsyncAIHub) -> None:
    with pytest.raises(InvalidRequestError, match="app_name"):
        client.process_each([])
    with pytest.raises(InvalidRequestError, match="max_in_flight"):
        client.process_each([], app_name="x", max_in_flight=0)
    assert [each async for each in client.process_each([], app_name="x")] == []
    assert hub.requests.total == 0


def test_the_sync_client_has_it_too() -> None:
    with Emulator().in_thread() as hub, AIHub(hub.api_key, api_root=hub.api_root) as client:
        outcomes = list(client.process_each(map(group, range(3)), app_name="key-values", ordered=True))
        assert [outcome.index for outcome in outcomes] == [0, 1, 2]
        assert len(hub.runs()) == 3


def test_requests_are_spaced_evenly() -> None:
    now = 0.0
    rate = RequestRate(4.0, lambda: now)
    assert [rate.reserve() for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert not rate.is_free
    now = 10.0
    assert rate.is_free
    assert rate.reserve() == 0.0


async def test_a_client_sends_no_more_requests_a_second_than_it_may(hub: Emulator) -> None:
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root, max_requests_per_second=50) as client:
        batch = await client.batches.create("slow")
        began = time.monotonic()
        report = await client.batches.upload(batch.id, [(f"{number}.txt", b"x") for number in range(40)])
        assert report.ok
        assert time.monotonic() - began >= 39 / 50
