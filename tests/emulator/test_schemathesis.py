"""Generated requests by the published specification, where that and schemathesis are at hand.

The emulator answers any request without an internal error, and in the shape that the specification declares.
"""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hypothesis import HealthCheck, Phase, settings

from aihub_async.emulator import Emulator

SPECIFICATION = Path(__file__).parents[2].parent / "shared" / "reference" / "openapi-current.yaml"
if not SPECIFICATION.exists():
    pytest.skip("the published specification is not here", allow_module_level=True)
schemathesis = pytest.importorskip("schemathesis")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

schema = schemathesis.openapi.from_path(str(SPECIFICATION))
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
turns = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(part_size=1024) as hub:
        yield hub


def existing(server: Emulator) -> dict[str, object]:
    """Make something of each kind; return the path parameters that name it."""

    def call(method: str, path: str, **body: object) -> dict[str, Any]:
        content = json.dumps(body).encode() if body else b"Order: 7"
        headers = {"Authorization": f"Bearer {server.api_key}"}
        with urlopen(Request(server.api_root + path, content, headers, method=method), timeout=60) as answer:
            return json.loads(answer.read() or b"{}")

    batch_id = call("POST", "/v2/batches", name="b")["id"]
    call("PUT", f"/v2/batches/{batch_id}/files/a.txt")
    session = call("POST", "/v2/batches/multipart-upload", batch_id=batch_id, filename="b", file_size=5)
    run = call("POST", "/v2/apps/runs", app_name="key-values", batch_id=batch_id)
    doomed = call("POST", "/v2/batches", name="b")["id"]
    return {
        "batch_id": batch_id,
        "filename": "a.txt",
        "session_id": session["session_id"],
        "part_num": 1,
        "run_id": run["id"],
        "job_id": call("DELETE", f"/v2/batches/{doomed}", really=True)["job_id"],
        "deployment-id": "key-values",
        "path": "acme/in/a.txt",
    }


@schema.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests(case, server):
    # The header decides about access, which is tested elsewhere; a generated one would only be refused.
    case.headers.pop("IB-Context", None)
    if case.path_parameters and next(turns) % 2:
        known = existing(server)
        for name in case.path_parameters:
            case.path_parameters[name] = known[name]
    headers = {"Authorization": f"Bearer {server.api_key}"}
    response = case.call(base_url=server.api_root, headers=headers)
    # Most operations declare no errors at all, so the status is compared for successes.
    case.validate_response(
        response, checks=[*CHECKS, *([status_code_conformance] if response.status_code < 400 else [])]
    )
