import asyncio

import pytest

CONTENT = bytes(range(256)) * 10  # two parts of 1,024 bytes and one of 512


async def open_session(api, size=2560):
    body = {"batch_id": await api.batch(), "filename": "big.bin", "file_size": size}
    created = await api("POST", "/v2/batches/multipart-upload", json=body)
    assert created.status == 201
    return body["batch_id"], created


async def send_parts(api, session_id, content=CONTENT):
    parts = []
    for number, start in enumerate(range(0, len(content), 1024), 1):
        path = f"/v2/batches/multipart-upload/sessions/{session_id}/parts/{number}"
        sent = await api("PUT", path, data=content[start : start + 1024])
        assert sent.status == 201
        assert sent.json["part_num"] == number
        parts.append(sent.json)
    return parts


def commit(api, session_id, parts):
    path = f"/v2/batches/multipart-upload/sessions/{session_id}"
    return api("POST", path, json={"action": "commit", "parts": parts})


async def test_parts_become_the_file(api, hub):
    batch_id, created = await open_session(api)
    session_id = created.json["session_id"]
    assert created.json["part_size"] == 1024
    assert created.headers["Location"] == f"{hub.api_root}/v2/batches/multipart-upload/sessions/{session_id}"
    committed = await commit(api, session_id, await send_parts(api, session_id))
    assert (committed.status, committed.body) == (201, b"")
    (stored,) = hub.batch_files(batch_id)
    assert (stored.name, stored.size) == ("big.bin", len(CONTENT))
    path = (await api("GET", f"/v2/batches/{batch_id}/files")).json["nodes"][0]["full_path"].replace(" ", "%20")
    assert (await api("GET", f"/v2/files{path}?expect-node-type=file")).body == CONTENT


async def test_the_newest_part_of_a_number_counts(api, hub):
    _, created = await open_session(api)
    session_id = created.json["session_id"]
    first = await send_parts(api, session_id)
    second = await send_parts(api, session_id)
    assert (await commit(api, session_id, first)).status == 400
    assert (await commit(api, session_id, second)).status == 201


async def test_parts_may_arrive_in_any_order_and_at_once(api, hub):
    batch_id, created = await open_session(api)
    session_id = created.json["session_id"]
    path = f"/v2/batches/multipart-upload/sessions/{session_id}/parts"
    sent = await asyncio.gather(
        *(api("PUT", f"{path}/{n}", data=CONTENT[(n - 1) * 1024 : n * 1024]) for n in (3, 1, 2))
    )
    parts = sorted((answer.json for answer in sent), key=lambda part: part["part_num"])
    assert (await commit(api, session_id, parts)).status == 201
    assert hub.batch_files(batch_id)[0].size == len(CONTENT)


@pytest.mark.parametrize(
    ("number", "size"), [(1, 1023), (1, 1025), (2, 0), (3, 1024), (3, 511), (4, 1), (0, 1024), ("x", 1024)]
)
async def test_a_part_of_the_wrong_size_or_number_is_refused(api, number, size):
    _, created = await open_session(api)
    path = f"/v2/batches/multipart-upload/sessions/{created.json['session_id']}/parts/{number}"
    assert (await api("PUT", path, data=b"x" * size)).status in {400, 413}


async def test_commit_wants_all_parts_in_order(api):
    _, created = await open_session(api)
    session_id = created.json["session_id"]
    parts = await send_parts(api, session_id)
    forged = [{**parts[0], "part_id": "forged"}, *parts[1:]]
    for wrong in (parts[::-1], parts[:2], parts[1:], [], None, "parts", [1], forged):
        assert (await commit(api, session_id, wrong)).status == 400
    assert (await commit(api, session_id, parts)).status == 201
    assert (await commit(api, session_id, parts)).status == 409


async def test_an_aborted_session_is_closed(api, hub):
    batch_id, created = await open_session(api)
    path = f"/v2/batches/multipart-upload/sessions/{created.json['session_id']}"
    parts = await send_parts(api, created.json["session_id"])
    assert (await api("POST", path, json={"action": "abort"})).status == 201
    assert (await api("POST", path, json={"action": "commit", "parts": parts})).status == 409
    assert (await api("PUT", f"{path}/parts/1", data=b"x" * 1024)).status == 409
    assert hub.batch_files(batch_id) == []


async def test_an_empty_file(api, hub):
    batch_id, created = await open_session(api, 0)
    path = f"/v2/batches/multipart-upload/sessions/{created.json['session_id']}"
    assert (await api("POST", path, json={"action": "commit"})).status == 400
    assert (await api("POST", path, json={"action": "commit", "parts": []})).status == 201
    assert hub.batch_files(batch_id)[0].size == 0


async def test_what_a_session_is_made_of_is_checked(api):
    batch_id = await api.batch()
    good = {"batch_id": batch_id, "filename": "f", "file_size": "12"}
    assert (await api("POST", "/v2/batches/multipart-upload", json=good)).status == 201
    for wrong in ({"batch_id": "x"}, {"filename": ""}, {"filename": "f" * 256}, {"file_size": -1}, {"file_size": True}):
        assert (await api("POST", "/v2/batches/multipart-upload", json=good | wrong)).status == 400
    assert (await api("POST", "/v2/batches/multipart-upload", json=good | {"batch_id": 99999})).status == 404
    unknown = "/v2/batches/multipart-upload/sessions/none"
    assert (await api("POST", unknown, json={"action": "abort"})).status == 404
    assert (await api("PUT", f"{unknown}/parts/1", data=b"x")).status == 404


async def test_an_action_is_commit_or_abort(api):
    _, created = await open_session(api)
    path = f"/v2/batches/multipart-upload/sessions/{created.json['session_id']}"
    assert (await api("POST", path, json={"action": "pause"})).status == 400


async def test_a_batch_deleted_meanwhile_takes_no_file(api):
    batch_id, created = await open_session(api)
    parts = await send_parts(api, created.json["session_id"])
    await api("DELETE", f"/v2/batches/{batch_id}")
    assert (await commit(api, created.json["session_id"], parts)).status == 404
