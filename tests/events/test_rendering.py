"""Bodies as text: by content coding, type and charset."""

from __future__ import annotations

import hashlib
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.codings import CODINGS, raw_deflate
from events.exchange import event_of, exchange
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event.render import multipart
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from otas_middleware._event import BackendEvent

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
FORM = "application/x-www-form-urlencoded"


def body_of(
    data: bytes, content_type: str | None = "text/plain", coding: str | None = None, limit: int = 65_536
) -> str:
    """Return a response body as the event shows it."""
    return response_event(data, content_type, coding, limit).response_body


def truncated(data: bytes, content_type: str, limit: int, coding: str | None = None) -> Any:
    """Return what the event says of a cut-off response body."""
    return response_event(data, content_type, coding, limit).metadata.get("truncated")


def response_event(data: bytes, content_type: str | None, coding: str | None, limit: int) -> BackendEvent:
    capture = exchange(response_body=data, response_type=content_type, response_coding=coding, limit=limit)
    return event_of(capture, OtasSettings(max_body_bytes=limit))


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/json",
        "application/problem+json; charset=UTF-8",
        "application/x-ndjson",
        "application/xml",
        "image/svg+xml",
        "application/graphql",
        "application/javascript",
        "application/yaml",
        "text/event-stream",
        "Application/JSON",
        "application/x-unknown",
        "nonsense",
        "",
        None,
    ],
)
def test_text_is_shown_as_it_is(content_type: str | None) -> None:
    assert body_of('{"a": "größe 日本"}'.encode(), content_type) == '{"a": "größe 日本"}'


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("image/png", "image/png"),
        ("application/octet-stream", "application/octet-stream"),
        ("application/x-unknown", "application/x-unknown"),
        (None, "unknown type"),
    ],
)
def test_binary_bodies_are_noted_by_type_size_and_hash(content_type: str | None, shown: str) -> None:
    assert (
        body_of(PNG, content_type) == f"[binary: {shown}, {len(PNG)} bytes, sha256 {hashlib.sha256(PNG).hexdigest()}]"
    )
    part = hashlib.sha256(PNG[:20]).hexdigest()
    assert body_of(PNG, content_type, limit=20) == (
        f"[binary: {shown}, {len(PNG)} bytes, sha256 of the first 20 {part}]"
    )


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain; charset=iso-8859-1", "latin-1"),
        ('text/plain; charset="UTF-8"', "utf-8"),
        ("text/plain;charset=utf-16", "utf-16"),
        ("text/plain; charset=utf-16-be", "utf-16-be"),
        ("text/plain; charset=windows-1252", "cp1252"),
        ("text/plain", "utf-16"),
        ("text/plain", "utf-32"),
        ("application/json", "utf-8-sig"),
        (None, "utf-8-sig"),
        (None, "utf-16"),
    ],
)
def test_charsets_and_byte_order_marks_are_heeded(content_type: str | None, encoding: str) -> None:
    assert body_of("größe é".encode(encoding), content_type) == "größe é"


@pytest.mark.parametrize("content_type", ["application/xml", "text/xml", "application/atom+xml"])
def test_xml_declares_its_charset_itself_where_no_header_does(content_type: str) -> None:
    document = "<?xml version='1.0' encoding='ISO-8859-1'?><a>café</a>"
    assert body_of(document.encode("latin-1"), content_type) == document
    assert body_of(document.encode(), f"{content_type}; charset=utf-8") == document
    lying = '<?xml version="1.0" encoding="utf-16"?><a>café</a>'
    assert body_of(lying.encode(), content_type) == lying


@pytest.mark.parametrize(
    "charset", ["idna", "punycode", "unicode_escape", "hex", "utf-7", "x" * 5000, "no-such", "\x00"]
)
def test_what_is_no_charset_is_read_as_utf8(charset: str) -> None:
    assert body_of("größe \\u0041".encode(), f"text/plain; charset={charset}") == "größe \\u0041"


def test_utf_16_that_begins_with_a_null_is_not_taken_for_utf_32() -> None:
    assert body_of("\x00ab".encode("utf-16"), "text/plain; charset=utf-16") == "\u2400ab"


