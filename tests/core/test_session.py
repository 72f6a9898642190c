"""The gate: a token is looked at once, and what fails is counted by reason and costs nothing more."""

from __future__ import annotations

import base64
import contextlib
import gc
import gzip
import json
import os
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from otas_middleware._capture import verify as verify_module
from otas_middleware._capture.session import TokenGate, fingerprint, read_claims
from otas_middleware._capture.verify import ByKeySet, KeysUnavailableError, by_secret
from otas_middleware._runtime import SharedWeakSet
from otas_middleware.testing import make_token
from support.agent import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "a-signing-secret-of-more-than-32-bytes"
NOW = 1_700_000_000.0


def token(secret: str = SECRET, **claims: Any) -> str:
    body = {"agent_id": "a1", "agent_session_id": "s1", "iat": NOW, "exp": NOW + 3600, **claims}
    return jwt.encode({name: value for name, value in body.items() if value is not None}, secret, algorithm="HS256")


def unsigned(payload: bytes) -> str:
    return "h." + base64.urlsafe_b64encode(payload).decode().rstrip("=") + ".s"


def test_a_good_token_yields_its_session_unverified() -> None:
    session = TokenGate().admit(token(), NOW)
    assert session is not None
    assert (session.agent_id, session.session_id, session.verified) == ("a1", "s1", False)
    assert (session.issued_at, session.expires_at) == (NOW, NOW + 3600)


def test_the_same_session_object_is_returned_the_second_time() -> None:
    gate = TokenGate()
    text = token()
    assert gate.admit(text, NOW) is gate.admit(text, NOW)
    assert gate.admit(text.encode(), NOW) is gate.admit(text.encode(), NOW)


def test_a_token_never_shows_in_a_repr() -> None:
    session = TokenGate().admit(token(), NOW)
    assert session is not None
    assert session.token not in repr(session)
    assert session.token.split(".")[2] not in repr(session)
    assert session.fingerprint == fingerprint(session.token)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "malformed"),
        ("no-dots", "malformed"),
        ("a.b", "malformed"),
        ("a.b.c.d", "malformed"),
        ("a.!!!.c", "malformed"),
        ("a.é.c", "malformed"),
        (unsigned(b"[]"), "malformed"),
        (unsigned(b"not json"), "malformed"),
        (unsigned(b"[" * 3000), "malformed"),
        ("h.e30.", "malformed"),
        (".e30.s", "malformed"),
        ("h\x01.e30.s", "malformed"),
        ("h.e30.s s", "malformed"),
        ("h.e30.s\n", "malformed"),
        ("h.e30=.s", "malformed"),
        ("h.e30.s+", "malformed"),
        ("h.e30.s,h.e30.s", "malformed"),
        (unsigned(b'{"agent_id": "x"}'), "missing_claims"),
        (unsigned(json.dumps({"agent_id": 5, "agent_session_id": "s"}).encode()), "missing_claims"),
        (unsigned(json.dumps({"agent_id": "a", "agent_session_id": ""}).encode()), "missing_claims"),
        ("x" * 4097, "too_long"),
        (token(exp=NOW - 61), "expired"),
    ],
)
def test_a_bad_token_is_refused_and_counted(bad: str, reason: str) -> None:
    gate = TokenGate()
    assert gate.admit(bad, NOW) is None
    assert gate.admit(bad.encode("latin-1"), NOW) is None
    assert dict(gate.refused) == {reason: 2}


def test_a_token_that_just_expired_is_given_a_minute() -> None:
    assert TokenGate().admit(token(exp=NOW - 59), NOW) is not None


def test_an_admitted_token_is_refused_once_it_expires() -> None:
    gate = TokenGate()
    text = token()
    assert gate.admit(text, NOW) is not None
    assert gate.admit(text, NOW + 3661) is None


@pytest.mark.parametrize("odd", [True, "soon", 10**400, None, float("inf")])
def test_an_odd_expiry_counts_as_none(odd: object) -> None:
    text = unsigned(json.dumps({"agent_id": "a", "agent_session_id": "s", "exp": odd}).encode())
    session = TokenGate().admit(text, NOW)
    assert session is not None
    assert session.expires_at is None


def test_what_brain_rejected_is_refused_for_a_while() -> None:
    gate = TokenGate()
    text = token(exp=None)
    now = time.time()
    assert gate.admit(text, now) is not None
    gate.reject(text, seconds=600)
    assert gate.admit(text, now + 1) is None
    assert gate.admit(text.encode(), now + 1) is None
    assert gate.refused["rejected_by_brain"] == 2
    assert gate.admit(text, now + 601) is not None


