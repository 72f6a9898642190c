"""What stands for a token, what is read of it, and how long a refused one is remembered."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from uuid import UUID

import pytest

from otas_middleware._capture.session import (
    MAX_TOKEN_BYTES,
    RejectedTokens,
    TokenGate,
    fingerprint,
    new_event_id,
    read_claims,
)

CLAIMS = {"agent_id": "a1", "agent_session_id": "s1"}
NOW = 1_700_000_000.0


def token(claims: object, signature: str = "s") -> str:
    return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


def test_a_fingerprint_is_the_beginning_of_the_tokens_digest() -> None:
    assert fingerprint("a.b.c") == hashlib.sha256(b"a.b.c").hexdigest()[:16]
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint("\udcff"))
    assert fingerprint("é") == hashlib.sha256("é".encode()).hexdigest()[:16]


def test_an_events_id_is_a_random_uuid() -> None:
    ids = [new_event_id() for _ in range(500)]
    assert len(set(ids)) == 500
    for text in ids:
        assert str(UUID(text)) == text
        assert (UUID(text).version, UUID(text).variant) == (4, "specified in RFC 4122")
    places = list(zip(*ids, strict=True))
    assert all(len(set(digits)) == 16 for at, digits in enumerate(places) if at not in {8, 13, 14, 18, 19, 23})
    assert set(places[19]) == set("89ab")


@pytest.mark.parametrize("text", ["\u00ff\u00fb?>", "ab", "abc", "abcd", ""])
def test_claims_are_read_of_any_base64url(text: str) -> None:
    """Of each length, and with the two letters that only this alphabet has."""
    claims = {"x": text}
    assert read_claims(token(claims)) == claims
    raw = base64.urlsafe_b64encode(json.dumps(claims, ensure_ascii=False).encode()).decode().rstrip("=")
    assert read_claims(f"h.{raw}.s") == claims


@pytest.mark.parametrize(
    "text",
    [
        *("", "h.e30", "h.e30.s.x", ".e30.s", "h..s", "h.e30.", "h.e30.s\u00e9", "h.e30.s ", "h.e+30.s", "h.e/30.s"),
        *("h.e30=.s", "h.x.s", "h.W10.s", "h.bnVsbA.s", "h." + "W1tb" * 30_000 + ".s"),
    ],
)
def test_what_is_no_token_in_form_has_no_claims(text: str) -> None:
    assert read_claims(text) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (5.5, 5.5),
        (-5, -5.0),
        (0, 0.0),
        (True, None),
        ("5", None),
        (None, None),
        (1e15, None),
        (10**400, None),
    ],
)
def test_a_time_is_a_number_that_a_clock_can_show(value: Any, seconds: float | None) -> None:
    session = TokenGate().admit(token({**CLAIMS, "iat": value}), NOW)
    assert session is not None
    assert session.issued_at == seconds


@pytest.mark.parametrize("form", [str, str.encode])
def test_a_token_may_be_so_long_and_no_longer(form: Any) -> None:
    gate = TokenGate()
    longest = token(CLAIMS, "s" * (MAX_TOKEN_BYTES - len(token(CLAIMS, ""))))
    assert gate.admit(form(longest), NOW) is not None
    assert gate.admit(form(longest + "s"), NOW) is None
    assert gate.refused == {"too_long": 1}


def test_an_expired_token_is_admitted_for_another_minute() -> None:
    gate = TokenGate()
    text = token({**CLAIMS, "exp": NOW})
    assert gate.admit(text, NOW + 60.0) is not None
    assert gate.admit(text, NOW + 60.001) is None
    assert gate.refused == {"expired": 1}


def test_a_rejected_token_is_refused_before_its_signature_is_checked() -> None:
    checked: list[str] = []

    def verify(text: str) -> dict[str, object]:
        checked.append(text)
        return dict(CLAIMS)

    gate = TokenGate(verify)
    gate.reject(token(CLAIMS), 1e9)
    assert gate.admit(token(CLAIMS), NOW) is None
    assert gate.refused == {"rejected_by_brain": 1}
    assert checked == []


class TestRejectedTokens:
    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr("otas_middleware._capture.session.time.time", lambda: self.now)

    def test_nothing_is_refused_at_first(self) -> None:
        rejected = RejectedTokens()
        assert "a.b.c" not in rejected
        assert len(rejected) == 0

    def test_one_is_refused_until_its_time_is_over_and_then_forgotten(self) -> None:
        rejected = RejectedTokens()
        rejected.add("a.b.c", 5.0)
        rejected.add("d.e.f")
        assert "a.b.c" in rejected
        assert "x.y.z" not in rejected
        self.now += 4.9
        assert "a.b.c" in rejected
        self.now += 0.1
        assert len(rejected) == 2
        assert "a.b.c" not in rejected
        assert len(rejected) == 1
        self.now = NOW + 599.0
        assert "d.e.f" in rejected
        self.now = NOW + 600.0
        assert "d.e.f" not in rejected

    def test_of_more_than_4096_the_oldest_is_forgotten(self) -> None:
        rejected = RejectedTokens()
        for number in range(4097):
            rejected.add(f"a.b.{number}")
        assert len(rejected) == 4096
        assert "a.b.0" not in rejected
        assert "a.b.1" in rejected
