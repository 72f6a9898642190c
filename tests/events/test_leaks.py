"""No secret of any kind of traffic is in what is posted, in any spelling: plain, escaped, percent-encoded or base64."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from events.exchange import exchange, posted
from events.leaks import KINDS

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
