"""A backend passes its caller's token on to the listed hosts, and by no journey to any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.journeys import INSIDE, LIBRARIES, Journey, Sent, places, statuses
from otas_middleware import OtasSettings, propagate
from otas_middleware._capture.session import TOKEN_HEADER
from propagate.backend import ask_synchronously
from support.agent import Agent

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain

LISTING = OtasSettings(propagate_to=(INSIDE,))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(places, min_size=1, max_size=6),
    status=statuses,
    copied=st.sampled_from(["", TOKEN_HEADER, "Authorization", "X-Trace"]),
    library=st.sampled_from(LIBRARIES),
)
def test_no_journey_of_a_request_takes_the_token_to_a_host_that_is_not_listed(
    brain: LocalBrain, stops: list[str], status: int, copied: str, library: str
) -> None:
    agent = Agent(brain)

    def check(sent: Sent) -> None:
        if sent.is_inside():
            assert sent.tokens() == [agent.token]
        else:
            assert agent.token not in sent.text

    journey = Journey(stops, status, check)
    ask_synchronously(
        LISTING.replace(sdk_key=brain.sdk_key, brain_url=brain.url),
        agent,
        lambda: journey.make(library, propagate.instrument, {copied: agent.token} if copied else {}),
    )
    assert len(journey.sent) == len(stops)
