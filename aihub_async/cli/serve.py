"""`aihub serve`."""

from pathlib import Path

from aihub_async.cli.common import err, fail, out


def serve(*, host: str, port: int, data: Path | None, api_key: str, run_seconds: float) -> None:
    """Run the emulator until Ctrl-C."""
    from aihub_async.emulator import Emulator

    def announce(hub: Emulator) -> None:
        out.print(hub.api_root, highlight=False)
        out.file.flush()
        err.print(f"api key: {api_key}   state: {data or 'forgotten at the end'}   Ctrl-C stops", highlight=False)

    try:
        Emulator(host=host, port=port, data_dir=data, api_key=api_key, run_seconds=run_seconds).run_forever(announce)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror or error}")
