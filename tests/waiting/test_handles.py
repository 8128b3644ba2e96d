import asyncio
import json
from typing import Any

import anyio
import attrs
import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import (
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    RunCancelledError,
    RunFailedError,
    RunNeedsReviewError,
    WaitTimeoutError,
)
from aihub_async.models import DeletionJob, JobStatus, RunDeletion

APP = "key-values"


async def test_submit_await_results_delete(client: AsyncAIHub, batch_id: int) -> None:
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    run = await handle
    assert (run.id, run.status, run.batch_id) == (handle.id, "COMPLETE", batch_id)
    assert [file.original_file_name async for file in handle.iter_results()] == ["a.txt"]
    assert (await handle.refresh()).status == "COMPLETE"
    job = await client.jobs.wait(await handle.delete())
    assert job.state == "COMPLETE"
    with pytest.raises(NotFoundError):
        await handle.refresh()


async def test_a_deployment_is_submitted_alike(client: AsyncAIHub, batch_id: int) -> None:
    handle = await client.apps.deployments.runs.submit("key-values", batch_id=batch_id)
    run = await handle
    assert (run.status, run.deployment_id) == ("COMPLETE", "key-values")


async def test_a_handle_survives_as_json(client: AsyncAIHub, batch_id: int) -> None:
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    saved = json.loads(json.dumps(handle.to_json()))
    again = client.apps.runs.handle(saved)
    assert again.id == client.apps.runs.handle(handle.id).id == handle.id
    assert (await again).id == handle.id
    assert (await client.apps.runs.wait(handle.id)).status == "COMPLETE"
    with pytest.raises(InvalidRequestError):
        client.jobs.handle(saved)


