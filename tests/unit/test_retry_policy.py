"""What may be sent again, and how long to wait before it."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.operations import Repeat
from aihub_async.policies.retry import Backoff, FailureKind, RetryQuota, Verdict, judge, parse_retry_after

NOW = dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC)
A, R, F, Q = Verdict.ACCEPT, Verdict.RETRY, Verdict.FAIL, Verdict.AMBIGUOUS


@pytest.mark.parametrize(
    ("outcome", "safe", "settled", "once"),
    [
        (200, A, A, A),
        (299, A, A, A),
        (101, F, F, F),
        (304, F, F, F),
        (307, F, F, F),
        (400, F, F, F),
        (401, F, F, F),
        (404, F, F, F),
        (408, R, R, Q),
        (425, R, R, F),
        (429, R, R, R),
        (500, R, R, Q),
        (501, F, F, Q),
        (502, R, R, Q),
        (503, R, R, Q),
        (504, R, R, Q),
        (FailureKind.NOT_SENT, R, R, R),
        (FailureKind.QUEUED, F, F, F),
        (FailureKind.CERTIFICATE, F, F, F),
        (FailureKind.PROXY, F, F, F),
        (FailureKind.LOST, R, R, Q),
        (FailureKind.TRUNCATED, R, R, Q),
        (FailureKind.TIMEOUT, R, R, Q),
        (FailureKind.TOO_LARGE, F, F, Q),
        (FailureKind.PROTOCOL, F, F, F),
        (FailureKind.SOURCE, F, F, F),
    ],
)
def test_verdicts(outcome, safe, settled, once):
    for repeat, verdict in ((Repeat.SAFE, safe), (Repeat.IDEMPOTENT_DELETE, settled), (Repeat.ONCE, once)):
        assert judge(repeat, outcome, unclear_before=False) is verdict


def test_429_is_a_refusal_of_this_attempt_only():
    assert judge(Repeat.ONCE, 429, unclear_before=False) is R
    assert judge(Repeat.ONCE, 429, unclear_before=True) is Q


@pytest.mark.parametrize(("repeat", "verdict"), [(Repeat.IDEMPOTENT_DELETE, A), (Repeat.SAFE, F), (Repeat.ONCE, F)])
def test_404_after_an_unclear_attempt(repeat, verdict):
    assert judge(repeat, 404, unclear_before=True) is verdict


@given(st.integers(min_value=100, max_value=599) | st.sampled_from(FailureKind), st.booleans())
def test_once_only_requests_are_repeated_only_when_nothing_can_have_happened(outcome, unclear):
    if judge(Repeat.ONCE, outcome, unclear_before=unclear) is R:
        assert outcome is FailureKind.NOT_SENT or (outcome == 429 and not unclear)


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_backoff_is_jittered_bounded_and_grows(retry, number):
    backoff = Backoff(base=0.5, cap=20)
    delay = backoff.delay(retry, lambda: number)
    assert 0 <= delay <= 20
    assert delay <= backoff.delay(retry + 1, lambda: number) or delay == 20 * number
    assert backoff.delay(1, lambda: number) == 0.5 * number


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5),
        (" 5 ", 5),
        ("0", 0),
        ("1.5", 1.5),
        ("-1", None),
        ("nan", None),
        ("inf", 60),
        ("-inf", None),
        ("1e9", 60),
        ("tomorrow", None),
        ("Sat, 01 Aug 2026 12:00:30 GMT", 30),
        ("Sat, 01 Aug 2026 14:00:30 +0200", 30),
        ("Saturday, 01-Aug-26 12:00:30 GMT", 30),
        ("Sat Aug  1 12:00:30 2026", 30),
        ("Sat, 01 Aug 2026 11:59:30 GMT", None),
        ("Sat, 01 Aug 2099 12:00:00 GMT", 60),
        ("Sat, 01 Aug 2026 12:00:30 +9999", None),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 60),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value, now=NOW, maximum=60) == seconds


@given(st.text(max_size=40))
def test_retry_after_never_raises_and_never_exceeds_its_bounds(value):
    seconds = parse_retry_after(value, now=NOW, maximum=60)
    assert seconds is None or 0 <= seconds <= 60


def test_quota_pays_for_retries_from_successes():
    quota = RetryQuota(10, cost=5, refund=1)
    assert [quota.take() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        quota.give_back()
    assert not quota.take()
    quota.give_back()
    assert quota.take()
    for _ in range(100):
        quota.give_back()
    assert quota.tokens == 10
