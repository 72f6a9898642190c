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


class EarlyNote:
    """Notes what is read of `wsgi.input` before it is known whether the request is recorded.

    Args:
        limit: How many bytes to keep until then.
    """

    __slots__ = ("_body", "_limit", "name")

    def __init__(self, limit: int) -> None:
        self.name = f"{id(self):x}"
        self._limit = limit
        self._body: BoundedBody | None = BoundedBody(limit)

    def __call__(self, data: bytes) -> None:
        if self._body is not None:
            self._body.add(data)

    def reserve(self, limit: int) -> None:
        """Keep at least so many bytes."""
        if limit > self._limit:
            self._limit, self._body = limit, BoundedBody(limit)  # nothing has been read yet

    def go_on_in(self, body: BoundedBody | None) -> None:
        """Give what was noted to the capture's body, and all that follows; or forget it, when there is none."""
        if body is not None and self._body is not None:
            body.take_over(self._body)
        self._body = body
        _early.set(None)


_EARLY = "otas_middleware.input"
"""Key of the note's name in the environ. The note itself would not be copied as well, and the tap may be replaced."""

_early: ContextVar[EarlyNote | None] = ContextVar("otas_middleware.input", default=None)


def tap_early(environ: dict[str, Any], limit: int) -> None:
    """Watch the body of a request that may be recorded, from now on.

    Args:
        environ: The request's environ.
        limit: How many bytes to keep until it is known.
    """
    note = early_note(environ)
    if note is not None:  # another handler's, since all hear the signal
        note.reserve(limit)
    elif "wsgi.input" in environ:
        note = EarlyNote(limit)
        environ["wsgi.input"] = InputTap(environ["wsgi.input"], note)
        environ[_EARLY] = note.name
        _early.set(note)


def forget_others(environ: Mapping[str, Any]) -> None:
    """Let go of the body of a request that did not come as far as to the middleware."""
    if _early.get() is not None and early_note(environ) is None:
        _early.set(None)


def early_note(environ: Mapping[str, Any]) -> EarlyNote | None:
    note = _early.get()
    return note if note is not None and environ.get(_EARLY) == note.name else None


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
