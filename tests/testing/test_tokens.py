"""Tokens for tests are real ones."""

from __future__ import annotations

import time

import jwt
import pytest

from otas_middleware._capture.session import TOKEN_HEADER, TokenGate
from otas_middleware.testing import make_token, session_headers

SECRET = "a secret of at least thirty-two bytes"


def test_a_token_opens_the_gate_with_the_ids_that_were_given() -> None:
    session = TokenGate().admit(make_token(session_id="s", agent_id="a"), time.time())
    assert session is not None
    assert (session.session_id, session.agent_id) == ("s", "a")


def test_each_token_is_a_session_of_its_own() -> None:
    first, second = (jwt.decode(make_token(), options={"verify_signature": False}) for _ in range(2))
    assert first["agent_session_id"] != second["agent_session_id"]
    assert first["agent_id"] != second["agent_id"]


def test_a_token_is_signed_with_the_secret_that_was_given() -> None:
    claims = jwt.decode(make_token(secret=SECRET, claims={"tenant": "t"}), SECRET, algorithms=["HS256"])
    assert claims["tenant"] == "t"
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(make_token(), SECRET, algorithms=["HS256"])


def test_a_token_can_be_expired_from_the_future_or_without_end() -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(make_token(secret=SECRET, expires_in=-5), SECRET, algorithms=["HS256"])
    with pytest.raises(jwt.ImmatureSignatureError):
        jwt.decode(make_token(secret=SECRET, issued_ago=-300), SECRET, algorithms=["HS256"])
    assert "exp" not in jwt.decode(make_token(secret=SECRET, expires_in=None), SECRET, algorithms=["HS256"])


def test_a_claim_can_be_spoilt() -> None:
    gate = TokenGate()
    assert gate.admit(make_token(claims={"agent_id": ""}), time.time()) is None
    assert gate.refused["missing_claims"] == 1


def test_headers_are_what_test_clients_take() -> None:
    assert session_headers("a.b.c") == {TOKEN_HEADER: "a.b.c"}
    assert session_headers()[TOKEN_HEADER] != session_headers()[TOKEN_HEADER]
