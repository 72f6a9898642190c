"""The manifests of docs/deploy: what they start, started here as processes on loopback, delivers what an agent did."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from docs.documents import ROOT
from otas_middleware import OtasSettings
from otas_middleware._config.sources import env_name
from support.agent import Agent
from support.brokers import free_port
from support.delivery import eventually

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from otas_middleware.localbrain import LocalBrain

DEPLOY = ROOT / "docs" / "deploy"
MANIFESTS = sorted(path.name for path in DEPLOY.iterdir())
RELAYS = ("otas-relay.service", "relay-compose.yaml", "relay-kubernetes.yaml")
BIN = Path(sys.prefix) / "bin"
ACCESS_TOKEN = "an access token of the operator's"
SHOP = """
from otas_middleware.{kind} import OtasMiddleware

async def asgi(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"hello"}})

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]

app = application = OtasMiddleware({kind})
"""


class Service(NamedTuple):
    """What a manifest starts.

    Attributes:
        words: The command line.
        environ: The variables that it sets.
    """

    words: list[str]
    environ: dict[str, str]


def documents(name: str) -> list[Any]:
    return list(import_module("yaml").safe_load_all((DEPLOY / name).read_text()))


def service(manifest: str, name: str) -> Service:
    """Read one service of a manifest: of Compose or of a Deployment's pods."""
    if "compose" in manifest:
        (found,) = documents(manifest)
        described = found["services"][name]
        given = described.get("command", [])
        words = shlex.split(given) if isinstance(given, str) else given
        if words[:2] == ["sh", "-c"]:
            words = shlex.split(words[2].partition("exec ")[2])
        return Service(words, described.get("environment", {}))
    pod = documents(manifest)[-1]["spec"]["template"]["spec"]
    (container,) = (one for one in [*pod.get("initContainers", []), *pod["containers"]] if one["name"] == name)
    environ = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
    return Service(container.get("command", []), environ)


def unit_command(name: str) -> list[str]:
    return shlex.split(re.findall(r"^ExecStart=(.+)$", (DEPLOY / name).read_text(), re.MULTILINE)[0])


@contextmanager
def started(
    words: list[str], folder: Path, environ: Mapping[str, str], replaced: Mapping[str, str]
) -> Generator[subprocess.Popen[str]]:
    """Run a command of a manifest by the programs of this environment, with this machine's places and addresses."""

    def here(text: str) -> str:
        for theirs, ours in replaced.items():
            text = text.replace(theirs, ours)
        return text

    program, *arguments = words
    with (folder / f"{Path(program).name}.log").open("w") as log:
        process = subprocess.Popen(
            [str(BIN / Path(program).name), *map(here, arguments)],
            env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder)}
            | {name: here(value) for name, value in environ.items()},
            cwd=folder,
            stdout=subprocess.PIPE if "brain" in arguments else log,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


def shop_in(folder: Path, kind: str) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / ("main.py" if kind == "asgi" else "wsgi.py")).write_text(SHOP.format(kind=kind))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def call(url: str, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(url, b"{}" if "create" in url else None, named), timeout=10) as reply:
        found: bytes = reply.read()
    return found


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_the_manifests_set_what_are_settings(manifest: str) -> None:
    named = set(re.findall(r"\bOTAS_[A-Z_]+", (DEPLOY / manifest).read_text()))
    assert named <= {env_name(field) for field in OtasSettings.model_fields}
    assert named or manifest.endswith(".service")


