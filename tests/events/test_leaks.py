"""No secret of any kind of traffic is in what is posted, in any spelling: plain, escaped, percent-encoded or base64."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from events.exchange import REDACTOR, exchange, posted
from events.leaks import KINDS
from otas_middleware._event.redact import MASK

LONG = 12
"""Characters from which on a secret could be told in base64."""


def spellings(secret: str) -> set[str]:
    found = {secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")}
    if len(secret) > LONG:
        found |= {base64.b64encode(b"\0" * offset + secret.encode()).decode()[4:-4] for offset in range(3)}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_this_kind_leaks(kind: str) -> None:
    leaked: list[bytes] = []
    for leak in KINDS[kind]():
        sent = posted(exchange(request_body=leak.body, request_type=leak.content_type)).decode()
        texts = sent, sent.replace("\\", ""), json.loads(sent)["request_body"]
        if any(spelt in text for secret in leak.secrets for spelt in spellings(secret) for text in texts):
            leaked.append(leak.body[:200])
    assert not leaked


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_this_kind_leaks_in_a_response_beside_other_things(kind: str) -> None:
    leaked: list[bytes] = []
    for leak in list(KINDS[kind]())[::7]:
        capture = exchange(
            response_body=leak.body, response_type=leak.content_type, query=b"page=2&q=tea", status=201, path="/a/b"
        )
        sent = posted(capture).decode()
        if any(secret in sent.replace("\\", "") for secret in leak.secrets):
            leaked.append(leak.body[:200])
        assert '"query_params":"page=2&q=tea"' in sent
    assert not leaked


MASKED_AS_A_WHOLE = {"private_keys", "encodings", "values_of_several_words", "names_with_unseen_characters"}
MORE = {
    "exceptions": 16,
    "credentials_of_headers": 24,
    "markup": 24,
    "names_in_other_scripts": 24,
    "labelled": 32,
    "formats": 40,
    "tools": 48,
    "statements_and_commands": 24,
    "words_in_tables": 16,
    "characters": 20,
}
"""Characters besides the secret that a mask may hide, where it is not the secret alone: a scheme, a type, a bracket."""


def respelled(text: str) -> str:
    """Return a text without what may change about it: blanks and quotes of JSON and CSV, escapes of letters."""
    return html.unescape(text).replace(r"\x70", "p").translate(dict.fromkeys(map(ord, ' "\\')))


def hidden(text: str, redacted: str) -> int | None:
    """Return how many characters are hidden by masks; None where anything else is not as it was."""
    first, *pieces = redacted.split(MASK)
    if not text.startswith(first):
        return None
    at, count = len(first), 0
    for number, piece in enumerate(pieces, 1):
        start = text.find(piece, at) if number < len(pieces) else len(text) - len(piece)
        if start < at or not text.startswith(piece, start):
            return None
        count += start - at
        at = start + len(piece)
    return count


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in MASKED_AS_A_WHOLE])
def test_little_is_hidden_but_the_secret_and_all_else_of_this_kind_stays(kind: str) -> None:
    more: list[tuple[str, str]] = []
    for leak in KINDS[kind]():
        text = leak.body.decode()
        redacted = REDACTOR.text(text)
        count = hidden(respelled(text), respelled(redacted))
        secrets = sum(text.count(secret) * len(secret) for secret in leak.secrets)
        if count is None or count > secrets + MORE.get(kind, 8):
            more.append((text, redacted))
    assert not more
