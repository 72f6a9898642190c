"""Taps for WSGI bodies: the stream that the application reads, and the iterable that the server reads.

Each hands on the very objects that it gets, when it gets them, and notes them in passing.
"""

from __future__ import annotations

from collections.abc import Sized
from itertools import count
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.context import current
from otas_middleware._capture.wsgi_input import InputTap
from otas_middleware._errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import WSGIEnvironment

    from otas_middleware._capture import Capture


def tap_environ(environ: WSGIEnvironment, capture: Capture) -> None:
    """Watch what the application reads, and which objects it makes by a `wsgi.file_wrapper` that is no class."""
    stream = environ.get("wsgi.input")
    if stream is not None:
        environ["wsgi.input"] = InputTap(stream, capture.request.add)
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None and not isinstance(wrapper, type):
        environ["wsgi.file_wrapper"] = _FileWrapper(wrapper)


class _FileWrapper:
    """A server's `wsgi.file_wrapper` that is a function; remembers what it made, which the server knows by identity."""

    def __init__(self, wrapper: Callable[..., Any]) -> None:
        self._wrapper = wrapper
        self.made: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.made = self._wrapper(*args, **kwargs)
        return self.made

    def __deepcopy__(self, memo: object) -> Any:
        return self  # as a function

    def __reduce__(self) -> Any:
        return _FileWrapper, (self._wrapper,)