def test_the_services_of_the_compose_file_record_what_an_agent_asks(tmp_path: Path) -> None:
    brain, shop = service("compose.yaml", "brain"), service("compose.yaml", "shop")
    ports = {"brain": free_port(), "shop": free_port()}
    url = f"http://127.0.0.1:{ports['brain']}"
    here = {"http://brain:8002": url, "0.0.0.0": "127.0.0.1", "8002": str(ports["brain"]), "8000": str(ports["shop"])}
    here |= {"/data": str(tmp_path), "/var/lib/shop": str(tmp_path)}
    assert set(brain.environ) == {"LOCAL_BRAIN_ACCESS_TOKEN"}
    shop_in(tmp_path, "asgi")
    with started(brain.words, tmp_path, {"LOCAL_BRAIN_ACCESS_TOKEN": ACCESS_TOKEN}, here) as running:
        assert running.stdout is not None
        keys: dict[str, str] = {}
        while "OTAS_AGENT_KEY" not in keys:
            keys.update(re.findall(r"export (OTAS_\w+)=(\S+)", running.stdout.readline()))
        with started(shop.words, tmp_path, {**shop.environ, "OTAS_SDK_KEY": keys["OTAS_SDK_KEY"]}, here):
            eventually(lambda: listens(ports["shop"]), within=30)
            create, key = f"{url}/api/agent/v1/session/create/", keys["OTAS_AGENT_KEY"]
            made = json.loads(call(create, X_OTAS_AGENT_KEY=key, Host="brain"))  # as other containers name it
            token = made["response"]["jwt_token"]
            call(f"http://127.0.0.1:{ports['shop']}/orders", X_OTAS_AGENT_SESSION_TOKEN=token)
            events = f"{url}/_local/events"
            eventually(lambda: b'"path": "/orders"' in call(events, Authorization=f"Bearer {ACCESS_TOKEN}"))


def test_the_deployment_of_kubernetes_records_what_an_agent_asks(brain: LocalBrain, tmp_path: Path) -> None:
    shop, port, agent = service("kubernetes.yaml", "shop"), free_port(), Agent(brain)
    assert documents("kubernetes.yaml")[0]["stringData"].keys() == {"sdk-key"}
    here = {"https://brain.example.com": brain.url, "0.0.0.0:8000": f"127.0.0.1:{port}", "/var/lib/shop": str(tmp_path)}
    shop_in(tmp_path, "wsgi")
    with started(shop.words, tmp_path, {**shop.environ, "OTAS_SDK_KEY": brain.sdk_key}, here):
        eventually(lambda: listens(port), within=30)
        call(f"http://127.0.0.1:{port}/orders", X_OTAS_AGENT_SESSION_TOKEN=agent.token)
        assert agent.event_from_elsewhere()["path"] == "/orders"


def relay_of(manifest: str) -> list[str]:
    """Return the words that start a manifest's relay, whose socket its application has to name."""
    if manifest.endswith(".service"):
        program, *arguments = unit_command(manifest)
        return [Path(program).name, *arguments]
    words = service(manifest, "relay").words
    assert service(manifest, "shop").environ["OTAS_RELAY"] == words[words.index("--socket") + 1]
    return words


def test_the_relay_of_the_manifests_delivers_for_its_application(brain: LocalBrain, tmp_path: Path) -> None:
    words, *others = (relay_of(manifest) for manifest in RELAYS)
    assert others == [words, words]
    path = words[words.index("--socket") + 1]
    here, port, agent = {str(Path(path).parent): str(tmp_path)}, free_port(), Agent(brain)
    environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url, "OTAS_RELAY": path}
    shop_in(tmp_path, "wsgi")
    with started(words, tmp_path, {}, here):
        eventually((tmp_path / "relay.sock").exists, within=30)
        with started(["gunicorn", "shop.wsgi", "--bind", f"127.0.0.1:{port}"], tmp_path, environ, here):
            eventually(lambda: listens(port), within=30)
            call(f"http://127.0.0.1:{port}/orders", X_OTAS_AGENT_SESSION_TOKEN=agent.token)
            assert agent.event_from_elsewhere()["path"] == "/orders"
            status = [str(BIN / "otas-middleware"), "relay", "--status", "--socket", str(tmp_path / "relay.sock")]
            state = json.loads(subprocess.run(status, capture_output=True, check=True).stdout)
    assert sum(tenant["delivered"] for tenant in state["tenants"]) == 1


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze (Debian: apt-get install systemd)")
    unit = tmp_path / "otas-relay.service"
    program = unit_command("otas-relay.service")[0]
    unit.write_text((DEPLOY / "otas-relay.service").read_text().replace(program, str(BIN / "otas-middleware")))
    judged = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (judged.returncode, judged.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name.endswith("kubernetes.yaml")])
def test_each_container_runs_without_root_and_on_a_read_only_file_system(name: str) -> None:
    text = (DEPLOY / name).read_text()
    pods, containers = text.count("kind: Deployment"), text.count("image: ")
    assert text.count("runAsNonRoot: true") == pods == 1
    hardened = "{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"
    assert text.count(f"securityContext: {hardened}") == containers
