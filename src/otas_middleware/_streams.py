"""Taps for WSGI bodies: the stream that the application reads, and the iterable that the server reads.

Each hands on the very objects that it gets, when it gets them, and notes them in passing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._context import current
from otas_middleware._guard import swallow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import WSGIEnvironment

    from otas_middleware._capture import Capture


class InputTap:
    """A file-like object around `wsgi.input` that notes what is read (PEP 3333, "Input and Error Streams").

    Whatever else the server's stream offers is reached through it unchanged.

    Args:
        stream: The server's input stream.
        note: Gets each piece of bytes that the application has read.
    """

    def __init__(self, stream: Any, note: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._note_bytes = note

    def _note(self, data: bytes) -> None:
        if data:
            try:
                self._note_bytes(data)
            except Exception:
                swallow("wsgi.input")

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._stream.read(*args, **kwargs)
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


class OutputTap:
    """A response iterable that hands on each chunk as it is pulled and closes what it wraps exactly once.

    A class and not a generator: a generator that is closed before its first `next` never runs its `finally`.

    Args:
        iterable: The application's response.
        capture: Gets the chunks, the end, and the exceptions.
        on_close: Called last, once, however the response ended.
        done_at_end: Call `on_close` at the last chunk already, because closing can bring nothing new; test clients
            may close late or never.
    """

    __slots__ = ("_capture", "_done_at_end", "_iterable", "_next", "_on_close")

    def __init__(
        self,
        iterable: Iterable[bytes],
        capture: Capture,
        on_close: Callable[[], None],
        *,
        done_at_end: bool,
    ) -> None:
        self._iterable: Iterable[bytes] | None = iterable
        self._next: Callable[[], bytes] | None = None
        self._done_at_end = done_at_end
        self._capture = capture
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        capture = self._capture
        if current.get() is not capture:
            current.set(capture)  # a server may pull the body in another context than it called the application in
        try:
            if self._next is None:
                self._next = iter(self._iterable or ()).__next__
            chunk = self._next()
        except StopIteration:
            if not capture.complete:
                capture.ended()
                if self._done_at_end:
                    self._on_close()
            raise
        except BaseException as error:
            capture.failed(error)
            raise
        try:
            capture.sent(chunk)
        except Exception:
            swallow("wsgi.body")
        return chunk

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
            self._on_close()

    def __del__(self) -> None:
        # A server that never closes breaks PEP 3333; the application's iterable is left to it, the event is not lost.
        if self._iterable is not None:
            self._on_close()


class SizedOutputTap(OutputTap):
    """As `OutputTap`, for responses of known length: servers ask for `len()` to set `Content-Length`."""

    __slots__ = ()

    def __len__(self) -> int:
        length: int = len(self._iterable)  # type: ignore[arg-type]  # made for sized iterables only
        return length


def tap_output(
    iterable: Iterable[bytes],
    capture: Capture,
    on_close: Callable[[], None],
    *,
    done_at_end: bool = False,
) -> OutputTap:
    """Return a tap that offers `len()` exactly when the iterable does (see `OutputTap` for the arguments)."""
    kind = SizedOutputTap if hasattr(iterable, "__len__") else OutputTap
    return kind(iterable, capture, on_close, done_at_end=done_at_end or not hasattr(iterable, "close"))


def tap_response(
    result: Iterable[bytes] | bytes,
    environ: WSGIEnvironment,
    capture: Capture,
    on_close: Callable[[], None],
    *,
    done_at_end: bool = False,
) -> Iterable[bytes] | bytes:
    """Return what the server is to get for an application's response: a tap, or the very same object.

    Servers send the objects of their own `wsgi.file_wrapper`, and some a bare `bytes`, by a way of their own. Such an
    object is handed on itself; the size of a file is then the one that `Content-Length` says.
    """
    if isinstance(result, bytes) or is_file_wrapper(result, environ):

        def closed() -> None:
            if not capture.complete:
                capture.ended()
            on_close()

        if isinstance(result, bytes):
            capture.sent(result)
        else:
            capture.opaque = True
        if not tap_file(result, closed):
            closed()
        return result
    return tap_output(result, capture, on_close, done_at_end=done_at_end)


def is_file_wrapper(result: object, environ: WSGIEnvironment) -> bool:
    """Say whether the server will recognise this object as made by its `wsgi.file_wrapper` (PEP 3333)."""
    wrapper = environ.get("wsgi.file_wrapper")
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