def test_bytes_that_the_charset_cannot_read_are_replaced_visibly() -> None:
    assert body_of(b"a\xffb\x00c", "text/plain") == "a\ufffdb\u2400c"


@settings(deadline=None)
@given(
    st.text(min_size=1, max_size=60),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16", "gb18030", "shift_jis"]),
    st.data(),
)
def test_a_body_is_cut_at_a_character(text: str, encoding: str, data: st.DataObject) -> None:
    encoded = text.encode(encoding, "ignore")
    text = encoded.decode(encoding)
    limit = data.draw(st.integers(0, len(encoded)))
    shown = body_of(encoded, f"text/plain; charset={encoding}", limit=limit)
    expected = text.replace("\x00", "\u2400")
    if "[REDACTED]" not in shown and not text.startswith("\ufeff"):
        assert expected.startswith(shown)
        assert len(shown.encode(encoding, "replace")) >= limit - 4 or "\u2400" in shown


def test_truncation_is_marked_with_the_true_size() -> None:
    data = "é".encode() * 1000
    assert body_of(data, limit=101) == "é" * 50
    assert truncated(data, "text/plain", 101) == {"response_body": {"kept": 101, "size": 2000}}
    assert truncated(data, "text/plain", 2000) is None
    event = event_of(exchange(request_body=data, request_type="text/plain", limit=10))
    assert event.metadata["truncated"] == {"request_body": {"kept": 10, "size": 2000}}
    assert (event.request_size_bytes, event.response_size_bytes) == (2000, 0)


@pytest.mark.parametrize("coding", [*CODINGS, "x-gzip", "GZIP", "identity, gzip", "raw"])
def test_content_codings_are_undone(coding: str) -> None:
    text = '{"größe": "' + "abc" * 1000 + '"}'
    name = coding.lower().removeprefix("x-").removeprefix("identity, ")
    data = raw_deflate(text.encode()) if coding == "raw" else CODINGS[name](text.encode())
    declared = "deflate" if coding == "raw" else coding
    event = event_of(exchange(response_body=data, response_type="application/json", response_coding=declared))
    assert event.response_body == text
    assert event.response_size_bytes == len(data)
    assert "truncated" not in event.metadata


def test_gzip_of_several_members_is_read_to_its_end() -> None:
    gzip = CODINGS["gzip"]
    assert body_of(gzip(b"one ") + gzip(b"two ") + gzip(b"three"), coding="gzip") == "one two three"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_what_decompresses_to_more_than_the_limit_is_cut(coding: str) -> None:
    data = CODINGS[coding](b"abcdefghij" * 10_000)
    assert body_of(data, coding=coding, limit=1000) == "abcdefghij" * 100
    assert truncated(data, "text/plain", 1000, coding) == {
        "response_body": {"kept": len(data), "size": len(data), "decoded": 1000}
    }


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_the_beginning_of_a_compressed_body_is_decoded_as_far_as_it_goes(coding: str) -> None:
    text = json.dumps(
        [{"n": number, "hash": hashlib.sha256(str(number).encode()).hexdigest()} for number in range(3000)]
    )
    data = CODINGS[coding](text.encode())
    assert len(data) > 100_000
    shown = body_of(data, "application/json", coding, limit=100_000)
    assert text.startswith(shown)
    assert len(shown) > 20_000
    assert truncated(data, "application/json", 100_000, coding) == {
        "response_body": {"kept": 100_000, "size": len(data), "decoded": len(shown)}
    }


@pytest.mark.parametrize(
    "coding", ["gzip", "deflate", "br", "zstd", "compress", "nonsense", "gzip, nonsense", "a,b,c,d,e"]
)
def test_what_cannot_be_decoded_is_noted(coding: str) -> None:
    data = b"\x01\x02 this was never compressed"
    digest = hashlib.sha256(data).hexdigest()
    assert body_of(data, coding=coding) == f"[{coding}-coded text/plain, {len(data)} bytes, sha256 {digest}]"


