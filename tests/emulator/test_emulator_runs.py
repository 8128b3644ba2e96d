import time

import pytest

from aihub_async.emulator import Emulator

NOTE = {"note.txt": b"Order: 7\n"}


async def status_of(api, run_id):
    return (await api("GET", f"/v2/apps/runs/{run_id}")).json["status"]


async def test_a_run_tells_what_it_was_started_with(api, hub):
    batch_id = await api.batch(NOTE)
    body = {"app_id": hub.app_id("key-values"), "batch_id": batch_id, "settings": {"tags": ["a", "b"]}}
    before = time.time_ns()
    started = await api("POST", "/v2/apps/runs", json=body)
    assert started.status == 200
    run = started.json
    assert (run["status"], run["finish_timestamp"]) == ("RUNNING", None)
    assert before <= run["start_timestamp"] <= time.time_ns()
    assert (run["batch_id"], run["app_id"]) == (batch_id, body["app_id"])
    assert (run["deployment_id"], run["tags"]) == (None, ["a", "b"])
    assert run["input_dir"].startswith("/acme/")
    await hub.idle()
    ended = (await api("GET", f"/v2/apps/runs/{run['id']}")).json
    assert ended["status"] == "COMPLETE"
    assert ended["finish_timestamp"] >= run["start_timestamp"]


async def test_a_folder_can_be_the_input(api, hub):
    await api("PUT", "/v2/files/acme/in/deep/a.txt", data=b"Order: 7")
    started = await api("POST", "/v2/apps/runs", json={"app_name": "key-values", "input_dir": "/acme/in/"})
    await hub.idle()
    results = await api.results(started.json["id"])
    assert [file["input_file_path"] for file in results["files"]] == ["/acme/in/deep/a.txt"]
    assert "batch_id" not in results
    assert started.json["batch_id"] is None


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"app_name": None}, 400),
        ({"app_id": "x"}, 400),
        ({"app_name": "Nobody's"}, 404),
        ({"batch_id": None}, 400),
        ({"batch_id": "1"}, 400),
        ({"batch_id": 99999}, 404),
        ({"input_dir": "/x"}, 400),
        ({"batch_id": None, "input_dir": "/none"}, 404),
        ({"settings": {"tags": ["t" * 250, "t" * 251]}}, 400),
        ({"settings": {"tags": "t"}}, 400),
        ({"settings": []}, 400),
        ({"settings": {"webhook_config": {"url": "https://example.com/"}}}, 400),
        ({"settings": {"webhook_config": "http://127.0.0.1/"}}, 400),
        ({"settings": {"webhook_config": {"url": "http://[::1"}}}, 400),
        ({"settings": {"webhook_config": {"url": "http://localhost/", "headers": {"a": "\r\nb: c"}}}}, 400),
        ({"output_dir": "a/../b"}, 400),
        ({"output_workspace": 3}, 400),
    ],
)
async def test_what_cannot_run_is_refused(api, hub, change, status):
    body = {"app_name": "key-values", "batch_id": await api.batch(NOTE)}
    refused = await api("POST", "/v2/apps/runs", json=body | change)
    assert refused.status == status
    assert refused.message
    assert hub.runs() == []


async def test_an_unknown_app_is_answered_with_the_known_ones(api):
    refused = await api("POST", "/v2/apps/runs", json={"app_name": "KEY-VALUES", "batch_id": 1})
    assert "'key-values'" in refused.message


async def test_a_run_takes_so_many_files_and_no_more(connect):
    async with Emulator(max_files_per_run=2) as small:
        api = await connect(small)
        await api.run({"a.txt": b"x", "b.txt": b"x"})
        batch_id = await api.batch({"a.txt": b"x", "b.txt": b"x", "c.txt": b"x"})
        refused = await api("POST", "/v2/apps/runs", json={"app_name": "key-values", "batch_id": batch_id})
        assert (refused.status, "2 files" in refused.message) == (400, True)


async def test_an_empty_input_fails(api):
    assert await status_of(api, await api.run({})) == "FAILED"


async def test_a_service_account_must_name_a_workspace(api, hub):
    hub.add_token("robot", user="robot", service=True)
    headers = {"Authorization": "Bearer robot"}
    assert (await api("POST", "/v2/batches", json={"name": "b"}, headers=headers)).status == 400
    created = await api("POST", "/v2/batches", json={"name": "b", "workspace": "ops"}, headers=headers)
    body = {"app_name": "key-values", "batch_id": created.json["id"]}
    assert (await api("POST", "/v2/apps/runs", json=body, headers=headers)).status == 400
    for place in ({"output_workspace": "ops"}, {"output_dir": "/acme/ops/fs/x"}):
        assert (await api("POST", "/v2/apps/runs", json=body | place, headers=headers)).status == 200


