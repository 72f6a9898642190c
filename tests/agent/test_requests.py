"""What requests does beside sending: authentication, retries, copies, and settings of its adapters."""

from __future__ import annotations

import array
import copy
import io
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from urllib3 import HTTPResponse
from urllib3.util import Retry

from agent.host import closed_port, response
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.host import Host, Received
    from agent.record import Record
    from otas_middleware.localbrain import LocalBrain


@pytest.fixture
def requester(session: AgentSession) -> Iterator[requests.Session]:
    """An instrumented session of requests."""
    with requests.Session() as requester:
        requester.trust_env = False
        yield session.instrument(requester)


def _asks_for_digest(request: Received) -> list[bytes]:
    if request.header("authorization"):
        return [response(b'{"paid":true}', content_type="application/json")]
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="abc", qop="auth", algorithm=MD5'
    return [response(b"no", "401 Unauthorized", headers=[challenge])]


def _busy(times: int) -> Any:
    answers = [response(b"busy", "503 Service Unavailable")] * times + [response(b"fine")]

    def answer(_: Received) -> list[bytes]:
        return [answers.pop(0)]

    return answer


def _with_retries(requester: requests.Session, **options: Any) -> None:
    allowed: Any = None
    options = {"total": 5, "status_forcelist": [503], "allowed_methods": allowed, "backoff_factor": 0, **options}
    adapter: Any = requester.adapters["http://"]
    adapter.max_retries = Retry(**options)


def test_each_request_of_a_digest_handler_carries_the_token(requester: requests.Session, inside: Host) -> None:
    inside.on("/orders", _asks_for_digest)
    answer = requester.get(inside.url + "/orders", auth=HTTPDigestAuth("u", "p"))
    assert answer.json() == {"paid": True}
    assert [len(request.header(TOKEN_HEADER)) for request in inside.requests] == [1, 1]
    assert TOKEN_HEADER not in answer.request.headers


def test_each_request_of_a_digest_handler_is_an_event(
    requester: requests.Session, outside: Host, record: Record
) -> None:
    outside.on("/orders", _asks_for_digest)
    requester.get(outside.url + "/orders", auth=HTTPDigestAuth("u", "p"))
    assert [event["status_code"] for event in record.events()] == [401, 200]


def test_the_connection_of_a_response_is_that_of_every_session_on_the_client(
    requester: requests.Session, outside: Host, record: Record, brain: LocalBrain
) -> None:
    outside.on("/orders", _asks_for_digest)
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as other:
        other.instrument(requester).get(outside.url + "/orders", auth=HTTPDigestAuth("u", "p"))
        assert other.flush(10)
        assert other.session_id is not None
        assert len(brain.events(other.session_id)) == len(record.events()) == 2


@pytest.mark.parametrize("body", [b"0123456789", io.BytesIO(b"0123456789")], ids=["bytes", "file"])
def test_each_retry_is_an_event_with_its_own_body(
    requester: requests.Session, outside: Host, record: Record, body: Any
) -> None:
    outside.on("/f", _busy(2))
    _with_retries(requester)
    assert requester.put(outside.url + "/f", data=body).text == "fine"
    events = record.events()
    assert [event["status_code"] for event in events] == [503, 503, 200]
    assert [event["request_body"] for event in events] == ["0123456789"] * 3
    assert [event["request_size_bytes"] for event in events] == [10] * 3
    assert [event["response_size_bytes"] for event in events] == [4, 4, 4]
    assert not any("aborted" in event["metadata"] for event in events)


def test_retries_that_come_to_nothing_are_recorded_with_the_last_answer(
    requester: requests.Session, outside: Host, record: Record
) -> None:
    outside.on("/f", _busy(9))
    _with_retries(requester, total=1)
    with pytest.raises(requests.exceptions.RetryError):
        requester.get(outside.url + "/f")
    first, last = record.events()
    assert (first["status_code"], first["error"]) == (503, "503 Service Unavailable")
    assert last["status_code"] == 503
    assert str(last["error"]).startswith("RetryError")


def test_an_answer_that_is_left_over_from_retries_is_the_callers(
    requester: requests.Session, outside: Host, record: Record
) -> None:
    outside.on("/f", _busy(9))
    _with_retries(requester, total=1, raise_on_status=False)
    assert requester.get(outside.url + "/f").text == "busy"
    assert [event["response_body"] for event in record.events()] == ["", "busy"]


def test_each_try_to_connect_is_an_event(requester: requests.Session, record: Record) -> None:
    _with_retries(requester, total=2)
    with pytest.raises(requests.exceptions.ConnectionError):
        requester.get(closed_port() + "/f")
    events = record.events()
    assert [event["status_code"] for event in events] == [0, 0, 0]
    assert all(event["error"] for event in events)


def test_two_sessions_on_one_client_see_each_retry_once(
    requester: requests.Session, outside: Host, record: Record, brain: LocalBrain
) -> None:
    outside.on("/f", _busy(1))
    _with_retries(requester)
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as other:
        other.instrument(requester).get(outside.url + "/f")
        assert other.flush(10)
        assert other.session_id is not None
        assert [event["status_code"] for event in record.events()] == [503, 200]
        assert [event["status_code"] for event in brain.events(other.session_id)] == [503, 200]