@pytest.mark.parametrize("odd", [42, None, [1], {"a": 1}, bytearray(b"a.b.c"), ("a", "b")])
def test_what_is_no_text_is_refused(odd: Any) -> None:
    gate = TokenGate()
    assert gate.admit(odd, NOW) is None
    assert gate.refused == {"malformed": 1}


@pytest.mark.parametrize("form", [str, str.encode])
def test_a_rejected_token_is_known_in_no_form_any_more(form: Any) -> None:
    gate = TokenGate()
    text = token(exp=None)
    assert gate.admit(form(text), time.time()) is not None
    gate.reject(text)
    assert gate.admit(form(text), time.time()) is None


def test_a_token_that_comes_as_text_and_as_bytes_is_admitted_by_a_strict_interpreter_too() -> None:
    """`-bb` makes an error of a comparison of the two."""
    code = (
        "import sys, time\nfrom otas_middleware._capture.session import TokenGate\ngate = TokenGate()\n"
        "for form in (sys.argv[1], sys.argv[1].encode()) * 2: assert gate.admit(form, time.time())"
    )
    subprocess.run([sys.executable, "-bb", "-W", "error", "-c", code, token(exp=None)], check=True)


@pytest.mark.parametrize("form", [str, str.encode])
def test_what_delivery_learns_of_a_token_holds_in_every_form(form: Any) -> None:
    gate = TokenGate()
    text = token(exp=None)
    gate.admit(form(text), time.time())
    gate.learn("confirmed", text)
    session = gate.admit(form(text), time.time())
    assert session is not None
    assert session.verified
    now = time.time()
    gate.learn("bad_signature", text)
    assert gate.admit(form(text), now + 1) is None
    assert gate.admit(form(text), now + 20) is not None, "a key set may have been replaced meanwhile"
    gate.learn("rejected", text)
    assert gate.admit(form(text), now + 20) is None
    assert gate.refused == {"bad_signature": 1, "rejected_by_brain": 2}


def test_a_token_that_is_rejected_while_it_is_looked_at_is_not_admitted() -> None:
    def verify(text: str) -> dict[str, object] | None:
        gate.reject(text)  # another thread's
        return read_claims(text)

    gate = TokenGate(verify)
    assert gate.admit(token(), time.time()) is None
    assert gate.refused == {"rejected_by_brain": 1}


