"""Results in the shape of v1: one record per document, and what a run in memory needs."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from aihub_async.emulator.apps import App
from aihub_async.emulator.database import Row
from aihub_async.emulator.flow_outputs import FIELDS_STEP, TEXT_STEP
from aihub_async.emulator.output_schema import OutputSchema
from aihub_async.emulator.process import InputFile, process_file
from aihub_async.emulator.runs import run_settings
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError

PAGE = 20
"""Files on one page of results."""


def inline_files(payload: Mapping[str, Any], most: int | None) -> list[tuple[str, bytes]]:
    """Return the files in a request body.

    Raises:
        ApiError: 400, none, too many, or not base64.
    """
    files = payload.get("files")
    if not isinstance(files, list) or not files or not all(isinstance(item, dict) for item in files):
        raise ApiError(400, "files must be a list of objects.")
    if most is not None and len(files) > most:
        raise ApiError(400, f"A run in memory takes {most} files at most.")
    try:
        return [(str(item["file_name"]), base64.b64decode(item["file_content"], validate=True)) for item in files]
    except (KeyError, TypeError, binascii.Error):
        raise ApiError(400, "A file has a file_name and a file_content in base64.") from None


async def run_in_memory(
    state: EmulatorState, apps: Sequence[App], files: Sequence[tuple[str, bytes]]
) -> dict[str, Any]:
    """Run apps on files; nothing is left afterwards."""
    entries = await state.threads.run(_entries, apps, files)
    if state.settings.run_seconds:
        await state.settings.clock.sleep(state.settings.run_seconds)
    records = [record for index, entry in enumerate(entries) for record in _records(entry, index, "", OutputSchema())]
    return {
        "records": records,
        "job_id": state.settings.new_id(),
        "num_tasks": len(records),
        "has_more_tasks": False,
        "next_offset": len(records),
        "can_resume": False,
        "on_last_resumable_step": False,
    }


def page_of_records(state: EmulatorState, run: Row, offset: int, *, layouts: bool) -> list[dict[str, Any]]:
    """Return the records of up to 20 files of a finished run."""
    query = "SELECT content FROM results WHERE run_id = ? ORDER BY position LIMIT ? OFFSET ?"
    rows = state.db.all(query, run["id"], PAGE, offset)
    schema = OutputSchema.of(run_settings(run))
    found = []
    for index, row in enumerate(rows, offset):
        entry = msgspec.json.decode(row["content"])
        records = _records(entry, index, f"/{run['output_dir']}", schema)
        for record, document in zip(records, entry["documents"], strict=True):
            found.append({**record, "page_layouts": document["page_layouts"]} if layouts else record)
    return found


def _entries(apps: Sequence[App], files: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
    entries = []
    with TemporaryDirectory(prefix="aihub-emulator-sync-") as folder:
        for index, (name, content) in enumerate(files):
            local = Path(folder, str(index))
            local.write_bytes(content)
            file = InputFile(name=name, path=name, local_path=str(local))
            entries.append(process_file(apps, file, {}, {}).entry)
    return entries


def _records(
    entry: Mapping[str, Any], file_index: int, output_folder: str, schema: OutputSchema
) -> list[dict[str, Any]]:
    name = entry["original_file_name"]
    return [
        {
            "output_file_path": f"{output_folder}/{FIELDS_STEP}/{name}.ibdoc",
            "results": schema.apply([_result(field) for field in document["fields"]]),
            "record_index": index,
            "file_name": name,
            "document_path": entry["input_file_path"],
            "flow_index": 0,
            "file_index": file_index,
            "is_manually_reviewed": document["review_completed"],
            "current_step_index": 1,
            "is_human_corrected": any(field["edit_history"] for field in document["fields"]),
            "absolute_ibocr_path": f"{output_folder}/{TEXT_STEP}/{name}.ibocr",
            "was_classified": document["class_name"] is not None,
            "is_finalized": True,
        }
        for index, document in enumerate(entry["documents"])
    ]


def _result(field: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": field["field_name"],
        "value": field["value"],
        "field_type": field["type"],
        "model_confidence": field["confidence"]["model"],
    }
