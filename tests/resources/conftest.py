"""A client of the emulator, and one whose requests end in a list."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
import pytest_asyncio
from multidict import CIMultiDict

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.transport.messages import Request, Response


@pytest_asyncio.fixture
async def client(hub: Emulator) -> AsyncIterator[AsyncAIHub]:
    async with AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root) as made:
        yield made


@attrs.define
class Recorder:
    """Takes the place of the wire: keeps what goes out, and answers with `status`, `body` and `headers`."""

    sent: list[Request] = attrs.field(factory=list)
    answers: list[Response] = attrs.field(factory=list)

    def says(self, body: Any = b"", status: int = 200, **headers: str) -> "Recorder":
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        self.answers.append(Response(status, "", named, data, len(data)))
        return self

    async def attempt(self, request: Request, _seconds: float) -> Response:
        self.sent.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def derive(self, _settings: object) -> "Recorder":
        return self

    async def aclose(self) -> None:
        """Nothing to close."""

    @property
    def last(self) -> Request:
        return self.sent[-1]

    @property
    def line(self) -> str:
        """Method and path of the last request."""
        return f"{self.last.operation.method} {self.last.path}"

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.last.query, keep_blank_values=True)

    @property
    def json(self) -> Any:
        assert self.last.body is not None
        assert self.last.body.content_type == "application/json"
        return json.loads(self.last.body.data)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def offline(recorder: Recorder) -> AsyncAIHub:
    """A client that sends to the recorder."""
    client = AsyncAIHub(api_key="key", api_root="http://localhost/api")
    client._transport.wire = recorder
    return client


@pytest.fixture
def with_batch(client: AsyncAIHub) -> Callable[..., Any]:
    async def make(**files: bytes) -> int:
        batch = await client.batches.create("a batch")
        for name, content in files.items():
            await client.batches.add_file(batch.id, name.replace("_", "."), content)
        return batch.id

    return make
