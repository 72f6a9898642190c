"""Odd requests, each with the answer that a real stack was measured to give."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from localbrain.wire import AGENT, AUTHENTICATE, CREATE_SESSION, EVENT, SDK, VERIFY, Answer, Client, head, speak

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware.localbrain import LocalBrain

SESSION_EVENTS = "/api/v1/agent/session/events/"
LATENCY = "/api/v1/agent/latency-percentiles/"
ERRORS = "/api/v1/agent/error-count/"
PATHS = "/api/v1/agent/path-timeseries/"
ANALYTICS = (SESSION_EVENTS, LATENCY, ERRORS, PATHS)
DAYS = "?start_date=2020-01-01&end_date=2100-01-01"
PAGE = "a page"
EMPTY = "nothing"


@dataclass(frozen=True)
class Row:
    """A request, and what comes back: a `status_description` or `error`, `PAGE` or `EMPTY`."""

    name: str
    method: str
    path: str
    status: int
    said: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Those of the request; `{sdk}`, `{agent}` and the like stand for the Brain's own."""
    body: bytes = b""
    claims: Mapping[str, object] | None = None
    """Of a session token to send along, beside those of a good one; a claim that is ... is left out."""


SDK_KEY = {"X-OTAS-SDK-KEY": "{sdk}"}
AGENT_KEY = {"X-OTAS-AGENT-KEY": "{agent}"}
GOOD = {**SDK_KEY, "X-OTAS-AGENT-SESSION-TOKEN": "{token}"}
USER = {"X-OTAS-USER-TOKEN": "{user}", "X-OTAS-AGENT-ID": "{agent_id}", "X-OTAS-PROJECT-ID": "{project_id}"}
BODY = json.dumps(EVENT).encode()
DEEP = BODY[:-1] + b', "metadata": ' + b"[" * 930 + b"]" * 930 + b"}"
LONG = "s" * 300
UNUSABLE = b'{"meta": {"a": '

_NO_TIMES: tuple[object, ...] = (None, [], float("inf"))

