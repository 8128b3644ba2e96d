"""Pages of runs, decoded only as far as polling needs."""

import json

import pytest

from aihub_async.models.decode import DecodeError
from aihub_async.waiting.run_lists import run_summaries

ODD = ['"msg":"caf\\ud83d"', '"score":NaN', '"note":"\\ud83d\\ud83d","n":1e999', f'"n":{"9" * 5000}']


@pytest.mark.parametrize("odd", ODD, ids=["surrogate", "nan", "infinite", "digits"])
def test_one_odd_run_does_not_hide_the_others(odd: str) -> None:
    """Servers written in Python send what msgspec refuses; then every poll would need a request of its own."""
    body = f'{{"runs":[{{"id":"a","status":"RUNNING",{odd}}},{{"id":"b","status":"COMPLETE"}}]}}'
    found = run_summaries(body.encode())
    assert [(run.id, run.status) for run in found] == [("a", "RUNNING"), ("b", "COMPLETE")]
    assert [run.run().status for run in found] == ["RUNNING", "COMPLETE"]


def test_a_run_without_an_id_is_left_out() -> None:
    body = json.dumps({"runs": [{"status": "RUNNING"}, {"id": "b", "n": float("nan")}, 7, None]})
    assert [run.id for run in run_summaries(body.encode())] == ["b"]


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"runs": 7}', b'{"runs": {"a": NaN}}', b"[NaN]", b"\xff"])
def test_what_is_no_list_of_runs_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        run_summaries(body)
