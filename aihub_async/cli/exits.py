"""The exit codes, and how a failure becomes one line on standard error."""

import asyncio
import contextlib
import enum
import os
import re
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import typer
from rich.text import Text

from aihub_async import errors
from aihub_async.cli import terminal
from aihub_async.cli.text import plain

T = TypeVar("T")
_SHOWN_FILES = 10
"""Failed files that are listed on standard error; `--json` has them all."""


_NO_DETAILS: Mapping[str, Any] = MappingProxyType({})


class ExitCode(enum.IntEnum):
    """The codes that every command ends with; `MEANINGS` describes them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    UNREACHABLE = 4
    UNKNOWN = 5
    UNFINISHED = 6
    INTERNAL = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the server refused a request, or the run failed or was cancelled",
    ExitCode.USAGE: "an argument, setting or input cannot be used; no work was started",
    ExitCode.PARTIAL: "some files failed; the others are done",
    ExitCode.UNREACHABLE: "no answer, or overload, after all retries; try again later",
    ExitCode.UNKNOWN: "a run or batch may have been created or not; check, then repeat",
    ExitCode.UNFINISHED: "the run continues: it waits for a review, or --timeout passed",
    ExitCode.INTERNAL: "a defect of this program; AIHUB_TRACEBACK=1 shows where",
    ExitCode.INTERRUPTED: "Ctrl-C (0 for serve and webhook listen, which end that way)",
    ExitCode.CLOSED_PIPE: "the reader of the output ended first, as in `… | head`",
}
"""What each exit code means; the README and `aihub --help` show this table."""

_CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode], ...] = (
    ((errors.ConfigurationError, errors.InvalidRequestError), ExitCode.USAGE),
    (errors.SourceChangedError, ExitCode.FAILED),
    (errors.SourceError, ExitCode.USAGE),
    (errors.UploadError, ExitCode.PARTIAL),
    ((errors.RunNeedsReviewError, errors.WaitTimeoutError), ExitCode.UNFINISHED),
    (errors.OutcomeUnknownError, ExitCode.UNKNOWN),
    (errors.CertificateError, ExitCode.FAILED),
    (
        (
            errors.ConnectError,
            errors.ConnectionLostError,
            errors.RequestTimeoutError,
            errors.RateLimitedError,
            errors.ServerError,
        ),
        ExitCode.UNREACHABLE,
    ),
    ((FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError), ExitCode.USAGE),
)
_EXPECTED = (errors.AIHubError, OSError)
_SPEAK_OF_ARGUMENTS = (
    errors.ConfigurationError,
    errors.InvalidRequestError,
    errors.AuthenticationError,
    errors.CertificateError,
)

# What an error of the library calls an argument, and what the command calls it.
_OPTIONS = {
    "allow_insecure=True": "--allow-insecure (or set AIHUB_ALLOW_INSECURE=1)",
    "api_key=…, a str or a function that returns it": "--api-key",
    "api_key=…": "--api-key",
    "on_error='collect'": "--json",
    "client.ingest()": "aihub ingest",
    "app_name": "--app",
    "app_id": "--app-id",
    "api_key": "--api-key",
    "api_root": "--api-root",
    "ib_context": "--ib-context",
    "batch_id": "--batch-id",
    "batch_name": "--batch-name",
    "deployment_id": "--deployment-id",
    "max_concurrency": "--concurrency",
    "from_timestamp": "--since",
    "run_id": "the run id",
    "naming='relative'": "--relative",
}
_NAMES = re.compile(r"(?<![\w\"'/.-])(?:" + "|".join(map(re.escape, _OPTIONS)) + r")(?![\w\"'])")


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code of a failure."""
    if isinstance(error, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    if isinstance(error, ModuleNotFoundError) and _extra_of(error.name) is not None:
        return ExitCode.USAGE
    if not isinstance(error, _EXPECTED):
        return ExitCode.INTERNAL
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def in_options(message: str) -> str:
    """Return a message of the library with options of the command line in place of Python's arguments."""
    return _NAMES.sub(lambda match: _OPTIONS[match[0]], message)


def explain(error: BaseException) -> str:
    """Return a failure as one line that names what failed and what to do."""
    if isinstance(error, OSError) and not isinstance(error, errors.AIHubError):
        return _explain_os_error(error)
    if isinstance(error, errors.RunError):
        review = isinstance(error, errors.RunNeedsReviewError)
        return f"{error} (run {error.run.id})" + (f"; after the review: aihub results {error.run.id}" if review else "")
    if isinstance(error, _SPEAK_OF_ARGUMENTS):
        return in_options(str(error))
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name)) is not None:
        return f"this needs the package {error.name}: pip install 'aihub-async[{extra}]'"
    if code_of(error) is ExitCode.INTERNAL:
        return f"internal error: {type(error).__name__}: {error} (AIHUB_TRACEBACK=1 shows the traceback)"
    return str(error)