def test_a_fault_in_compressed_data_keeps_what_came_before_it() -> None:
    text = json.dumps([hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)])
    data = bytearray(CODINGS["gzip"](text.encode()))
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    shown = body_of(bytes(data), "application/json", "gzip", limit=1_000_000)
    assert text.startswith(shown[:5000])
    assert len(shown) > 5000


def test_forms_are_in_post_data_and_in_the_body() -> None:
    event = event_of(exchange(request_body=b"user=ann+b&pin=1&x=%C3%A9", request_type=FORM))
    assert event.post_data == event.request_body == "user=ann+b&pin=[REDACTED]&x=%C3%A9"


BOUNDARY = "xyz"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
PARTS = (
    b'--xyz\r\nContent-Disposition: form-data; name="user"\r\n\r\nann \xc3\xa9\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="password"\r\n\r\nhunter2\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="doc"; filename="caf\xc3\xa9.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n"
    b'--xyz\r\nContent-Disposition: form-data; name="old"\r\nContent-Type: text/plain; charset=latin-1\r\n\r\n\xe9\r\n'
    b"--xyz--\r\n"
)


def parts_of(data: bytes, limit: int = 65_536, content_type: str = MULTIPART) -> Any:
    """Return the parts that the event lists of a multipart request."""
    event = event_of(exchange(request_body=data, request_type=content_type, limit=limit))
    assert event.request_body == ""
    return json.loads(event.post_data)


def test_multipart_forms_are_listed_without_the_content_of_files() -> None:
    assert parts_of(PARTS) == [
        {"name": "user", "value": "ann é"},
        {"name": "password", "value": "[REDACTED]"},
        {"name": "doc", "filename": "café.png", "content_type": "image/png", "size": len(PNG)},
        {"name": "old", "value": "é"},
    ]


def test_multipart_forms_that_were_cut_off_list_what_there_was() -> None:
    at = PARTS.index(PNG) + 30
    assert parts_of(PARTS, at) == [
        {"name": "user", "value": "ann é"},
        {"name": "password", "value": "[REDACTED]"},
        {"name": "doc", "filename": "café.png", "content_type": "image/png", "size": parts_of(PARTS, at)[2]["size"]}
        | {"truncated": True, "at_most": parts_of(PARTS, at)[2]["at_most"]},
    ]
    assert parts_of(PARTS, at)[2]["size"] <= 30
    for limit in range(1, len(PARTS)):
        assert "hunter" not in json.dumps(parts_of(PARTS, limit))


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 500, "multipart/mixed; boundary=other"],
)
def test_what_is_no_multipart_form_is_noted(content_type: str) -> None:
    event = event_of(exchange(request_body=PARTS, request_type=content_type))
    assert event.request_body.startswith("[binary: multipart/")
    assert event.post_data == ""


def test_no_more_parts_are_listed_than_ten_thousand() -> None:
    data = b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 12_000 + b"--xyz--\r\n"
    parts = parts_of(data, limit=1_048_576)
    assert len(parts) == 10_000
    assert parts[-1]["truncated"] is True


@pytest.mark.parametrize("charset", ["utf-16", "utf-32"])
def test_wide_characters_without_a_mark_are_little_endian(charset: str) -> None:
    assert body_of("größe é".encode(f"{charset}-le"), f"text/plain; charset={charset}") == "größe é"


JSON = '{"password": "hunter2", "größe": "日本"}'


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_of_json_are_known_without_a_mark_and_without_a_charset(encoding: str) -> None:
    assert body_of(JSON.encode(encoding), "application/json") == JSON.replace("hunter2", "[REDACTED]")


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-be", "utf-32", "cp037", "cp500", "cp1140", "cp273", "cp1026"])
def test_utf8_that_is_sent_under_another_charset_is_read_as_what_it_is(charset: str) -> None:
    assert body_of(JSON.encode(), f"application/json; charset={charset}") == JSON.replace("hunter2", "[REDACTED]")
    cut = JSON.encode()[:-4]  # within a character
    assert "hunter2" not in body_of(cut, f"application/json; charset={charset}", limit=len(cut))