async def test_a_handle_knows_the_last_status(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.hold_runs()
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    attached = client.apps.runs.handle(handle.id)
    assert (handle.status, attached.status) == ("RUNNING", None)
    before = hub.requests.count("getRunStatus")
    assert (await attached.refresh()).id == handle.id
    assert attached.status == "RUNNING"
    hub.release_runs()
    await handle
    assert (handle.status, attached.status) == ("COMPLETE", "RUNNING")
    assert hub.requests.count("getRunStatus") >= before + 2, "`status` sends nothing"
    assert client.jobs.handle("").status == "COMPLETE"


@pytest.mark.parametrize(
    ("outcome", "error"), [("FAILED", RunFailedError), ("STOPPED_AT_CHECKPOINT", RunNeedsReviewError)]
)
async def test_ends_without_results_raise(
    hub: Emulator, client: AsyncAIHub, batch_id: int, outcome: Any, error: type[RunFailedError]
) -> None:
    hub.app("Odd", outcome=outcome)(lambda document: {})
    handle = await client.apps.runs.submit(app_name="Odd", batch_id=batch_id)
    with pytest.raises(error) as caught:
        await handle
    assert caught.value.run.id == handle.id
    assert handle.status == outcome


async def test_a_cancelled_run_raises(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.hold_runs()
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    with pytest.raises(RunCancelledError):
        await handle.wait(on_update=lambda run: hub.cancel_run(run.id))


async def test_a_review_is_waited_through(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.app("Odd", outcome="STOPPED_AT_CHECKPOINT")(lambda document: {})
    handle = await client.apps.runs.submit(app_name="Odd", batch_id=batch_id)

    def review(run: Any) -> None:
        if run.status == "STOPPED_AT_CHECKPOINT":
            hub.complete_review(run.id)

    assert (await handle.wait(through_review=True, on_update=review)).status == "COMPLETE"


async def test_a_held_run_times_out_and_can_be_waited_for_again(
    hub: Emulator, client: AsyncAIHub, batch_id: int
) -> None:
    hub.hold_runs()
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    with pytest.raises(WaitTimeoutError) as caught:
        await handle.wait(timeout=3600)
    assert caught.value.id == handle.id
    # About 25 until the interval is 30 s, less at most a fifth by jitter; then at most one every 24 s.
    assert hub.requests.count("getRunStatus") <= 25 + 3600 / 24, "an hour is not a storm of requests"
    hub.release_runs()
    assert (await handle).status == "COMPLETE"


async def test_unknown_statuses_and_fields_keep_waiting(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="unknown-enum", operation="getRunStatus", times=3))
    hub.faults.add(Fault(kind="unknown-fields", operation="getRunStatus"))
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    assert (await handle).status == "COMPLETE"
    assert hub.requests.count("getRunStatus") == 4


async def test_retry_after_is_honoured_while_polling(
    hub: Emulator, client: AsyncAIHub, batch_id: int, time: Any
) -> None:
    hub.faults.add(Fault(kind="status", status=429, retry_after=30, operation="getRunStatus", times=2))
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    before = time.time
    assert (await handle).status == "COMPLETE"
    assert time.time - before >= 60
    assert hub.requests.count("getRunStatus") == 3


async def test_derived_clients_share_the_poller(client: AsyncAIHub, batch_id: int) -> None:
    derived = client.with_options(timeout=5)
    handle = await derived.apps.runs.submit(app_name=APP, batch_id=batch_id)
    assert derived._scheduler is client._scheduler
    assert (await handle).status == "COMPLETE"


async def test_thirty_runs_are_polled_in_lists(hub: Emulator, client: AsyncAIHub, batch_id: int, time: Any) -> None:
    hub.hold_runs()
    handles = [await client.apps.runs.submit(app_name=APP, batch_id=batch_id) for _ in range(30)]
    jobs = [client.apps.runs.wait(handle.id, timeout=100) for handle in handles]
    ended: list[str] = []

    async def wait(job: Any) -> None:
        ended.append((await job).id)

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(wait, job)
        while not hub.requests.count("listRuns"):
            await asyncio.sleep(0.001)
        # The emulator works in real time, which must not count as time of the waits.
        time.frozen = True
        hub.release_runs()
        while {run["status"] for run in hub.runs()} != {"COMPLETE"}:
            await asyncio.sleep(0.001)
        time.frozen = False
    assert sorted(ended) == sorted(handle.id for handle in handles)
    assert hub.requests.count("listRuns") >= 1
    assert hub.requests.count("getRunStatus") <= 10


# Jobs


async def test_several_jobs_are_waited_for_at_once(client: AsyncAIHub) -> None:
    batches = [await client.batches.create(f"batch {number}") for number in range(5)]
    jobs = [await client.batches.delete(batch.id) for batch in batches]
    states = await client.jobs.wait_all([*jobs[:3], jobs[3].job_id, jobs[4], jobs[0]])
    assert [state.state for state in states] == ["COMPLETE"] * 6


@pytest.mark.parametrize("gone", ["", DeletionJob(), RunDeletion()])
async def test_what_is_gone_already_is_done(hub: Emulator, client: AsyncAIHub, gone: Any) -> None:
    assert (await client.jobs.wait(gone)).state == "COMPLETE"
    assert hub.requests.count("jobStatus") == 0


async def test_a_job_handle_is_awaited(client: AsyncAIHub) -> None:
    batch = await client.batches.create("short-lived")
    job = await client.batches.delete(batch.id)
    handle = client.jobs.handle(client.jobs.handle(job.job_id).to_json())
    assert (await handle).state == "COMPLETE"
    assert (await handle.refresh()).state == "COMPLETE"


async def test_a_failed_job_raises_after_the_others_have_ended(
    client: AsyncAIHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def status(job_id: str) -> JobStatus:
        asked.append(job_id)
        state = "FAILED" if job_id == "bad" else "COMPLETE" if asked.count(job_id) > 2 else "RUNNING"
        return JobStatus(state=state, message="disk full")

    monkeypatch.setattr(client.jobs, "_pollable", attrs.evolve(client.jobs._pollable, fetch_one=status))
    with pytest.raises(JobFailedError, match="disk full") as caught:
        await client.jobs.wait_all(["good", "bad"])
    assert (caught.value.job_id, caught.value.state) == ("bad", "FAILED")
    assert asked.count("good") == 3
