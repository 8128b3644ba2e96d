"""The route handlers, keyed by the operation they serve.

Each module holds the operations of one resource in a `HANDLERS` mapping; a new module is added to `ALL`.
"""

from collections.abc import Mapping

from aihub_async.emulator.routes import (
    audit,
    batches,
    conversations,
    files,
    filesystem,
    legacy,
    legacy_flows,
    multipart,
    runs,
    secrets,
)
from aihub_async.emulator.wire import Handler
from aihub_async.operations import Operation

ALL: Mapping[Operation, Handler] = {
    operation: handler
    for module in (batches, multipart, runs, files, filesystem, secrets, audit, legacy, legacy_flows, conversations)
    for operation, handler in module.HANDLERS.items()
}