def _extra_of(module: str | None) -> str | None:
    """Return the smallest extra of this package that brings a module; None if none does."""
    import importlib.metadata

    distributions = importlib.metadata.packages_distributions().get(module or "", [module or ""])
    wanted = {name.lower() for name in distributions}
    extras: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("aihub-async") or ():
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", requirement)
        if extra is not None:
            extras.setdefault(extra[1], []).append(re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0].lower())
    bringing = [extra for extra, names in extras.items() if wanted.intersection(names)]
    return min(bringing, key=lambda extra: len(extras[extra]), default=None)


def _explain_os_error(error: OSError) -> str:
    if error.filename is None:
        return error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror or error}"


def fail(
    message: str, *, code: int = ExitCode.FAILED, kind: str = "Error", details: Mapping[str, Any] = _NO_DETAILS
) -> NoReturn:
    """End the command with a line on standard error; with `--json`, also with a document on standard output."""
    if terminal.is_json():
        terminal.emit({"error": {"type": kind, "message": message, "exit_code": int(code), **details}})
    terminal.err.print(Text.assemble(Text("aihub: ", "bold red"), plain(message)))
    raise typer.Exit(int(code))


def end_partial(message: str) -> NoReturn:
    """End a command whose results are printed, but lack some files."""
    terminal.err.print(Text.assemble(Text("aihub: ", "bold red"), plain(message)))
    raise typer.Exit(int(ExitCode.PARTIAL))


def usage(message: str) -> NoReturn:
    """End the command because of an argument that cannot be used."""
    fail(message, code=ExitCode.USAGE, kind="UsageError")


def confirm(question: str, *, yes: bool) -> None:
    """End the command unless the user confirms; where no prompt can be shown, `--yes` is needed."""
    if yes:
        return
    if not terminal.is_interactive():
        usage(f"{question} Pass --yes to agree")
    terminal.err.print(f"{question} [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        fail("nothing was changed")


def run(work: Coroutine[Any, Any, T], *, interrupted: Callable[[], str | None] = lambda: None) -> T:
    """Run a command's coroutine; Ctrl-C and failures end the command with one line.

    Args:
        work: the command.
        interrupted: returns the message about work that Ctrl-C left unfinished, such as ids and the command that
            continues it.
    """
    with ending_in_one_line(interrupted):
        return asyncio.run(work)


@contextlib.contextmanager
def ending_in_one_line(interrupted: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Turn every failure inside of the block into one line and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        said = interrupted()
        fail(f"interrupted; {said}" if said else "interrupted", code=ExitCode.INTERRUPTED, kind="Interrupted")
    except BrokenPipeError:
        _forget_output()
        raise typer.Exit(int(ExitCode.CLOSED_PIPE)) from None
    # The program's own bugs, too, end in one line; the variable shows the traceback to those who can use it.
    except Exception as error:
        if isinstance(error, typer.Exit | typer.Abort) or is_usage_error(error) or os.environ.get("AIHUB_TRACEBACK"):
            raise
        list_failed_files(error)
        fail(explain(error), code=code_of(error), kind=type(error).__name__, details=_details(error))


def list_failed_files(error: Exception) -> None:
    """Print the files of an upload that failed, up to a number."""
    if not isinstance(error, errors.UploadError):
        return
    failed = error.report.failed
    for record in failed[:_SHOWN_FILES]:
        reason = "" if record.error is None else explain(record.error)
        terminal.err.print(Text.assemble(Text("failed ", "red"), plain(f"{record.name}: {reason}")))
    if len(failed) > _SHOWN_FILES:
        terminal.err.print(f"… and {len(failed) - _SHOWN_FILES:,} more")


def _details(error: Exception) -> Mapping[str, Any]:
    """Return what the JSON of a failure has in addition to its message."""
    if isinstance(error, errors.UploadError):
        failed = [{"name": each.name, "source": each.source, "error": str(each.error)} for each in error.report.failed]
        return {"failed": failed}
    if isinstance(error, errors.RunError):
        return {"run": error.run.to_dict()}
    if isinstance(error, errors.RequestError):
        return {"status": error.status, "request_id": error.request_id, "attempts": len(error.attempts)}
    return _NO_DETAILS


def _forget_output() -> None:
    # Python flushes standard output at its end, which would fail again.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_usage_error(error: BaseException) -> bool:
    """Return whether the parser of the command line refused an argument."""
    return isinstance(error, _PARSER_ERROR)


# Typer exports BadParameter only, whose bases are UsageError and ClickException, wherever its version keeps them.
_PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
