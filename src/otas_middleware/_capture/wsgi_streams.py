"""Taps for WSGI bodies: the stream that the application reads, and the iterable that the server reads.

Each hands on the very objects that it gets, when it gets them, and notes them in passing.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.context import current
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import WSGIEnvironment

    from otas_middleware._capture.capture import Capture


class InputTap:
    """A file-like object around `wsgi.input` that notes what is read (PEP 3333, "Input and Error Streams").

    Whatever else the server's stream offers is reached through it unchanged.

    Args:
        stream: The server's input stream.
        note: Gets each piece of bytes that the application has read.

    Attributes:
        note: As given.
    """

    def __init__(self, stream: Any, note: Callable[[bytes], None]) -> None:
        self._stream = stream
        self.note = note

    def _note(self, data: bytes) -> None:
        if data:
            try:
                self.note(data)
            except Exception:
                report_internal_error("wsgi.input")

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._stream.read(*args, **kwargs)
        if data:
            self._note(data)
        return data

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._stream.readline(*args, **kwargs)
        self._note(data)
        return data

    def readlines(self, *args: Any, **kwargs: Any) -> list[bytes]:
        lines: list[bytes] = self._stream.readlines(*args, **kwargs)
        for line in lines:
            self._note(line)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            self._note(line)
            yield line

    def __next__(self) -> bytes:
        line: bytes = next(self._stream)
        self._note(line)
        return line

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._stream, name)
        if name == "read1":
            return self._noting(value)
        if name in {"readinto", "readinto1"}:
            return self._noting_into(value)
        return value

    def _noting(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        def noting(*args: Any, **kwargs: Any) -> bytes:
            data = read(*args, **kwargs)
            self._note(data)
            return data

        return noting

    def _noting_into(self, read_into: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
        def noting(buffer: Any) -> int | None:
            count = read_into(buffer)
            if count:
                self._note(bytes(memoryview(buffer).cast("B")[:count]))
            return count

        return noting


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


class OutputTap:
    """A response iterable that hands on each chunk as it is pulled and closes what it wraps exactly once.

    A generator pulls, because it is the fastest; the object around it closes, because a generator that is closed before
    its first `next` never runs its `finally`.

    Args:
        iterable: The application's response.
        capture: Gets the chunks, the end, and the exceptions.
        on_close: Called last, once, however the response ended; at the last chunk already when closing can bring
            nothing new (`Capture.ends_early`).
    """

    __slots__ = ("_capture", "_chunks", "_iterable", "_on_close")

    def __init__(self, iterable: Iterable[bytes], capture: Capture, on_close: Callable[[], None]) -> None:
        self._iterable: Iterable[bytes] | None = iterable
        early = capture.ends_early or not hasattr(iterable, "close")
        chunks = pull(iterable, capture, at_end=on_close if early else None)
        self._chunks: Iterator[bytes] = secured(chunks, iterable, capture) if capture.durable else chunks
        self._capture = capture
        self._on_close = on_close

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
            if close is not None:
                close()
        except BaseException as error:
            self._capture.failed(error)
            raise
        finally:
            if not self._capture.finished:
                self._on_close()

    def __del__(self) -> None:
        # A server that never closes breaks PEP 3333; the application's iterable is left to it, the event is not lost.
        if self._iterable is not None:
            self._on_close()


def pull(
    iterable: Iterable[Any],
    capture: Capture,
    *,
    at_end: Callable[[], None] | None = None,
    at_failure: Callable[[], None] | None = None,
    as_bytes: Callable[[Any], bytes] | None = None,
) -> Iterator[Any]:
    """Yield what the iterable yields. What is done for each chunk is all that a long stream costs.

    Args:
        iterable: The application's response.
        capture: Gets the chunks, the end, and the exceptions; it is the current one while the application runs.
        at_end: Called after the last chunk.
        at_failure: Called when the iterable raised.
        as_bytes: Turns into bytes what is none yet, where the framework will do so.
    """
    body = capture.response
    keep = body.parts.append
    get_current = current.get
    previous = get_current()
    flowing = False
    try:
        current.set(capture)
        for chunk in iterable:
            if flowing and chunk.__class__ is bytes:
                left = body.left = body.left - len(chunk)
                if left >= 0 and chunk:
                    keep(chunk)
                elif left < 0 and body.whole:
                    body.cut(chunk)
            else:
                flowing = _sent(capture, chunk, as_bytes)
            yield chunk
            if get_current() is not capture:
                current.set(capture)  # the server did something else meanwhile, or goes on in another thread
    except GeneratorExit:
        raise
    except BaseException as error:
        capture.failed(error)
        if at_failure is not None:
            at_failure()
        raise
    finally:
        if get_current() is capture:
            current.set(previous)
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


def _sent(capture: Capture, chunk: Any, as_bytes: Callable[[Any], bytes] | None) -> bool:
    """Note a chunk; return whether the first byte has gone out, and what follows needs to be counted only."""
    try:
        capture.sent(chunk if as_bytes is None or chunk.__class__ is bytes else as_bytes(chunk))
    except Exception:
        report_internal_error("body")
    return bool(capture.response.parts)


class SizedOutputTap(OutputTap):
    """As `OutputTap`, for responses of known length: servers set `Content-Length` by it when there is one chunk."""

    __slots__ = ()

    def __len__(self) -> int:
        length: int = len(self._iterable)  # type: ignore[arg-type]  # made for sized iterables only
        return length


def tap_response(
    result: Iterable[bytes] | bytes | None,
    environ: WSGIEnvironment,
    capture: Capture,
    on_close: Callable[[], None],
) -> Iterable[bytes] | bytes | None:
    """Return what the server is to get for an application's response: a tap, or the very same object.

    Servers send the objects of their own `wsgi.file_wrapper`, and some a bare `bytes`, by a way of their own. Such an
    object is handed on itself; the size of a file is then the one that `Content-Length` says. So is None, which is an
    application's mistake that the server is to see.
    """
    if isinstance(result, bytes):
        capture.sent(result)
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
