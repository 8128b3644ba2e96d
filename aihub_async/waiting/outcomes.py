"""How a wait ends: with results, with an error, or not yet."""

from aihub_async.errors import JobFailedError, RunCancelledError, RunError, RunFailedError, RunNeedsReviewError
from aihub_async.models import JobState, JobStatus, Run, RunStatus

_ERRORS: dict[str, type[RunError]] = {
    RunStatus.FAILED: RunFailedError,
    RunStatus.CANCELLED: RunCancelledError,
    RunStatus.STOPPED_AT_CHECKPOINT: RunNeedsReviewError,
}
_PHRASES = {
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "was cancelled",
    RunStatus.STOPPED_AT_CHECKPOINT: "waits for a human review",
}
_HINT = "; wait with through_review=True to wait for its end"


def run_ended(run: Run, *, through_review: bool = False, noun: str = "run") -> bool:
    """Return whether a run has ended with results.

    Args:
        run: Its state.
        through_review: STOPPED_AT_CHECKPOINT is no end.
        noun: What to call it in messages.

    Raises:
        RunFailedError: FAILED.
        RunCancelledError: CANCELLED.
        RunNeedsReviewError: STOPPED_AT_CHECKPOINT, unless `through_review`.
    """
    status = run.status or ""
    error = _ERRORS.get(status)
    if error is None or (through_review and error is RunNeedsReviewError):
        return status == RunStatus.COMPLETE
    reason = f": {run.msg}" if run.msg else ""
    hint = _HINT if error is RunNeedsReviewError else ""
    raise error(f"{noun} {run.id} {_PHRASES[RunStatus(status)]}{reason}{hint}", run=run)


def job_ended(job_id: str, job: JobStatus) -> bool:
    """Return whether a job has ended COMPLETE.

    Raises:
        JobFailedError: FAILED or CANCELLED.
    """
    if job.state in {JobState.FAILED, JobState.CANCELLED}:
        reason = f": {job.message}" if job.message else ""
        raise JobFailedError(
            f"job {job_id} ended {job.state}{reason}", job_id=job_id, state=str(job.state), job_message=job.message
        )
    return job.state == JobState.COMPLETE
