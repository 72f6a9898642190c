"""Whatever the bytes and however they are cut: they pass as the same chunks, and the record counts each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.asgi_gateway import call_asgi
from support.harnesses import Harness, harnesses
from support.request import Request
from support.scenarios import OCTETS
from support.sink import TOKEN, Sink
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from support.asgi_gateway import AsgiExchange
    from support.wsgi_gateway import WsgiExchange

pytestmark = pytest.mark.no_cover  # `test_scenarios.py` runs the same lines under coverage

BODIES = st.lists(st.binary(max_size=300), max_size=6)
CUTS = st.lists(st.integers(0, 200), max_size=6)
LIMIT = 256
"""Bytes that are kept: less than many bodies have."""


@pytest.fixture(scope="module")
def sink() -> Sink:
    return Sink(max_body_bytes=LIMIT)


def call(harness: Harness, request: Request, sink: Sink | None) -> AsgiExchange | WsgiExchange:
    app = harness.application(None if sink is None else sink.settings)
    return call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())


@pytest.mark.parametrize("harness", harnesses(), ids=str)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, cuts=CUTS)
def test_chunks_pass_as_they_are_and_are_counted(
    harness: Harness, sink: Sink, body: list[bytes], cuts: list[int]
) -> None:
    sent = b"".join(body)
    request = Request("POST", "/echo", ",".join(map(str, cuts)), (OCTETS, TOKEN), tuple(body))
    bare = call(harness, request, None)
    assert bare.body == sent
    assert call(harness, request, sink) == bare
    capture = sink.take()
    assert (capture.request_size, capture.response_size) == (len(sent), len(sent))
    assert capture.request_body() == capture.response_body() == sent[:LIMIT]
    assert (capture.complete, capture.aborted, capture.exception) == (True, False, None)
