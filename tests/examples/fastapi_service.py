"""An asyncio service: one client for each worker process, and webhooks that end its waits early.

Start it with ``HOOK_URL=https://me.example/hooks/aihub HOOK_SECRET=... uvicorn --workers 2 fastapi_service:app``; with
``REDIS_URL``, a delivery reaches the worker that waits, whichever worker received it.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from aihub_async import AsyncAIHub, RedisBus, WebhookReceiver

redis = os.environ.get("REDIS_URL")
receiver = WebhookReceiver(
    os.environ["HOOK_URL"], secret=os.environ["HOOK_SECRET"], bus=RedisBus(redis) if redis else None
)
client = AsyncAIHub(webhooks=receiver)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections when the worker stops."""
    yield
    await client.aclose()
    await receiver.aclose()


app = FastAPI(lifespan=lifespan)
app.router.routes.extend(receiver.routes())  # not mounted: a mount would answer the bare path with a redirect


@app.post("/extract/{name}")
async def extract(name: str, request: Request) -> dict[str, object]:
    """Extract the fields of one document."""
    batch = await client.batches.create(f"upload {uuid.uuid4()}")
    await client.batches.add_file(batch.id, name, await request.body())
    handle = await client.apps.runs.submit(app_name="Invoices", batch_id=batch.id)
    run = await handle.wait(timeout=600)
    fields = {
        field.field_name: field.value
        async for file in handle.iter_results()
        for document in file.documents
        for field in document.fields
    }
    return {"fields": fields, "run": run.id, "process": os.getpid()}