def in_threads(work: Callable[[int], None], threads: int = 8) -> None:
    """Call a function in several threads at once that change places as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    finally:
        sys.setswitchinterval(interval)


def test_many_threads_use_one_gate_and_nothing_is_lost() -> None:
    gate = TokenGate()

    def work(thread: int) -> None:
        for number in range(600):
            text = unsigned(json.dumps({"agent_id": "a", "agent_session_id": f"{thread}-{number}"}).encode())
            assert gate.admit(text, NOW) is not None
            gate.reject(text)
            assert gate.admit(text, time.time()) is None
            assert gate.admit("malformed", NOW) is None
            assert gate.refused["malformed"] > 0

    in_threads(work)
    assert gate.refused == {"malformed": 4800, "rejected_by_brain": 4800}
    assert gate._known == {}


def test_a_lock_is_free_in_a_forked_child_whoever_held_it() -> None:
    gate = TokenGate()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with gate._lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which is the point
            pid = os.fork()
        if not pid:
            os._exit(gate.admit("malformed", NOW) is not None)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        over.set()
        thread.join()


def test_a_shared_set_can_be_looked_through_while_it_grows() -> None:
    class Member:
        pass

    kept: list[Member] = []
    members: SharedWeakSet[Member] = SharedWeakSet()

    def grow() -> None:
        for _ in range(20_000):
            kept.append(Member())
            members.add(kept[-1])

    thread = threading.Thread(target=grow)
    thread.start()
    while thread.is_alive():
        list(members)
    thread.join()
    assert len(list(members)) == 20_000
    kept.clear()
    gc.collect()
    assert list(members) == []


def test_a_flood_of_tokens_leaves_the_memory_bounded() -> None:
    gate = TokenGate()
    for number in range(6000):
        text = unsigned(json.dumps({"agent_id": "a", "agent_session_id": str(number)}).encode())
        gate.admit(text, NOW)
        gate.reject(text + "x")
    assert len(gate._known) <= 1024
    assert len(gate._rejected) <= 4096


def test_with_the_secret_a_signature_is_verified() -> None:
    gate = TokenGate(by_secret(SECRET))
    session = gate.admit(token(), NOW)
    assert session is not None
    assert session.verified
    assert gate.admit(token("another-secret-of-more-than-32-bytes"), NOW) is None
    assert gate.refused["bad_signature"] == 1


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_only_the_configured_algorithm_is_accepted(algorithm: str) -> None:
    claims = {"agent_id": "a", "agent_session_id": "s"}
    key = "" if algorithm == "none" else SECRET * 2
    forged = jwt.encode(claims, key, algorithm=algorithm)
    assert TokenGate(by_secret(SECRET * 2)).admit(forged, NOW) is None


def test_claims_are_read_without_checking() -> None:
    assert read_claims(token()) == {"agent_id": "a1", "agent_session_id": "s1", "iat": NOW, "exp": NOW + 3600}


class KeySetServer:
    """Serves one JSON document on loopback, however it is told to.

    Args:
        document: What it serves; it may be replaced.
        answer: Writes the answer, if it is not that of a well-behaved server.
    """

    def __init__(self, document: bytes = b"", answer: Callable[[KeySetServer, Any], None] | None = None) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from threading import Thread

        served = self
        self.document = document
        self.asked = 0
        self.over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked += 1
                if answer is not None:
                    with contextlib.suppress(OSError):
                        answer(served, self)
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(served.document)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the standard library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/keys"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


CLAIMS = {"agent_id": "a", "agent_session_id": "s"}


class Key:
    """A private key under a name, and what it signs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.private = ec.generate_private_key(ec.SECP256R1())

    def published(self) -> dict[str, Any]:
        return {**ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": self.name, "alg": "ES256"}

    def signed(self, name: str | None = None) -> str:
        return jwt.encode(CLAIMS, self.private, algorithm="ES256", headers={"kid": name or self.name})


def key_set(*keys: Key) -> bytes:
    return json.dumps({"keys": [key.published() for key in keys]}).encode()


def test_a_token_of_a_key_that_was_just_published_is_verified_and_others_do_not_fetch_again() -> None:
    old, new, stranger = Key("old"), Key("new"), Key("stranger")
    with KeySetServer(key_set(old)) as server:
        verify = ByKeySet(server.url)
        assert verify(old.signed()) == CLAIMS
        server.document = key_set(old, new)
        assert verify(new.signed()) == CLAIMS
        assert server.asked == 2
        for _ in range(20):
            assert verify(stranger.signed()) is None
            assert verify(stranger.signed("old")) is None
        assert server.asked == 2, "strangers decide how often the keys are fetched"


def test_after_ten_seconds_an_unknown_key_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(verify_module, "monotonic", lambda: now[0])
    old, new = Key("old"), Key("new")
    with KeySetServer(key_set(old)) as server:
        verify = ByKeySet(server.url)
        assert verify(new.signed()) is None
        server.document = key_set(old, new)
        assert verify(new.signed()) is None
        now[0] += 10
        assert verify(new.signed()) == CLAIMS
        assert server.asked == 3


def test_a_key_without_a_name_may_have_signed_any_token() -> None:
    key = Key("")
    nameless = {name: value for name, value in key.published().items() if name != "kid"}
    with KeySetServer(json.dumps({"keys": [nameless]}).encode()) as server:
        assert ByKeySet(server.url)(key.signed("some-name")) == CLAIMS


def test_keys_of_all_kinds_stand_side_by_side() -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ed_key = ed25519.Ed25519PrivateKey.generate()
    ec_key = ec.generate_private_key(ec.SECP256R1())
    keys: list[dict[str, Any]] = [
        RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True),
        OKPAlgorithm.to_jwk(ed_key.public_key(), as_dict=True),
        ECAlgorithm.to_jwk(ec_key.public_key(), as_dict=True),
    ]
    signed = [
        jwt.encode(CLAIMS, rsa_key, algorithm="RS256"),
        jwt.encode(CLAIMS, ed_key, algorithm="EdDSA"),
        jwt.encode(CLAIMS, ec_key, algorithm="ES256"),
    ]
    for published in (keys, keys[::-1]):
        with KeySetServer(json.dumps({"keys": published}).encode()) as server:
            verify = ByKeySet(server.url)
            assert [verify(token) for token in signed] == [CLAIMS] * 3


def endless(server: KeySetServer, handler: Any) -> None:
    """Answer with more than anybody keeps, until the client has had enough."""
    handler.send_response(200)
    handler.end_headers()
    while not server.over.is_set():
        handler.wfile.write(b" " * 65_536)


