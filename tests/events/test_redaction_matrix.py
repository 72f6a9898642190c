"""A sentinel secret in every place, format, coding and cut: it is never in the bytes that are posted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import httpx2 as httpx
import pytest

from events.codings import CODINGS
from events.exchange import TOKEN, exchange, posted
from otas_middleware._capture.session import TOKEN_HEADER

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain

SECRET = "zq7xkv9wjh3yfb5t"
"""Shares no six characters with anything else in an event."""
NUMBER = 730291845166
PIECE = 6
KEY_PIECE = 12  # of a key known by its shape only: what is too short to be known is too short to be used
UNCUT = len(SECRET) + 1
BOUNDARY = "xxBOUNDARYxx"


class Format(NamedTuple):
    name: str
    content_type: str
    body: bytes
    piece: int = PIECE
    masks: bool = True


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _multipart(*parts: str) -> bytes:
    return "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts).encode() + f"--{BOUNDARY}--\r\n".encode()


def _field(name: str, value: str, more: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"\r\n{more}\r\n{value}'


JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
TEXT = "text/plain; charset=utf-8"
XML = "application/xml"
HTML = "text/html"
EVENTS = "text/event-stream"

INNER = json.dumps({"user": "ann", "password": SECRET, "n": 1})

FORMATS = [
    Format("json", JSON, _json({"user": "ann", "password": SECRET, "n": 1})),
    Format("json-compact", JSON, json.dumps({"a": 1, "api_key": SECRET, "b": 2}, separators=(",", ":")).encode()),
    Format("json-pretty", JSON, json.dumps({"a": 1, "secret": SECRET, "b": [2]}, indent=4).encode()),
    Format("json-camel", JSON, _json({"accessToken": SECRET, "refreshToken": SECRET, "b": 2})),
    Format("json-kebab", JSON, _json({"X-Api-Key": SECRET, "b": 2})),
    Format("json-upper", JSON, _json({"PASSWORD": SECRET, "b": 2})),
    Format("json-deep", JSON, _json({"a": [{"b": {"c": [{"client_secret": SECRET}]}}], "z": 1})),
    Format("json-list", JSON, _json({"tokens": ["x", SECRET, {"a": SECRET}], "z": 1})),
    Format("json-object", JSON, _json({"credentials": {"login": "ann", "word": SECRET, "n": [SECRET]}, "z": 1})),
    Format("json-number", JSON, _json({"pin": NUMBER, "z": 1})),
    Format("json-escaped-quotes", JSON, _json({"password": f'a"b\\"{SECRET}"}}', "z": 1})),
    Format("json-brackets-in-strings", JSON, _json({"secrets": ["]", "}", f"{{{SECRET}"], "z": 1})),
    Format("json-escaped-name", JSON, b'{"a": 1, "\\u0070ass\\u0077ord": "' + SECRET.encode() + b'", "z": 1}'),
    Format("json-escaped-value", JSON, b'{"password": "\\u007a' + SECRET[1:].encode() + b'", "z": 1}'),
    Format("json-spaced-name", JSON, _json({"Credit card number": SECRET, "z": 1})),
    Format("json-in-json", JSON, _json({"payload": INNER, "z": 1})),
    Format("json-in-json-in-json", JSON, _json({"payload": json.dumps({"inner": INNER}), "z": 1})),
    Format("json-in-json-hex", JSON, b'{"p": "{\\u0022token\\u0022:\\u0022' + SECRET.encode() + b'\\u0022}", "z": 1}'),
    Format(
        "json-labelled", JSON, _json({"fields": [{"name": "password", "value": SECRET}, {"name": "a", "value": 1}]})
    ),
    # Where its label was cut off, nothing says that a value is a secret.
    Format("json-labelled-before", JSON, _json({"f": [{"value": SECRET, "x": 1, "key": "api_key"}]}), UNCUT),
    Format("json-labelled-deep", JSON, b"[" * 250 + _json({"name": "password", "value": SECRET}) + b"]" * 250),
    Format("json-labelled-broken", JSON, _json({"name": "password", "value": SECRET})[:-1] + b"\\ud800,}"),
    Format("json-pairs", JSON, _json({"headers": [["accept", "*/*"], ["authorization", SECRET]]})),
    Format("json-query", JSON, _json({"url": f"https://h/cb?a=1&access_token={SECRET}&b=2", "z": 1})),
    Format("json-form", JSON, _json({"body": f"user=ann&password={SECRET}&n=1", "z": 1})),
    Format("json-message", JSON, _json({"message": f"login failed, password: {SECRET} is wrong", "z": 1})),
    Format("json-graphql", JSON, _json({"query": f'mutation {{ login(user: "a", password: "{SECRET}") {{ id }} }}'})),
    Format(
        "json-variables", JSON, _json({"query": "mutation($p: String!) { x(p: $p) }", "variables": {"pwd": SECRET}})
    ),
    Format("json-bom", JSON, b"\xef\xbb\xbf" + _json({"password": SECRET, "z": 1})),
    Format("json-utf16", "application/json; charset=utf-16", json.dumps({"password": SECRET, "z": 1}).encode("utf-16")),
    Format(
        "json-latin1",
        "application/json; charset=latin-1",
        '{"é": 1, "password": "é%s"}'.encode("latin-1") % SECRET.encode(),
    ),
    Format("json-mislabelled", TEXT, _json({"password": SECRET, "z": 1})),
    Format("json-undeclared", "", _json({"password": SECRET, "z": 1})),
    Format("json-vendor", "application/vnd.api+json", _json({"data": {"attributes": {"password": SECRET}}})),
    Format("json-broken", JSON, _json({"password": SECRET, "z": 1})[:-1] + b",}"),
    Format("ndjson", "application/x-ndjson", b'{"a": 1}\n' + _json({"password": SECRET}) + b'\n{"b": 2}\n'),
    Format(
        "ndjson-labelled", "application/jsonl", b'{"a": 1}\n' + _json({"key": "token", "value": SECRET}) + b"\n{}\n"
    ),
    Format("form", FORM, f"user=ann&password={SECRET}&n=1".encode()),
    Format("form-escaped-name", FORM, f"user=ann&pass%77ord={SECRET}&n=1".encode()),
    Format("form-twice-escaped", FORM, f"user=ann&pass%2577ord={SECRET}&n=1".encode()),
    Format("form-brackets", FORM, f"user%5Bpassword%5D={SECRET}&user[pin]={SECRET}&n=1".encode()),
    Format("form-blanks", FORM, f"password=a+b%20{SECRET}+%26c&n=1".encode()),
    Format("form-json", FORM, f"data={quote(INNER)}&n=1".encode()),
    Format("form-url", FORM, f"next={quote(f'/cb?token={SECRET}&a=1')}&n=1".encode()),
    Format("form-mislabelled", FORM, _json({"password": SECRET, "z": "a=b&c"})),
    Format("multipart", MULTIPART, _multipart(_field("user", "ann"), _field("password", SECRET), _field("n", "1"))),
    Format("multipart-json", MULTIPART, _multipart(_field("data", INNER, "Content-Type: application/json\r\n"))),
    Format("multipart-file", MULTIPART, _multipart(_field('f"; filename="a.txt', f"password={SECRET}")), masks=False),
    Format("xml-element", XML, f"<r><user>ann</user><password>{SECRET}</password><n>1</n></r>".encode()),
    Format("xml-prefix", XML, f'<r><w:Password Type="text">a {SECRET}</w:Password><n>1</n></r>'.encode()),
    Format("xml-nested", XML, f"<r><credentials><a>b</a><c>{SECRET}</c></credentials><n>1</n></r>".encode()),
    Format("xml-cdata", XML, f"<r><secret><![CDATA[</secret>{SECRET}]]></secret><n>1</n></r>".encode()),
    Format("xml-attribute", XML, f'<r><user name="ann" password="{SECRET}"/><n>1</n></r>'.encode()),
    Format("xml-labelled", XML, f'<r><add key="ApiKey" value="{SECRET}"/><e key="pin">{SECRET}</e></r>'.encode()),
    Format("html", HTML, f'<html><input type="password" value="{SECRET}"><p>x</p></html>'.encode()),
    Format("html-meta", HTML, f'<meta name="csrf-token" content="{SECRET}"><p>x</p>'.encode()),
    Format("html-entities", HTML, f'<div data="{{&quot;token&quot;:&quot;{SECRET}&quot;}}">x</div>'.encode()),
    Format("events", EVENTS, b'data: {"a": 1}\n\nevent: x\ndata: ' + _json({"password": SECRET}) + b"\n\ndata: {}\n\n"),
    Format("events-split", EVENTS, f'data: {{"password":\ndata: "{SECRET}"}}\n\ndata: [DONE]\n\n'.encode()),
    Format("graphql", "application/graphql", f'{{ login(user: "a", password: "{SECRET}") {{ id }} }}'.encode()),
    Format("text", TEXT, f"user=ann password={SECRET} n=1".encode()),
    Format("text-quoted", TEXT, f"password = '{SECRET} and more' n=1".encode()),
    Format("text-prose", TEXT, f"The API key: {SECRET} is no longer valid.".encode()),
    Format("text-command", TEXT, f"run --user ann --password {SECRET} --now".encode()),
    Format("text-headers", TEXT, f"Accept: */*\r\nCookie: a={SECRET}; b={SECRET}\r\nHost: h".encode()),
    Format("text-python", TEXT, repr({"user": "ann", "password": SECRET, "n": 1}).encode()),
    Format("text-sql", TEXT, f"UPDATE u SET password = '{SECRET}' WHERE id = 1".encode()),
    Format("yaml", "application/yaml", f"user: ann\npassword: {SECRET} and more\nn: 1\n".encode()),
    Format("yaml-list", "application/yaml", f"user: ann\ntokens:\n  - {SECRET}\n  - {SECRET}\nn: 1\n".encode()),
    Format("yaml-block", "application/yaml", f"user: ann\nsecret: |\n  a\n  {SECRET}\nn: 1\n".encode()),
    Format("csv", "text/csv", f'user,password,n\nann,{SECRET},1\nbob,"{SECRET}, x",2\n'.encode()),
    Format("csv-semicolons", "text/csv", f"n;API key;x\r\n1;{SECRET};a,b\r\n".encode()),
    Format("tsv", "text/tab-separated-values", f"pin\tuser\n{SECRET}\tann\n".encode()),
    Format("dotenv", TEXT, f"A=1\nDB_PASSWORD={SECRET}\nB=2\n".encode()),
    Format("url-credentials", TEXT, f"see postgres://ann:{SECRET}@db:5432/x for more".encode()),
    Format("bearer", TEXT, f"sent Bearer {SECRET} to h".encode()),
    Format("jwt", TEXT, f"got eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET} back".encode(), KEY_PIECE),
    Format("otas-key", TEXT, f"use otas_ab12_{SECRET}{SECRET} now".encode(), KEY_PIECE),
    Format("github-key", TEXT, f"use ghp_{SECRET}{SECRET} now".encode(), KEY_PIECE),
    Format("pem", TEXT, f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----".encode()),
    Format("pem-in-json", JSON, _json({"k": f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n{SECRET}"})),
]


def assert_no_secret(sent: bytes, piece: int = PIECE) -> None:
    """Check that no recognisable piece of the secret is in the bytes."""
    text = sent.decode()
    leaked = [SECRET[at : at + piece] for at in range(len(SECRET) - piece + 1) if SECRET[at : at + piece] in text]
    assert not leaked, f"{leaked[0]} in {text}"
    assert str(NUMBER) not in text
    assert TOKEN not in text


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_secret_leaves_in_a_request_body(form: Format, coding: str) -> None:
    body = CODINGS[coding](form.body)
    capture = exchange(
        request_body=body, request_type=form.content_type, request_coding=None if coding == "identity" else coding
    )
    sent = posted(capture)
    assert_no_secret(sent)
    assert form.masks == (b"REDACTED" in sent)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_secret_leaves_in_a_response_body(form: Format, coding: str) -> None:
    body = CODINGS[coding](form.body)
    capture = exchange(
        response_body=body, response_type=form.content_type, response_coding=None if coding == "identity" else coding
    )
    sent = posted(capture)
    assert_no_secret(sent)
    assert form.masks == (b"REDACTED" in sent)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_secret_leaves_in_a_body_that_was_cut_off_anywhere(form: Format) -> None:
    for limit in range(1, len(form.body)):
        capture = exchange(response_body=form.body, response_type=form.content_type, limit=limit)
        assert_no_secret(posted(capture), form.piece)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_secret_leaves_in_a_compressed_body_that_was_cut_off(form: Format, coding: str) -> None:
    body = CODINGS[coding](form.body)
    for limit in range(1, len(body), 23):
        capture = exchange(response_body=body, response_type=form.content_type, response_coding=coding, limit=limit)
        assert_no_secret(posted(capture), form.piece)


def test_no_secret_reaches_brain(brain: LocalBrain) -> None:
    """Every format in both directions, over HTTP, as Brain stored it."""
    token = brain.create_session()
    headers = {"X-OTAS-SDK-KEY": brain.sdk_key, TOKEN_HEADER: token, "Content-Type": "application/json"}
    with httpx.Client(base_url=brain.url, headers=headers) as client:
        for form in FORMATS:
            capture = exchange(
                request_body=form.body,
                request_type=form.content_type,
                response_body=form.body,
                response_type=form.content_type,
                query=f"token={SECRET}",
                properties={"secret": SECRET},
            )
            assert client.post("/api/v1/backend/log/sdk/", content=posted(capture)).status_code == 201
    stored = brain.events(brain.session_id(token))
    assert len(stored) == len(FORMATS)
    assert_no_secret(json.dumps(stored).encode())
