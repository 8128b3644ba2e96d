"""Every operation against the emulator, over real sockets."""

import pytest

from aihub_async import AsyncAIHub, capture_responses, errors
from aihub_async.emulator import Emulator, Fault

DRIVE = "/acme/jane.doe_acme.com/fs/Instabase Drive"


async def test_a_batch_from_creation_to_deletion(client, hub):
    batch = await client.batches.create("march")
    info = await client.batches.get(batch.id)
    assert (info.id, info.name) == (batch.id, "march")
    assert [found.name for found in (await client.batches.list(limit=5, offset=0)).batches] == ["march"]
    await client.batches.add_file(batch.id, "a.txt", b"Total: 5")
    await client.batches.add_file(batch.id, "a.txt", b"Total: 6, and more")
    (node,) = (await client.batches.list_files(batch.id)).nodes
    assert (node.name, node.metadata.size) == ("a.txt", 18)
    job = await client.batches.delete_file(batch.id, "a.txt")
    await hub.idle()
    assert (await client.jobs.status(job.job_id)).state == "COMPLETE"
    assert (await client.batches.list_files(batch.id)).nodes == []
    deletion = await client.batches.delete(batch.id)
    await hub.idle()
    assert (await client.batches.poll_job(deletion.job_id)).is_terminal
    with pytest.raises(errors.NotFoundError):
        await client.batches.get(batch.id)


@pytest.mark.parametrize("name", ["a b.txt", "50%.txt", "a?b#c;d+e&f=g@h.txt", "日本" * 100, "é" * 255, "~.-_!'()*"])
async def test_names_arrive_as_they_were(client, name):
    batch = await client.batches.create(name)
    await client.batches.add_file(batch.id, name, b"1")
    assert (await client.batches.get(batch.id)).name == name
    assert [node.name async for node in client.batches.iter_files(batch.id)] == [name]


async def test_multipart_by_hand(client, hub):
    batch = await client.batches.create("large")
    content = b"x" * 1024 + b"y" * 100
    session = await client.batches.create_multipart_upload_session(batch.id, "large.txt", len(content))
    assert session.part_size == 1024
    assert session.session_id in session.location
    parts = [
        await client.batches.upload_multipart_part(session.session_id, 1, content[:1024]),
        await client.batches.upload_multipart_part(session.session_id, 2, content[1024:]),
    ]
    await client.batches.commit_multipart_upload_session(session.session_id, "commit", parts)
    (node,) = (await client.batches.list_files(batch.id)).nodes
    assert node.metadata.size == len(content)
    other = await client.batches.create_multipart_upload_session(batch.id, "other.txt", 5)
    await client.batches.commit_multipart_upload_session(other.session_id, "abort")
    assert hub.requests.count("commitMultipartUploadSession") == 2


async def test_a_run_with_results_and_its_deletion(client, hub, with_batch):
    batch_id = await with_batch(a_txt=b"Total: 12.50\n", b_txt=b"Name: Jane\n")
    run = await client.apps.runs.create(app_name="key-values", batch_id=batch_id, settings={"tags": ["march"]})
    await hub.idle()
    status = await client.apps.runs.status(run.id)
    assert (status.status, status.batch_id, status.tags[0]) == ("COMPLETE", batch_id, "march")
    assert [found.id for found in (await client.apps.runs.list(status=["COMPLETE"])).runs] == [run.id]
    page = await client.apps.runs.results(run.id, include_confidence_scores=True, include_source_info=True)
    values = {
        field.field_name: field.value for file in page.files for document in file.documents for field in document.fields
    }
    assert {"Total", "Name"} <= set(values)
    deletion = await client.apps.runs.delete(run.id, delete_input=False)
    await hub.idle()
    assert deletion.job_ids
    assert [(await client.jobs.status(job)).state for job in deletion.job_ids] == ["COMPLETE"] * len(deletion.job_ids)
    with pytest.raises(errors.NotFoundError):
        await client.apps.runs.status(run.id)


async def test_a_run_of_a_deployment(client, hub, with_batch):
    batch_id = await with_batch(a_txt=b"Total: 1")
    run = await client.apps.deployments.runs.create("key-values", batch_id=batch_id)
    await hub.idle()
    assert (await client.apps.runs.status(run.id)).deployment_id == "key-values"
    listed = await client.apps.deployments.runs.list(deployment_id="key-values")
    assert [found.id for found in listed.runs] == [run.id]


async def test_files_of_the_drive(client, hub):
    path = f"{DRIVE}/in/a b%.txt"
    await client.files.write(path, b"0123456789")
    assert await client.files.read(path) == b"0123456789"
    assert await client.files.read(path, range="bytes=2-4") == b"234"
    assert await client.files.read(path.strip("/"), range="bytes=8-") == b"89"
    metadata = await client.files.get_file_metadata(path)
    assert (metadata.size, metadata.is_folder) == (10, False)
    assert metadata.last_modified is not None
    assert (await client.files.get_file_metadata(f"{DRIVE}/in")).is_folder
    with pytest.raises(errors.PreconditionFailedError):
        await client.files.write(path, b"new", if_none_match=True)
    job = await client.files.delete(path)
    await hub.idle()
    assert (await client.jobs.status(job.job_id)).state == "COMPLETE"
    with pytest.raises(errors.NotFoundError):
        await client.files.read(path)
    await client.files.write(path, b"new", if_none_match=True)
    assert await client.files.read(path) == b"new"


