"""Find a legacy job by the id that the caller chose for it."""

from collections.abc import Awaitable, Callable

import attrs

from aihub_async.errors import LegacyAPIError, NotFoundError
from aihub_async.reconcile.once import Inconclusive


@attrs.frozen
class JobFinder:
    """Looks up a job by its id; `status` requests its state.

    The id makes a second request harmless only if the server refuses it, which no document promises: a job that the
    server does not have may still arrive late, so absence is never proven and the request is never sent again.
    """

    status: Callable[[str], Awaitable[object]]
    job_id: str

    async def __call__(self, *, thorough: bool) -> str:  # noqa: ARG002 - every lookup is the same request
        """Return the id once the server has the job.

        Raises:
            Inconclusive: The server does not have the job yet.
            RequestError: The request was refused.
        """
        try:
            await self.status(self.job_id)
        except (LegacyAPIError, NotFoundError):
            raise Inconclusive from None
        return self.job_id
