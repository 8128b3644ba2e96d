import json
import pickle
import threading
from unittest import mock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async import models
from aihub_async.models import decode as decode_module
from aihub_async.models.decode import DecodeError, decode, encode, structure, unstructure
from aihub_async.models.raw import Payload

DEEP = b"[" * 100_000 + b"]" * 100_000
LONG_INTEGER = b"9" * 5_000

MODELS = sorted(
    (
        cls
        for cls in vars(models).values()
        if isinstance(cls, type) and issubclass(cls, models.Model) and attrs.has(cls)
    ),
    key=lambda cls: cls.__name__,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def any_object(cls):
    """Objects with the names of `cls` and any JSON at all as their values."""
    names = [field.name for field in attrs.fields(cls)]
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), json_values, max_size=len(names) + 2)


# What is refused


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b'{"id": NaN}', "expected int, got a number"),
        (b'{"id": Infinity}', "expected int, got a number"),
        (b'{"id": 1', "not JSON"),
        (b'{"id": 1} {"id": 2}', "not JSON"),
        (b'{"id": "\xff"}', "UTF-8"),
        (b'{"id": ' + DEEP + b"}", "deeply"),
        (b'{"id": 1, "unknown": ' + DEEP + b"}", "deeply"),
        (b'{"id": ' + LONG_INTEGER + b"}", "expected int, got a string"),
        (b'{"id": 1e999}', "expected int, got a number"),
        (b"null", "Batch: expected an object, got null"),
        (b"[]", "Batch: expected an object, got an array"),
        (b'[{"id": 1}]', "Batch: expected an object, got an array"),
        (b'"id"', "Batch: expected an object, got a string"),
        (b"7", "Batch: expected an object, got a number"),
        (b"true", "Batch: expected an object, got a boolean"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_what_is_not_an_answer_is_refused(body, reason):
    with pytest.raises(DecodeError, match=reason) as caught:
        decode(models.Batch, body)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("body", [DEEP, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, LONG_INTEGER, b"-" + LONG_INTEGER])
@pytest.mark.parametrize("cls", [models.RunResults, dict, list])
def test_hostile_json_never_leaks_another_error(cls, body):
    with pytest.raises(DecodeError):
        decode(cls, body)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(body):
    try:
        run = decode(models.Run, body)
    except DecodeError:
        return
    assert run.id is not None


def test_the_body_is_never_quoted():
    for body in (b"token=hunter2", b'{"id": {"password": "hunter2"}}', b'"hunter2"', b"<p>hunter2"):
        with pytest.raises(DecodeError) as caught:
            decode(models.Batch, body)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("cls", "body", "message"),
    [
        (models.Run, {}, "Run.id is missing at $"),
        (models.Run, {"id": None}, "Run.id is null at $"),
        (models.Run, {"id": {}}, "Run.id: expected str, got an object, at $"),
        (models.Batch, {"id": "seven"}, "Batch.id: expected int, got a string, at $"),
        (models.BatchInfo, {"name": "a"}, "BatchInfo.id is missing at $"),
        (models.ListRuns, {"runs": [{"id": "a"}, {"status": "RUNNING"}]}, "Run.id is missing at $.runs[1]"),
        (models.ListRuns, {"runs": [None]}, "Run: expected an object, got null, at $.runs[0]"),
        (models.ListBatches, {"batches": {"id": None}}, "BatchInfo.id is null at $.batches"),
        (models.MultipartUploadPart, {"part_id": "p"}, "MultipartUploadPart.part_num is missing at $"),
    ],
)
def test_a_missing_id_is_an_error_that_names_class_and_path(cls, body, message):
    with pytest.raises(DecodeError) as caught:
        decode(cls, json.dumps(body).encode())
    assert str(caught.value) == message


# What is tolerated


def test_a_byte_order_mark_is_skipped_and_the_last_of_duplicate_keys_counts():
    batch = decode(models.Batch, b'\xef\xbb\xbf{"id": 1, "id": 2}')
    assert batch.id == 2
    assert batch.raw == {"id": 2}