class OutputTap:
    """A response iterable that hands on each chunk as it is pulled and closes what it wraps exactly once.

    A generator pulls, because it is the fastest; the object around it closes, because a generator that is closed before
    its first `next` never runs its `finally`. The generator does not know this object: a bridge that keeps only
    `iter(response)` must not find the response closed, nor the capture finished, because this object is gone.

    Args:
        iterable: The application's response.
        capture: Gets the chunks, the end, and the exceptions.
        on_close: Called last, once, however the response ended; at the last chunk already when closing can bring
            nothing new (`Capture.ends_early`).
    """

    __slots__ = ("_capture", "_chunks", "_iterable", "_on_close")

    def __init__(self, iterable: Iterable[bytes], capture: Capture, on_close: Callable[[], None]) -> None:
        self._iterable: Iterable[bytes] | None = iterable
        self._capture = capture
        self._on_close = last = _Once(on_close)
        early = capture.ends_early or not hasattr(iterable, "close")
        chunks = pull(self._source(iterable), capture, at_end=last if early else None, at_failure=last)
        self._chunks: Iterator[bytes] = secured(chunks, iterable, capture) if capture.durable else chunks

    def _source(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """Return what is pulled from."""
        return iterable

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Close the application's iterable, if it can be closed, and finish the capture."""
        iterable, self._iterable = self._iterable, None
        if iterable is None:
            return
        try:
            close = getattr(iterable, "close", None)
            if close is not None and self._capture.finished:
                close()
            elif close is not None:
                outer = current.get()
                current.set(self._capture)
                try:
                    close()
                finally:
                    current.set(outer)
        except BaseException as error:
            self._capture.failed(error)
            raise
        finally:
            self._on_close()


def pull(
    iterable: Iterable[Any],
    capture: Capture,
    *,
    at_end: Callable[[], None] | None = None,
    at_failure: Callable[[], None] | None = None,
) -> Iterator[Any]:
    """Yield what the iterable yields. What is done for each chunk is all that a long stream costs.

    Args:
        iterable: The application's response.
        capture: Gets the chunks, the end, and the exceptions; it is the current one while the application runs.
        at_end: Called after the last chunk.
        at_failure: Called when the iterable raised.
    """
    body = capture.response
    keep, cut = body.parts.append, body.cut
    get_current, set_current = current.get, current.set
    outer = get_current()
    flowing = False
    current.set(capture)
    if capture.head_waits_for == "result":
        capture.head_waits_for = "nothing"
    try:
        for chunk in iterable:
            set_current(outer)  # until the next chunk is asked for, this thread may serve other requests
            if flowing and chunk.__class__ is bytes:
                left = body.left = body.left - len(chunk)
                if left < 0:
                    cut(chunk)
                elif chunk:
                    keep(chunk)
            else:
                flowing = note_sent(capture, chunk)
            yield chunk
            outer = get_current()
            set_current(capture)
    except GeneratorExit:
        raise
    except BaseException as error:
        capture.broke_off(error)
        if at_failure is not None:
            at_failure()
        raise
    finally:
        if get_current() is capture:
            set_current(outer)
    capture.ended()
    if at_end is not None:
        at_end()


def secured(chunks: Iterator[Any], iterable: object, capture: Capture) -> Iterator[Any]:
    """Yield what `pull` yields; finish before the chunk that completes the response, or else before the end is seen.

    Args:
        chunks: What `pull` made of the iterable.
        iterable: The application's response. When it is one chunk in a list, servers may announce its length.
        capture: The capture to finish (`durability="spool"`).
    """
    only = isinstance(iterable, Sized) and len(iterable) == 1
    capture.secure()  # nothing follows the headers of some responses
    for chunk in chunks:
        capture.secure(last=only)
        yield chunk
    capture.secure(last=True)


def note_sent(capture: Capture, chunk: Any) -> bool:
    """Note a chunk; return whether the first byte has gone out, and what follows needs to be counted only."""
    try:
        capture.sent(chunk)
    except Exception:
        report_internal_error("body")
    return bool(capture.response.parts)


class SizedOutputTap(OutputTap):
    """As `OutputTap`, for responses of known length.

    Servers set `Content-Length` by it when there is one chunk, and may take so many and close (PEP 3333).
    """

    __slots__ = ("_pulled",)

    def _source(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        self._pulled = count()
        # The inner `for` asks for the iterator when the first chunk is pulled; the outermost would ask now.
        return (chunk for one in (iterable,) for chunk, _ in zip(one, self._pulled))  # noqa: B905  # strict would raise

    def __len__(self) -> int:
        length: int = len(self._iterable)  # type: ignore[arg-type]  # made for sized iterables only
        return length

    def close(self) -> None:
        try:
            if not self._capture.finished and next(self._pulled) == len(self):
                self._capture.ended()
        except Exception:
            report_internal_error("wsgi.close")
        super().close()


class _Once:
    """Calls a function once: when it is called itself, or else when nobody is left who could.

    A bridge to ASGI may never close a response; its event is handed on when the response is gone. When and how the
    response ended is not read from that.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()

    __del__ = __call__


def tap_response(
    result: Iterable[bytes] | bytes | None,
    environ: WSGIEnvironment,
    capture: Capture,
    on_close: Callable[[], None],
) -> Iterable[bytes] | bytes | None:
    """Return what the server is to get for an application's response: a tap, or the very same object.

    Servers send the objects of their own `wsgi.file_wrapper`, and some a list, a tuple or bare `bytes`, by a way of
    their own. Such an object is handed on itself; the size of a file is then the one that `Content-Length` says. So is
    None, which is an application's mistake that the server is to see.

    Args:
        result: What the application returned.
        environ: The request's environ.
        capture: Gets the chunks and the end.
        on_close: Called last, once, however the response ended.
    """
    if isinstance(result, bytes):
        capture.sent(result)
    elif isinstance(result, _WHOLE) and _is_sent_as_it_is(result, environ):
        for chunk in result:
            capture.sent(chunk)
    elif is_file_wrapper(result, environ):
        capture.opaque = True  # and nothing more of it is seen: its bytes go from file to socket
    elif result is not None:
        kind = SizedOutputTap if hasattr(result, "__len__") else OutputTap  # servers ask for `len()`
        return kind(result, capture, on_close)

    if capture.durable:
        capture.secure(last=True)

    def closed() -> None:
        capture.ended()
        on_close()

    if not tap_file(result, closed):
        closed()
    return result


def _is_sent_as_it_is(chunks: list[bytes] | tuple[bytes, ...], environ: WSGIEnvironment) -> bool:
    """Say whether a server may frame this by its very type, as granian does, and sends all of it.

    Anything but bytes fails in the server, at a moment that only pulling shows. Who calls without `wsgi.version` is no
    server by PEP 3333, and may expect a `close`.
    """
    return (
        (chunks.__class__ is list or chunks.__class__ is tuple)
        and "wsgi.version" in environ
        and _BYTES.issuperset(map(type, chunks))
    )


_WHOLE = (list, tuple)  # once: making a union of them takes longer than looking at a response
_BYTES = frozenset({bytes})


def is_file_wrapper(result: object, environ: WSGIEnvironment) -> bool:
    """Say whether the server will recognise this object as made by its `wsgi.file_wrapper` (PEP 3333)."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, _FileWrapper):
        return result is not None and result is wrapper.made
    return isinstance(wrapper, type) and isinstance(result, wrapper)


def tap_file(result: Any, on_close: Callable[[], None]) -> bool:
    """Learn of the end of a response that must stay the object that it is, such as a `wsgi.file_wrapper`.

    Args:
        result: The object; its `close` attribute is set on the instance, as servers' own wrappers do.
        on_close: Called once, after the object's own `close`.

    Returns:
        Whether the object allowed it; if not, nobody will call `on_close`.
    """
    inner = getattr(result, "close", None)
    open_ = True

    def close() -> None:
        nonlocal open_
        try:
            if inner is not None:
                inner()
        finally:
            if open_:
                open_ = False
                on_close()

    try:
        result.close = close
    except (AttributeError, TypeError):
        return False
    return True
