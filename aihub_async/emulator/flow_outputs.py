"""What a run of a flow binary writes to the drive: step folders, a log, the results marker, a copy of the binary.

```
OUTPUT/s0_process_files/NAME.ibocr     the text of each page
OUTPUT/s1_apply_refiner/NAME.ibdoc     the fields of each document
OUTPUT/logs/run.log                    a line per file; with `log_to_timeline` also what the app logged
OUTPUT/batch.ibflowresults             names the run, once it is COMPLETE
OUTPUT/NAME.ibflowbin                  the binary, unless `save_binary_to_output` is false
```
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Row
from aihub_async.emulator.process import ProcessedFile
from aihub_async.emulator.runs import run_settings
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Drive

RESULTS_FILE = "batch.ibflowresults"
TEXT_STEP, FIELDS_STEP = "s0_process_files", "s1_apply_refiner"


class FlowOutputs:
    """Writes the outputs of one run."""

    def __init__(self, drive: Drive, run: Row, settings: EmulatorSettings) -> None:
        self._drive = drive
        self._run = run
        self._folder = run["output_dir"]
        self._clock = settings.clock
        self._options = run_settings(run)

    def add(self, name: str, done: ProcessedFile) -> None:
        """Write the step files and log lines of one input file."""
        self._write(f"{TEXT_STEP}/{name}.ibocr", {"file_name": name, "pages": list(done.pages)})
        self._write(f"{FIELDS_STEP}/{name}.ibdoc", done.entry)
        developer = done.log if self._options.get("log_to_timeline") else ()
        self._log([f"{TEXT_STEP}: {name}", f"{FIELDS_STEP}: {name}", *developer])

    def finish(self, status: str, message: str) -> None:
        """Write the outputs of the end of a run."""
        self._log([f"{status}: {message}"])
        if status != "COMPLETE":
            return
        self._write(RESULTS_FILE, {"job_id": self._run["id"]})
        binary = self._drive.find(self._run["binary_path"])
        if binary is not None and self._options.get("save_binary_to_output", True):
            content = self._drive.blobs.read(binary.blob)
            self._drive.put(f"{self._folder}/{binary.name}", *self._drive.blobs.save(content))

    def _write(self, path: str, content: Any) -> None:
        self._drive.put(f"{self._folder}/{path}", *self._drive.blobs.save(msgspec.json.encode(content)))

    def _log(self, lines: list[str]) -> None:
        runtime = self._options.get("runtime_config")
        prefix = runtime.get("log_prefix", "") if isinstance(runtime, dict) else ""
        stamp = datetime.fromtimestamp(self._clock.time_ns() / NANOSECONDS, UTC).isoformat(timespec="milliseconds")
        text = "".join(f"{prefix}{stamp} {line}\n" for line in lines)
        path = f"{self._folder}/logs/run.log"
        node = self._drive.find(path)
        before = b"" if node is None else self._drive.blobs.read(node.blob)
        self._drive.put(path, *self._drive.blobs.save(before + text.encode()))