def test_duplicate_keys_in_the_tolerant_lane_also_end_with_the_last():
    assert decode(models.Run, b'{"id": 1, "id": "b", "status": "X", "status": null}') == models.Run("b")


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        ({"msg": 5}, {"msg": "5"}),
        ({"msg": 1.5}, {"msg": "1.5"}),
        ({"msg": True}, {"msg": "true"}),
        ({"msg": {"text": "x"}}, {"msg": None}),
        ({"status": "ON_HOLD"}, {"status": "ON_HOLD"}),
        ({"batch_id": "17"}, {"batch_id": 17}),
        ({"batch_id": 17.0}, {"batch_id": 17}),
        ({"batch_id": 17.5}, {"batch_id": None}),
        ({"batch_id": "1_7"}, {"batch_id": None}),
        ({"batch_id": "9" * 5_000}, {"batch_id": None}),
        ({"start_timestamp": []}, {"start_timestamp": None}),
        ({"tags": "one"}, {"tags": ["one"]}),
        ({"tags": [1, None, "x", {}]}, {"tags": ["1", "x"]}),
        ({"tags": None, "msg": 1}, {"tags": None, "msg": "1"}),
    ],
)
def test_values_of_another_type_are_read_or_none_and_kept(sent, understood):
    body = {"id": "r"} | sent
    run = decode(models.Run, json.dumps(body).encode())
    assert run == models.Run("r", **understood)
    assert run.raw == body


@pytest.mark.parametrize("value", [5, 1.5, True, ["a", 1], {"amount": 3}, "text", "", None])
def test_a_field_value_of_any_type_is_kept_in_the_strict_lane(value):
    body = json.dumps({"files": [{"documents": [{"fields": [{"value": value}]}]}]}).encode()
    with tolerant_lane_forbidden():
        results = decode(models.RunResults, body)
    assert results.files[0].documents[0].fields[0].value == value


def test_nulls_lists_and_objects_out_of_place():
    sent = {
        "batch_id": 12,
        "keys": [{"custom": {"a": 1}}],
        "case_info": [],
        "has_more": "true",
        "files": [
            None,
            {"documents": None},
            {"documents": {"fields": [{"confidence": {"model": "0.5", "ocr": "nan"}, "source_coordinates": None}]}},
            {"documents": [{"page_numbers": [1, "2", "x"], "validations": [1, 2], "class_edit_history": ["?"]}]},
            {"documents": "none"},
        ],
    }
    results = decode(models.RunResults, json.dumps(sent).encode())
    assert results == models.RunResults(
        batch_id="12",
        keys=models.ResultKeys({"a": 1}),
        has_more=True,
        files=[
            models.ResultFile(),
            models.ResultFile(),
            models.ResultFile(
                documents=[models.Document(fields=[models.Field(confidence=models.Confidence(model=0.5))])]
            ),
            models.ResultFile(
                documents=[models.Document(page_numbers=[1, 2], class_edit_history=[models.EditHistoryEvent()])]
            ),
            models.ResultFile(),
        ],
    )
    assert results.raw == sent
    assert results.files[3].documents[0].raw["validations"] == [1, 2]


@given(st.sampled_from(MODELS).flatmap(lambda cls: st.tuples(st.just(cls), any_object(cls))))
def test_any_object_becomes_a_model_unless_an_id_is_missing(case):
    cls, sent = case
    try:
        model = decode(cls, json.dumps(sent).encode())
    except DecodeError:
        required = [field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING]
        assert required or any(isinstance(value, list | dict) for value in sent.values())
        return
    assert model.raw == sent
    assert set(model.extra) == set(sent) - {field.name for field in attrs.fields(cls)}
    assert cls.from_json(model.to_json()) == model


@given(st.sampled_from(MODELS).flatmap(lambda cls: st.tuples(st.just(cls), any_object(cls))))
def test_from_dict_takes_the_same_as_decode(case):
    cls, sent = case
    try:
        model = cls.from_dict(sent)
    except DecodeError:
        return
    assert model.raw is sent
    assert decode(cls, encode(sent)) == model


# The two lanes


def tolerant_lane_forbidden():
    refused = AssertionError("the tolerant lane was used")
    return mock.patch.object(decode_module, "structure_refused", side_effect=refused)


def test_the_tolerant_lane_is_used_only_when_the_strict_lane_refuses():
    with tolerant_lane_forbidden():
        assert decode(models.Run, b'{"id": "a", "new": {"x": [1]}, "status": "NEW"}').extra == {"new": {"x": [1]}}
        with pytest.raises(AssertionError, match="tolerant lane"):
            decode(models.Run, b'{"id": 5}')


def test_both_lanes_agree_on_a_whole_page():
    strict = {"id": "r", "files": [{"original_file_name": "a", "documents": [{"fields": [{"field_name": "x"}]}]}]}
    refused = strict | {"start_timestamp": "1"}
    first = decode(models.RunResults, encode(strict))
    second = decode(models.RunResults, encode(refused))
    assert second == first.evolve(start_timestamp=1)


def results_page(**odd):
    fields = [{"field_name": str(n), "value": "x", "confidence": {"model": 0.5, "new": 1}} for n in range(3)]
    fields[1] |= odd
    documents = [{"fields": fields, "classification_confidence": None, "lang": "de"}]
    return {"id": "r", "files": [{"documents": documents}, {"documents": [{"fields": [{"value": 7}]}]}]}


