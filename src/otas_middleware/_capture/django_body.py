"""What is read of a Django request's body: from before the request is made (WSGI), or by its own methods (ASGI)."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from otas_middleware._capture.body import BoundedBody
from otas_middleware._capture.wsgi_input import InputTap
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Readable(Protocol):
    """What is needed of Django's `HttpRequest`."""

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        """Return bytes of the body."""
        ...

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        """Return a line of the body."""
        ...


_EARLY = "otas_middleware.input"
"""Key of a body's name in the environ. The body itself would not be copied as well, and the tap may be replaced."""

_early: ContextVar[BoundedBody | None] = ContextVar("otas_middleware.input", default=None)
"""What is read of `wsgi.input` before it is known whether the request is recorded."""


def tap_early(environ: dict[str, Any], limit: int) -> None:
    """Watch the body of a request that may be recorded, from now on.

    Args:
        environ: The request's environ.
        limit: How many bytes to keep until it is known.
    """
    body = _early_body(environ)
    if body is not None:  # another handler's, since all hear the signal
        if body.limit < limit:
            body.limit_to(limit)  # nothing has been read yet
    elif "wsgi.input" in environ:
        body = BoundedBody(limit)
        environ["wsgi.input"] = InputTap(environ["wsgi.input"], body.add)
        environ[_EARLY] = f"{id(body):x}"
        _early.set(body)


def forget_others(environ: Mapping[str, Any]) -> None:
    """Let go of the body of a request that did not come as far as to the middleware."""
    if _early.get() is not None and _early_body(environ) is None:
        _early.set(None)


def take_early(environ: Mapping[str, Any], limit: int) -> BoundedBody | None:
    """Return what has been watched of a request's body, and goes on being so; None when nothing has.

    Args:
        environ: The request's environ.
        limit: How many bytes to keep; 0 to forget them, and those that follow.
    """
    body = _early_body(environ)
    if body is not None:
        body.limit_to(limit)
        _early.set(None)
    return body


def _early_body(environ: Mapping[str, Any]) -> BoundedBody | None:
    body = _early.get()
    return body if body is not None and environ.get(_EARLY) == f"{id(body):x}" else None


class ReadTap:
    """Takes the place of `read` and `readline` of one request that has no `wsgi.input` (ASGI).

    All readers of Django's pass them: `body`, `POST`, `FILES`, upload handlers. After its end the body is noted no
    more, since Django reads a kept one from its beginning again.

    Args:
        request: The request; held weakly, since it holds this.
        body: Gets what is read.
    """

    __slots__ = ("_body", "_class", "_over", "_request")

    def __init__(self, request: Readable, body: BoundedBody) -> None:
        self._request = weakref.ref(request)
        self._class = type(request)
        self._body = body
        self._over = False

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._class.read(self._alive(), *args, **kwargs)
        size = args[0] if args else None
        self._note(data, over=size is None or size < 0 or len(data) < size)
        return data

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        line: bytes = self._class.readline(self._alive(), *args, **kwargs)
        self._note(line, over=not line)
        return line

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Readable]]:
        return _untapped, (self._alive(),)  # a copied or pickled request has what its class has

    def _alive(self) -> Readable:
        request = self._request()
        if request is None:
            raise ValueError("I/O operation on a request that is over")
        return request

    def _note(self, data: bytes, *, over: bool) -> None:
        if not self._over:
            self._over = over
            try:
                self._body.add(data)
            except Exception:
                report_internal_error("django.read")


def _untapped(request: Readable) -> Any:
    kind = type(request)
    return SimpleNamespace(read=MethodType(kind.read, request), readline=MethodType(kind.readline, request))
