"""`aihub upload`."""

from pathlib import Path

from aihub_async.cli.common import err, open_client, out, run
from aihub_async.cli.process import Connection
from aihub_async.cli.progress import UploadDisplay
from aihub_async.processing import new_batch_name


def upload(
    sources: list[Path],
    *,
    batch_id: int | None,
    batch_name: str | None,
    workspace: str | None,
    include: list[str] | None,
    exclude: list[str] | None,
    relative: bool,
    concurrency: int | None,
    verify: bool,
    connection: Connection,
) -> None:
    """Upload files to a batch and print its id."""

    async def work() -> int:
        api_key, ib_context, api_root, emulator = connection
        async with open_client(api_key, ib_context, api_root, emulator=emulator) as client:
            target = batch_id
            if target is None:
                target = (await client.batches.create(batch_name or new_batch_name(), workspace)).id
            with UploadDisplay(err) as display:
                report = await client.batches.upload(
                    target,
                    sources,
                    max_concurrency=concurrency,
                    verify=verify,
                    naming="relative" if relative else None,
                    include=include,
                    exclude=exclude,
                    on_progress=display.upload,
                )
            err.print(
                f"{len(report.records)} files, {report.bytes:,} bytes in {report.duration:.1f} s to batch {target}",
                highlight=False,
            )
            return target

    out.print(run(work()), highlight=False)
