import asyncio

import attrs
import pytest

from aihub_async.transport.events import AttemptEvent, capture_responses, record_response
from aihub_async.transport.messages import Response

ONE, TWO = (Response(status, "", {}, b"") for status in (200, 201))


def test_answers_are_captured_inside_the_block_only():
    record_response(ONE)
    with capture_responses() as outer:
        record_response(ONE)
        with capture_responses() as inner:
            record_response(TWO)
        record_response(ONE)
    record_response(TWO)
    assert (outer, inner) == ([ONE, ONE], [TWO])


async def test_tasks_see_only_their_own_answers():
    async def work(response: Response) -> list[Response]:
        with capture_responses() as responses:
            await asyncio.sleep(0)
            record_response(response)
            await asyncio.sleep(0)
        return responses

    assert await asyncio.gather(work(ONE), work(TWO)) == [[ONE], [TWO]]


def test_events_are_frozen():
    event = AttemptEvent("o", "GET", "/", 1, "200", 200, 0.1, None, 0, 2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.number = 2


def test_responses_do_not_show_what_they_hold():
    shown = repr(Response(200, "OK", {"X-A": "header"}, b"body"))
    assert "header" not in shown
    assert "body" not in shown


def test_json_and_text():
    assert Response(200, "", {}, b'{"a": [1]}').json() == {"a": [1]}
    assert Response(200, "", {}, b'["\\ud83d"]').json() == ["\ud83d"]
    assert Response(200, "", {}, b"caf\xc3\xa9\xff").text == "café\ufffd"
    for body in (b"", b"\xff", b"[" * 100_000, b"nan"):
        with pytest.raises(ValueError, match="not JSON"):
            Response(200, "", {}, body).json()
