"""`aihub demo`: the main job on the embedded emulator."""

from pathlib import Path

from aihub_async.cli.common import err, out, run
from aihub_async.cli.output import show
from aihub_async.client import AsyncAIHub
from aihub_async.results.processed import Processed

SCRIPT = """\
import asyncio
from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator

async def main():
    async with Emulator() as hub:
        async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
            processed = await client.process(["{folder}"], app_name="key-values")
            for row in processed.rows():
                print(row.file, row.field, row.value, sep="\\t")

asyncio.run(main())
"""


def demo(folder: Path) -> None:
    """Write samples, process them, show the fields and the script that does the same."""
    from aihub_async.emulator import Emulator, write_samples

    folder.mkdir(parents=True, exist_ok=True)
    paths = write_samples(folder)
    err.print(f"{len(paths)} documents written to {folder}/", highlight=False)

    async def work() -> Processed:
        async with Emulator() as hub, AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
            err.print(
                f"emulator at {hub.api_root}; uploading and running the app [bold]key-values[/] …", highlight=False
            )
            return await client.process(paths, app_name="key-values", include_confidence_scores=True)

    processed = run(work())
    show(out, processed.rows())
    out.print(f"The documents are in [bold]{folder}/[/]. The Python that does this:\n", highlight=False)
    # Without wrapping, so that it can be copied from a narrow terminal.
    out.print(SCRIPT.format(folder=folder), soft_wrap=True, markup=False)
