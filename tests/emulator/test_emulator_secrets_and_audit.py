import pytest

SECRET = {"alias": "db", "value": "hunter2", "allowed_workspaces_type": "SOME", "allowed_workspaces": ["sales"]}


async def listed(api, query=""):
    return (await api("GET", f"/v2/aihub/secrets{query}")).json["secrets"]


async def test_a_secret_is_listed_without_its_value(api, hub):
    assert (await api("POST", "/v2/aihub/secrets", json=SECRET | {"description": "d"})).status == 200
    (secret,) = await listed(api)
    assert secret["alias"] == "db"
    assert (secret["description"], secret["org"], secret["created_by"]) == ("d", "acme", hub.settings.user)
    assert secret["created_at"] == secret["updated_at"] > 1_600_000_000_000
    assert "value" not in secret
    assert "hunter2" not in str(secret)


async def test_the_value_is_not_kept_on_disk(connect, tmp_path):
    from aihub_async.emulator import Emulator

    async with Emulator(data_dir=tmp_path) as hub:
        await (await connect(hub))("POST", "/v2/aihub/secrets", json=SECRET)
    assert all(b"hunter2" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_who_may_use_a_secret(api):
    for alias, kind in (("all", "ALL"), ("some", "SOME"), ("none", "NONE")):
        await api("POST", "/v2/aihub/secrets", json=SECRET | {"alias": alias, "allowed_workspaces_type": kind})
    assert [secret["alias"] for secret in await listed(api, "?workspace=sales")] == ["all", "some"]
    assert [secret["alias"] for secret in await listed(api, "?workspace=legal")] == ["all"]
    assert [secret["alias"] for secret in await listed(api, "?alias=none")] == ["none"]
    assert [secret["allowed_workspaces"] for secret in await listed(api)] == [[], [], ["sales"]]


async def test_a_taken_alias_is_a_conflict(api):
    await api("POST", "/v2/aihub/secrets", json=SECRET)
    assert (await api("POST", "/v2/aihub/secrets", json=SECRET)).status == 409


@pytest.mark.parametrize(
    "change",
    [
        {"alias": ""},
        {"value": None},
        {"allowed_workspaces_type": "MANY"},
        {"allowed_workspaces": []},
        {"description": 1},
    ],
)
async def test_a_malformed_secret_is_refused(api, change):
    assert (await api("POST", "/v2/aihub/secrets", json=SECRET | change)).status == 400
    assert await listed(api) == []


async def test_update_changes_only_what_is_given(api):
    await api("POST", "/v2/aihub/secrets", json=SECRET)
    assert (await api("PATCH", "/v2/aihub/secrets", json={"alias": "db", "description": "new"})).status == 200
    (secret,) = await listed(api)
    assert (secret["description"], secret["allowed_workspaces"]) == ("new", ["sales"])
    await api("PATCH", "/v2/aihub/secrets", json={"alias": "db", "value": "x", "allowed_workspaces_type": "ALL"})
    (secret,) = await listed(api)
    assert (secret["description"], secret["allowed_workspaces_type"]) == ("new", "ALL")
    assert (await api("PATCH", "/v2/aihub/secrets", json={"alias": "none"})).status == 404


async def test_delete(api):
    await api("POST", "/v2/aihub/secrets", json=SECRET)
    assert (await api("DELETE", "/v2/aihub/secrets", json={"alias": "db"})).status == 200
    assert await listed(api) == []
    assert (await api("DELETE", "/v2/aihub/secrets", json={"alias": "db"})).status == 404


async def test_only_admins(api, hub):
    hub.add_token("member", user="max_acme.com", admin=False)
    headers = {"Authorization": "Bearer member"}
    assert (await api("GET", "/v2/aihub/secrets", headers=headers)).status == 401
    assert (await api("GET", "/v2/aihub/secrets?workspace=sales", headers=headers)).status == 200
    for method in ("POST", "PATCH", "DELETE"):
        assert (await api(method, "/v2/aihub/secrets", json=SECRET, headers=headers)).status == 401


async def logs(api, **wanted):
    answer = await api("POST", "/v1/auditlogs", json=wanted)
    assert answer.status == 200
    return answer.json


async def test_the_audit_log_holds_the_requests_newest_first(api):
    batch_id = await api.batch({"a.txt": b"x"})
    await api("GET", "/v2/batches/99999")
    await api("POST", "/v2/aihub/secrets", json=SECRET)
    told = await logs(api)
    assert told["status"] == "OK"
    entries = told["data"]["results"]
    assert [entry["operation"] for entry in entries] == ["createSecret", "getBatch", "addFileToBatch", "createBatch"]
    assert entries[2]["api_path"] == f"/v2/batches/{batch_id}/files/a.txt"
    assert [entry["status_code"] for entry in entries] == [200, 404, 204, 200]
    assert entries[0]["log_type"] == "org_secrets_v2"
    assert entries[0]["user_ip"] == "127.0.0.1"
    assert entries[0]["timestamp_millis"].isdigit()
    assert "@" in entries[0]["email"]


async def test_the_audit_log_is_filtered_and_paged(api):
    await api.batch({"a.txt": b"x", "b.txt": b"x"})
    page = await logs(api, start=1, size=1, log_type="api_v2")
    assert [entry["api_path"].rpartition("/")[2] for entry in page["data"]["results"]] == ["a.txt"]
    assert (await logs(api, log_type="login_v2"))["data"]["results"] == []
    assert (await logs(api, email="nobody@example.com"))["data"]["results"] == []
    assert (await logs(api, end_time="1000"))["data"]["results"] == []
    assert len((await logs(api, start_time="1000", start=None))["data"]["results"]) >= 3


async def test_the_old_api_says_error_with_a_200(api):
    wrong = await logs(api, start="first")
    assert wrong["status"] == "ERROR"
    assert "start" in wrong["msg"]
