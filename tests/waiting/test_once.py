import asyncio
from typing import Any

import anyio
import attrs
import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import (
    BadRequestError,
    ConfigurationError,
    ConflictError,
    OutcomeUnknownError,
    ProtocolError,
    StatusError,
    UnreadableAnswerError,
)
from aihub_async.models import RunSettings
from aihub_async.reconcile.runs import TAG_PREFIX

APP = "key-values"


def tags_of(hub: Emulator) -> list[str]:
    return [tag for run in hub.runs() for tag in run["tags"] if tag.startswith(TAG_PREFIX)]


@pytest.mark.parametrize("kind", ["reset-after", "truncate", "reset-body", "garble"])
async def test_a_run_whose_answer_was_lost_is_found(
    hub: Emulator, client: AsyncAIHub, batch_id: int, kind: Any
) -> None:
    hub.faults.add(Fault(kind=kind, operation="runApp", times=1))
    handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    assert [run["id"] for run in hub.runs()] == [handle.id]
    assert hub.requests.count("runApp") == 1
    assert (await handle).status == "COMPLETE"


@pytest.mark.parametrize("kind", ["reset-before"])
async def test_a_run_that_was_not_started_is_sent_again(
    hub: Emulator, client: AsyncAIHub, batch_id: int, kind: Any
) -> None:
    hub.faults.add(Fault(kind=kind, operation="runApp", times=2))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]
    assert hub.requests.count("runApp") == 3
    lookups = hub.requests.count("listRuns")
    assert 16 <= lookups <= 22, "lists may lag: each time about nine lookups within the timeout of one attempt"
    assert len(set(tags_of(hub))) == 1


async def test_a_server_error_is_looked_into(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="status", status=500, operation="runApp", times=1, handled=True))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]


async def test_a_deployment_is_started_once_too(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="runDeployment", times=1))
    run = await client.apps.deployments.runs.create("key-values", batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]


async def test_a_lagging_list_is_asked_again(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="runApp", times=1))
    hub.faults.add(Fault(kind="html", operation="listRuns", times=2))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]
    assert hub.requests.count("listRuns") == 3


async def test_what_cannot_be_found_out_raises_and_reconciles(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="runApp", times=1))
    hub.faults.add(Fault(kind="status", status=403, operation="listRuns"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    hub.faults.clear()
    assert caught.value.reconcile is not None
    found = await caught.value.reconcile()
    assert [run["id"] for run in hub.runs()] == [found.id]


async def test_reconcile_tells_that_nothing_happened(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="runApp", times=1))
    hub.faults.add(Fault(kind="status", status=403, operation="listRuns"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
    assert caught.value.reconcile is not None
    with pytest.raises(OutcomeUnknownError) as again:
        await caught.value.reconcile()
    hub.faults.clear()
    assert again.value.reconcile is not None
    with pytest.raises(LookupError):
        await again.value.reconcile()
    assert hub.runs() == []


async def test_retries_are_bounded(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="runApp"))
    with pytest.raises(OutcomeUnknownError):
        await client.with_options(max_retries=2).apps.runs.submit(app_name=APP, batch_id=batch_id)
    assert hub.requests.count("runApp") == 3


async def test_without_dedupe_nothing_is_tagged_and_doubt_is_raised(
    hub: Emulator, client: AsyncAIHub, batch_id: int
) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="runApp", times=1))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.apps.runs.submit(app_name=APP, batch_id=batch_id, dedupe=False)
    assert caught.value.reconcile is None
    assert (hub.requests.count("runApp"), hub.requests.count("listRuns")) == (1, 0)
    assert tags_of(hub) == []


