"""The tree of exceptions: what it promises, and that each can go to another process."""

import copy
import inspect
import pickle
import re

import pytest

from aihub_async import errors
from aihub_async.models import Run

DETAILS = errors.RequestDetails(
    operation="addFileToBatch",
    method="PUT",
    path="/v2/batches/1/files/a.txt",
    attempts=(errors.Attempt(1, 0.0, 0.5, "503", 503, 1.5), errors.Attempt(2, 2.0, 0.1, "lost")),
    status=503,
    reason="Service Unavailable",
    request_id="q-7",
    server_message="busy",
    headers={"Retry-After": "3"},
    body=b'{"message": "busy"}',
)
CLASSES = [
    cls
    for cls in vars(errors).values()
    if inspect.isclass(cls) and issubclass(cls, errors.AIHubError) and cls.__module__ == errors.__name__
]
SPECIAL = {"run": Run(id="r", status="FAILED"), "report": None, "id": "r", "job_id": "j", "state": "FAILED"}


def make(cls: type[errors.AIHubError]) -> errors.AIHubError:
    if issubclass(cls, errors.RequestError):
        return cls("what happened", DETAILS)
    parameters = inspect.signature(cls.__init__).parameters
    needed = {
        name: SPECIAL.get(name, f"some {name}")
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    return cls("what happened", **needed)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_survives_pickling_and_copying(cls):
    error = make(cls)
    error.add_note("seen by a test")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is cls
        assert (str(other), repr(other), other.args) == (str(error), repr(error), error.args)
        state = {name: value for name, value in vars(error).items() if name != "__notes__"}
        assert {name: value for name, value in vars(other).items() if name != "__notes__"} == state


def test_unclear_outcome_forgets_how_to_ask_when_pickled():
    error = errors.OutcomeUnknownError("lost", DETAILS, cause="lost")
    error.reconcile = lambda: None
    other = pickle.loads(pickle.dumps(error))
    assert other.reconcile is None
    assert other.cause == "lost"


def test_subclass_of_a_user_survives_pickling():
    other = pickle.loads(pickle.dumps(OwnError("x", DETAILS)))
    assert type(other) is OwnError
    assert other.status == 503


class OwnError(errors.ServerError):
    pass


def test_text_names_operation_path_request_id_and_attempts():
    text = str(errors.ServerError("503 Service Unavailable: busy", DETAILS))
    assert text == (
        "addFileToBatch: 503 Service Unavailable: busy | PUT /v2/batches/1/files/a.txt | request id q-7 | "
        "2 attempts: 503, lost"
    )


def test_attributes_mirror_the_details():
    error = errors.ServerError("x", DETAILS)
    for name in ("operation", "method", "path", "status", "reason", "request_id", "server_message", "attempts"):
        assert getattr(error, name) == getattr(DETAILS, name)
    assert error.headers == {"Retry-After": "3"}
    assert error.body == '{"message": "busy"}'


def test_details_do_not_show_headers_and_body():
    assert "Retry-After" not in repr(DETAILS)
    assert "busy" not in repr(errors.RequestDetails("o", "GET", "/", body=b"busy"))


@pytest.mark.parametrize(
    ("cls", "also"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.InvalidRequestError, ValueError),
        (errors.ClosedClientError, RuntimeError),
        (errors.WaitTimeoutError, TimeoutError),
        (errors.RequestTimeoutError, TimeoutError),
        (errors.CertificateError, errors.ConnectError),
        (errors.PaginationError, errors.ProtocolError),
        (errors.RedirectError, errors.ProtocolError),
    ],
)
def test_kinships(cls, also):
    assert issubclass(cls, also)


@pytest.mark.parametrize(("status", "cls"), [*errors.STATUS_ERRORS.items(), (418, errors.StatusError)])
def test_class_of_a_status(status, cls):
    assert errors.status_error_class(status) is cls
    assert errors.status_error_class(500 + status % 100) is errors.ServerError


def test_the_tree_in_the_docstring_is_the_tree():
    levels: dict[int, str] = {0: "AIHubError"}
    drawn = {"AIHubError": "Exception"}
    for line in errors.__doc__.splitlines():
        if found := re.match(r"    ((?:[│ ]   )*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            levels[depth] = found[2]
            drawn[found[2]] = levels[depth - 1]
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}
