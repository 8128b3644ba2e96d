"""What a FastAPI application receives is uploaded as it is, or the error names what to pass instead."""

from typing import Annotated

import pytest

from aihub_async import ByteStream
from aihub_async.errors import InvalidRequestError

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
pytest.importorskip("python_multipart")

SMALL, LARGE = b"small", b"x" * 1_500_000  # more than the megabyte that a form keeps in memory


@pytest.fixture
def post(client, batch):
    """Send a request to an application that uploads what it receives."""
    app = fastapi.FastAPI()

    @app.post("/form")
    async def form(files: Annotated[list[fastapi.UploadFile], fastapi.File()]):
        report = await client.batches.upload(batch, files)
        return [record.size for record in report]

    @app.post("/stream")
    async def stream(request: fastapi.Request):
        length = int(request.headers["content-length"])
        await client.batches.add_file(batch, "stream.bin", ByteStream(request.stream, length))

    @app.post("/unknown")
    async def unknown(request: fastapi.Request):
        with pytest.raises(InvalidRequestError, match=r"aihub_async\.ByteStream\(open, length\)"):
            await client.batches.add_file(batch, "stream.bin", request.stream())
        with pytest.raises(InvalidRequestError, match="ByteStream"):
            await client.batches.upload(batch, request.stream())

    async def send(path, **options):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app.example") as browser:
            answer = await browser.post(path, **options)
        assert answer.status_code == 200
        return answer.json()

    return send


async def test_uploaded_files_of_a_form(post, stored, sha256):
    files = [("files", ("small.txt", SMALL)), ("files", ("large.bin", LARGE))]
    assert await post("/form", files=files) == [len(SMALL), len(LARGE)]
    assert stored() == {"small.txt": sha256(SMALL), "large.bin": sha256(LARGE)}


async def test_the_stream_of_a_request_with_its_length(post, stored, sha256):
    await post("/stream", content=LARGE)
    assert stored() == {"stream.bin": sha256(LARGE)}


async def test_a_stream_without_its_length_is_refused_by_name(post, hub):
    await post("/unknown", content=SMALL)
    assert hub.requests.total == 0