class Counting(Retry):
    """A policy of a user's own."""

    asked = 0

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        Counting.asked += 1
        return super().is_retry(method, status_code, has_retry_after)


def test_a_retry_policy_of_a_users_own_decides(requester: requests.Session, outside: Host, record: Record) -> None:
    outside.on("/f", _busy(1))
    adapter: Any = requester.adapters["http://"]
    adapter.max_retries = Counting(3, status_forcelist=[503], backoff_factor=0)
    assert requester.get(outside.url + "/f").text == "fine"
    assert isinstance(adapter.max_retries, Counting)
    assert Counting.asked
    assert len(record.events()) == 2


def test_a_session_is_pickled_and_copied_as_without_us(requester: requests.Session, outside: Host) -> None:
    requester.headers["X-Mine"] = "1"
    _with_retries(requester)
    outside.on("/f", _busy(1))
    requester.get(outside.url + "/f")  # which puts our `Retry` in place
    for again in (pickle.loads(pickle.dumps(requester)), copy.deepcopy(requester), copy.copy(requester)):
        assert again.headers["X-Mine"] == "1"
        adapter: Any = again.adapters["http://"]
        assert adapter.max_retries.total == 5
        assert again.get(outside.url).status_code == 200
    assert type(pickle.loads(pickle.dumps(requester)).adapters["http://"]) is HTTPAdapter


def test_a_copied_session_is_of_the_same_agent(requester: requests.Session, inside: Host) -> None:
    for again in (copy.deepcopy(requester), copy.copy(requester)):
        again.get(inside.url)
    assert [len(request.header(TOKEN_HEADER)) for request in inside.requests] == [1, 1]


def test_a_session_that_we_make_can_be_pickled(session: AgentSession, outside: Host) -> None:
    again = pickle.loads(pickle.dumps(session.requests_session()))
    again.trust_env = False
    assert again.get(outside.url).status_code == 200


def test_a_raw_response_can_be_read_when_the_response_is_dropped(
    requester: requests.Session, outside: Host, record: Record
) -> None:
    outside.on("/raw", lambda _: [response(b"0123456789")])
    read = requester.get(outside.url + "/raw", stream=True).raw.read
    assert read() == b"0123456789"
    assert record.one()["response_body"] == "0123456789"


def test_a_raw_response_is_what_it_is_without_us(requester: requests.Session, outside: Host) -> None:
    with requester.get(outside.url, stream=True) as answer:
        assert isinstance(answer.raw, HTTPResponse)


@pytest.mark.parametrize("how", ["data", "lines", "text", "copied"])
def test_other_ways_to_read_a_raw_response_are_seen(
    requester: requests.Session, outside: Host, record: Record, how: str
) -> None:
    outside.on("/raw", lambda _: [response(b"one\ntwo\n")])
    raw: Any = requester.get(outside.url + "/raw", stream=True).raw
    if how == "data":
        assert raw.data == b"one\ntwo\n"
    elif how == "lines":
        assert raw.readlines() == [b"one\n", b"two\n"]
    elif how == "text":
        assert io.TextIOWrapper(raw).read() == "one\ntwo\n"
    else:
        raw.decode_content = True
        assert raw.decode_content
        assert io.BufferedReader(raw).read() == b"one\ntwo\n"
    assert record.one()["response_body"] == "one\ntwo\n"


def test_an_adapter_that_is_mounted_after_instrumenting_is_covered_by_instrumenting_again(
    session: AgentSession, requester: requests.Session, inside: Host
) -> None:
    requester.mount(inside.url, HTTPAdapter())
    session.instrument(requester).get(inside.url)
    assert len(inside.one().header(TOKEN_HEADER)) == 1


@pytest.mark.parametrize(
    "body",
    [bytearray(b"abc"), memoryview(b"abc"), array.array("b", b"abc")],
    ids=["bytearray", "memoryview", "array"],
)
def test_a_body_that_lies_in_memory_is_sent_and_recorded(
    requester: requests.Session, outside: Host, record: Record, body: Any
) -> None:
    assert requester.post(outside.url + "/f", data=body).ok
    assert outside.one().body == b"abc"
    event = record.one()
    assert (event["request_body"], event["request_size_bytes"], event["error"]) == ("abc", 3, "")


@pytest.mark.parametrize("empty", [None, "", b"", []], ids=repr)
def test_pieces_that_are_empty_are_passed_over(
    requester: requests.Session, outside: Host, record: Record, empty: Any
) -> None:
    pieces: list[Any] = [b"ab", empty, "c", bytearray(b"d")]
    assert requester.post(outside.url + "/f", data=iter(pieces)).ok
    assert outside.one().body == b"abcd"
    assert record.one()["request_size_bytes"] == 4


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_an_error_names_the_callers_own_request_without_the_token(brain: LocalBrain, place: str) -> None:
    away = closed_port()
    domain = away if place == "inside" else "https://api.example.com"
    with (
        AgentSession(domain, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session,
        session.requests_session() as requester,
    ):
        requester.trust_env = False
        prepared = requester.prepare_request(requests.Request("POST", away, data=iter([b"a", b"b"])))
        with pytest.raises(requests.ConnectionError) as failure:
            requester.send(prepared)
    assert failure.value.request is prepared
    assert TOKEN_HEADER not in prepared.headers