@pytest.mark.parametrize("charset", ["utf-16-le", "cp037"])
def test_what_is_sent_as_declared_is_read_as_declared(charset: str) -> None:
    text = "The quick brown fox = 12: see <a>"
    assert body_of(text.encode(charset), f"text/plain; charset={charset}") == text


def test_a_multipart_body_is_listed_whatever_its_content_type_says() -> None:
    event = event_of(exchange(request_body=PARTS, request_type="application/json"))
    assert json.loads(event.post_data)[1] == {"name": "password", "value": "[REDACTED]"}


def test_other_multipart_bodies_are_listed_with_what_their_parts_say() -> None:
    related = (
        b"--r\r\nContent-Type: application/json\r\nContent-ID: <a>\r\n\r\n" + b'{"password": "hunter2"}\r\n'
        b"--r\r\nContent-Type: image/png\r\n\r\n" + PNG + b"\r\n--r--\r\n"
    )
    event = event_of(exchange(response_body=related, response_type="multipart/related; boundary=r"))
    assert json.loads(event.response_body) == [
        {"content_type": "application/json", "content-id": "<a>", "value": '{"password": "[REDACTED]"}'},
        {"content_type": "image/png", "size": len(PNG)},
    ]
    ranges = b"--r\r\nContent-Type: application/pdf\r\nContent-Range: bytes 0-9/99\r\n\r\n" + b"0123456789\r\n--r--\r\n"
    event = event_of(exchange(response_body=ranges, response_type="multipart/byteranges; boundary=r"))
    assert json.loads(event.response_body) == [
        {"content_type": "application/pdf", "content-range": "bytes 0-9/99", "size": 10}
    ]


def test_an_upload_that_was_cut_off_tells_its_own_size_where_that_is_known() -> None:
    head = b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n'
    kind = b"Content-Type: application/octet-stream\r\n"
    upload = bytes(76_826)
    declared = head + kind + b"Content-Length: 76826\r\n\r\n" + upload + b"\r\n--xyz--\r\n"
    file = parts_of(declared)[0]
    assert (file["size"], file["truncated"]) == (76_826, True)
    file = parts_of(head + kind + b"\r\n" + upload + b"\r\n--xyz--\r\n")[0]
    assert file["at_most"] == 76_826
    assert file["size"] < 65_536


def test_many_parts_cost_as_many_steps_as_there_are_bytes() -> None:
    part = b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    assert len(parts_of(part * 1_300 + b"--xyz--\r\n", limit=1_048_576)) == 1_300


def test_a_package_of_the_same_name_does_not_hide_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "multipart", ModuleType("multipart"))  # as old releases of python-multipart do
    for cached in (multipart._library, multipart._parser):
        cached.cache_clear()
    try:
        assert parts_of(PARTS)[0] == {"name": "user", "value": "ann é"}
    finally:
        for cached in (multipart._library, multipart._parser):
            cached.cache_clear()


def test_without_the_parser_a_multipart_body_is_noted_and_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "multipart", None)
    monkeypatch.setattr(runtime, "logged", set[str]())
    multipart._library.cache_clear()
    try:
        events = [event_of(exchange(request_body=PARTS, request_type=MULTIPART)) for _ in range(2)]
    finally:
        multipart._library.cache_clear()
    assert all(event.request_body.startswith("[binary: multipart/form-data, ") for event in events)
    assert all("ann" not in event.to_json().decode() for event in events)
    assert [record.message.count("pip install 'multipart>=2'") for record in caplog.records] == [1]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-00", TRACE),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        (f"00-{TRACE}-00f067aa0ba902b7-0x", None),
        (f"00-{TRACE}-00f067aa0ba902b7-01x", None),
        (f"00-{TRACE}-0000000000000000-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7", None),
    ],
)
def test_a_trace_is_named_only_by_a_header_that_is_one(header: str, trace: str | None) -> None:
    assert event_of(exchange(request_headers=[("traceparent", header)])).metadata.get("trace_id") == trace
