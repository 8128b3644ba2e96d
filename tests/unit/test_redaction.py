import base64
import html
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.config import make_settings
from aihub_async.secrecy import SecretValue
from aihub_async.transport.redaction import Redactor, kept_headers, request_id, server_message

KEY = "s3cret/+key=with?chars&0123456789"


def settings(**options):
    return make_settings(SecretValue({"api_key": KEY, **options}))


REDACT = Redactor(settings())


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_base64_at_any_offset(before, after):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = REDACT.text(encode(before + KEY.encode() + after).decode())
        assert "***" in text
        core = encode(KEY.encode()).decode()
        assert core[4:-4] not in text


@given(st.text(max_size=20), st.text(max_size=20))
def test_plain_and_encoded_forms(before, after):
    for form in (
        KEY,
        KEY.upper(),
        urllib.parse.quote(KEY, safe=""),
        urllib.parse.quote(KEY).lower(),
        urllib.parse.quote_plus(KEY),
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
        html.escape(KEY),
    ):
        assert form not in REDACT.text(before + form + after)


@given(st.text(alphabet='ab "\\/<&é☃', min_size=4, max_size=12))
def test_a_secret_that_needs_escapes(secret):
    redact = REDACT.also(SecretValue((secret,)))
    for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret)):
        assert redact.text(f"-{form}-") == "-***-"


def test_values_of_secret_headers_count_and_others_do_not():
    headers = {"X-Proxy-Token": "tok-12345", "Cookie": "sid=9876", "Authorization": "Basic abcdef", "Accept": "text/x"}
    redact = Redactor(settings(headers=headers))
    assert redact.text("tok-12345 sid=9876 abcdef text/x") == "*** *** *** text/x"


def test_what_is_kept_of_an_answer():
    headers = {"X-Request-Id": f"id-{KEY}", "Set-Cookie": "s=1", "CONTENT-TYPE": "text/html", "X-Other": "1"}
    kept = kept_headers(headers, REDACT)
    assert kept == {"X-Request-Id": "id-***", "CONTENT-TYPE": "text/html"}
    assert kept["content-type"] == "text/html"
    assert request_id(kept) == "id-***"
    assert request_id({}) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "no"}', "no"),
        (b'{"status": "ERROR", "msg": "old"}', "old"),
        (b'{"message": ""}', None),
        (b'{"message": 5}', None),
        (b'["message"]', None),
        (b"<html>", None),
        (b"", None),
        (b"[" * 60_000, None),
        (b'{"message": "' + b"x" * 70_000 + b'"}', None),
        (b'{"message": "' + b"x" * 5000 + b'"}', "x" * 2048),
        (json.dumps({"message": f"bad {KEY}"}).encode(), "bad ***"),
        (json.dumps({"message": "a\r\nforged \x1b[31mred\u2028"}).encode(), "a  forged  [31mred "),
    ],
)
def test_server_message(body, message):
    assert server_message(body, REDACT) == message


@given(st.integers(0, 70_000), st.integers(1, 5))
def test_the_kept_beginning_never_has_a_part_of_the_key(offset, times):
    body = b"-" * offset + KEY.encode() * times + b"-" * 5000
    kept = REDACT.beginning(body)
    assert len(kept) <= 4096
    assert KEY[:4].encode() not in kept