def bomb(_: KeySetServer, handler: Any) -> None:
    """Answer with much in little: 100 MB in 100 kB."""
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(b" " * 100_000_000))


def drip(server: KeySetServer, handler: Any) -> None:
    """Send a byte of the body now and then."""
    handler.send_response(200)
    handler.end_headers()
    while not server.over.wait(0.05):
        handler.wfile.write(b" ")


def drip_headers(server: KeySetServer, handler: Any) -> None:
    """Send a byte of a header now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not server.over.wait(0.05):
        handler.wfile.write(b"a")


def hang(server: KeySetServer, _: Any) -> None:
    """Say nothing."""
    server.over.wait()


def elsewhere(_: KeySetServer, handler: Any) -> None:
    """Send the client on, to a place that nobody configured."""
    handler.send_response(302)
    handler.send_header("Location", "/other")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize("answer", [endless, bomb, drip, drip_headers, hang, elsewhere])
def test_whatever_the_key_server_does_nobody_waits_longer_than_the_time_out_and_nothing_large_is_kept(
    answer: Callable[[KeySetServer, Any], None],
) -> None:
    tracemalloc.start()
    try:
        with KeySetServer(answer=answer) as server:
            verify = ByKeySet(server.url, timeout=0.4)
            began = time.monotonic()
            with pytest.raises(KeysUnavailableError):
                verify(Key("any").signed())
            took = time.monotonic() - began
            for thread in threading.enumerate():
                if thread.name == "otas-keys":
                    thread.join()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert took < PATIENCE
    assert peak < (150_000_000 if answer is bomb else 20_000_000)  # of the bomb, what the server itself makes


def test_on_a_request_path_nobody_waits_for_keys() -> None:
    old, new = Key("old"), Key("new")

    def answer(server: KeySetServer, handler: Any) -> None:
        may_answer.wait()
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(server.document)

    def fetched() -> None:
        for thread in threading.enumerate():
            if thread.name == "otas-keys":
                thread.join()

    may_answer = threading.Event()
    with KeySetServer(key_set(old), answer) as server:
        verify = ByKeySet(server.url)
        with pytest.raises(KeysUnavailableError):
            verify(old.signed(), wait=False)
        may_answer.set()
        fetched()
        assert verify(old.signed(), wait=False) == CLAIMS
        server.document = key_set(old, new)
        may_answer.clear()
        with pytest.raises(KeysUnavailableError):
            verify(new.signed(), wait=False)
        may_answer.set()
        fetched()
        assert verify(new.signed(), wait=False) == CLAIMS
        assert verify(Key("stranger").signed(), wait=False) is None
        assert server.asked == 2


def test_a_published_key_verifies_and_cannot_be_used_as_a_secret() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    document = json.dumps(
        {"keys": [{**ECAlgorithm.to_jwk(public, as_dict=True), "kid": "one", "alg": "ES256"}]}
    ).encode()
    claims = {"agent_id": "a", "agent_session_id": "s"}
    good = jwt.encode(claims, private, algorithm="ES256", headers={"kid": "one"})
    # Built by hand: the library refuses to sign with a public key.
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = _hs256(claims, pem, kid="one")
    stranger = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "one"})
    with KeySetServer(document) as server:
        verify = ByKeySet(server.url)
        assert verify(good) == claims
        assert verify(confused) is None
        assert verify(stranger) is None
        assert verify("a.b.c") is None


def _hs256(claims: dict[str, str], key: bytes, kid: str) -> str:
    import hashlib
    import hmac

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signed = part({"alg": "HS256", "typ": "JWT", "kid": kid}) + "." + part(claims)
    signature = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return signed + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


def test_without_keys_nothing_is_said_about_a_signature(caplog: pytest.LogCaptureFixture) -> None:
    with KeySetServer(b"<html>") as server:
        verify = ByKeySet(server.url)
        for _ in range(3):
            with pytest.raises(KeysUnavailableError):
                verify(token())
    [record] = [record for record in caplog.records if record.name == "otas_middleware"]
    assert "OTAS_SESSION_JWKS_URL" in record.message


def test_the_first_refusal_for_a_reason_is_said_to_developers_and_never_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "otas_middleware")
    gate = TokenGate()
    for token in ("not-a-token-1", "not-a-token-2", make_token(expires_in=-600)):
        assert gate.admit(token, time.time()) is None
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert "(malformed)" in caplog.text
    assert "(expired)" in caplog.text
    assert "not-a-token" not in caplog.text