@pytest.mark.parametrize(
    "odd",
    [{"source_coordinates": None}, {"type": 5}, {"confidence": {"model": "0.5", "new": 1}}, {"edit_history": {}}],
    ids=repr,
)
def test_one_oddity_leaves_the_rest_of_a_page_as_it_is(odd):
    sent = results_page(**odd)
    results = decode(models.RunResults, encode(sent))
    assert results == models.RunResults.from_dict(sent)
    assert results.to_dict() == models.RunResults.from_dict(sent).to_dict()
    document = results.files[0].documents[0]
    assert document.extra == {"lang": "de"}
    assert [field.raw for field in document.fields] == sent["files"][0]["documents"][0]["fields"]


def test_nan_in_plain_types_is_not_understood():
    assert models.Confidence.from_dict({"model": float("nan"), "ocr": 0.5}) == models.Confidence(ocr=0.5)


# raw, extra, to_dict


def test_items_of_a_page_share_one_parse():
    body = encode({"runs": [{"id": str(number), "new": number} for number in range(5)], "total": 5})
    page = decode(models.ListRuns, body)
    with mock.patch("aihub_async.models.raw.msgspec.json.decode", wraps=json.loads) as parses:
        assert [run.extra for run in page.runs] == [{"new": number} for number in range(5)]
        assert page.extra == {"total": 5}
    assert parses.call_count == 1


def test_raw_is_reached_from_each_level_down_to_a_field():
    field = {"field_name": "x", "confidence": {"model": 1, "unit": "p"}, "colour": "red"}
    sent = {"files": [{"documents": [{"fields": [{}, field], "lang": "de"}]}], "case_info": {"fields": [{"new": 1}]}}
    results = decode(models.RunResults, encode(sent))
    document = results.files[0].documents[0]
    assert document.extra == {"lang": "de"}
    assert document.fields[1].raw == field
    assert document.fields[1].extra == {"colour": "red"}
    assert results.case_info.fields[0].extra == {"new": 1}
    assert results.raw == sent


@pytest.mark.parametrize("odd", [{}, {"batch_id": 5}], ids=["strict lane", "tolerant lane"])
def test_to_dict_has_unknown_fields_of_every_depth_and_no_none(odd):
    sent = odd | {"new": 1, "files": [{"documents": [{"fields": [{"confidence": {"model": 0.5, "unit": "p"}}]}]}]}
    result = decode(models.RunResults, encode(sent)).to_dict()
    assert result["new"] == 1
    field = result["files"][0]["documents"][0]["fields"][0]
    assert field == {"confidence": {"model": 0.5, "unit": "p"}}


def test_raw_takes_no_part_in_equality_hash_repr_and_pickle():
    sent = decode(models.BatchDeletionJob, b'{"job_id": "j", "secret": "hunter2"}')
    made = models.BatchDeletionJob("j")
    assert sent == made
    assert hash(sent) == hash(made)
    assert repr(sent) == repr(made) == "BatchDeletionJob(job_id='j')"
    pickled = pickle.dumps(sent)
    assert b"hunter2" not in pickled
    copy = pickle.loads(pickled)
    assert copy == sent
    assert (copy.raw, copy.extra) == ({"job_id": "j"}, {})


def test_evolve_keeps_raw():
    session = decode(models.MultipartUploadSession, b'{"session_id": "s", "part_size": 5, "ttl": 60}')
    moved = session.evolve(location="/sessions/s")
    assert moved.location == "/sessions/s"
    assert moved.extra == {"ttl": 60}
    assert models.Batch(1).evolve(id=2).raw == {"id": 2}


def test_an_unknown_number_that_is_too_long_is_kept_as_its_text():
    run = decode(models.Run, b'{"id": "a", "new": ' + LONG_INTEGER + b"}")
    assert run.id == "a"
    for _attempt in range(2):
        assert run.raw == {"id": "a", "new": LONG_INTEGER.decode()}


def test_a_payload_may_be_read_by_many_threads():
    payload = Payload(b'{"a": 1}')
    start = threading.Barrier(4)
    seen = []

    def read():
        start.wait(5)
        seen.append(payload.value())

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert seen == [{"a": 1}] * 4


# Other classes


@attrs.frozen
class Row:
    name: str
    size: int
    run: models.Run | None = None


def test_other_classes_are_structured_and_unstructured_too():
    row = Row("a", 1, models.Run("r", status="RUNNING"))
    plain = {"name": "a", "size": 1, "run": {"id": "r", "status": "RUNNING"}}
    assert unstructure(row) == plain
    assert structure(Row, plain) == row
    assert structure(models.Batch, {"id": "7"}) == models.Batch(7)
    with pytest.raises(DecodeError, match=r"Row.*size"):
        structure(Row, {"name": "a"})
    with pytest.raises(DecodeError, match=r"Run\.id is missing"):
        structure(models.Run, {})


