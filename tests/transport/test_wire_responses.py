"""What servers answer, and what becomes of it; each case counts the requests on the wire."""

import gzip
import tracemalloc

import pytest

from aihub_async import capture_responses, errors


async def test_a_plain_answer_takes_one_request_and_keeps_the_connection(server, client, wire):
    server.says(wire.answer(200, {"id": 1, "name": "a"}))
    assert (await client.batches.get(1)).name == "a"
    assert (await client.batches.get(1)).name == "a"
    assert (len(server.seen), server.connections) == (2, 1)
    assert server.seen[0].headers["authorization"] == f"Bearer {wire.key}"
    assert server.seen[0].headers["user-agent"].startswith("aihub-async/")
    assert server.seen[0].target == "/api/v2/batches/1"


# 22
async def test_gzip_bomb_is_cut_at_the_cap_with_little_memory(server, make_client, wire):
    bomb = gzip.compress(b"[" + b" " * 60_000_000 + b"1]", 9, mtime=0)
    assert len(bomb) < 100_000
    server.says(wire.answer(200, bomb, Content_Encoding="gzip", Content_Type="application/json"))
    client = make_client(max_response_bytes=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(errors.ResponseTooLargeError, match="max_response_bytes"):
            await client.batches.list()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
    assert len(server.seen) == 1


# 23
async def test_endless_json_is_cut_at_the_cap(server, make_client, wire):
    async def endless(exchange):
        await exchange.send(wire.answer(200, b"[", length=False, Content_Type="application/json"))
        while True:
            await exchange.send(b"1," * 50_000)

    server.says(endless)
    client = make_client(max_response_bytes=300_000)
    with pytest.raises(errors.ResponseTooLargeError):
        await client.batches.list()
    assert len(server.seen) == 1


async def test_endless_error_body_is_not_read_to_its_end(server, make_client, wire):
    async def endless(exchange):
        await exchange.send(wire.answer(401, b'{"message": "', length=False))
        while True:
            await exchange.send(b"no " * 50_000)

    server.says(endless)
    with pytest.raises(errors.AuthenticationError) as caught:
        await make_client().batches.list()
    assert len(caught.value.body) <= 4096
    assert len(server.seen) == 1


async def test_too_large_answer_of_a_once_only_request_leaves_the_outcome_open(server, make_client, wire):
    server.says(wire.answer(200, b"[" + b"1," * 5000))
    client = make_client(max_response_bytes=1000)
    with pytest.raises(errors.OutcomeUnknownError):
        await wire.once(client)
    assert len(server.seen) == 1


# 24, 25, 26
@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"batches": [{"id": ' + "9" * 5000 + "}]}",
        '{"batches": NaN}',
        "",
        "null",
        "7",
        "<html><form>Sign in</form></html>",
        "\xff\xfe not utf-8",
        '{"batches": [{"name": "without an id"}]}',
    ],
    ids=["deep", "digits", "nan", "empty", "null", "number", "html", "encoding", "missing id"],
)
async def test_what_is_not_the_api_is_a_protocol_error_after_one_request(server, client, wire, body):
    server.says(wire.answer(200, body.encode("latin-1"), Content_Type="text/html"))
    with pytest.raises(errors.ProtocolError, match="login page") as caught:
        await client.batches.list()
    assert caught.value.status == 200
    assert len(server.seen) == 1


@pytest.mark.parametrize("odd", ['"message":"no \\ud83d here"', '"message":"no   here","n":NaN'])
async def test_the_message_of_an_error_is_read_as_by_json_of_python(server, client, wire, odd):
    server.says(wire.answer(400, f"{{{odd}}}".encode()))
    with pytest.raises(errors.BadRequestError, match=r"no .* here") as caught:
        await client.batches.get(1)
    str(caught.value).encode()


async def test_bom_and_duplicate_keys_are_understood(server, client, wire):
    server.says(wire.answer(200, b'\xef\xbb\xbf{"id": 1, "name": "first", "name": "last"}'))
    assert (await client.batches.get(1)).name == "last"
    assert len(server.seen) == 1


async def test_raw_answer_that_is_too_deep_is_a_value_error(server, client, wire):
    server.says(wire.answer(200, "[" * 100_000))
    response = await client.request("GET", "/v2/deep")
    with pytest.raises(ValueError, match="not JSON"):
        response.json()
    assert len(server.seen) == 1


# 27
async def test_truncated_body_of_a_get_is_asked_for_again(server, client, wire):
    whole = wire.answer(200, {"id": 1, "name": "a"})
    server.says(wire.broken_off(whole[:-5]), whole)
    assert (await client.batches.get(1)).name == "a"
    assert len(server.seen) == 2


async def test_truncated_body_of_a_once_only_post_is_ambiguous(server, client, wire):
    server.says(wire.broken_off(wire.answer(200, {"id": 1})[:-3]))
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        await wire.once(client)
    assert caught.value.cause == "truncated"
    assert len(server.seen) == 1


async def test_truncated_error_body_still_has_its_status(server, client, wire):
    server.says(wire.broken_off(wire.answer(404, {"message": "gone away"})[:-4]))
    with pytest.raises(errors.NotFoundError):
        await client.batches.get(1)
    assert len(server.seen) == 1


# 28
async def test_excess_bytes_are_never_the_answer_of_the_next_request(server, client, wire):
    smuggled = wire.answer(200, {"id": 666, "name": "smuggled"})
    server.says(
        wire.answer(200, {"id": 1, "name": "a"}) + smuggled,
        wire.answer(200, {"id": 2, "name": "b"}),
    )
    assert (await client.batches.get(1)).id == 1
    assert (await client.batches.get(2)).id == 2
    assert (len(server.seen), server.connections) == (2, 2)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 2x0 OK\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\x00: 1\r\n\r\n",
    ],
    ids=["lengths", "negative", "status", "ssh", "long header", "nul"],
)
async def test_what_is_not_http_is_a_broken_connection_not_a_400(server, client, wire, head):
    server.says(head, wire.answer(200, {"id": 1, "name": "a"}))
    assert (await client.batches.get(1)).name == "a"
    assert len(server.seen) == 2


