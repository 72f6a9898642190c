"""Each try of urllib3's retries as an event of its own.

An adapter's `max_retries` is a `urllib3.util.Retry`, whose `increment` urllib3 calls after each try that did not do. A
`Retry` that tells of it stands in the adapter in place of the user's own: of a class derived from that one's.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from urllib3.util import Retry

from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture.capture import Capture


class Tries:
    """The tries of one call, each with its own record.

    Args:
        sender: The adapter that sends.
        begin: Begins the record of another try; None when it is not to be recorded.
    """

    def __init__(self, sender: object, begin: Callable[[], Capture | None]) -> None:
        self.sender = sender
        self.call = begin()
        """The record of the try that is under way."""
        self.around: Tries | None = None
        """Those of another policy on the same adapter."""
        self._begin = begin

    def failed(self, response: Any, error: BaseException | None) -> None:
        """Note what the try that is under way ended with: a response whose body nobody will see, or an error."""
        call = self.call
        try:
            if call is not None and response is not None:
                call.started(response.status, list(response.headers.items()), response.reason)
                call.opaque = True
            elif call is not None and error is not None:
                call.failed(error)
        except Exception:
            report_internal_error("outbound.requests")

    def finish(self) -> None:
        """Finish the record of the try that failed."""
        try:
            if self.call is not None:
                self.call.ended()
                self.call.finish()
        except Exception:
            report_internal_error("outbound.requests")

    def again(self) -> None:
        """Begin the next try."""
        try:
            self.call = self._begin()
        except Exception:
            report_internal_error("outbound.requests")

    def note_body(self, data: bytes | str) -> None:
        """Note a piece of the request's body; urllib3 passes over whatever is empty."""
        try:
            if self.call is not None and data:
                self.call.request.add(data)
        except Exception:
            report_internal_error("outbound.requests")


_under_way: ContextVar[Tries | None] = ContextVar("otas_middleware.requests_tries", default=None)


def send(tries: Tries, function: Callable[[], Any]) -> Any:
    """Call what sends, with each try that fails told to `tries`."""
    retries = getattr(tries.sender, "max_retries", None)
    if not isinstance(retries, Retry) or retries.total == 0:  # 0 and False: there is one try
        return function()
    if not isinstance(retries, _Telling):
        tries.sender.max_retries = _telling(retries)  # type: ignore[attr-defined]  # it has one
    around = _under_way.get()
    if around is not None and around.sender is tries.sender:
        tries.around = around
    reset = _under_way.set(tries)
    try:
        return function()
    finally:
        _under_way.reset(reset)


def _all_under_way() -> list[Tries]:
    found: list[Tries] = []
    tries = _under_way.get()
    while tries is not None:
        found.append(tries)
        tries = tries.around
    return found


class _Telling:
    """What makes a `Retry` tell of each try that failed, and of the next."""

    def increment(
        self, method: Any = None, url: Any = None, response: Any = None, error: Any = None, *rest: Any, **more: Any
    ) -> Any:
        tries = _all_under_way()
        for each in tries:
            each.failed(response, error)
        usual: Any = super()
        result: Any = usual.increment(method, url, response, error, *rest, **more)
        for each in tries:
            each.finish()
        return result

    def sleep(self, *args: Any, **options: Any) -> None:
        usual: Any = super()
        usual.sleep(*args, **options)
        for each in _all_under_way():
            each.again()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle, and copy, the user's own."""
        del protocol
        return _of_class, (type(self).__bases__[1], self.__dict__)


def _telling(retries: Retry) -> Any:
    kind: Any = type(retries)
    return _of_class(_telling_class(kind), retries.__dict__)


def _of_class(kind: Any, state: dict[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    made.__dict__.update(state)
    return made


@lru_cache(maxsize=32)
def _telling_class(kind: Any) -> Any:
    return type(kind.__name__, (_Telling, kind), {"__module__": kind.__module__})
