"""`aihub doctor`: what works, what does not, and what to do about it."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from rich.table import Table
from rich.text import Text

from aihub_async.cli import checks, terminal
from aihub_async.cli.account import NO_CONTEXT
from aihub_async.cli.checks import FAILURE, INFO, OK, WARNING, Finding
from aihub_async.cli.connection import arguments_of
from aihub_async.cli.exits import ExitCode, ending_in_one_line, explain, run
from aihub_async.cli.options import Connection, Output, local_path
from aihub_async.cli.output import check_writable
from aihub_async.cli.text import json_text, plain
from aihub_async.client import AsyncAIHub
from aihub_async.config import ClientConfig, make_settings
from aihub_async.errors import ConfigurationError
from aihub_async.profiles import origin
from aihub_async.secrecy import SecretValue
from aihub_async.transport.redaction import Redactor

_STYLES = {OK: "green", INFO: "cyan", WARNING: "yellow", FAILURE: "bold red"}
_NO_KEY = "no key"


def doctor(
    output: Output,
    connection: Connection,
    bundle: Annotated[
        str | None, typer.Option(metavar="FILE.zip", help="Write a file for support, without keys and names.")
    ] = None,
) -> None:
    """Check versions, settings, network, TLS, authorization and this machine, and recommend what to do.

    Ends with 1 if something does not work.
    """
    del output
    target = None if bundle is None else local_path(bundle, "--bundle")
    if target is not None:
        check_writable(target, "--bundle")
    findings = run(_examine(connection))
    if target is not None:
        with ending_in_one_line():
            _write_bundle(target, findings, connection)
    if terminal.is_json():
        terminal.emit({"ok": _is_fine(findings), "checks": [attrs.asdict(finding) for finding in findings]})
    else:
        _print(findings)
    if target is not None:
        terminal.note(f"written for support: {target}")
    if not _is_fine(findings):
        raise typer.Exit(int(ExitCode.FAILED))


def _is_fine(findings: Sequence[Finding]) -> bool:
    return all(finding.status != FAILURE for finding in findings)


async def _examine(connection: Connection) -> list[Finding]:
    findings = [checks.versions(), checks.extras(), checks.descriptors(), checks.disk()]
    settings, more = _settings(connection)
    findings += more
    if settings is None:
        return findings
    findings.append(checks.proxies(settings))
    findings += [finding async for finding in checks.network(settings)]
    has_key = settings.key_source is not None or settings.api_key.reveal() != _NO_KEY
    if has_key and _is_fine(findings):
        arguments = arguments_of(connection)
        async with AsyncAIHub(
            **arguments.reveal(), allow_insecure=connection.allow_insecure, max_retries=0, timeout=15, deadline=20
        ) as client:
            findings += [finding async for finding in checks.service(client)]
    return findings


def _settings(connection: Connection) -> tuple[ClientConfig | None, list[Finding]]:
    """Return the settings, without a key if there is none, and the checks about them."""
    findings = []
    arguments = arguments_of(connection)
    try:
        settings = make_settings(arguments, allow_insecure=connection.allow_insecure)
    except ConfigurationError as error:
        findings.append(Finding("settings", FAILURE, explain(error), "`aihub login` saves them as a profile"))
        try:
            rest = SecretValue({**arguments.reveal(), "api_key": _NO_KEY})
            settings = make_settings(rest, allow_insecure=connection.allow_insecure)
        except ConfigurationError:
            return None, findings
    where = {name: origin(arguments, name) for name in ("api_root", "api_key", "ib_context")}
    findings.append(Finding("root", OK, f"{settings.api_root} ({where['api_root']})"))
    if settings.key_source is not None or settings.api_key.reveal() != _NO_KEY:
        findings.append(_key(where))
    if settings.ib_context is None:
        findings.append(Finding("IB-Context", WARNING, "not set", NO_CONTEXT))
    else:
        findings.append(Finding("IB-Context", OK, f"{settings.ib_context} ({where['ib_context']})"))
    return settings, findings


def _key(where: dict[str, str]) -> Finding:
    mixed = where["api_root"].startswith("profile") and not where["api_key"].startswith("profile")
    if mixed:
        advice = "the key may belong to another service than the root: unset the one that is not meant"
        return Finding("key", WARNING, f"from {where['api_key']}, but the root is from {where['api_root']}", advice)
    return Finding("key", OK, f"from {where['api_key']}")


def _print(findings: Sequence[Finding]) -> None:
    if not terminal.out.is_terminal:
        columns = [terminal.Column(name, name) for name in ("name", "status", "detail", "advice")]
        terminal.write_tsv(columns, (attrs.asdict(finding) for finding in findings))
        return
    grid = Table.grid(padding=(0, 2))
    for finding in findings:
        detail = Text(plain(finding.detail))
        if finding.advice and finding.status != OK:
            detail.append(Text(f"\n-> {plain(finding.advice)}", _STYLES[finding.status]))
        grid.add_row(Text(finding.status, _STYLES[finding.status]), Text(finding.name, "bold"), detail)
    terminal.out.print(grid)


def _write_bundle(target: Path, findings: Sequence[Finding], connection: Connection) -> None:
    """Write what support needs: the findings, the packages, and the names of variables; no keys, ids or user names."""
    import importlib.metadata
    import zipfile

    content: dict[str, Any] = {
        "checks": [attrs.asdict(finding) for finding in findings],
        "platform": platform.platform(),
        "packages": {each.name: each.version for each in importlib.metadata.distributions()},
        "variables": sorted(name for name in os.environ if name.startswith("AIHUB_")),
    }
    text = _redacted(json_text(content, indent=2), connection)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doctor.json", text)


def _redacted(text: str, connection: Connection) -> str:
    settings, _ = _settings(connection)
    home = str(Path.home())
    hidden = {home: "~"} if len(home) > 1 else {}
    if settings is None:
        return _replaced(text, hidden)
    if settings.ib_context:
        hidden[settings.ib_context] = "***"
    return _replaced(Redactor(settings).text(text), hidden)


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for value, other in replacements.items():
        text = text.replace(value, other)
    return text