async def test_garbled_answer_of_a_once_only_post_is_ambiguous(server, client, wire):
    server.says(b"HTTP/1.1 4o0 OK\r\n\r\n")
    with pytest.raises(errors.OutcomeUnknownError):
        await wire.once(client)
    assert len(server.seen) == 1


async def test_garbled_chunk_and_garbled_gzip_are_truncations(server, client, wire):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.says(
        chunked + b"zz\r\n{}\r\n0\r\n\r\n",
        wire.answer(200, b"\x1f\x8b\x08\x00 this is not gzip", Content_Encoding="gzip"),
        chunked + b'16\r\n{"id": 1, "name": "a"}\r\n0\r\n\r\n',
    )
    assert (await client.batches.get(1)).name == "a"
    assert len(server.seen) == 3


# 32
async def test_nulls_unknown_fields_and_wrong_types_are_tolerated(server, client, wire):
    run = {"id": "r", "status": "HIBERNATING", "start_timestamp": "12", "tags": None, "mood": {"good": True}}
    server.says(wire.answer(200, run))
    got = await client.apps.runs.status("r")
    assert (got.status, got.start_timestamp, got.tags) == ("HIBERNATING", 12, None)
    assert got.extra == {"mood": {"good": True}}
    assert len(server.seen) == 1


# 37
async def test_v1_error_with_status_200_is_an_error(server, client, wire):
    server.says(wire.answer(200, {"status": "ERROR", "msg": "no audit for you"}))
    with pytest.raises(errors.LegacyAPIError, match="no audit for you") as caught:
        await client.audit.logs()
    assert (caught.value.status, caught.value.server_message) == (200, "no audit for you")
    assert len(server.seen) == 1


# 38
async def test_unexpected_2xx_is_understood_where_it_can_be(server, client, wire):
    server.says(wire.answer(201, {"id": 5}), wire.answer(200), wire.answer(202, {"id": "r"}), wire.answer(204))
    assert (await client.batches.create("x")).id == 5
    await client.batches.add_file(5, "a.txt", b"1")
    assert (await client.apps.runs.create(app_name="a", batch_id=5)).id == "r"
    with pytest.raises(errors.ProtocolError):
        await client.batches.get(5)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (410, errors.GoneError),
        (412, errors.PreconditionFailedError),
        (413, errors.PayloadTooLargeError),
        (418, errors.StatusError),
        (422, errors.UnprocessableError),
    ],
)
async def test_each_status_has_its_error_after_one_request(server, client, wire, status, error):
    server.says(wire.answer(status, {"message": "because"}, X_Request_ID="q-1", X_Private="no"))
    with pytest.raises(error, match="because") as caught:
        await client.batches.get(1)
    details = caught.value
    assert type(details) is error
    assert (details.operation, details.method, details.path) == ("getBatch", "GET", "/v2/batches/1")
    assert (details.status, details.request_id, details.server_message) == (status, "q-1", "because")
    assert "X-Private" not in details.headers
    assert [attempt.outcome for attempt in details.attempts] == [str(status)]
    assert len(server.seen) == 1


