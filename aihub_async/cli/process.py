"""`aihub process` and `aihub results`."""

from pathlib import Path

from aihub_async.cli.common import err, open_client, out, run
from aihub_async.cli.output import check_target, show, write_rows
from aihub_async.cli.progress import UploadDisplay
from aihub_async.results.rows import FieldRow, file_rows

Connection = tuple[str | None, str | None, str | None, bool]


def process(
    sources: list[Path],
    *,
    app_name: str | None,
    app_id: str | None,
    deployment_id: str | None,
    owner: str | None,
    workspace: str | None,
    timeout: float | None,
    target: Path | None,
    connection: Connection,
) -> None:
    """Process files and show or write their fields."""
    check_target(target)

    async def work() -> list[FieldRow]:
        api_key, ib_context, api_root, emulator = connection
        async with open_client(api_key, ib_context, api_root, emulator=emulator) as client:
            with UploadDisplay(err) as display:
                processed = await client.process(
                    sources,
                    app_name=app_name,
                    app_id=app_id,
                    deployment_id=deployment_id,
                    owner=owner,
                    workspace=workspace,
                    timeout=timeout,
                    on_progress=display.upload,
                    on_update=display.run,
                    include_confidence_scores=True,
                )
            err.print(
                f"run {processed.run.id}: {processed.run.status}, batch {processed.batch_id}, "
                f"{len(processed.files)} files",
                highlight=False,
            )
            return list(processed.rows())

    _present(run(work()), target)


def results(run_id: str, *, target: Path | None, connection: Connection) -> None:
    """Wait for a run and show or write its fields."""
    check_target(target)

    async def work() -> list[FieldRow]:
        async with open_client(*connection[:3]) as client:
            with UploadDisplay(err) as display:
                handle = client.apps.runs.handle(run_id)
                await handle.wait(on_update=display.run)
            files = [file async for file in handle.results(include_confidence_scores=True)]
            return [row for file in files for row in file_rows(file)]

    _present(run(work()), target)


def _present(rows: list[FieldRow], target: Path | None) -> None:
    if target is None:
        show(out, rows)
        return
    write_rows(target, rows)
    err.print(f"{len(rows)} fields written to {target}", highlight=False)
