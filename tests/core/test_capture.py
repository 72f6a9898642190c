"""One request's record while it is made: sizes, clock, status, exception, and what makes it end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from otas_middleware._capture import Capture
from otas_middleware._capture.body import TAIL_BYTES
from otas_middleware._capture.session import SessionInfo
from otas_middleware._capture.values import PAIR_WEIGHT, describe_exception, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Headers, HeadWaitsFor

SESSION = SessionInfo("agent-1", "session-1", False, "0123456789abcdef", None, None, "header.payload.signature")
LIMIT = 100
LENGTH_5: Headers = [(b"content-length", b"5")]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("otas_middleware._capture.perf_counter", clock)
    return clock


class Taken(list[Capture]):
    """Where captures go when they are finished."""

    def capture(self, *, limit: int = LIMIT, with_traceback: bool = False, now: float | None = None) -> Capture:
        return Capture(self.append, SESSION, limit, with_traceback, now)


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def capture(taken: Taken) -> Capture:
    return taken.capture()


def answered(capture: Capture, status: int = 200, headers: Headers = (), *chunks: bytes) -> Capture:
    """Let the application answer, and return the capture."""
    capture.started(status, headers)
    for chunk in chunks:
        capture.sent(chunk)
    return capture


def while_handling(error: Exception, step: Callable[[], object]) -> None:
    """Do something in an `except` block."""
    try:
        raise error
    except type(error):
        step()


def test_a_new_one_says_nothing_of_what_has_not_happened(capture: Capture) -> None:
    assert (capture.framework, capture.method, capture.path, capture.query_string) == ("", "", "", b"")
    assert (capture.request_headers, capture.response_headers) == ((), ())
    assert (capture.status_code, capture.reason, capture.route, capture.path_params) == (0, None, None, None)
    assert capture.exception is None
    flags = (capture.disconnected, capture.complete, capture.durable, capture.ends_early, capture.opaque)
    assert flags == (False,) * 5
    assert (capture.finished, capture.sampled_out, capture.aborted, capture.whole) == (False,) * 4
    assert (capture.event_id, capture.parent_id, capture.head_waits_for) == ("", None, "nothing")
    assert (capture.custom_properties, capture.checkpoints) == (None, None)
    assert (capture.ttfb, capture.first_response) == (None, None)
    assert (capture.request_size, capture.response_size) == (0, 0)
    assert (capture.request_body(), capture.response_body(), capture.response_end()) == (b"", b"", (b"", False))
    assert capture.session is SESSION


def test_it_names_its_session_and_no_token(capture: Capture) -> None:
    capture.method, capture.status_code = "GET", 204
    assert repr(capture) == "<Capture GET 204 of session session-1>"


def test_it_is_of_the_moment_at_which_the_request_began(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken.capture(now=1234.5).captured_at == 1234.5
    monkeypatch.setattr("otas_middleware._capture.time", lambda: 77.0)
    assert taken.capture().captured_at == 77.0


class TestTimes:
    def test_they_count_from_the_beginning_to_headers_first_byte_and_last_byte(
        self, clock: Clock, capture: Capture
    ) -> None:
        steps: list[tuple[float, Callable[[], object]]] = [
            (51.0, lambda: capture.started(200, ())),
            (52.0, lambda: capture.sent(b"")),
            (53.0, lambda: capture.sent(b"a")),
            (54.0, lambda: capture.sent(b"b")),
            (55.0, capture.ended),
        ]
        for at, step in steps:
            clock.now = at
            step()
        clock.now = 99.0
        capture.finish()
        assert (capture.first_response, capture.ttfb, capture.latency) == (1.0, 3.0, 5.0)
        assert capture.complete

    def test_while_it_runs_the_latency_is_that_until_now(self, clock: Clock, capture: Capture) -> None:
        clock.now = 53.0
        assert capture.latency == 3.0

    def test_what_has_not_ended_by_itself_ends_when_it_is_finished(self, clock: Clock, capture: Capture) -> None:
        clock.now = 52.0
        capture.finish()
        clock.now = 60.0
        assert capture.latency == 2.0
        assert not capture.complete

    def test_a_checkpoint_has_milliseconds_since_the_beginning(self, clock: Clock, capture: Capture) -> None:
        clock.now = 50.25
        capture.checkpoint("cache", {"rows": 5})
        clock.now = 51.0
        capture.checkpoint("database", {})
        assert capture.checkpoints == [("cache", 250.0, {"rows": 5}), ("database", 1000.0, {})]

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_what_has_no_body_has_no_first_byte(self, clock: Clock, capture: Capture, method: str, status: int) -> None:
        capture.method = method
        answered(capture, status, (), b"not sent")
        assert capture.ttfb is None


class TestBodies:
    def test_all_bytes_are_counted_and_the_first_are_kept(self, capture: Capture) -> None:
        capture.request.add(b"q" * (LIMIT + 20))
        answered(capture, 200, (), b"a" * LIMIT, b"b" * 30)
        assert (capture.request_size, capture.request_body()) == (LIMIT + 20, b"q" * LIMIT)
        assert (capture.response_size, capture.response_body()) == (LIMIT + 30, b"a" * LIMIT)

    def test_of_a_response_the_end_is_kept_too(self, capture: Capture) -> None:
        answered(capture, 200, (), b"a" * LIMIT, b"b" * 10, b"c" * TAIL_BYTES)
        assert capture.response_end() == (b"c" * TAIL_BYTES, True)
        assert capture.request.end() == (b"", False)

    def test_where_nothing_is_to_be_kept_nothing_is(self, taken: Taken) -> None:
        capture = answered(taken.capture(limit=0), 200, (), b"a")
        assert (capture.response_size, capture.response_body(), capture.response_end()) == (1, b"", (b"", True))

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_what_the_protocol_does_not_send_is_none(self, capture: Capture, method: str, status: int) -> None:
        capture.method = method
        answered(capture, status, [(b"content-length", b"7")], b"a" * (LIMIT + 1))
        assert (capture.response_size, capture.response_body(), capture.response_end()) == (0, b"", (b"", False))
        assert capture.whole

    def test_a_file_that_the_server_sends_itself_has_the_size_that_its_headers_declare(self, capture: Capture) -> None:
        capture.opaque = True
        answered(capture, 200, LENGTH_5)
        assert capture.response_size == 5
        capture.response_headers = ()
        assert capture.response_size is None

    def test_what_goes_beyond_the_announced_length_is_dropped(self, capture: Capture) -> None:
        answered(capture, 200, LENGTH_5, b"12345678")
        capture.trim()
        assert (capture.response_size, capture.response_body()) == (5, b"12345")

    def test_where_no_length_is_announced_nothing_is_dropped(self, capture: Capture) -> None:
        answered(capture, 200, (), b"12345678")
        capture.trim()
        assert capture.response_size == 8

    def test_many_parts_become_one_when_it_is_finished(self, taken: Taken) -> None:
        for count, parts in [(64, 64), (65, 1)]:
            capture = taken.capture()
            for _ in range(count):
                capture.request.add(b"q")
                capture.response.add(b"a")
            capture.finish()
            assert (len(capture.request.parts), len(capture.response.parts)) == (parts, parts)
            assert (capture.request_body(), capture.response_body()) == (b"q" * count, b"a" * count)


class TestTheHead:
    def test_a_second_start_replaces_the_first(self, clock: Clock, capture: Capture) -> None:
        capture.started(200, [("A", "1")], "OK")
        clock.now += 1.0
        capture.started(500, [("B", "2")], "Sorry")
        assert (capture.status_code, capture.response_headers, capture.reason) == (500, [("B", "2")], "Sorry")
        assert capture.first_response == 1.0

    def test_a_server_error_from_an_except_block_names_what_was_handled(self, capture: Capture) -> None:
        while_handling(KeyError("secret"), lambda: capture.started(500, ()))
        assert capture.exception is not None
        assert capture.exception.type == "KeyError"

    @pytest.mark.parametrize("status", [200, 404, 499])
    def test_what_is_no_server_error_names_none(self, capture: Capture, status: int) -> None:
        while_handling(KeyError(), lambda: capture.started(status, ()))
        assert capture.exception is None

    def test_an_exception_that_was_known_before_stays(self, capture: Capture) -> None:
        capture.failed(ValueError())
        while_handling(KeyError(), lambda: capture.started(500, ()))
        assert capture.exception is not None
        assert capture.exception.type == "ValueError"

    def test_one_that_is_handled_around_the_request_is_not_its_own(self, taken: Taken) -> None:
        captures: list[Capture] = []

        def request() -> None:
            captures.append(taken.capture())
            captures[0].started(500, ())
            assert captures[0].exception is None
            while_handling(ValueError(), lambda: captures[0].started(500, ()))

        while_handling(KeyError(), request)
        assert captures[0].exception is not None
        assert captures[0].exception.type == "ValueError"

    def test_outside_of_any_except_block_there_is_none(self, capture: Capture) -> None:
        capture.started(503, ())
        assert capture.exception is None

    @pytest.mark.parametrize(
        ("waits_for", "after_empty"),
        [("nothing", "nothing"), ("result", "result"), ("byte", "byte"), ("chunk", "nothing")],
    )
    def test_a_head_that_the_server_holds_back_goes_out_with_what_it_waits_for(
        self, capture: Capture, waits_for: HeadWaitsFor, after_empty: str
    ) -> None:
        capture.head_waits_for = waits_for
        capture.sent(b"")
        assert capture.head_waits_for == after_empty
        capture.sent(b"x")
        assert capture.head_waits_for == "nothing"

    @pytest.mark.parametrize("waits_for", ["result", "chunk", "byte"])
    def test_where_it_has_not_gone_out_a_failure_takes_it_back(
        self, capture: Capture, waits_for: Literal["result", "chunk", "byte"]
    ) -> None:
        capture.started(200, LENGTH_5, "OK")
        capture.head_waits_for = waits_for
        capture.broke_off(ValueError())
        assert (capture.status_code, capture.response_headers, capture.reason) == (0, (), None)
        assert capture.exception is not None
        assert capture.exception.type == "ValueError"

    def test_where_it_has_gone_out_a_failure_leaves_it(self, capture: Capture) -> None:
        capture.started(200, LENGTH_5, "OK")
        capture.broke_off(ValueError())
        assert (capture.status_code, capture.response_headers, capture.reason) == (200, LENGTH_5, "OK")

    @pytest.mark.parametrize("attribute", ["finished", "disconnected"])
    def test_of_what_is_over_a_failure_takes_nothing_back(self, capture: Capture, attribute: str) -> None:
        capture.started(200, LENGTH_5, "OK")
        capture.head_waits_for = "byte"
        setattr(capture, attribute, True)
        capture.broke_off(ValueError())
        assert capture.status_code == 200


class TestFailures:
    def test_the_traceback_is_kept_only_where_it_was_asked_for(self, taken: Taken) -> None:
        for with_traceback in (False, True):
            capture = taken.capture(with_traceback=with_traceback)
            capture.failed(ValueError("message"))
            assert capture.exception is not None
            assert capture.exception[:2] == ("ValueError", "message")
            assert (capture.exception.traceback is not None) is with_traceback

    @pytest.mark.parametrize(("disconnected", "kept"), [(True, False), (False, True)])
    def test_a_cancellation_is_a_failure_unless_the_client_has_gone(
        self, capture: Capture, disconnected: bool, kept: bool
    ) -> None:
        capture.disconnected = disconnected
        capture.failed(SystemExit(1))
        assert (capture.exception is not None) is kept

    def test_what_goes_wrong_with_it_later_is_its_failure_though_the_client_has_gone(self, capture: Capture) -> None:
        capture.disconnected = True
        capture.failed(ValueError())
        assert capture.exception is not None

    def test_one_that_cannot_be_described_costs_no_more_than_its_description(
        self, capture: Capture, as_in_production: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reported: list[str] = []
        monkeypatch.setattr("otas_middleware._capture.report_internal_error", reported.append)

        class OddGroup(ExceptionGroup[Exception]):
            @property
            def exceptions(self) -> Any:
                raise RuntimeError

        capture.failed(OddGroup("odd", [ValueError()]))
        assert (capture.exception, reported) == (None, ["capture.failed"])


class TestTheEnd:
    def test_it_is_handed_over_exactly_once(self, taken: Taken, capture: Capture) -> None:
        capture.finish()
        capture.finish()
        assert taken == [capture]
        assert capture.finished

    def test_it_can_be_closed_here_and_handed_over_elsewhere(self, taken: Taken, capture: Capture) -> None:
        assert capture.close() is True
        assert capture.close() is False
        assert taken == []
        capture.submit()
        assert taken == [capture]

    def test_it_knows_who_takes_it(self, taken: Taken) -> None:
        class Recorder:
            def submit(self, capture: Capture) -> None: ...

        recorder = Recorder()
        assert Capture(recorder.submit, SESSION, LIMIT, False).taker is recorder
        assert Capture(lambda _: None, SESSION, LIMIT, False).taker is None

    def test_where_no_response_began_the_server_answers_500(self, capture: Capture) -> None:
        capture.finish()
        assert capture.status_code == 500

    def test_where_one_began_the_status_is_its_own(self, capture: Capture) -> None:
        answered(capture, 201).finish()
        assert capture.status_code == 201

    def test_where_the_application_failed_or_the_client_left_there_is_no_status(self, taken: Taken) -> None:
        failed, left = taken.capture(), taken.capture()
        failed.failed(ValueError())
        left.disconnected = True
        for capture in (failed, left):
            capture.finish()
            assert capture.status_code == 0


class TestSecuring:
    """With `durability="spool"`: before the bytes go out with which the client has the whole response."""

    def test_what_is_whole_by_its_length_is_finished(self, taken: Taken, capture: Capture) -> None:
        answered(capture, 200, LENGTH_5, b"1234")
        capture.secure()
        assert taken == []
        capture.sent(b"5")
        capture.secure()
        capture.secure(last=True)
        assert taken == [capture]
        assert capture.complete

    def test_what_announces_no_length_is_finished_with_its_last_bytes(self, taken: Taken, capture: Capture) -> None:
        answered(capture, 200, (), b"1234")
        capture.secure()
        assert taken == []
        capture.secure(last=True)
        assert taken == [capture]

    def test_before_a_response_began_nothing_is_whole(self, taken: Taken, capture: Capture) -> None:
        capture.method = "HEAD"
        capture.secure()
        assert taken == []

    def test_a_failure_there_is_ours_alone(self, as_in_production: None, monkeypatch: pytest.MonkeyPatch) -> None:
        reported: list[str] = []
        monkeypatch.setattr("otas_middleware._capture.report_internal_error", reported.append)

        def refuse(_: Capture) -> None:
            raise RuntimeError

        Capture(refuse, SESSION, LIMIT, False).secure(last=True)
        assert reported == ["capture.secure"]


class TestAborted:
    """The client is known not to have got the whole response."""

    @pytest.mark.parametrize(
        ("headers", "chunks", "complete", "aborted"),
        [
            (LENGTH_5, [b"12345"], True, False),
            (LENGTH_5, [b"12345"], False, False),
            (LENGTH_5, [b"123456"], True, False),
            (LENGTH_5, [b"1234"], True, True),
            (LENGTH_5, [b"1234"], False, True),
            ((), [b"1234"], True, False),
            ((), [b"1234"], False, True),
        ],
    )
    def test_it_is_what_the_length_and_the_end_say(
        self, capture: Capture, headers: Headers, chunks: list[bytes], complete: bool, aborted: bool
    ) -> None:
        answered(capture, 200, headers, *chunks)
        if complete:
            capture.ended()
        capture.finish()
        assert capture.aborted is aborted

    def test_a_file_that_the_server_sends_itself_is_complete_when_it_was_handed_on(self, capture: Capture) -> None:
        capture.opaque = True
        answered(capture, 200, LENGTH_5).ended()
        assert not capture.aborted

    def test_what_the_application_broke_off_itself_was_not_aborted(self, capture: Capture) -> None:
        answered(capture, 200, LENGTH_5, b"1234").failed(ValueError())
        assert not capture.aborted
        capture.disconnected = True
        assert capture.aborted

    def test_where_no_response_began_only_a_client_that_left_aborted_it(self, taken: Taken) -> None:
        for left in (False, True):
            capture = taken.capture()
            capture.disconnected = left
            assert capture.aborted is left
            capture.finish()
            assert capture.aborted is left

    def test_a_head_that_was_taken_back_is_no_response(self, capture: Capture) -> None:
        capture.started(200, LENGTH_5)
        capture.head_waits_for = "byte"
        capture.broke_off(ValueError())
        assert not capture.aborted


class TestWhatTheApplicationSays:
    def test_a_later_value_of_a_name_replaces_an_earlier_one(self, capture: Capture) -> None:
        capture.annotate({"a": 1, "b": 1})
        capture.annotate({"b": 2})
        assert capture.custom_properties == {"a": 1, "b": 2}

    def test_the_id_that_somebody_asked_for_is_the_events(self, capture: Capture) -> None:
        first = capture.identify()
        assert len(first) == 36
        assert first == capture.identify() == capture.event_id


class TestWeight:
    def heavier_by(self, taken: Taken, change: Callable[[Capture], object]) -> int:
        plain, changed = taken.capture(), taken.capture()
        change(changed)
        return changed.weight - plain.weight

    def test_it_is_more_than_nothing_for_one_that_is_empty(self, capture: Capture) -> None:
        assert capture.weight == 1280

    def test_it_grows_by_all_that_is_held(self, taken: Taken) -> None:
        def add(**values: Any) -> Callable[[Capture], object]:
            def change(capture: Capture) -> None:
                for name, value in values.items():
                    setattr(capture, name, value)

            return change

        pairs = [("Name", "value"), ("Other", "x")]
        assert self.heavier_by(taken, add(path="/orders", query_string=b"a=1")) == 10
        assert self.heavier_by(taken, add(request_headers=pairs)) == 15 + 2 * PAIR_WEIGHT
        assert self.heavier_by(taken, add(response_headers=pairs)) == 15 + 2 * PAIR_WEIGHT
        assert self.heavier_by(taken, add(request_headers=pairs, response_headers=pairs)) == 30 + 4 * PAIR_WEIGHT
        assert self.heavier_by(taken, lambda capture: capture.request.add(b"x" * 60)) == 60
        assert self.heavier_by(taken, lambda capture: capture.response.add(b"x" * 70)) == 70
        assert self.heavier_by(taken, add(path="/abc", path_params={"id": "abc"})) == 4 + PAIR_WEIGHT + 4
        properties = {"note": "n" * 1000}
        assert self.heavier_by(taken, lambda capture: capture.annotate(properties)) == size_of(properties)
        checkpoint = [("name", 0.0, {"key": "k" * 1000})]
        assert self.heavier_by(taken, add(checkpoints=checkpoint)) == size_of(checkpoint)
        described = describe_exception(ValueError("v" * 1000), with_traceback=False)
        assert self.heavier_by(taken, add(exception=described)) == size_of(described)

    @pytest.mark.parametrize("side", ["request_headers", "response_headers"])
    def test_headers_that_are_no_text_are_weighed_all_the_same(self, taken: Taken, side: str) -> None:
        odd = [("Length", 5)]
        assert (
            self.heavier_by(taken, lambda capture: setattr(capture, side, odd))
            == size_of(odd) + size_of(()) + PAIR_WEIGHT
        )

    def test_it_stays_what_it_was_once_it_is_finished(self, capture: Capture) -> None:
        before = capture.weight
        capture.path = "/orders"
        assert capture.weight == before + 7
        capture.finish()
        capture.path = ""
        assert capture.weight == before
        capture.path = "/orders/42"
        assert capture.weight == before