async def test_write_whose_answer_was_lost_is_recognised(client, hub):
    path = f"{DRIVE}/once.txt"
    hub.faults.add(Fault(kind="reset-after", operation="writeFile", times=1))
    await client.with_options(max_retries=2).files.write(path, b"mine", if_none_match=True)
    assert hub.requests.count("writeFile") == 2
    hub.faults.clear()
    hub.faults.add(Fault(kind="reset-before", operation="writeFile", times=1))
    with pytest.raises(errors.PreconditionFailedError):
        await client.files.write(path, b"else", if_none_match=True)
    assert await client.files.read(path) == b"mine"


async def test_secrets(client):
    await client.secrets.create("db", "hunter2", "SOME", "the database", ["ws"])
    (secret,) = (await client.secrets.list(alias="db")).secrets
    assert (secret.alias, secret.description, secret.allowed_workspaces) == ("db", "the database", ["ws"])
    await client.secrets.update("db", description="changed", value="hunter3")
    assert (await client.secrets.list()).secrets[0].description == "changed"
    await client.secrets.delete("db")
    assert (await client.secrets.list()).secrets == []
    with pytest.raises(errors.NotFoundError):
        await client.secrets.delete("db")


async def test_audit_logs_have_the_calls_of_before(client):
    await client.batches.create("seen")
    logs = await client.audit.logs(0, 5)
    assert logs.status == "OK"
    assert logs.results
    entries = [entry async for entry in client.audit.iter_logs(page_size=4)]
    assert len(entries) >= len(logs.results)


async def test_iterators_give_everything_over_many_pages(hub):
    async with (
        Emulator(results_page_size=2, list_page_size=3) as paged,
        AsyncAIHub(api_key=paged.api_key, api_root=paged.api_root) as client,
    ):
        names = [f"{number}.txt" for number in range(7)]
        batches = [await client.batches.create(name) for name in names]
        assert [batch.id async for batch in client.batches.iter(page_size=2)] == [batch.id for batch in batches]
        for name in names:
            await client.batches.add_file(batches[0].id, name, b"A: 1")
        assert [node.name async for node in client.batches.iter_files(batches[0].id, page_size=2)] == names
        runs = [(await client.apps.runs.create(app_name="key-values", batch_id=batches[0].id)).id for _ in range(3)]
        await paged.idle()
        assert sorted([run.id async for run in client.apps.runs.iter(page_size=2)]) == sorted(runs)
        files = [file.original_file_name async for file in client.apps.runs.iter_results(runs[0])]
        assert files == names
        assert [file.original_file_name async for file in client.apps.runs.iter_results(runs[0], 5)] == names[5:]
        assert paged.requests.count("getRunResults") == 4 + 1
        pages = client.apps.runs.iter_results(runs[0])
        assert len(await pages.next_page()) == 2


async def test_raw_access_to_any_answer(client):
    with capture_responses() as responses:
        batch = await client.batches.create("raw")
        await client.batches.get(batch.id)
    assert [response.status for response in responses] == [200, 200]
    assert responses[1].json()["name"] == "raw"
    assert responses[1].headers["content-type"] == "application/json"
    response = await client.request("GET", f"/v2/batches/{batch.id}")
    assert response.json()["name"] == "raw"


async def test_wrong_key_and_wrong_context(hub):
    async with AsyncAIHub(api_key="wrong", api_root=hub.api_root) as client:
        with pytest.raises(errors.AuthenticationError, match="check api_key") as caught:
            await client.batches.list()
        assert caught.value.server_message
    async with AsyncAIHub(api_key=hub.api_key, ib_context="elsewhere", api_root=hub.api_root) as client:
        with pytest.raises(errors.AuthenticationError):
            await client.batches.list()
    assert hub.requests.total == 2


async def test_the_process_goes_on_when_the_server_misbehaves_for_a_while(client, hub, with_batch):
    hub.faults.add(
        Fault(kind="reset-before", method="GET", times=1),
        Fault(kind="status", status=429, retry_after=0, operation="addFileToBatch", times=1),
        Fault(kind="unknown-fields"),
        Fault(kind="truncate", operation="getRunStatus", times=1),
    )
    batch_id = await with_batch(a_txt=b"Total: 1")
    run = await client.apps.runs.create(app_name="key-values", batch_id=batch_id)
    await hub.idle()
    assert (await client.apps.runs.status(run.id)).status == "COMPLETE"
    assert len([file async for file in client.apps.runs.iter_results(run.id)]) == 1
    assert (hub.requests.count("runApp"), hub.requests.count("addFileToBatch")) == (1, 2)
