"""A folder that fills: each document is extracted as it arrives, until SIGTERM or Ctrl-C.

Start it with ``python watched_folder.py INBOX RESULTS DONE``. The job has a journal in RESULTS: after a kill, the
same command loses and repeats nothing.
"""

import signal
import sys
from types import FrameType

from aihub_sync import AIHub


def main(inbox: str, results: str, done: str) -> None:
    """Watch a folder; files whose results are written are moved to `done`."""
    with AIHub() as client:
        job = client.ingest(inbox, app_name="Invoices", out=results)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            job.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        print(job.watch(settle=0.2, batch_after=0.5, move=done))


if __name__ == "__main__":
    main(*sys.argv[1:])