async def test_every_call_that_tags_can_leave_it(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    for dedupe in (False, True):
        await client.apps.runs.create(app_name=APP, batch_id=batch_id, dedupe=dedupe)
        await client.apps.runs.submit(app_name=APP, batch_id=batch_id, dedupe=dedupe)
        await client.apps.deployments.runs.create("key-values", batch_id=batch_id, dedupe=dedupe)
        await client.apps.deployments.runs.submit("key-values", batch_id=batch_id, dedupe=dedupe)
        await client.process(batch_id=batch_id, app_name=APP, dedupe=dedupe)
        await client.process(batch_id=batch_id, deployment_id="key-values", dedupe=dedupe)
        assert len(tags_of(hub)) == (6 if dedupe else 0)


async def test_user_tags_are_kept_and_the_limit_respected(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    long = "x" * 458
    settings = [{"tags": ["march", "b"]}, RunSettings(tags=[long]), {"tags": [long + "y"]}, None]
    for given in settings:
        await client.apps.runs.submit(app_name=APP, batch_id=batch_id, settings=given)
    found = [run["tags"] for run in hub.runs()]
    assert [tags[:-1] for tags in found[:2]] == [["march", "b"], [long]]
    assert [tags[-1].startswith(TAG_PREFIX) for tags in found] == [True, True, False, True]
    assert settings[0] == {"tags": ["march", "b"]}, "the caller's dict is left alone"


async def test_a_login_page_is_not_a_run(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    hub.faults.add(Fault(kind="html", operation="runApp", times=1))
    with pytest.raises(ProtocolError) as caught:
        await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert isinstance(caught.value, OutcomeUnknownError), "the server reported that it succeeded"
    assert hub.runs() == []
    assert hub.requests.count("runApp") == 1, "never sent again"


async def test_a_login_page_everywhere_is_reported_soon(
    hub: Emulator, client: AsyncAIHub, batch_id: int, time: Any
) -> None:
    hub.faults.add(Fault(kind="html"))
    before = time.time
    with pytest.raises(UnreadableAnswerError, match="check api_root"):
        await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert time.time - before < 10
    assert hub.requests.count("runApp") == 1


@pytest.mark.parametrize("trouble", [Fault(kind="status", status=503), Fault(kind="lag", seconds=30)])
async def test_an_unreadable_answer_while_lists_fail_starts_one_run(
    hub: Emulator, client: AsyncAIHub, batch_id: int, trouble: Fault, time: Any
) -> None:
    time.moves(hub)
    hub.faults.add(Fault(kind="html", operation="runApp", times=1, handled=True))
    hub.faults.add(attrs.evolve(trouble, operation="listRuns", lasting=40))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]
    assert hub.requests.count("runApp") == 1


async def test_an_error_with_status_200_in_the_place_of_a_list_proves_nothing(
    hub: Emulator, client: AsyncAIHub, batch_id: int
) -> None:
    """Such as ``{"error": ...}`` of a gateway: read as an empty list, it would start the run a second time."""
    hub.faults.add(Fault(kind="reset-after", operation="runApp", times=1))
    no_list = Fault(kind="status", status=200, operation="listRuns")
    hub.faults.add(no_list)
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert hub.requests.count("runApp") == 1
    hub.faults.clear()
    assert caught.value.reconcile is not None
    assert [run["id"] for run in hub.runs()] == [(await caught.value.reconcile()).id]


async def test_such_an_error_does_not_create_a_batch_twice(hub: Emulator, client: AsyncAIHub) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="createBatch", times=1))
    hub.faults.add(Fault(kind="status", status=200, operation="listBatches"))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.create("march")
    hub.faults.clear()
    assert [batch.name for batch in (await client.batches.list()).batches] == ["march"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_push_back_after_processing_starts_one_run(
    hub: Emulator, client: AsyncAIHub, batch_id: int, status: int
) -> None:
    """A gateway may answer 503 with Retry-After when its backend has done the work; a 429 may follow a lost answer."""
    if status == 429:
        hub.faults.add(Fault(kind="reset-after", operation="runApp", times=1))
        hub.faults.add(Fault(kind="status", status=429, retry_after=1, operation="runApp", skip=1, times=1))
    else:
        hub.faults.add(Fault(kind="status", status=503, retry_after=1, operation="runApp", times=1, handled=True))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]
    assert hub.requests.count("runApp") == 1


