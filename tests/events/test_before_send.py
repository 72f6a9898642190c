"""`before_send`: the user's last word, after which redaction has one more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from events.exchange import SESSION, TOKEN, exchange
from otas_middleware import _errors
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event.build import build
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Capture
    from otas_middleware._event import BackendEvent, Envelope


def sent(before_send: Callable[[BackendEvent], object], **arguments: Any) -> Envelope | None:
    """Return the envelope of an exchange that went past a `before_send`."""
    return build(exchange(**arguments), OtasSettings(before_send=before_send))


def test_it_gets_an_event_without_secrets() -> None:
    seen: list[BackendEvent] = []

    def look(event: BackendEvent) -> BackendEvent:
        seen.append(event)
        return event

    envelope = sent(look, request_body=b'{"pin": 1234}', request_type="application/json")
    assert seen[0].request_body == '{"pin": "[REDACTED]"}'
    assert envelope is not None
    assert envelope.event == seen[0]


def test_it_can_withhold_an_event() -> None:
    assert sent(lambda _: None) is None


def test_it_can_change_an_event_in_place_or_by_a_copy() -> None:
    def rename(event: BackendEvent) -> BackendEvent:
        event.custom_properties["team"] = "a"
        return event.model_copy(update={"path": "/renamed"})

    envelope = sent(rename)
    assert envelope is not None
    assert (envelope.event.path, envelope.event.custom_properties) == ("/renamed", {"team": "a"})
    assert (envelope.token, envelope.session_id) == (TOKEN, SESSION.session_id)


def test_what_it_adds_is_redacted_and_fitted() -> None:
    def spoil(event: BackendEvent) -> BackendEvent:
        event.error = f"password='hunter2' \x00 {TOKEN}"
        event.status_code = -5
        event.metadata = {"session": "hunter2", "note": object()}
        event.custom_properties["secret"] = ["hunter2"]
        return event

    envelope = sent(spoil)
    assert envelope is not None
    posted = envelope.event.to_json().decode()
    assert "hunter2" not in posted
    assert TOKEN not in posted
    assert envelope.event.error == "password='[REDACTED]' \u2400 [REDACTED]"
    assert envelope.event.status_code == 0
    assert envelope.event.metadata["session"] == "[REDACTED]"
    assert envelope.event.metadata["event_id"]


def fails(_: BackendEvent) -> BackendEvent:
    raise ValueError("hunter2")


def returns_nonsense(_: BackendEvent) -> object:
    return {"path": "/"}


@pytest.mark.parametrize("broken", [fails, returns_nonsense])
def test_when_it_fails_the_event_is_withheld_and_that_is_counted(
    broken: Callable[[BackendEvent], object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    before = _errors.counts["before_send"]
    monkeypatch.setattr(_errors, "_seen", set[object]())
    assert sent(broken) is None
    assert _errors.counts["before_send"] == before + 1
    assert "recording failed in before_send" in caplog.text
    assert "the event is withheld" in caplog.text
    assert "hunter2" not in caplog.text


def test_it_can_be_named_by_its_import_path() -> None:
    settings = OtasSettings(before_send="events.test_before_send:fails")  # as in the environment
    assert settings.before_send is not None
    assert settings.before_send.__name__ == "fails"


def test_a_field_that_cannot_be_looked_through_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of redaction costs the field, never the mask, and is counted."""
    from otas_middleware._event.redact import redactor_for  # patched here only

    settings = OtasSettings(sensitive_fields=("of this test only",))

    def broken(_: object, __: object = 0) -> str:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    monkeypatch.setattr(redactor_for(settings), "_suspicious", broken)
    before = _errors.counts["redact"]
    capture: Capture = exchange(
        path="/a", request_body=b"pin=1", request_type="text/plain", query=b"pin=1", properties={"a": "pin=1"}
    )
    with pytest.raises(RuntimeError):
        redactor_for(settings).text("x")
    envelope = build(capture, settings)
    assert envelope is not None
    posted = envelope.event.to_json().decode()
    assert "pin=1" not in posted
    assert "hunter2" not in posted
    assert "[REDACTED: could not be looked through]" in posted
    assert _errors.counts["redact"] > before
