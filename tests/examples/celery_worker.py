"""A task queue: every task uploads a document, starts a run and waits for it in a worker process.

Start it with ``celery --app celery_worker worker``; ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND`` name the queue.
A task that is retried after a crash of its worker starts another run: where a run must not be repeated, pass the batch
a name of your own and look it up first.
"""

import os

from celery import Celery

from aihub_sync import AIHub

app = Celery("documents", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])
if folder := os.environ.get("CELERY_BROKER_FOLDER"):
    # A broker that is only a folder, for trials on one machine.
    app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder}

client = AIHub()


@app.task
def extract(name: str, text: str) -> dict[str, object]:
    """Extract the fields of one document."""
    processed = client.process([(name, text.encode())], app_name="Invoices", timeout=600)
    return {row.field: row.value for row in processed.rows()}