async def test_a_refused_first_attempt_is_repeated_without_lookups(
    hub: Emulator, client: AsyncAIHub, batch_id: int
) -> None:
    hub.faults.add(Fault(kind="status", status=429, retry_after=1, operation="runApp", times=1))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]
    assert (hub.requests.count("runApp"), hub.requests.count("listRuns")) == (2, 0)


@pytest.mark.parametrize("seconds", [7.0, 45.0])
async def test_a_run_that_the_backend_starts_late_is_found(
    hub: Emulator, client: AsyncAIHub, batch_id: int, time: Any, seconds: float
) -> None:
    time.moves(hub)
    hub.faults.add(Fault(kind="reset-before", operation="runApp", times=1, handled_after=seconds))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]
    assert hub.requests.count("runApp") == 1


async def test_the_time_of_lookups_is_settable(hub: Emulator, client: AsyncAIHub, batch_id: int, time: Any) -> None:
    time.moves(hub)
    hub.faults.add(Fault(kind="reset-before", operation="runApp", times=1, handled_after=200))
    patient = client.with_options(reconcile_for=240, deadline=1000)
    run = await patient.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "60"])
def test_a_time_of_lookups_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="reconcile_for"):
        AsyncAIHub("key", reconcile_for=value)


async def test_a_deadline_before_the_end_of_the_lookups_sends_nothing_again(
    hub: Emulator, client: AsyncAIHub, batch_id: int
) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="runApp", times=1))
    with pytest.raises(OutcomeUnknownError):
        await client.with_options(deadline=30).apps.runs.create(app_name=APP, batch_id=batch_id)
    assert hub.requests.count("runApp") == 1


async def test_an_unreadable_answer_to_a_started_run_is_looked_into(
    hub: Emulator, client: AsyncAIHub, batch_id: int
) -> None:
    hub.faults.add(Fault(kind="html", operation="runApp", times=1, handled=True))
    run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert [each["id"] for each in hub.runs()] == [run.id]


async def test_a_refusal_is_just_that(hub: Emulator, client: AsyncAIHub, batch_id: int) -> None:
    with pytest.raises(StatusError) as caught:
        await client.apps.runs.create(app_name="no such app", batch_id=batch_id)
    assert caught.value.status < 500
    assert hub.requests.count("listRuns") == 0


# Batches


async def test_a_batch_whose_answer_was_lost_is_found_by_name(hub: Emulator, client: AsyncAIHub) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="createBatch", times=1))
    batch = await client.batches.create("march")
    assert [each.id for each in (await client.batches.list()).batches] == [batch.id]
    assert hub.requests.count("createBatch") == 1


async def test_a_batch_that_was_not_created_is_created(hub: Emulator, client: AsyncAIHub) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="createBatch", times=1))
    batch = await client.batches.create("march")
    assert [each.id for each in (await client.batches.list()).batches] == [batch.id]


async def test_a_batch_of_another_program_is_not_adopted(hub: Emulator, client: AsyncAIHub, time: Any) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="createBatch", times=1))
    creation = asyncio.create_task(client.batches.create("daily"))
    while not hub.requests.count("listBatches"):
        await asyncio.sleep(0.001)
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key) as other:
        theirs = await other.batches.create("daily")
    with pytest.raises(OutcomeUnknownError, match=f"batch {theirs.id} of this name .* created by another client"):
        await creation
    assert [batch.id for batch in (await client.batches.list()).batches] == [theirs.id]


async def test_a_batch_of_a_unique_name_is_found_when_it_appears_late(
    hub: Emulator, client: AsyncAIHub, time: Any
) -> None:
    time.moves(hub)
    hub.faults.add(Fault(kind="reset-before", operation="createBatch", times=1, handled_after=20))
    batch = await client.batches.create("daily-0c5e", unique_name=True)
    assert [each.id for each in (await client.batches.list()).batches] == [batch.id]
    assert hub.requests.count("createBatch") == 1