ROWS = [
    # Keys and tokens between blanks
    *(
        Row(
            f"a key between {name}",
            "POST",
            SDK,
            201,
            "event_captured",
            {**GOOD, "X-OTAS-SDK-KEY": f"{b}{{sdk}}{b}"},
            BODY,
        )
        for name, b in {"blanks": "  ", "tabs": "\t"}.items()
    ),
    Row("an agent key between blanks", "POST", VERIFY, 200, "authenticated", {"X-OTAS-AGENT-KEY": " {agent} "}),
    Row("a key of blanks", "POST", SDK, 401, "missing_sdk_key", {**GOOD, "X-OTAS-SDK-KEY": "  "}, BODY),
    # The claims of a token
    Row("a token with an audience", "POST", SDK, 401, "invalid_or_expired_token", SDK_KEY, BODY, {"aud": "brain"}),
    Row("a token with an empty audience", "POST", SDK, 201, "event_captured", SDK_KEY, BODY, {"aud": ""}),
    *(
        Row(f"{name} is {value}", "POST", SDK, 500, PAGE, SDK_KEY, BODY, {name: value})
        for name in ("exp", "iat", "nbf")
        for value in _NO_TIMES
    ),
    Row("exp is no number", "POST", SDK, 401, "invalid_or_expired_token", SDK_KEY, BODY, {"exp": "never"}),
    Row("there is no exp", "POST", SDK, 201, "event_captured", SDK_KEY, BODY, {"exp": ...}),
    Row("a long session id", "POST", SDK, 500, "event_capture_failed", SDK_KEY, BODY, {"agent_session_id": LONG}),
    Row("a session id of 255", "POST", SDK, 201, "event_captured", SDK_KEY, BODY, {"agent_session_id": LONG[:255]}),
    Row("NUL in a session id", "POST", SDK, 500, "event_capture_failed", SDK_KEY, BODY, {"agent_session_id": "a\0b"}),
    Row("a surrogate", "POST", SDK, 500, "event_capture_failed", SDK_KEY, BODY, {"agent_session_id": "a\ud800"}),
    Row("a bad body comes before that", "POST", SDK, 400, "invalid_json", SDK_KEY, b"{", {"agent_session_id": LONG}),
    # Depth
    Row("metadata 930 deep", "POST", SDK, 201, "event_captured", GOOD, DEEP),
    # The order of checks, and methods
    *(
        Row(f"{method} without a key", method, path, 401, said)
        for method in ("GET", "PUT", "DELETE")
        for path, said in (
            (CREATE_SESSION, "invalid_agent_key"),
            (VERIFY, "invalid_agent_key"),
            (AUTHENTICATE, "SDK Key missing"),
        )
    ),
    *(
        Row("GET with a key", "GET", path, 405, EMPTY, {**SDK_KEY, **AGENT_KEY})
        for path in (CREATE_SESSION, VERIFY, AUTHENTICATE)
    ),
    *(Row("GET", "GET", path, 405, EMPTY) for path in (SDK, AGENT)),
    *(
        Row(f"{method} is no method of HTTP's own", method, path, 405, EMPTY)
        for method in ("PROPFIND", "SEARCH")
        for path in (SDK, AGENT, CREATE_SESSION, VERIFY, AUTHENTICATE)
    ),
    *(
        Row(method, method, path, 403, PAGE, USER)
        for method in ("POST", "PUT", "PATCH", "DELETE")
        for path in ANALYTICS
    ),
    *(Row("OPTIONS", "OPTIONS", path, 200, EMPTY) for path in (SDK, CREATE_SESSION, *ANALYTICS)),
    *(Row("no slash", "GET", path.removesuffix("/"), 301, EMPTY) for path in (SDK, CREATE_SESSION, *ANALYTICS)),
    # The analytics
    Row(
        "an empty limit",
        "GET",
        SESSION_EVENTS + "?session_id={session_id}&limit=",
        400,
        "limit must be an integer",
        USER,
    ),
    Row(
        "a session in capitals", "GET", SESSION_EVENTS + "?session_id={SESSION_ID}", 200, "session_events_listed", USER
    ),
    *(
        Row("an agent id that is none", "GET", path, 500, "server_error", {**USER, "X-OTAS-AGENT-ID": "me"})
        for path in ANALYTICS
    ),
    *(
        Row(
            f"{header} as {spelling}",
            "GET",
            SESSION_EVENTS + "?session_id={session_id}",
            200,
            "session_events_listed",
            {**USER, header: spelling},
        )
        for header, spelling in (
            ("X-OTAS-AGENT-ID", "{AGENT_ID}"),
            ("X-OTAS-AGENT-ID", "{agent_hex}"),
            ("X-OTAS-PROJECT-ID", "{PROJECT_ID}"),
        )
    ),
    Row("a user from the future", "GET", LATENCY + DAYS, 500, PAGE, {**USER, "X-OTAS-USER-TOKEN": "{future_user}"}),
    Row("a user id that is none", "GET", LATENCY + DAYS, 500, PAGE, {**USER, "X-OTAS-USER-TOKEN": "{odd_user}"}),
    Row("another user", "GET", LATENCY + DAYS, 401, "invalid_token", {**USER, "X-OTAS-USER-TOKEN": "{other_user}"}),
]


def known(brain: LocalBrain, client: Client) -> dict[str, str]:
    """What the rows' placeholders stand for."""
    now = int(time.time())
    user = {"iat": now, "exp": now + 3600}
    return {
        "sdk": brain.sdk_key,
        "agent": brain.agent_key,
        "token": client.token,
        "user": brain.user_token,
        "future_user": brain.sign({"user_id": str(uuid4()), "iat": now + 600, "exp": now + 3600}),
        "odd_user": brain.sign({"user_id": "me", **user}),
        "other_user": brain.sign({"user_id": str(uuid4()), **user}),
        "agent_id": brain.agent_id,
        "AGENT_ID": brain.agent_id.upper(),
        "agent_hex": UUID(brain.agent_id).hex,
        "project_id": brain.project_id,
        "PROJECT_ID": brain.project_id.upper(),
        "session_id": client.session_id,
        "SESSION_ID": client.session_id.upper(),
    }


def ask(brain: LocalBrain, client: Client, row: Row) -> Answer:
    """Send a row's request, to the byte."""
    values = known(brain, client)
    headers = {name: value.format(**values) for name, value in row.headers.items()}
    if row.claims is not None:
        now = int(time.time())
        usual: dict[str, Any] = {
            "agent_session_id": str(uuid4()),
            "agent_id": brain.agent_id,
            "exp": now + 60,
            "iat": now,
        }
        claims = {name: value for name, value in {**usual, **row.claims}.items() if value is not ...}
        headers["X-OTAS-AGENT-SESSION-TOKEN"] = brain.sign(claims)
    fixed = [("Host", "localhost"), ("Connection", "close"), ("Content-Length", str(len(row.body)))]
    answered = speak(brain.port, head(row.method, row.path.format(**values), [*fixed, *headers.items()]) + row.body)
    return read_answer(answered)


