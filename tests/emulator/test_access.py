"""Who may do what: contexts, workspaces, owners, versions, service accounts, audit logs and consumption units."""

import pytest

from aihub_async.emulator import Emulator, Organization, User, World, load_scenario

NOTE = {"note.txt": b"Order: 7"}
DRIVE = "Instabase Drive"
WORLD = {
    "organization": [
        {
            "id": "acme",
            "admins": ["ana"],
            "members": ["ben", "cleo", "robot"],
            "auditors": ["cleo"],
            "workspaces": {"finance": ["ben", "robot"], "legal": ["cleo"]},
        },
        {"id": "globex", "admins": ["cleo"]},
    ],
    "user": [
        {"id": "ana", "token": "ana-key", "email": "ana@acme.example"},
        {"id": "ben", "token": "ben-key"},
        {"id": "cleo", "token": "cleo-key", "token_seconds": 3600},
        {"id": "robot", "token": "robot-key", "service": True},
    ],
}


class As:
    """Requests of one user in one context."""

    def __init__(self, api, user, context=None):
        self._api = api
        self._headers = {"Authorization": f"Bearer {user}-key", **({"IB-Context": context} if context else {})}

    async def __call__(self, method, path, **options):
        return await self._api(method, path, headers=self._headers, **options)

    async def batch(self, **extra):
        made = await self("POST", "/v2/batches", json={"name": "b", **extra})
        assert made.status == 200, made.body
        batch_id = made.json["id"]
        assert (await self("PUT", f"/v2/batches/{batch_id}/files/note.txt", data=b"Order: 7")).status == 204
        return batch_id

    async def run(self, batch_id, **extra):
        return await self("POST", "/v2/apps/runs", json={"app_name": "key-values", "batch_id": batch_id, **extra})


@pytest.fixture
def world():
    return World.from_mapping(WORLD)


