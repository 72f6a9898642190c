"""`otas-middleware doctor --agent`: one call through each client, to a host of its own, and whether it was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from doctor.conftest import Doctor

MODULE = """
import httpx, httpx2, requests
from otas_middleware.agent import AgentSession

session = AgentSession("https://api.example.com", agent_key="agent_abcdefghijk_x", uasam_url="http://127.0.0.1:1")
"""

CLIENTS = """
one = session.client(trust_env=False)
two = session.async_client(trust_env=False)
three = session.requests_session()
three.trust_env = False
four = session.instrument(httpx.Client(trust_env=False))
unseen = requests.Session()
unseen.trust_env = False
"""


def examined(doctor: Doctor, text: str, target: str) -> tuple[int, str]:
    (doctor.folder / "shop_agent.py").write_text(text)
    process = doctor.run("--agent", target)
    return process.returncode, process.stdout + process.stderr


def test_each_client_of_a_session_is_tried(doctor: Doctor) -> None:
    status, output = examined(doctor, MODULE + CLIENTS, "shop_agent:session")
    assert status == 0, output
    assert output.count("are seen") == 4


def test_a_client_that_is_not_instrumented_is_named_with_what_to_do(doctor: Doctor) -> None:
    status, output = examined(doctor, MODULE + CLIENTS, "shop_agent:session,shop_agent:unseen")
    assert status == 1
    assert "a call through shop_agent:unseen is not seen" in output
    assert "session.instrument()" in output


def test_a_client_of_aiohttp_can_be_named_by_a_function(doctor: Doctor) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    text = MODULE + "class Http:\n    async def get(self, url):\n"
    text += "        async with session.aiohttp_session() as http:\n"
    text += "            answer = await http.get(url)\n            await answer.read()\n            return answer\n"
    status, output = examined(doctor, text, "shop_agent:session,shop_agent:Http()")
    assert status == 0, output
    assert "calls through shop_agent:Http() are seen" in output


def test_a_session_without_clients_is_a_warning(doctor: Doctor) -> None:
    status, output = examined(doctor, MODULE, "shop_agent:session")
    assert status == 0
    assert "has made and instrumented no client" in output


def test_what_is_no_session_is_said(doctor: Doctor) -> None:
    status, output = examined(doctor, "session = 4\n", "shop_agent:session")
    assert status == 1
    assert "shop_agent:session is of type int, no AgentSession" in output
    assert output.splitlines()[-1] == "1 of 1 check failed: agent."


def test_a_module_that_is_not_there_is_said(doctor: Doctor) -> None:
    status, output = examined(doctor, "", "shop_agents:session")
    assert status == 1
    assert "shop_agents" in output


def test_a_client_that_raises_is_said(doctor: Doctor) -> None:
    text = MODULE + "class Broken:\n    def get(self, url):\n        raise OSError(url)\n"
    status, output = examined(doctor, text, "shop_agent:session,shop_agent:Broken()")
    assert status == 1
    assert "a call through shop_agent:Broken() raised OSError" in output