def read_answer(answered: bytes) -> Answer:
    """Read what came on the wire."""
    top, _, body = answered.partition(b"\r\n\r\n")
    line, *fields = top.decode("latin-1").split("\r\n")
    return Answer(int(line.split()[1]), dict(text.lower().split(": ", 1) for text in fields), body)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}, {row.path.partition('?')[0]}")
def test_an_odd_request_is_answered_as_by_the_real_services(brain: LocalBrain, client: Client, row: Row) -> None:
    answer = ask(brain, client, row)
    assert answer.status == row.status, answer.body
    if row.said == PAGE:
        assert answer.is_page
    elif row.said == EMPTY:
        assert answer.body == b""
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    else:
        assert answer.headers["content-type"] == "application/json"
        assert row.said in (answer.json.get("status_description"), answer.json.get("error"))


@pytest.mark.parametrize(
    ("path", "allowed"), [(SDK, "POST, OPTIONS"), (CREATE_SESSION, "POST, OPTIONS"), (LATENCY, "GET, HEAD, OPTIONS")]
)
def test_options_and_405_name_the_methods(client: Client, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "TRACE"):
        answer = client.request(method, path, headers=client.agent_headers)
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("text", [b"NaN", b'"\\u0000"', b'"\\ud800"'])
def test_a_meta_that_the_database_refuses_is_a_500_with_the_databases_text(client: Client, text: bytes) -> None:
    answer = client.post(CREATE_SESSION, UNUSABLE + text + b"}}", client.agent_headers)
    assert answer.status == 500
    assert answer.description.startswith("server_error: ")
    assert b"DETAIL" in answer.body


def test_the_members_of_an_event_begin_with_its_id_and_its_time(client: Client) -> None:
    client.log()
    answer = client.get(f"{SESSION_EVENTS}?session_id={client.session_id}", client.user_headers)
    assert list(answer.json["events"][0])[:2] == ["event_id", "event_time"]


@pytest.mark.parametrize("path", [LATENCY, ERRORS])
def test_latencies_and_errors_are_those_of_the_agent_in_all_projects(
    brain: LocalBrain, client: Client, path: str
) -> None:
    other = brain.add_project()
    client.post(SDK, {**EVENT, "error": "x"}, {**client.sdk_headers, "X-OTAS-SDK-KEY": other.sdk_key})
    assert len(client.get(path + DAYS, client.user_headers).json["data"]) == 1


def test_a_token_from_the_future_is_refused_until_its_time_has_come(brain: LocalBrain, client: Client) -> None:
    issued = int(time.time()) + 2
    claims = {"agent_session_id": str(uuid4()), "agent_id": brain.agent_id, "iat": issued, "exp": issued + 60}
    client.token = brain.sign(claims)
    assert client.log().description == "invalid_or_expired_token"
    assert brain._parts.tokens.session(client.token, now=issued + 0.5) is not None


def test_a_key_whose_prefix_begins_with_an_underscore_is_a_key(brain: LocalBrain, client: Client) -> None:
    key = brain._parts.directory.add_key("sdk", brain.project_id, "_abcdefghij")
    assert key.startswith("otas__")
    assert client.post(SDK, EVENT, {**client.sdk_headers, "X-OTAS-SDK-KEY": key}).status == 201
    assert client.post(AUTHENTICATE, b"", {"X-OTAS-SDK-KEY": key}).status == 200


def test_a_random_path_of_2600_bytes_fits_the_index(client: Client) -> None:
    path = "/" + "".join(uuid4().hex for _ in range(82))[:2599]
    assert client.log(path=path).status == 201


def test_a_foreign_host_is_refused_here_whatever_a_real_stack_does(brain: LocalBrain) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", brain.port)
    connection.request("GET", LATENCY, headers={"Host": "brain.example"})
    assert connection.getresponse().status == 400
    connection.close()


def test_a_method_that_nobody_knows_is_405_where_the_parser_lets_it_through() -> None:
    """With httptools uvicorn answers 400 itself (findings/uvicorn_parsers_differ_on_methods.sh); h11 hands it on."""
    code = f"""
import sys; sys.modules["httptools"] = None
import http.client
from otas_middleware.localbrain import LocalBrain
with LocalBrain() as brain:
    for path in {[SDK, CREATE_SESSION, LATENCY]!r}:
        connection = http.client.HTTPConnection("127.0.0.1", brain.port)
        connection.request("FOO", path)
        print(connection.getresponse().status)
        connection.close()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["405", "405", "403"]