async def test_another_batch_of_the_same_name_makes_it_undecided(hub: Emulator, client: AsyncAIHub) -> None:
    await client.batches.create("march")
    hub.faults.add(Fault(kind="reset-after", operation="createBatch", times=1))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.create("march")
    assert len((await client.batches.list()).batches) == 2
    assert hub.requests.count("createBatch") == 2


# Secrets


async def test_a_secret_whose_answer_was_lost_is_found_by_alias(hub: Emulator, client: AsyncAIHub) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="createSecret", times=1))
    await client.secrets.create("token", "s3cret", "ALL")
    assert [secret.alias for secret in (await client.secrets.list()).secrets] == ["token"]
    assert hub.requests.count("createSecret") == 1


async def test_a_secret_that_was_not_created_is_created(hub: Emulator, client: AsyncAIHub) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="createSecret", times=1))
    await client.secrets.create("token", "s3cret", "ALL")
    assert hub.requests.count("createSecret") == 2


async def test_a_secret_that_existed_is_a_conflict(hub: Emulator, client: AsyncAIHub) -> None:
    await client.secrets.create("token", "s3cret", "ALL")
    with pytest.raises((ConflictError, BadRequestError)):
        await client.secrets.create("token", "other", "ALL")


# Many


async def submit_many(hub: Emulator, client: AsyncAIHub, batch_id: int, count: int) -> tuple[set[str], int]:
    """Submit so many runs with every third answer ambiguous: the ids that came back, and how many calls raised."""
    found: list[str] = []
    raised = 0
    numbers = iter(range(count))

    async def worker() -> None:
        nonlocal raised
        for _ in numbers:
            try:
                found.append((await client.apps.runs.submit(app_name=APP, batch_id=batch_id)).id)
            except OutcomeUnknownError:
                raised += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(48):
            tasks.start_soon(worker)
    assert len(found) == len(set(found))
    return set(found), raised


def ambiguous() -> list[Fault]:
    kinds: tuple[Any, ...] = ("reset-after", "reset-before", "truncate")
    return [Fault(kind=kind, operation="runApp", probability=0.1) for kind in kinds]


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_no_run_is_doubled_or_lost(time: Any, count: int) -> None:
    async with Emulator(seed=20260801) as hub:
        hub.hold_runs()
        async with AsyncAIHub(
            api_root=hub.api_root, api_key=hub.api_key, clock=time.clock, max_retries=8, deadline=float("inf")
        ) as client:
            batch = await client.batches.create("input")
            hub.faults.add(*ambiguous())
            async with time.running(client):
                found, raised = await submit_many(hub, client, batch.id, count)
            started = hub.runs()
            faults = hub.faults.fired()
            lists = hub.requests.count("listRuns")
    assert faults > 0.25 * count
    assert len({tag for run in started for tag in run["tags"]}) == len(started), "no submission has two runs"
    assert found <= {run["id"] for run in started}
    assert len(found) + raised == count
    assert len(started) <= count
    assert (raised, len(started)) == (0, count)
    assert lists < 2 * faults, "those who look at the same time share lists"


async def test_an_answer_that_comes_too_late_is_not_needed(hub: Emulator, time: Any, batch_id: int) -> None:
    hub.faults.add(Fault(kind="status", status=504, operation="runApp", times=1))
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock) as client, time.running(client):
        before = time.time
        run = await client.apps.runs.create(app_name=APP, batch_id=batch_id)
    assert time.time - before > 20, "a gateway that timed out does not show what the server behind it did"
    assert [each["id"] for each in hub.runs()] == [run.id]


async def test_cancelling_a_submission_leaves_nothing(hub: Emulator, time: Any, batch_id: int) -> None:
    hub.faults.add(Fault(kind="reset-before", operation="runApp", probability=0.5))
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock) as client, time.running(client):
        for ticks in range(0, 60, 3):
            task = asyncio.create_task(client.apps.runs.submit(app_name=APP, batch_id=batch_id))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() or task.done()
        assert client._transport.governor.in_flight == 0
        assert not client.apps.runs._starter._finder._sought
        await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