async def test_an_omitted_context_is_the_community_account(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        community, organization = As(api, "ben"), As(api, "ben", "acme")
        batch_id = await community.batch()
        started = await community.run(batch_id)
        assert started.json["input_dir"] == f"/ben/my-repo/fs/{DRIVE}/aihub/batches/{batch_id}/"
        await hub.idle()
        info = (await community("GET", f"/v2/batches/{batch_id}")).json
        assert (info["workspace"], info["repo_owner"], info["batch_owner"]) == ("my-repo", "ben", "ben")
        # Nothing of it is visible in the organization, and the other way round.
        assert (await organization("GET", f"/v2/batches/{batch_id}")).status == 404
        assert (await organization("GET", f"/v2/apps/runs/{started.json['id']}")).status == 404
        assert (await organization("GET", "/v2/batches")).json["batches"] == []
        assert (await organization("GET", "/v2/apps/runs")).json["runs"] == []
        in_org = await organization.batch()
        assert (await organization.run(in_org)).json["input_dir"].startswith(f"/acme/ben/fs/{DRIVE}/")
        assert (await community("GET", f"/v2/batches/{in_org}")).status == 404


async def test_a_context_without_access_is_a_bad_header(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        for user, context in (("ben", "globex"), ("ben", "ana"), ("ben", "none"), ("robot", "robot"), ("robot", None)):
            assert (await As(api, user, context)("GET", "/v2/batches")).status == 401
        assert (await As(api, "cleo", "globex")("GET", "/v2/batches")).status == 200


async def test_input_and_output_are_checked_against_the_context(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        ben, cleo = As(api, "ben", "acme"), As(api, "cleo", "acme")
        await ben("PUT", "/v2/files/acme/finance/fs/Drive/in/a.txt", data=b"Order: 7")
        good = {"app_name": "key-values", "input_dir": "/acme/finance/fs/Drive/in"}
        assert (await ben("POST", "/v2/apps/runs", json=good)).status == 200
        # The community context does not reach a workspace of the organization.
        for caller in (cleo, As(api, "ben")):
            refused = await caller("POST", "/v2/apps/runs", json=good)
            assert (refused.status, "denied access" in refused.message) == (404, True)
        for bad in (
            {"output_dir": "/acme/legal/fs/Drive/out"},
            {"output_dir": "/globex/cleo/fs/Drive/out"},
            {"output_workspace": "legal"},
            {"output_workspace": "none"},
        ):
            refused = await ben("POST", "/v2/apps/runs", json=good | bad)
            assert (refused.status, "denied access" in refused.message) == (404, True)
        assert (await cleo("GET", "/v2/files/acme/finance/fs/Drive/in/a.txt?expect-node-type=file")).status == 404
        assert (await cleo("DELETE", "/v2/files/acme/finance/fs/Drive/in/a.txt")).status == 404


async def test_what_others_made_is_hidden(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        ana, ben, cleo = (As(api, user, "acme") for user in ("ana", "ben", "cleo"))
        private, shared = await ben.batch(), await ben.batch(workspace="finance")
        run_id = (await ben.run(shared, output_workspace="finance")).json["id"]
        await hub.idle()
        assert (await cleo("GET", "/v2/batches")).json["batches"] == []
        for batch_id in (private, shared):
            assert (await cleo("GET", f"/v2/batches/{batch_id}")).status == 404
            refused = await cleo.run(batch_id)
            assert (refused.status, "denied access" in refused.message) == (404, True)
        for path in (f"/v2/apps/runs/{run_id}", f"/v2/apps/runs/{run_id}/results"):
            assert (await cleo("GET", path)).status == 404
        assert (await cleo("DELETE", f"/v2/apps/runs/{run_id}")).status == 404
        assert (await cleo("GET", "/v2/apps/runs")).json["runs"] == []
        assert (await cleo("GET", "/v2/batches?workspace=finance")).status == 404
        # A colleague in the workspace and an admin see what is shared, and neither what is personal.
        assert [batch["id"] for batch in (await ana("GET", "/v2/batches")).json["batches"]] == [shared]
        assert (await ana("GET", f"/v2/apps/runs/{run_id}")).status == 200


async def test_secrets_of_a_workspace_are_hidden(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        ana, ben, cleo = (As(api, user, "acme") for user in ("ana", "ben", "cleo"))
        secret = {"alias": "db", "value": "v", "allowed_workspaces_type": "SOME", "allowed_workspaces": ["finance"]}
        assert (await ana("POST", "/v2/aihub/secrets", json=secret)).status == 200
        assert (await ben("POST", "/v2/aihub/secrets", json=secret)).status == 401
        assert len((await ben("GET", "/v2/aihub/secrets?workspace=finance")).json["secrets"]) == 1
        refused = await cleo("GET", "/v2/aihub/secrets?workspace=finance")
        assert (refused.status, "denied access" in refused.message) == (404, True)
        # Another context has its own.
        assert (await As(api, "cleo", "globex")("GET", "/v2/aihub/secrets")).json["secrets"] == []


async def test_a_service_account_names_a_workspace(world, connect):
    async with Emulator(world=world) as hub:
        robot = As(await connect(hub), "robot", "acme")
        assert (await robot("POST", "/v2/batches", json={"name": "b"})).status == 400
        batch_id = await robot.batch(workspace="finance")
        assert (await robot.run(batch_id)).status == 400
        assert (await robot.run(batch_id, output_workspace="finance")).status == 200


async def test_owners_and_versions(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        ana, ben = As(api, "ana", "acme"), As(api, "ben", "acme")
        hub.app("Mine", owner="ben", version="1.0")(lambda document: {"version": "1.0"})
        hub.app("Mine", owner="ben", version="2.0")(lambda document: {"version": "2.0"})
        hub.app("Public", owner="instabase")(lambda document: {"by": "instabase"})
        batch_id = await ben.batch(workspace="finance")
        place = {"output_workspace": "finance"}

        async def first_value(caller, **wanted):
            body = {"batch_id": batch_id, **place, **wanted}
            started = await caller("POST", "/v2/apps/runs", json=body)
            if started.status != 200:
                return started.status
            await hub.idle()
            page = await caller("GET", f"/v2/apps/runs/{started.json['id']}/results")
            return page.json["files"][0]["documents"][0]["fields"][0]["value"]

        assert await first_value(ben, app_name="Mine") == "2.0"
        assert await first_value(ben, app_name="Mine", version="1.0") == "1.0"
        assert await first_value(ben, app_name="Mine", version="3.0") == 404
        assert await first_value(ana, app_name="Mine") == 404
        assert await first_value(ana, app_name="Mine", owner="ben") == "2.0"
        assert await first_value(ana, app_name="Public") == 404
        assert await first_value(ana, app_name="Public", owner="instabase") == "instabase"
        assert await first_value(ana, app_name="key-values", owner="ben") == 404
        assert await first_value(ana, app_name="key-values", owner="instabase") == "7"


async def test_audit_logs_need_the_right_and_have_all_types(world, connect):
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        ana, ben, cleo = (As(api, user, "acme") for user in ("ana", "ben", "cleo"))
        refused = (await ben("POST", "/v1/auditlogs", json={})).json
        assert (refused["status"], "no access" in refused["msg"]) == ("ERROR", True)
        hub.app("Mine")(lambda document: {})
        hub.app("Stops", outcome="STOPPED_AT_CHECKPOINT")(lambda document: {})
        hub.deployment("daily", app="Mine", output_workspace="finance")
        await ana("POST", "/v2/aihub/secrets", json={"alias": "a", "value": "v", "allowed_workspaces_type": "ALL"})
        await ben("POST", "/v2/apps/deployments/daily/runs", json={"batch_id": await ben.batch()})
        run = await ben("POST", "/v2/apps/runs", json={"app_name": "Stops", "batch_id": await ben.batch()})
        await hub.idle()
        hub.complete_review(run.json["id"], user="ben")
        await ben("POST", "/v1/flow_binary/compile", json={})
        details = {"action": "mount", "mount_point_name": "S3", "mount_details": {"client_type": "S3"}}
        await ana("POST", "/v1/drives/acme/finance/fs", json=details)
        seen = (await cleo("POST", "/v1/auditlogs", json={"size": 1000})).json["data"]["results"]
        kinds = {entry["log_type"] for entry in seen}
        assert kinds == {
            "account_v2",
            "api_v2",
            "app_deployment_run_v2",
            "app_deployment_v2",
            "app_v2",
            "datasource_v2",
            "login_v2",
            "oauth2_v2",
            "org_v2",
            "org_secrets_v2",
            "perms_v2",
            "projects_v2",
            "review_v2",
            "workspace_v2",
        }
        for kind in kinds:
            only = (await cleo("POST", "/v1/auditlogs", json={"log_type": kind})).json["data"]["results"]
            assert {entry["log_type"] for entry in only} == {kind}
        assert "ana@acme.example" in {entry["email"] for entry in seen}
        assert (await cleo("POST", "/v1/auditlogs", json={"log_type": "other"})).json["status"] == "ERROR"
        other = await As(api, "cleo", "globex")("POST", "/v1/auditlogs", json={"log_type": "org_secrets_v2"})
        assert other.json["data"]["results"] == []


async def test_a_token_expires(world, connect):
    async with Emulator(world=world) as hub:
        cleo = As(await connect(hub), "cleo", "acme")
        assert (await cleo("GET", "/v2/batches")).status == 200
        hub.time.advance(hours=1)
        refused = await cleo("GET", "/v2/batches")
        assert (refused.status, refused.message) == (401, "The API token has expired.")
        hub.add_token("new-key", user="cleo")
        assert (await As(cleo._api, "new", "acme")("GET", "/v2/batches")).status == 200


async def test_consumption_units(connect):
    world = World(
        organizations=[Organization(id="acme", admins=["ana"], units=3)],
        users=[User(id="ana", token="ana-key", units=1)],
    )
    async with Emulator(world=world) as hub:
        api = await connect(hub)
        organization, community = As(api, "ana", "acme"), As(api, "ana")
        two_pages = await organization.batch()
        await organization("PUT", f"/v2/batches/{two_pages}/files/more.txt", data=b"a\fb")
        assert (await organization.run(two_pages)).status == 200
        await hub.idle()
        assert (hub.usage("acme"), hub.usage("ana"), hub.runs()[0]["units"]) == (3, 0, 3)
        refused = await organization.run(two_pages)
        assert (refused.status, "no consumption units left" in refused.message) == (403, True)
        # Without a context the community account pays.
        batch_id = await community.batch()
        assert (await community.run(batch_id)).status == 200
        await hub.idle()
        assert hub.usage("ana") == 1
        assert hub.api_key == "ana-key"
        assert (await community.run(batch_id)).status == 403


async def test_the_open_world_needs_no_set_up(api, hub):
    batch_id = (await api("POST", "/v2/batches", json={"name": "b", "workspace": "whatever"})).json["id"]
    assert (await api("GET", f"/v2/batches/{batch_id}")).json["repo_owner"] == "acme"
    headers = {"Authorization": f"Bearer {hub.api_key}", "IB-Context": hub.settings.user}
    community = await api("POST", "/v2/batches", json={"name": "b"}, headers=headers)
    assert (await api("GET", f"/v2/batches/{community.json['id']}")).status == 404


def test_a_world_in_a_scenario_file(tmp_path):
    path = tmp_path / "world.toml"
    path.write_text(
        """
[[world.organization]]
id = "acme"
admins = ["ana"]
workspaces = { finance = ["ben"] }
units = 100

[[world.user]]
id = "ana"
token = "ana-key"
"""
    )
    world = load_scenario(path).world
    assert world.organizations[0].workspaces == {"finance": frozenset({"ben"})}
    assert world.users[0].email == "ana@example.com"
    for wrong, problem in (
        ("[world]\nusers = 1", "unknown key 'users'"),
        ("[world]\nuser = 1", "double brackets"),
        ("[[world.user]]\nname = 'x'", "unexpected keyword"),
    ):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=problem):
            load_scenario(path)
