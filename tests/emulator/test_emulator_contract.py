"""Every answer of the emulator against the published specification, where that is at hand."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from jsonschema import Draft4Validator

from aihub_async import operations

SPECIFICATION = Path(__file__).parents[2].parent / "shared" / "reference" / "openapi-current.yaml"

pytestmark = pytest.mark.skipif(not SPECIFICATION.exists(), reason="the published specification is not here")


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` in the words of JSON Schema."""
    if isinstance(schema, list):
        return [nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: nullable(value) for key, value in schema.items()}
    if changed.pop("nullable", False) is True and isinstance(changed.get("type"), str):
        changed["type"] = [changed["type"], "null"]
        if "enum" in changed:
            changed["enum"] = [*changed["enum"], None]
    return changed


@attrs.define
class Checker:
    api: Any
    specification: dict[str, Any]
    seen: set[str] = attrs.field(factory=set)

    async def __call__(
        self, operation: operations.Operation, *, query="", expect=None, headers=None, json=None, data=None, **values
    ):
        path = operation.url_path(**values) + query
        options = {"headers": headers} | (
            {"json": json} if json is not None else {"data": data} if data is not None else {}
        )
        answer = await self.api(operation.method, path, **options)
        if expect is None:
            assert answer.status in operation.expected, answer
        else:
            assert answer.status == expect, answer
        self.check(operation.name, answer)
        self.seen.add(operation.name)
        return answer

    def check(self, name, answer):
        declared = self.find(name)["responses"]
        response = declared.get(str(answer.status), declared.get("default"))
        assert response is not None, f"{name} does not declare {answer.status}"
        content = response.get("content", {})
        for header in response.get("headers", {}):
            optional = "Optional." in response["headers"][header].get("description", "")
            assert header in answer.headers or optional, f"{name} lacks {header}"
        if "application/json" in content:
            schema = content["application/json"]["schema"] | {"components": self.specification["components"]}
            Draft4Validator(nullable(schema)).validate(json.loads(answer.body))
        elif not content:
            # A secret's success declares no body; the published samples show an empty object.
            assert answer.body in {b"", b"{}"}, name

    def find(self, name):
        return next(
            item
            for path in self.specification["paths"].values()
            for item in path.values()
            if isinstance(item, dict) and item.get("operationId") == name
        )


@pytest.fixture
def check(api):
    return Checker(api, yaml.safe_load(SPECIFICATION.read_text()))


async def test_every_answer_is_as_published(check, hub):
    batch_id = (await check(operations.CREATE_BATCH, json={"name": "b"})).json["id"]
    await check(operations.CREATE_BATCH, json={}, expect=400)
    await check(operations.LIST_BATCHES)
    await check(operations.GET_BATCH, batch_id=batch_id)
    await check(operations.GET_BATCH, batch_id=99999, expect=404)
    files = {"a.txt": b"Order: 7", "b.csv": b"a,b\n1,2\n", "c.txt": b"Date: 2025-01-02", "broken.pdf": b"%PDF-"}
    for name, content in files.items():
        await check(operations.ADD_FILE, batch_id=batch_id, filename=name, data=content)
    await check(operations.ADD_FILE, batch_id=99999, filename="a", data=b"x", expect=404)
    await check(operations.LIST_FILES, batch_id=batch_id, query="?page_size=2")
    await check(operations.LIST_FILES, batch_id=99999, expect=404)

    wanted = {"batch_id": batch_id, "filename": "big.txt", "file_size": 1500}
    session = (await check(operations.CREATE_UPLOAD, json=wanted)).json["session_id"]
    parts = [
        (await check(operations.UPLOAD_PART, session_id=session, part_num=number, data=b"x" * size)).json
        for number, size in ((1, 1024), (2, 476))
    ]
    await check(operations.UPLOAD_PART, session_id=session, part_num=3, data=b"x", expect=400)
    await check(operations.COMMIT_UPLOAD, session_id=session, json={"action": "commit", "parts": parts})
    await check(operations.COMMIT_UPLOAD, session_id=session, json={"action": "abort"}, expect=409)

    hub.hold_runs()
    run_id = (await check(operations.RUN_APP, json={"app_name": "Invoices", "batch_id": batch_id})).json["id"]
    await check(operations.RUN_APP, json={"app_name": "Nobody's", "batch_id": batch_id}, expect=404)
    deployed = {"batch_id": batch_id, "settings": {"tags": ["t"]}}
    await check(operations.RUN_DEPLOYMENT, deployment_id="key-values", json=deployed)
    await check(operations.GET_RUN_STATUS, run_id=run_id)
    hub.release_runs()
    await hub.idle()
    await check(operations.GET_RUN_STATUS, run_id=run_id)
    await check(operations.GET_RUN_STATUS, run_id="none", expect=404)
    await check(operations.LIST_RUNS, query="?status=COMPLETE&order=ASCENDING")
    flags = "&".join(
        f"include_{name}=true" for name in ("review_results", "confidence_scores", "validation_results", "source_info")
    )
    assert len((await check(operations.GET_RUN_RESULTS, run_id=run_id, query=f"?{flags}")).json["files"]) == 5
    await check(operations.GET_RUN_RESULTS, run_id=run_id)

    path = "acme/jane/fs/Instabase Drive/a.txt"
    await check(operations.WRITE_FILE, path=path, data=b"0123", headers={"If-None-Match": "*"}, expect=201)
    await check(operations.WRITE_FILE, path=path, data=b"0123", headers={"If-None-Match": "*"}, expect=412)
    await check(operations.WRITE_FILE, path=path, data=b"0123")
    await check(operations.READ_FILE, path=path, query="?expect-node-type=file")
    await check(
        operations.READ_FILE, path=path, query="?expect-node-type=file", headers={"Range": "bytes=0-1"}, expect=206
    )
    await check(operations.READ_FILE, path="acme/none", query="?expect-node-type=file", expect=404)
    await check(operations.GET_FILE_METADATA, path=path)
    await check(operations.GET_FILE_METADATA, path="acme/jane")
    await check(operations.GET_FILE_METADATA, path="acme/none", expect=404)
    await check(operations.DELETE_FILE, path=path)

    secret = {"alias": "s", "value": "v", "allowed_workspaces_type": "SOME", "allowed_workspaces": ["w"]}
    await check(operations.CREATE_SECRET, json=secret)
    await check(operations.CREATE_SECRET, json=secret, expect=409)
    await check(operations.LIST_SECRETS)
    await check(operations.UPDATE_SECRET, json={"alias": "s", "description": "d"})
    await check(operations.DELETE_SECRET, json={"alias": "s"})
    await check(operations.GET_AUDIT_LOGS, json={"size": 50})

    await check(operations.DELETE_BATCH_FILE, batch_id=batch_id, filename="a.txt")
    await check(operations.DELETE_RUN, run_id=run_id, query="?delete_input=false")
    job_id = (await check(operations.DELETE_BATCH, batch_id=batch_id)).json["job_id"]
    await check(operations.JOB_STATUS, job_id=job_id)
    await check(operations.POLL_BATCHES_JOB, job_id=job_id)
    await check(operations.DELETE_BATCH, batch_id=batch_id, expect=404)
    current = [row.name for row in operations.OPERATIONS if row.standing is operations.Standing.CURRENT]
    assert sorted(check.seen) == sorted(current)
