"""Without an extra the package says which one to install; with only the base it still records."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent

OPTIONAL = (
    "django",
    "flask",
    "starlette",
    "uvicorn",
    "typer",
    "jwt",
    "celery",
    "cryptography",
    "requests",
)
"""Top-level modules that no base installation has (some come with others; the base must do without all of them)."""


def run(code: str, *, without: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    blocked = f"import sys\nfor name in {without!r}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False)


def test_the_base_installation_records_a_wsgi_request(brain: LocalBrain, agent: Agent) -> None:
    code = f"""
import otas_middleware as otas
from otas_middleware.wsgi import OtasMiddleware

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

wrapped = OtasMiddleware(app, sdk_key={brain.sdk_key!r}, brain_url={brain.url!r})
environ = {{
    "REQUEST_METHOD": "GET", "PATH_INFO": "/plain", "QUERY_STRING": "", "wsgi.input": None,
    "HTTP_X_OTAS_AGENT_SESSION_TOKEN": {agent.token!r},
}}
result = wrapped(environ, lambda status, headers: None)
assert list(result) == [b"hello"]
result.close()
assert otas.flush(10)
"""
    result = run(code, without=OPTIONAL)
    assert result.returncode == 0, result.stderr
    event = agent.event_from_elsewhere()
    assert (event["path"], event["response_body"]) == ("/plain", "hello")


@pytest.mark.parametrize(
    ("keywords", "extra", "module"),
    [
        ("session_secret='a-secret-of-at-least-32-characters'", "verify", "jwt"),
        ("session_jwks_url='http://127.0.0.1:1/keys'", "verify", "jwt"),
        ("transport='celery'", "celery", "celery"),
        ("spool_dir='spool', spool_key='AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='", "encryption", "cryptography"),
    ],
)
def test_a_setting_whose_extra_is_missing_is_an_error_at_start_that_names_it(
    keywords: str, extra: str, module: str
) -> None:
    code = f"""
from otas_middleware import MissingExtraError
from otas_middleware.wsgi import OtasMiddleware
try:
    OtasMiddleware(lambda environ, start_response: [], sdk_key="otas_a_b", {keywords})
except MissingExtraError as error:
    print(error)
"""
    result = run(code, without=(module,))
    assert result.returncode == 0, result.stderr
    assert f"pip install 'otas-middleware[{extra}]'" in result.stdout