async def test_deployments(api, hub):
    hub.deployment("daily", app="Invoices", upstream_dir="/acme/mail")
    await api("PUT", "/v2/files/acme/mail/a.txt", data=b"Order: 7")
    path = "/v2/apps/deployments/daily/runs"
    started = await api("POST", path, json={"batch_id": await api.batch(NOTE)})
    assert (started.status, started.json["deployment_id"]) == (202, "daily")
    upstream = await api("POST", path, json={"manual_upstream_integration": True, "from_timestamp": 1.0})
    await hub.idle()
    assert len((await api.results(upstream.json["id"]))["files"]) == 1
    assert (await api.results(started.json["id"]))["files"][0]["documents"][0]["class_name"] == "Invoice"
    assert (await api("POST", path, json={})).status == 400
    assert (await api("POST", path, json={"manual_upstream_integration": True, "batch_id": 1})).status == 400
    assert (await api("POST", "/v2/apps/deployments/none/runs", json={"batch_id": 1})).status == 404
    default = "/v2/apps/deployments/key-values/runs"
    assert (await api("POST", default, json={"manual_upstream_integration": True})).status == 400


async def test_runs_are_listed_newest_first_and_filtered(connect):
    now = [1_700_000_000 * 10**9]
    async with Emulator(clock=lambda: now[0]) as hub:
        api = await connect(hub)
        hub.app("Fails", outcome="FAILED")(lambda document: {})
        ids = []
        for app in ("key-values", "Fails", "key-values"):
            ids.append(await api.run(NOTE, app=app, output_workspace="w" + str(len(ids))))
            now[0] += 60 * 10**9

        async def listed(query=""):
            return [run["id"] for run in (await api("GET", f"/v2/apps/runs{query}")).json["runs"]]

        assert await listed() == ids[::-1]
        assert await listed("?order=ASCENDING") == ids
        assert await listed("?limit=1&offset=1") == [ids[1]]
        assert await listed("?status=FAILED") == [ids[1]]
        assert await listed("?status=FAILED&status=COMPLETE&sort_by=status&order=ASCENDING") == [ids[0], ids[2], ids[1]]
        assert await listed("?app_name=Fails") == [ids[1]]
        assert await listed(f"?app_id={hub.app_id('Fails')}") == [ids[1]]
        assert await listed(f"?run_id={ids[2]}") == [ids[2]]
        assert await listed("?output_workspaces=w0&output_workspaces=w2") == [ids[2], ids[0]]
        assert await listed("?username=nobody") == []
        assert await listed("?deployment_id=key-values") == []
        # Seconds here, though the runs' own timestamps are nanoseconds.
        assert await listed("?to_timestamp=1700000060") == [ids[1], ids[0]]
        assert await listed("?from_timestamp=1700000060") == [ids[2], ids[1]]
        assert (await api("GET", "/v2/apps/runs?sort_by=colour")).status == 400
        assert (await api("GET", "/v2/apps/runs?order=random")).status == 400
        now[0] += 86_400 * 10**9
        assert await listed() == []
        assert await listed("?from_timestamp=0") == ids[::-1]


async def test_deleting_a_run_deletes_its_batch_unless_told_otherwise(api, hub):
    run_id = await api.run(NOTE)
    kept = await api("DELETE", f"/v2/apps/runs/{run_id}?delete_input=false&delete_db_data=false&delete_logs=false")
    assert kept.status == 202
    # The ids of what stays are absent, not null.
    assert set(kept.json) == {"delete_output_dir_job_id"}
    batch_id = (await api("GET", f"/v2/apps/runs/{run_id}")).json["batch_id"]
    assert (await api.results(run_id))["files"] == []
    assert (await api("GET", f"/v2/batches/{batch_id}")).status == 200
    deleted = await api("DELETE", f"/v2/apps/runs/{run_id}")
    await hub.idle()
    for job_id in deleted.json.values():
        assert (await api("GET", f"/v2/jobs/{job_id}")).json["state"] == "COMPLETE"
    assert (await api("GET", f"/v2/apps/runs/{run_id}")).status == 404
    assert (await api("GET", f"/v2/batches/{batch_id}")).status == 404
    assert (await api("DELETE", f"/v2/apps/runs/{run_id}")).status == 404
    assert (await api("DELETE", f"/v2/apps/runs/{await api.run(NOTE)}?delete_input=perhaps")).status == 400


async def test_a_run_waits_while_runs_are_held(api, hub):
    hub.hold_runs()
    started = await api("POST", "/v2/apps/runs", json={"app_name": "key-values", "batch_id": await api.batch(NOTE)})
    run_id = started.json["id"]
    assert await status_of(api, run_id) == "RUNNING"
    early = await api("GET", f"/v2/apps/runs/{run_id}/results")
    assert (early.status, "still running" in early.message) == (400, True)
    hub.release_runs()
    await hub.idle()
    assert await status_of(api, run_id) == "COMPLETE"


