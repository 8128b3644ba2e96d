"""A service with the sync client: one client for all threads and, after a fork, for all worker processes.

Start it with ``gunicorn --preload --workers 2 --threads 4 flask_service:app``; then
``curl --data-binary @invoice.txt http://127.0.0.1:8000/extract/invoice.txt``.
"""

import os

from flask import Flask, Response, jsonify, request

from aihub_sync import AIHub, AIHubError

app = Flask(__name__)
# Made before the workers are forked: each worker opens its own connections with its first call.
client = AIHub()


@app.post("/extract/<name>")
def extract(name: str) -> Response:
    """Extract the fields of one document."""
    processed = client.process([(name, request.get_data())], app_name="Invoices", timeout=600)
    fields = {row.field: row.value for row in processed.rows()}
    return jsonify(fields=fields, run=processed.run.id, process=os.getpid())


@app.errorhandler(AIHubError)
def failed(error: AIHubError) -> tuple[Response, int]:
    """Answer with the reason; it holds no secret."""
    return jsonify(error=str(error)), 502