@pytest.mark.parametrize(("status", "error"), [(429, errors.RateLimitedError), (503, errors.ServerError)])
async def test_passing_errors_are_retried_then_raised_with_all_attempts(
    server, client, fake_clock, wire, status, error
):
    server.says(wire.answer(status, {"message": "busy"}))
    with pytest.raises(error) as caught:
        await client.batches.get(1)
    assert len(server.seen) == len(caught.value.attempts) == 5
    assert fake_clock.slept == [0.25, 0.5, 1.0, 2.0]
    assert [attempt.wait for attempt in caught.value.attempts] == [0.25, 0.5, 1.0, 2.0, 0.0]
    assert "5 attempts" in str(caught.value)


async def test_status_101_is_no_answer(server, client):
    server.says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    with pytest.raises(errors.ProtocolError, match="101"):
        await client.batches.get(1)
    assert len(server.seen) == 1


async def test_interim_answers_are_skipped(server, client, wire):
    server.says(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + wire.answer(200, {"id": 1, "name": "a"}))
    assert (await client.batches.get(1)).name == "a"
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["no content", "not modified", "put", "chunked"])
async def test_bodies_where_none_belongs_do_not_reach_the_next_request(server, client, wire, kind):
    smuggled = wire.answer(200, {"id": 666, "name": "smuggled"})
    first = {
        "no content": b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled),
        "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled),
        "put": wire.answer(200) + smuggled,
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
    }[kind]
    server.says(first, wire.answer(200, {"id": 2, "name": "b"}))
    if kind == "not modified":
        with pytest.raises(errors.RedirectError):
            await client.batches.get(1)
    else:
        await client.batches.add_file(1, "a", b"1")
    assert (await client.batches.get(2)).id == 2
    assert len(server.seen) == 2


async def test_a_body_in_answer_to_head_is_a_broken_connection(server, make_client, wire):
    client = make_client(max_retries=0)
    server.says(wire.answer(200, b"a body", Content_Type="x/y"), wire.answer(200, {"id": 2, "name": "b"}))
    with pytest.raises(errors.ConnectionLostError, match="not HTTP"):
        await client.files.get_file_metadata("/a")
    assert (await client.batches.get(2)).id == 2
    assert (len(server.seen), server.connections) == (2, 2)


async def test_errors_too_can_be_captured(server, client, wire):
    server.says(wire.answer(404, {"message": "no"}, X_Anything="kept"))
    with capture_responses() as responses, pytest.raises(errors.NotFoundError):
        await client.batches.get(1)
    assert (responses[0].status, responses[0].headers["x-anything"]) == (404, "kept")
    assert len(server.seen) == 1


PAGE = b"  <!doctype html><html>Please sign in</html>"


@pytest.mark.parametrize(
    ("call", "ambiguous"),
    [
        (lambda client: client.batches.add_file(1, "a.txt", b"x"), False),
        (lambda client: client.batches.commit_multipart_upload_session("s", "abort"), False),
        (lambda client: client.batches.delete_file(1, "a.txt"), False),
        (lambda client: client.secrets.update("x", value="y"), False),
        (lambda client: client.secrets.delete("x"), False),
        (lambda client: client.files.write("a/b/fs/c/d", b"x"), False),
        (lambda client: client.files.delete("a/b/fs/c/d"), False),
        (lambda client: client.flows.jobs.cancel("job"), True),
        (lambda client: client.flows.jobs.retry("job"), True),
        (lambda client: client.apps.runs.create("app", batch_id=1, dedupe=False), True),
    ],
)
async def test_a_page_is_no_success_where_no_body_is_expected(server, client, wire, call, ambiguous):
    """A gateway that answers 200 with HTML has not passed the request on, or has and nobody knows."""
    server.says(wire.answer(200, PAGE, Content_Type="text/html; charset=utf-8"))
    with pytest.raises(errors.ProtocolError, match="login page") as caught:
        await call(client)
    assert isinstance(caught.value, errors.OutcomeUnknownError) is ambiguous
    assert len(server.seen) == 1


async def test_html_is_content_where_it_may_be(server, client, wire):
    server.says(wire.answer(200, PAGE, Content_Type="text/html"))
    assert await client.files.read("a/b/fs/c/page.html") == PAGE
    assert (await client.request("GET", "/v2/page")).body == PAGE