async def test_a_run_takes_the_time_it_is_given(connect):
    async with Emulator(run_seconds=60) as slow:
        api = await connect(slow)
        slow.app("Quick", run_seconds=0)(lambda document: {})
        batch_id = await api.batch(NOTE)
        ids = {}
        for app in ("key-values", "Quick"):
            started = await api("POST", "/v2/apps/runs", json={"app_name": app, "batch_id": batch_id})
            ids[app] = started.json["id"]
        while await status_of(api, ids["Quick"]) == "RUNNING":
            pass
        assert await status_of(api, ids["key-values"]) == "RUNNING"


async def test_a_cancelled_run_stays_cancelled(api, hub):
    hub.hold_runs()
    started = await api("POST", "/v2/apps/runs", json={"app_name": "key-values", "batch_id": await api.batch(NOTE)})
    hub.cancel_run(started.json["id"])
    hub.release_runs()
    await hub.idle()
    assert await status_of(api, started.json["id"]) == "CANCELLED"
    done = await api.run(NOTE)
    hub.cancel_run(done)
    assert await status_of(api, done) == "COMPLETE"


async def test_a_review_completes_a_stopped_run(api, hub):
    hub.app("Checked", outcome="STOPPED_AT_CHECKPOINT")(lambda document: {"total due": "1"})
    run_id = await api.run(NOTE, app="Checked")
    assert await status_of(api, run_id) == "STOPPED_AT_CHECKPOINT"
    assert (await api.results(run_id, "?include_review_results=true"))["review_completed"] is False
    hub.complete_review(run_id, {"total_due": "2"}, user="rita")
    reviewed = await api.results(run_id, "?include_review_results=true")
    assert (reviewed["status"], reviewed["review_completed"]) == ("COMPLETE", True)
    document = reviewed["files"][0]["documents"][0]
    assert document["review_completed"] is True
    (field,) = document["fields"]
    assert field["value"] == "2"
    assert field["edit_history"][0]["user_id"] == "rita"
    with pytest.raises(Exception, match="no review"):
        hub.complete_review(run_id)


async def test_results_are_paged_twenty_files_at_a_time(api):
    run_id = await api.run({f"{index:02}.txt": b"Order: 7" for index in range(45)})
    seen, offset = [], 0
    while True:
        page = await api.results(run_id, f"?file_offset={offset}")
        seen.append([file["original_file_name"] for file in page["files"]])
        offset += len(page["files"])
        if not page["has_more"]:
            break
    assert [len(names) for names in seen] == [20, 20, 5]
    assert [name for names in seen for name in names] == [f"{index:02}.txt" for index in range(45)]
    assert (await api.results(run_id, "?file_offset=99"))["files"] == []


async def test_each_include_flag_adds_its_own_keys(api):
    secret = {"alias": "alias", "value": "v", "allowed_workspaces_type": "ALL"}
    assert (await api("POST", "/v2/aihub/secrets", json=secret)).status == 200
    run_id = await api.run(NOTE, settings={"keys": {"custom": {"k": "v"}, "secret": {"s": "alias"}}})

    async def keys(query):
        page = await api.results(run_id, query)
        document = page["files"][0]["documents"][0]
        return set(document) - {"fields"}, set(document["fields"][0])

    base = ({"class_name", "page_numbers"}, {"field_name", "value", "type"})
    assert await keys("") == base
    for flag, document, field in [
        ("review_results", {"review_completed", "class_edit_history"}, {"edit_history"}),
        ("confidence_scores", {"classification_confidence"}, {"confidence"}),
        ("validation_results", {"validations"}, {"validations"}),
        ("source_info", {"page_layouts", "post_processed_paths"}, {"source_coordinates"}),
    ]:
        assert await keys(f"?include_{flag}=true") == (base[0] | document, base[1] | field)
    page = await api.results(run_id)
    assert page["keys"] == {"custom": {"k": "v"}}
    assert page["batch_id"].isdigit()


async def test_passwords_are_forgotten_with_the_end_of_the_run(api, hub):
    settings = {"runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": "secret"}}}}}
    await api.run(NOTE, settings=settings)
    assert "secret" not in str(hub.runs())


async def test_a_post_process_pdf_can_be_read_back(api):
    settings = {"runtime_config": {"generate_post_process_pdf": True}}
    run_id = await api.run(NOTE, settings=settings)
    page = await api.results(run_id, "?include_source_info=true")
    path = page["files"][0]["documents"][0]["post_processed_pdf_path"]
    pdf = await api("GET", f"/v2/files{path.replace(' ', '%20')}?expect-node-type=file")
    assert pdf.body.startswith(b"%PDF-")
    assert b"Order: 7" in pdf.body
