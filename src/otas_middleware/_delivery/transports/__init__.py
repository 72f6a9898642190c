"""Which transport carries the requests: chosen once per pipeline, made once per sending thread."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, cast

from otas_middleware._delivery.disk_queue.paths import load
from otas_middleware._delivery.threads import cooperative
from otas_middleware._errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.protocols import Transport

_FAST = "pyreqwest.client"

logger = logging.getLogger("otas_middleware")


def transport_factory(settings: OtasSettings) -> Callable[[], Transport]:
    """Return what makes a transport; call that in the process and the thread that uses the transport.

    httpx is not imported here: `import otas_middleware` stays light, and a client must not exist before a fork.

    Raises:
        ConfigurationError: The setting `transport` names nothing that can be imported and called.
        MissingExtraError: It names `fast`, and pyreqwest is not installed.
    """
    name = settings.transport
    if ":" in name:
        return _users_own(name)
    if name == "fast" and not _fast_is_installed():
        raise MissingExtraError("OTAS_TRANSPORT=fast", "fast")
    connect_timeout = settings.connect_timeout
    fast = name != "httpx" and _load_fast(logging.WARNING if name == "fast" else logging.INFO)

    def make() -> Transport:
        if fast and not cooperative() and _fast_lives_here():  # native code would block all greenlets
            from otas_middleware._delivery.transports.fast import FastTransport  # noqa: PLC0415  # in the worker only

            return FastTransport(connect_timeout)
        from otas_middleware._delivery.transports.direct import HttpxTransport  # noqa: PLC0415  # in the worker only

        return HttpxTransport(connect_timeout)

    return make


def _fast_is_installed() -> bool:
    return importlib.util.find_spec("pyreqwest") is not None


def _load_fast(level: int) -> bool:
    """Load pyreqwest if that can be done well; say why not, and return False, if it cannot.

    It is loaded now, in the main thread (6 ms), although it is used in others: its memory allocator takes the thread
    that loads it for one that lasts, and the process crashes in native code once that thread has ended and its stack
    is used again. (Seen with pyreqwest 0.15.1, also in forked children, where the main thread alone lives on.)
    """
    if not _fast_is_installed():
        return False
    if sys.modules.get(_FAST) is None:
        if threading.current_thread() is not threading.main_thread():
            logger.log(level, "otas: set up outside of the main thread, so httpx carries the events, not pyreqwest.")
            return False
        try:
            importlib.import_module(_FAST)
        except Exception as error:  # a broken installation must not stop delivery
            logger.log(level, "otas: pyreqwest does not load (%s), so httpx carries the events.", type(error).__name__)
            return False
    return True


_fast_process: int | None = None
"""The first process that used pyreqwest, of those that this one descends from."""


def _fast_lives_here() -> bool:
    """Say whether pyreqwest can work in this process: once a parent has used it, its runtime fails in every child."""
    global _fast_process  # noqa: PLW0603  # the runtime is the process's
    if _fast_process is None:
        _fast_process = os.getpid()
    return _fast_process == os.getpid()


def _users_own(path: str) -> Callable[[], Transport]:
    made = load(path, "transport")
    if isinstance(made, type):
        return cast("Callable[[], Transport]", made)
    if not callable(made):
        raise ConfigurationError(f"otas_middleware: the transport {path!r} is neither a function nor a class.")
    return lambda: cast("Transport", made)
