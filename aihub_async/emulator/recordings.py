"""Recorded runs: results of a real service, kept in files and served again.

A recording is a folder `RUN_ID/` with `run.json` (the run) and `files.jsonl` (one item of `files` per line). Who and
where is redacted when it is written: user ids and e-mail addresses become stable pseudonyms, paths lose their
organization and workspace. With `fakes`, values of fields become stable fakes of the same shape as well.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

RUN_FILE, FILES_FILE = "run.json", "files.jsonl"

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_FS_PATH = re.compile(r"/?[^/\s\"]+/[^/\s\"]+(?=/fs/)")
_RUN_KEYS = (
    "id",
    "status",
    "start_timestamp",
    "finish_timestamp",
    "batch_id",
    "input_dir",
    "app_id",
    "deployment_id",
    "tags",
)


@attrs.frozen
class Recording:
    """A run and the items of its `files`."""

    run: Mapping[str, Any]
    files: Sequence[dict[str, Any]]


def save_recording(
    folder: Path, run: Mapping[str, Any], pages: Iterable[Mapping[str, Any]], *, fakes: bool = False
) -> Path:
    """Write a run, redacted, to a folder of its own below `folder`; return that folder.

    Args:
        folder: Where recordings are kept; created if missing.
        run: The run as getRunStatus returns it.
        pages: The pages of getRunResults, with all include flags.
        fakes: Replace the values of fields by fakes: the same value becomes the same fake, digits stay digits and
            letters letters.

    Raises:
        ValueError: the run has no id that can be the name of a folder.
    """
    run_id = str(run.get("id") or "")
    if not re.fullmatch(r"[\w.-]{1,200}", run_id) or set(run_id) == {"."}:
        raise ValueError(f"a run with the id {run_id!r} cannot be recorded")
    redact = _Redaction(run_id, fakes=fakes)
    kept = {key: run[key] for key in _RUN_KEYS if key in run}
    kept["msg"] = run.get("msg")
    lines: list[bytes] = []
    for page in pages:
        kept["case_info"] = [redact.field(field) for field in (page.get("case_info") or {}).get("fields", ())]
        kept["keys"] = page.get("keys") or {}
        lines += [msgspec.json.encode(redact.entry(entry)) for entry in page.get("files", ())]
    target = folder / run_id
    target.mkdir(parents=True, exist_ok=True)
    (target / RUN_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(redact.plain(kept)), indent=2))
    (target / FILES_FILE).write_bytes(b"".join(line + b"\n" for line in lines))
    return target


def load_recordings(folder: Path) -> list[Recording]:
    """Read the recordings in a folder, or the one that the folder itself is.

    Raises:
        ValueError: there is none, or one cannot be read.
    """
    found = [folder] if (folder / RUN_FILE).is_file() else sorted(path.parent for path in folder.glob(f"*/{RUN_FILE}"))
    if not found:
        raise ValueError(f"{folder} holds no recorded run ({RUN_FILE})")
    return [_load(path) for path in found]


def _load(folder: Path) -> Recording:
    try:
        run = msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=dict[str, Any])
        files = [
            _completed(msgspec.json.decode(line, type=dict[str, Any]))
            for line in (folder / FILES_FILE).read_bytes().splitlines()
        ]
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"the recording {folder} cannot be read: {error}") from None
    if not run.get("id") or not run.get("status"):
        raise ValueError(f"the recording {folder} has no id or no status")
    return Recording(run, files)


def _completed(entry: dict[str, Any]) -> dict[str, Any]:
    """Add what the service left out, so that every include flag finds its keys."""
    for document in entry.setdefault("documents", []):
        document.setdefault("class_name", None)
        document.setdefault("class_edit_history", [])
        document.setdefault("validations", {"final_result_pass": True})
        for field in document.setdefault("fields", []):
            field.setdefault("edit_history", [])
            field.setdefault("validations", {"valid": True, "alerts": []})
    return entry


class _Redaction:
    def __init__(self, salt: str, *, fakes: bool) -> None:
        self._salt = salt
        self._fakes = fakes

    def entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return one item of `files`, redacted."""
        redacted = {**entry, "documents": [self._document(each) for each in entry.get("documents", ())]}
        if self._fakes:
            for key in ("original_file_name", "input_file_path"):
                if isinstance(redacted.get(key), str):
                    redacted[key] = "/".join(map(self._fake_name, redacted[key].split("/")))
        plain: dict[str, Any] = self.plain(redacted)
        return plain

    def field(self, field: Mapping[str, Any]) -> dict[str, Any]:
        """Return a field, redacted."""
        redacted = dict(field)
        for key in ("edit_history", "class_edit_history"):
            if key in field:
                redacted[key] = [self._event(event) for event in field[key] or ()]
        if self._fakes and isinstance(field.get("value"), str) and not field.get("error_msg"):
            redacted["value"] = self._fake(field["value"])
        return redacted

    def _document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.field(document), "fields": [self.field(each) for each in document.get("fields", ())]}

    def _event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        modifications = event.get("modifications") or ()
        if self._fakes:  # messages quote values
            modifications = [{**each, "message": None} for each in modifications]
        return {
            **event,
            "user_id": f"user-{self._digest(str(event.get('user_id')))[:8]}",
            "modifications": modifications,
        }

    def plain(self, value: Any) -> Any:
        """Return JSON without e-mail addresses, organizations and workspaces, unless they are values of fields."""
        return _mapped(value, self._text)

    def _text(self, key: str, text: str) -> str:
        if key == "value":
            return text
        text = _FS_PATH.sub("/org/workspace", text)
        return _EMAIL.sub(lambda found: f"{self._digest(found[0])[:8]}@example.com", text)

    def _fake_name(self, name: str) -> str:
        stem, dot, suffix = name.rpartition(".")
        return f"{self._fake(stem)}{dot}{suffix}" if dot else self._fake(name)

    def _fake(self, text: str) -> str:
        """Return a text of the same shape; the same text becomes the same fake."""
        stream = self._digest(text)
        fake = []
        for index, character in enumerate(text):
            if index and index % len(stream) == 0:
                stream = self._digest(stream)
            number = int(stream[index % len(stream)], 16)
            if character.isdigit():
                fake.append(str(number % 10))
            elif character.isalpha():
                letter = "abcdefghijklmnop"[number]
                fake.append(letter.upper() if character.isupper() else letter)
            else:
                fake.append(character)
        return "".join(fake)

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self._salt}\0{text}".encode(errors="surrogatepass")).hexdigest()


def _mapped(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    if isinstance(value, str):
        return change(key, value)
    if isinstance(value, Mapping):
        return {name: _mapped(item, change, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, change, key) for item in value]
    return value
