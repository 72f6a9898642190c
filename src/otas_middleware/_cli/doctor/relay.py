"""The check of the relay: whether events can be handed over, and to whom."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otas_middleware._cli.doctor.report import Check
from otas_middleware._delivery.relay import place

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings


def check_relay(settings: OtasSettings) -> Check:
    """Check the relay that the settings name, without handing anything over and without starting one."""
    if not place.SUPPORTED:
        return Check("relay", "warning", "OTAS_RELAY has no effect here: the relay needs Linux", "leave it out")
    if find_spec("msgspec") is None:
        return Check("relay", "failed", "OTAS_RELAY needs msgspec", "pip install 'otas-middleware[relay]'")
    return _look(settings)


def _look(settings: OtasSettings) -> Check:
    from otas_middleware._delivery.relay import hello, status  # noqa: PLC0415  # an extra

    here = hello.stays_here(settings)
    if here:
        return Check("relay", "warning", f"not used with {here}: the application delivers by itself", "leave it out")
    try:
        path = status.automatic_path() if settings.relay == "auto" else settings.relay or ""
    except status.NoRelayError as error:
        return Check("relay", "failed", str(error), "set XDG_RUNTIME_DIR to a directory of the application's user")
    try:
        return _running(path, status.state_of(path))
    except status.NoRelayError as error:
        if settings.relay == "auto":
            return Check("relay", "ok", f"none runs at {path} yet: the first recorded event starts one")
        return Check("relay", "failed", f"{error}; until then the application delivers by itself", "start it")


def _running(path: str, state: dict[str, Any]) -> Check:
    from otas_middleware._delivery.relay.packets import PROTOCOL  # noqa: PLC0415  # as above

    if state.get("version") != PROTOCOL:
        text = f"the relay at {path} is {state.get('version')}, and this is {PROTOCOL}"
        return Check("relay", "failed", text, "deploy both in one version")
    text = f"process {state['pid']} at {path}: {state['connections'] - 1} connections, {state['waiting']} events wait"
    return Check("relay", "ok", text)
