import copy
import datetime as dt
import pickle
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async import models
from aihub_async.errors import InvalidRequestError
from aihub_async.models import (
    DeletionJob,
    FileMetadata,
    JobState,
    JobStatus,
    Run,
    RunDeletion,
    RunResults,
    RunSettings,
    RunStatus,
    WebhookConfig,
    settings_dict,
)
from aihub_async.models.decode import decode

UTC = dt.UTC
MODELS = [cls for cls in vars(models).values() if isinstance(cls, type) and attrs.has(cls)]


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_every_model_is_frozen_slotted_and_documented(cls):
    assert cls.__doc__
    required = {f.name: 1 for f in attrs.fields(cls) if f.default is attrs.NOTHING}
    if cls is FileMetadata:
        required["headers"] = {}
    if cls is WebhookConfig:
        required["url"] = "https://example.com"
    instance = cls(**required)
    assert not hasattr(instance, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(instance, attrs.fields(cls)[0].name, None)


def test_every_public_name_exists_once():
    assert len(models.__all__) == len(set(models.__all__))
    assert all(hasattr(models, name) for name in models.__all__)
    assert {cls.__name__ for cls in MODELS} <= set(models.__all__)


@pytest.mark.parametrize("module", sorted(Path(models.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_only_the_decoder_imports_the_serialisers(module):
    imports = {line.split()[1] for line in module.read_text().splitlines() if line.startswith(("import ", "from "))}
    allowed = {"raw.py", "decode.py", "tolerant.py"}
    assert module.name in allowed or not imports & {"msgspec", "cattrs", "json"}


# Runs


@pytest.mark.parametrize("status", list(RunStatus))
def test_a_run_is_terminal_as_its_status_is(status):
    terminal = status in {"COMPLETE", "FAILED", "CANCELLED"}
    assert status.is_terminal is terminal
    assert Run("r", status=status.value).is_terminal is terminal
    assert RunResults(status=status.value).is_terminal is terminal


def test_an_unknown_status_is_kept_and_not_terminal():
    run = decode(Run, b'{"id": "r", "status": "ARCHIVED"}')
    assert run.status == "ARCHIVED"
    assert not run.is_terminal
    assert not Run("r").is_terminal
    assert decode(Run, b'{"id": "r", "status": "COMPLETE"}').status == RunStatus.COMPLETE


def test_times_of_a_run_are_nanoseconds():
    run = Run("r", start_timestamp=1_700_000_000_123_456_789, finish_timestamp=0)
    assert run.started_at == dt.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert run.finished_at is None
    assert Run("r").started_at is None
    results = RunResults(start_timestamp=10**9, finish_timestamp=10**40)
    assert results.started_at == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert results.finished_at is None


@given(st.integers())
def test_any_number_is_a_time_or_none(timestamp):
    moment = Run("r", finish_timestamp=timestamp).finished_at
    assert moment is None or moment.tzinfo is UTC


def test_job_ids_of_a_run_deletion_leave_out_what_was_not_started():
    deletion = decode(RunDeletion, b'{"delete_input_dir_job_id": null, "delete_log_dir_job_id": "l"}')
    assert deletion.job_ids == ("l",)
    assert RunDeletion("i", "o", "l").job_ids == ("i", "o", "l")
    assert RunDeletion().job_ids == ()


# Jobs


@pytest.mark.parametrize("state", list(JobState))
def test_a_job_is_terminal_as_its_state_is(state):
    assert state.is_terminal is (state not in {"PENDING", "RUNNING"})
    assert JobStatus(state=state.value).is_terminal is state.is_terminal


@pytest.mark.parametrize(
    ("location", "job_id"),
    [
        ("https://aihub.example.com/api/v2/jobs/9f3a-1", "9f3a-1"),
        ("/v2/jobs/9f3a?wait=1#x", "9f3a"),
        ("/v2/jobs/9f3a/", "9f3a"),
        (" 9f3a ", "9f3a"),
        ("/v2/jobs/a%20b", "a b"),
        ("", None),
        ("https://aihub.example.com", None),
        ("https://[broken", None),
        (None, None),
    ],
)
def test_a_deletion_job_is_read_from_the_location_header(location, job_id):
    assert DeletionJob.from_location(location) == DeletionJob(job_id, location)


# Files


def test_metadata_of_a_file():
    headers = {"content-type": "application/octet-stream", "Content-Length": "42"}
    meta = FileMetadata(200, headers | {"last-modified": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert not meta.is_folder
    assert meta.size == 42
    assert meta.last_modified == dt.datetime(2015, 10, 21, 7, 28, tzinfo=UTC)
    assert meta.headers["CONTENT-LENGTH"] == "42"
    assert "content-length" in meta.headers
    assert list(meta.headers) == ["content-type", "Content-Length", "last-modified"]
    assert (meta.status_code, meta.data, meta.raw_data) == (200, None, b"")
    assert pickle.loads(pickle.dumps(meta)) == meta


def test_metadata_of_a_folder():
    meta = FileMetadata(200, {"Content-Type": "application/json; charset=utf-8", "Content-Length": "2"})
    assert meta.is_folder
    assert meta.size is None
    assert meta.last_modified is None


@pytest.mark.parametrize("length", ["", "-1", "1.5", "x", "٣", "9" * 5_000])
def test_a_length_that_is_none_is_not_told(length):
    assert FileMetadata(200, {"Content-Length": length}).size is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2015-10-21T07:28:00Z", dt.datetime(2015, 10, 21, 7, 28, tzinfo=UTC)),
        ("2015-10-21T09:28:00+02:00", dt.datetime(2015, 10, 21, 7, 28, tzinfo=UTC)),
        ("2015-10-21 07:28:00", dt.datetime(2015, 10, 21, 7, 28, tzinfo=UTC)),
        ("Wed, 21 Oct 2015 07:28:00 -0000", dt.datetime(2015, 10, 21, 7, 28, tzinfo=UTC)),
        ("yesterday", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_a_modification_time_is_an_http_date_or_iso(text, moment):
    assert FileMetadata(200, {"Last-Modified": text}).last_modified == moment


@given(st.text(max_size=40))
def test_any_header_text_is_a_time_or_none(text):
    moment = FileMetadata(200, {"Last-Modified": text}).last_modified
    assert moment is None or moment.tzinfo is not None


# Audit logs


def test_audit_logs_are_read_from_their_envelope():
    body = b'{"status": "OK", "data": {"results": [{"timestamp_millis": 17, "email": "a@b.c", "verb": "GET"}]}}'
    logs = decode(models.AuditLogs, body)
    assert logs.results == [models.AuditLogEntry(timestamp_millis="17", email="a@b.c")]
    assert logs.results[0].extra == {"verb": "GET"}
    assert decode(models.AuditLogs, b'{"status": "OK", "data": null}').results == []


# Settings


def test_settings_become_what_the_api_takes():
    settings = RunSettings(
        custom={"region": "north"},
        secret={"key": "alias"},
        runtime_config={"instabase": {"pdf": {"dpi": 300}}, "other": 1},
        generate_post_process_pdf=True,
        pdf_passwords={"a.pdf": "pw"},
        webhook_config=WebhookConfig("https://example.com/hook", {"X-Token": "t"}),
        tags=["march"],
    )
    assert settings.to_dict() == {
        "keys": {"custom": {"region": "north"}, "secret": {"key": "alias"}},
        "runtime_config": {
            "instabase": {"pdf": {"dpi": 300, "passwords": {"a.pdf": "pw"}}},
            "other": 1,
            "generate_post_process_pdf": True,
        },
        "webhook_config": {"url": "https://example.com/hook", "headers": {"X-Token": "t"}},
        "tags": ["march"],
    }
    assert settings.runtime_config.reveal() == {"instabase": {"pdf": {"dpi": 300}}, "other": 1}


def test_empty_settings_are_left_out():
    assert RunSettings().to_dict() == {}
    assert RunSettings(generate_post_process_pdf=False).to_dict() == {
        "runtime_config": {"generate_post_process_pdf": False}
    }
    assert WebhookConfig("https://example.com").to_dict() == {"url": "https://example.com"}


def test_settings_show_names_and_never_values():
    settings = RunSettings(
        custom={"a": "hunter2"},
        secret={"b": "hunter2"},
        runtime_config={"c": "hunter2"},
        pdf_passwords={"d.pdf": "hunter2"},
        webhook_config=WebhookConfig("https://hunter2:hunter2@example.com/x?t=hunter2#hunter2", {"e": "hunter2"}),
    )
    text = repr(settings)
    assert "hunter2" not in text
    assert all(name in text for name in ("'a'", "'b'", "'c'", "'d.pdf'", "'e'", "https://example.com/x"))


def test_settings_are_copied_but_never_pickled():
    settings = RunSettings(pdf_passwords={"a.pdf": "pw"})
    assert copy.deepcopy(settings) is copy.copy(settings) is settings
    with pytest.raises(TypeError, match="may hold secrets"):
        pickle.dumps(settings)
    with pytest.raises(TypeError, match="may hold secrets"):
        pickle.dumps(WebhookConfig("https://example.com"))


@pytest.mark.parametrize("tags", ["march", [1], ["x" * 300, "y" * 201]])
def test_tags_that_the_api_refuses_are_refused(tags):
    with pytest.raises(InvalidRequestError, match="tags"):
        RunSettings(tags=tags)
    with pytest.raises(InvalidRequestError, match="tags"):
        settings_dict({"tags": tags})


def test_settings_may_be_a_plain_dict_which_is_copied():
    mine = {"tags": ["a"], "anything": {"else": 1}}
    plain = settings_dict(mine)
    plain["anything"]["else"] = 2
    plain["tags"].append("b")
    assert mine == {"tags": ["a"], "anything": {"else": 1}}
    assert settings_dict(None) == {}
    assert settings_dict(RunSettings(tags=["x" * 500])) == {"tags": ["x" * 500]}


def test_settings_given_as_a_dict_compare_by_what_they_hold():
    one, same, other = (models.conceal_settings(given) for given in ({"a": 1}, {"a": 1}, {"a": 2}))
    assert one == same != other
    assert one.to_dict() == {"a": 1}
    assert repr(one) == "RunSettings({'a': ***})"
