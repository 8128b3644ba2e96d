"""List the exceptions from plain delegation in tables; an entry that is not used is an error."""

import attrs

from aihub_sync._generate.docstrings import PHRASES, Docstrings

COMMAND = "python -m aihub_sync._generate"
PACKAGE = "aihub_sync._generated"
FACADE = "aihub_sync._facade"
PAGES_MODULE = "aihub_sync._pages"
COMPAT = "aihub_sync._compat"

CLIENT = "AsyncAIHub"
SYNC_NAMES = {CLIENT: "AIHub"}

BY_HAND = {"WebhookReceiver": "aihub_sync._webhooks"}
"""Arguments of the client whose twin of the same name is hand-written, by class, with the module of the twin."""

MODULES = {"errors": "aihub_async", "exceptions": "aihub_sync", "models": "aihub_async"}
"""Public modules, each with the package that has it."""

PAGES: dict[str, tuple[str, str] | None] = {
    "Pages": None,
    "Uploads": ("aihub_async.models.uploads", "UploadRecord"),
    "ProcessOutcomes": ("aihub_async.process_each", "ProcessOutcome"),
}
"""Page-by-page iterators by class, with the module and class of the items where the class has no type parameter."""

SPECIAL = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
}
"""Methods that are not simply delegated, with their names in the sync client."""

SECRET_PARAMETERS = frozenset(
    {"api_key", "api_root", "content", "headers", "json", "mount_details", "proxy", "settings", "value"}
)
"""Parameters that may hold secrets: the frames of the sync client, which every traceback shows, delete them."""

DROPPED = frozenset({"__await__", "__repr__"})
"""Special methods that are not generated: `wait()` takes the place of awaiting, and `Facade` has a `__repr__`."""

ASYNCHRONOUS = frozenset(
    {"Awaitable", "Coroutine", "AsyncIterator", "AsyncIterable", "AsyncGenerator", "AbstractAsyncContextManager"}
)
"""Types that no method may return, because they are useless without an event loop."""


@attrs.frozen
class Option:
    """An option that only the sync client has; `after` is the option before it, else it is the last one."""

    annotation: str
    text: str
    after: str = ""


OLD_OPTIONS = {
    "debug": Option("bool | None = None", "accepted for the official SDK's scripts; has no effect.", after="api_root"),
    "api_token": Option("str | None = None", "deprecated name of `api_key` in samples for the official SDK."),
}
"""Options for scripts of the official SDK."""

OLD_NAMES: dict[str, dict[str, str]] = {
    "Batches.create": {"workspace_name": "workspace"},
    "Batches.list": {"file_offset": "offset"},
    "Batches.get": {"id": "batch_id"},
    "Batches.delete": {"id": "batch_id"},
    "Batches.list_files": {"id": "batch_id"},
    "Batches.add_file": {"id": "batch_id"},
    "Batches.delete_file": {"id": "batch_id"},
    "Batches.poll_job": {"id": "job_id"},
    "Jobs.status": {"id": "job_id"},
    "Runs.list": {"output_repo": "output_workspaces"},
    "Runs.status": {"id": "run_id"},
    "Runs.results": {"id": "run_id"},
    "Runs.delete": {"id": "run_id"},
}
"""Keywords of older versions of the official SDK."""


@attrs.define
class Rules:
    """Record which rules were used."""

    docs: Docstrings = attrs.field(factory=Docstrings)
    used: set[str] = attrs.field(factory=set)

    def unused(self) -> list[str]:
        """Return the rules that nothing needs any more."""
        known = {*SPECIAL, *DROPPED, *PAGES, *OLD_NAMES, *SYNC_NAMES, *BY_HAND, *SECRET_PARAMETERS, *OLD_OPTIONS}
        return sorted(known - self.used) + sorted(PHRASES.keys() - self.docs.used)
