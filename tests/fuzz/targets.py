"""What reads answers, and what it may do with them."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aihub_async import WebhookReceiver
from aihub_async.models import RunResults
from aihub_async.models.decode import DecodeError, decode, encode
from aihub_async.policies.retry import parse_retry_after
from aihub_async.results.field_rows import file_rows
from aihub_async.transport.messages import Response
from aihub_async.waiting.run_lists import run_summaries
from tests.fuzz.corpus import BODIES, HEADERS, MODELS, mutated

Target = Callable[[random.Random], None]

LONGEST = 2.0
"""Seconds that one case may take on a busy machine; the usual one takes less than a millisecond."""


def decoding(chance: random.Random) -> None:
    """A model is read, or refused with `DecodeError`; what was read can be looked at and written again."""
    model, body = chance.choice(MODELS), mutated(chance, chance.choice(BODIES))
    try:
        value = decode(model, body)
    except DecodeError:
        return
    repr(value)
    try:
        value.to_dict()
        assert value.raw is not None
    except DecodeError:
        # Fields of no class are read only on access.
        return


def results(chance: random.Random) -> None:
    """A page of results that can be read can be flattened."""
    try:
        page = decode(RunResults, mutated(chance, BODIES[2]))
    except DecodeError:
        return
    for file in page.files:
        for row in file_rows(file):
            assert row.value is None or row.error is None or row.value != "ERROR"


def run_lists(chance: random.Random) -> None:
    """A list of runs is read as far as it can be."""
    try:
        summaries = run_summaries(mutated(chance, BODIES[1]))
    except DecodeError:
        return
    for summary in summaries:
        assert isinstance(summary.id, str)


def webhooks(chance: random.Random) -> None:
    """A receiver answers any delivery with a status."""
    receiver = WebhookReceiver("http://127.0.0.1:9/hook", secret="s" * 32)
    headers = {"X-AIHub-Webhook-Secret": chance.choice(("", "s" * 32, "ä"))}
    sent = {**headers, **dict(receiver.config()["headers"])} if chance.random() < 0.8 else headers

    async def deliver() -> int:
        return await receiver.handle(sent, mutated(chance, chance.choice(BODIES)))

    status = asyncio.run(deliver())
    assert 200 <= status < 600


def headers(chance: random.Random) -> None:
    """The headers that decide something are read or ignored."""
    text = chance.choice(HEADERS)
    at = chance.randrange(len(text) + 1)
    text = text[:at] + chance.choice(("", "9" * 30, "\x00", "é", "-", "e5", " ")) + text[at:]
    asked = parse_retry_after(text, now=datetime(2026, 11, 25, tzinfo=UTC), maximum=60.0)
    assert asked is None or 0 <= asked <= 60


def plain_json(chance: random.Random) -> None:
    """`Response.json()` reads what it can, and raises ValueError for the rest."""
    answer = Response(200, "OK", {}, mutated(chance, chance.choice(BODIES)))
    try:
        value: Any = answer.json()
    except ValueError:
        return
    try:
        encode(value)
    except UnicodeEncodeError:
        # A lone surrogate can be read, but not sent: `encode` raises.
        assert re.search(r"\\ud[89a-f]", json.dumps(value))


TARGETS: dict[str, Target] = {
    "decoding": decoding,
    "results": results,
    "run lists": run_lists,
    "webhooks": webhooks,
    "headers": headers,
    "plain JSON": plain_json,
}


def run_case(seed: int) -> None:
    """Run one case; its number decides everything.

    Raises:
        AssertionError: it broke a promise, or took too long. Any other exception is a fault as well.
    """
    chance = random.Random(seed)
    names = list(TARGETS)
    # A webhook needs its own event loop: a tenth of the cases is enough.
    name = "webhooks" if seed % 10 == 0 else names[seed % len(names)]
    if name == "webhooks" and seed % 10:
        name = "decoding"
    began = time.perf_counter()
    TARGETS[name](chance)
    taken = time.perf_counter() - began
    assert taken < LONGEST, f"{name} took {taken:.1f} s"
