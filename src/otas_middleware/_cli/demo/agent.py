"""Plays the agent (and now and then somebody else): sends the steps, and notes what came back."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._compat import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otas_middleware._cli.demo.scenario import Secrets, Step
    from otas_middleware.agent import AgentSession

REQUEST_ID = "x-request-id"
"""Each request carries an id in this header, by which its event is known again."""
TIMEOUT_SECONDS = 20.0


class UnansweredError(Exception):
    """An application did not answer a request."""


@dataclass(frozen=True)
class Exchange:
    """A step that was taken, as the client saw it."""

    step: Step
    request_id: str
    status: int
    request_bytes: int
    response_bytes: int


def play(
    steps: Sequence[Step], addresses: Mapping[str, str], session: AgentSession, secrets: Secrets
) -> Iterator[Exchange]:
    """Take the steps one after the other; cookies are kept for each application and each of the two callers.

    Args:
        steps: What to send.
        addresses: Application's name → its URL.
        session: The agent's session, whose domain the applications are.
        secrets: What the steps refer to; what the answers hold of secrets is added.

    Raises:
        UnansweredError: An application did not answer.
    """
    clients: dict[tuple[str, bool], httpx.Client] = {}
    with ExitStack() as stack:
        for number, step in enumerate(steps, start=1):
            caller = (step.application.name, step.by_agent)
            if caller not in clients:
                make = session.client if step.by_agent else httpx.Client
                client = make(base_url=addresses[step.application.name], timeout=TIMEOUT_SECONDS, trust_env=False)
                clients[caller] = stack.enter_context(client)
            yield _take(step, f"demo-{number:02}", clients[caller], secrets)


def _take(step: Step, request_id: str, client: httpx.Client, secrets: Secrets) -> Exchange:
    request = client.build_request(
        step.method,
        step.target.format(secrets=secrets),
        headers={name: value.format(secrets=secrets) for name, value in step.headers.items()}
        | {REQUEST_ID: request_id},
        json=step.json,
        data=step.form,
        files={"file": step.file} if step.file else None,
        content=step.content,
    )
    try:
        response = client.send(request)
    except httpx.TransportError as error:
        name = step.application.name
        raise UnansweredError(f"{name} did not answer {step.method} {step.path} ({type(error).__name__}).") from error
    for name, value in response.cookies.items():
        secrets.learn(name, value)
    if response.is_success:
        for name in step.answers:
            secrets.learn(name, response.json()[name])
    return Exchange(step, request_id, response.status_code, len(request.read()), response.num_bytes_downloaded)