def test_plain_types_are_decoded_strictly():
    assert decode(dict, b'{"message": "no"}') == {"message": "no"}
    with pytest.raises(DecodeError, match="not a dict"):
        decode(dict, b"[]")


def test_encode_writes_plain_types_models_and_settings():
    body = {"name": "märz", "state": models.JobState.FAILED, "none": None, "batch": models.Batch(1)}
    assert encode(body) == '{"name":"märz","state":"FAILED","none":null,"batch":{"id":1}}'.encode()
    assert encode(models.RunSettings(tags=["a"])) == b'{"tags":["a"]}'
    with pytest.raises(TypeError):
        encode({"x": object()})


def test_from_json_takes_text_and_bytes():
    assert models.Batch.from_json('\ufeff{"id": 1}') == models.Batch.from_json(b'{"id": 1}') == models.Batch(1)
    with pytest.raises(DecodeError, match="expected int"):
        models.Batch.from_json('{"id": "\ud800"}')


# What only Python's json reads

SENT = [
    ('"caf\\ud83d"', "caf\ud83d"),
    ('"a\\udc00b"', "a\udc00b"),
    ("NaN", None),
    ("-Infinity", None),
    ("1" * 30, "1" * 30),
    ("9" * 5_000, "9" * 5_000),
    ("1e999", None),
]


@pytest.mark.parametrize(("sent", "text"), SENT)
def test_one_odd_value_does_not_reject_a_page(sent, text):
    body = f'{{"batches":[{{"id":7,"name":{sent}}},{{"id":8,"name":"ok","extra":{sent}}}]}}'.encode()
    page = decode(models.ListBatches, body)
    assert [batch.id for batch in page.batches] == [7, 8]
    assert page.batches[1].name == "ok"
    assert page.batches[0].name == (text if text is not None else str(json.loads(sent)))
    if len(sent) < 4000:
        assert repr(page.raw) == repr(json.loads(body))
    assert json.loads(page.to_json())["batches"][1]["name"] == "ok"


@pytest.mark.parametrize(("sent", "text"), SENT)
def test_values_of_fields_are_kept(sent, text):
    body = f'{{"files":[{{"documents":[{{"fields":[{{"field_name":"f","value":{sent}}}]}}]}}]}}'.encode()
    results = decode(models.RunResults, body)
    value = results.files[0].documents[0].fields[0].value
    if len(sent) < 4000:
        assert repr(value) == repr(json.loads(sent))
    else:
        assert value == text
    assert results.files[0].documents[0].fields[0].confidence is None


def test_nan_is_no_number():
    body = b'{"files":[{"documents":[{"fields":[{"confidence":{"model":NaN,"ocr":0.5}}]}]}]}'
    assert decode(models.RunResults, body).files[0].documents[0].fields[0].confidence == models.Confidence(ocr=0.5)


def test_plain_types_read_leniently():
    assert decode(dict, b'{"a": "\\ud83d"}') == {"a": "\ud83d"}
    with pytest.raises(DecodeError, match="not a list"):
        decode(list, b'{"a": "\\ud83d"}')


def test_a_null_name_or_alias_does_not_reject_a_page():
    assert decode(models.ListBatches, b'{"batches":[{"id":1,"name":null},{"id":2}]}').batches[1].name is None
    assert decode(models.ListSecrets, b'{"secrets":[{"alias":null},{"alias":"a"}]}').secrets[1].alias == "a"


@pytest.mark.parametrize("name", ["Run", "BatchInfo", "RunResults", "ListRuns", "ListBatches"])
@pytest.mark.parametrize(
    "sent",
    [
        {"id": 1, "name": "n"},
        {"id": "1", "name": None, "tags": None, "batch_id": None, "new": None},
        {"id": 1, "tags": [], "files": [], "runs": [], "batches": []},
        {"id": 1, "files": None, "runs": None, "batches": "odd", "has_more": "odd"},
    ],
)
def test_to_dict_is_what_was_sent(name, sent):
    """Nulls stay, and nothing is added: code that looks for a key finds what the server sent."""
    result = decode(getattr(models, name), encode(sent)).to_dict()
    assert result.keys() == sent.keys()
    assert {key: value for key, value in result.items() if key != "id"} == {
        key: value for key, value in sent.items() if key != "id"
    }


def test_to_dict_has_what_was_changed():
    run = decode(models.Run, b'{"id":"r","tags":null}').evolve(status="COMPLETE", tags=["a"])
    assert run.to_dict() == {"id": "r", "status": "COMPLETE", "tags": ["a"]}
