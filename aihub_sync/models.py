"""The models of `aihub_async.models`, which both clients share."""

from aihub_async.models import *  # noqa: F403  # its __all__ is ours
from aihub_async.models import __all__ as __all__  # noqa: PLC0414  # re-exported on purpose
