"""What a run of a flow binary leaves on the drive."""

import msgspec

from aihub_async.emulator.database import Row
from aihub_async.emulator.runs import run_settings
from aihub_async.emulator.storage import Drive

RESULTS_FILE = "batch.ibflowresults"


def write_flow_outputs(drive: Drive, run: Row) -> None:
    """Write the results marker of a finished run and, unless its settings say otherwise, a copy of its binary."""
    folder, binary_path = run["output_dir"], run["binary_path"]
    marker = msgspec.json.encode({"job_id": run["id"]})
    drive.put(f"{folder}/{RESULTS_FILE}", *drive.blobs.save(marker))
    binary = drive.find(binary_path)
    if binary is not None and run_settings(run).get("save_binary_to_output", True):
        drive.put(f"{folder}/{binary.name}", *drive.blobs.save(drive.blobs.read(binary.blob)))
