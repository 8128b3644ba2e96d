"""Names and ids in URLs: they arrive as what they were, or are refused."""

import asyncio
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.resources._raw import raw_request
from aihub_async.secrecy import SecretValue
from aihub_async.transport.target import Target

TARGET = Target.of("https://hub.example/api")
names = st.text(min_size=1, max_size=300)
tricky = st.text(alphabet="./%\\?#;+& \x00\r\n:@é2eEfF\ud800", min_size=1, max_size=12)


def raw(method, path, *, params=None, json=None, content=None, headers=None):
    return asyncio.run(raw_request(method, path, SecretValue((json, content, headers)), params=params))


def on_the_wire(path: str) -> list[str]:
    """The segments that the server sees below the api root."""
    raw = TARGET.url(path, "").raw_path_qs
    assert raw.startswith("/api/")
    assert raw.isascii()
    assert not set(raw) & set("?#\\ \r\n\x00")
    return [unquote(segment, errors="strict") for segment in raw.removeprefix("/api/").split("/")]


@given(names | tricky)
def test_a_file_name_is_one_segment_or_refused(name):
    try:
        path = ops.DELETE_BATCH_FILE.url_path(batch_id=1, filename=name)
    except InvalidRequestError:
        assert (
            name in {".", ".."}
            or len(name) > 255
            or set(name) & set("\x00\r\n")
            or any("\ud800" <= c <= "\udfff" for c in name)
        )
        return
    assert on_the_wire(path) == ["v2", "batches", "1", "files", name]


@given(names | tricky)
def test_an_id_is_one_segment_or_refused(run_id):
    try:
        path = ops.DELETE_RUN.url_path(run_id=run_id)
    except InvalidRequestError:
        return
    assert on_the_wire(path) == ["v2", "apps", "runs", run_id]
    assert not set(run_id) & set("/?#%\\ ")


@given(st.lists(names | tricky, min_size=1, max_size=4))
def test_a_path_keeps_its_segments_or_is_refused(segments):
    path = "/".join(segments)
    try:
        encoded = ops.DELETE_FILE.url_path(path=path)
    except InvalidRequestError:
        return
    assert on_the_wire(encoded) == ["v2", "files", *path.strip("/").split("/")]


@given(names | tricky)
def test_a_raw_path_addresses_what_it_says_or_is_refused(text):
    try:
        request = raw("GET", "/" + text)
    except InvalidRequestError:
        return
    assert on_the_wire(request.path) == [unquote(segment) for segment in text.split("/")]


# 1, 3, 7
@pytest.mark.parametrize("name", ["..", ".", "", "a\x00", "a\r", "a\nb", "a" * 256, "\udcff"])
def test_names_that_are_refused(name):
    with pytest.raises(InvalidRequestError):
        ops.ADD_FILE.url_path(batch_id=1, filename=name)


@pytest.mark.parametrize("bad", ["1/../2", "1?x", "1#x", "%2e", "a b", "..", "", "1\\2", "\u2003"])
def test_ids_that_are_refused(bad):
    for operation, label in ((ops.GET_BATCH, "batch_id"), (ops.GET_RUN_STATUS, "run_id"), (ops.JOB_STATUS, "job_id")):
        with pytest.raises(InvalidRequestError):
            operation.url_path(**{label: bad})


@pytest.mark.parametrize("path", ["", "/", "a//b", "a/../b", "./a", "a/.", "a/\x00"])
def test_paths_that_are_refused(path):
    with pytest.raises(InvalidRequestError):
        ops.READ_FILE.url_path(path=path)


@pytest.mark.parametrize(
    "path",
    [
        "v2/x",
        "/a?b=1",
        "/a#b",
        "/a/../b",
        "/a/%2e%2E/b",
        "/a/.%2e",
        "/a\nb",
        "/a%00",
        "/a%0d",
        "/a%zz",
        "/\ud800",
        "/a%",
    ],
)
def test_raw_paths_that_are_refused(path):
    with pytest.raises(InvalidRequestError):
        raw("GET", path)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "GE T"},
        {"method": "GET\r\n"},
        {"method": ""},
        {"headers": {"a": "b\r\nc"}},
        {"headers": {"a b": "c"}},
        {"json": {"a": "\ud800"}},
        {"json": {"a": object()}},
        {"json": {}, "content": b""},
        {"content": "text"},
        {"params": {"a": "\ud800"}},
    ],
)
def test_raw_requests_that_are_refused(options):
    with pytest.raises(InvalidRequestError):
        raw(**{"method": "GET", "path": "/x", **options})


# 2, 4
def test_names_that_are_fine():
    assert ops.ADD_FILE.url_path(batch_id=1, filename="a/b ?#%2F;+&.pdf").endswith("/a%2Fb%20%3F%23%252F%3B%2B%26.pdf")
    assert len(on_the_wire(ops.ADD_FILE.url_path(batch_id=1, filename="字" * 255))[-1]) == 255
    assert (
        ops.READ_FILE.url_path(path="/org/ws/fs/Instabase Drive/a.pdf") == "/v2/files/org/ws/fs/Instabase%20Drive/a.pdf"
    )


def test_a_root_without_a_path_takes_a_doubled_slash_for_a_path():
    url = Target.of("https://hub.example").url("//evil.example/x", "")
    assert (url.host, url.raw_path_qs) == ("hub.example", "//evil.example/x")


def test_the_27_current_operations_and_their_repeat_classes():
    current = [operation for operation in ops.OPERATIONS if operation.standing is ops.Standing.CURRENT]
    assert len({operation.name for operation in current}) == len(current) == 27
    once = {operation.name for operation in current if operation.repeat is ops.Repeat.ONCE}
    assert once == {"createBatch", "runApp", "runDeployment", "createSecret", "commitMultipartUploadSession"}
    settled = {operation.name for operation in current if operation.repeat is ops.Repeat.IDEMPOTENT_DELETE}
    assert settled == {operation.name for operation in current if operation.method == "DELETE"}
    assert ops.ABORT_UPLOAD.repeat is ops.Repeat.IDEMPOTENT_DELETE


def test_polls_and_cancels_have_a_lane_of_their_own():
    control = {operation.name for operation in ops.OPERATIONS if operation.lane is ops.Lane.CONTROL}
    assert control >= {"jobStatus", "getRunStatus", "listRuns", "deleteRun", "deleteBatch", "cancelJob"}
    assert not control & {"addFileToBatch", "uploadMultipartPart", "runApp", "getRunResults", "createBatch"}
    assert ops.ABORT_UPLOAD.lane is ops.Lane.CONTROL


def test_only_runs_in_memory_take_the_server_long():
    assert {operation.name for operation in ops.OPERATIONS if operation.seconds} == {
        "runFlowBinarySync",
        "runLegacyAppSync",
    }
