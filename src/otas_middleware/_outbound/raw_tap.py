"""The tap in a urllib3 response: what is read from it is noted, and it stays the object that it is."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware._capture.capture import Capture


TAPPED = ("read", "read1", "read_chunked", "stream", "close")


def tap_raw(raw: Any, call: Capture) -> None:
    """Put a tap in front of a response's own reading methods.

    What is noted is what the caller gets: without its content coding, where the caller asked for that.

    Args:
        raw: The response; one that allows no tap is recorded without a body, at once.
        call: The record.
    """
    try:
        tap = _RawTap(raw, call)
        for name in TAPPED:
            if hasattr(raw, name):
                setattr(raw, name, getattr(tap, name))
    except (AttributeError, TypeError):
        call.ended()
        call.finish()


def failed(call: Capture, error: BaseException) -> None:
    """Note what a call ended with, unless it has ended already."""
    try:
        if not call.finished:
            call.failed(error)
            call.finish()
    except Exception:
        report_internal_error("outbound.requests")


class _RawTap:
    """The methods that stand in front of the response's own.

    It refers to the response weakly: a cycle would keep a dropped response, and its connection, until the next
    collection.
    """

    def __init__(self, raw: Any, call: Capture) -> None:
        self._raw: Callable[[], Any] = weakref.ref(raw)
        self._kind: Any = type(raw)
        self._earlier: dict[str, Any] = {name: own for name, own in raw.__dict__.items() if name in TAPPED}
        """What stands in the response itself: another tap, which refers to it as weakly."""
        self._depth = 0  # these methods call each other
        self._decoded = False
        self._call = call

    def read(self, *args: Any, **options: Any) -> bytes:
        return self._reading("read", args, options)

    def read1(self, *args: Any, **options: Any) -> bytes:
        return self._reading("read1", args, options)

    def read_chunked(self, *args: Any, **options: Any) -> Iterator[bytes]:
        return self._iterating("read_chunked", args, options)

    def stream(self, *args: Any, **options: Any) -> Iterator[bytes]:
        return self._iterating("stream", args, options)

    def close(self) -> None:
        try:
            self._inner("close")()
        finally:
            if not self._depth:
                self._call.finish()

    def __del__(self) -> None:
        if hasattr(self, "_call"):  # else it was never put in
            self._call.finish()  # of a response that nobody closed

    def _inner(self, name: str) -> Callable[..., Any]:
        if name in self._earlier:
            earlier: Callable[..., Any] = self._earlier[name]
            return earlier
        return partial(getattr(self._kind, name), self._raw())

    def _reading(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> bytes:
        self._depth += 1
        try:
            data: bytes = self._inner(name)(*args, **options)
        except BaseException as error:
            failed(self._call, error)
            raise
        finally:
            self._depth -= 1
        if not self._depth:
            amount = args[0] if args else options.get("amt")
            self._note(data, args, options)
            if amount is None or (not data and amount):
                self._end()
        return data

    def _iterating(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Iterator[bytes]:
        chunks: Iterator[bytes] = self._inner(name)(*args, **options)
        try:
            while True:
                self._depth += 1
                try:
                    chunk = next(chunks, None)
                finally:
                    self._depth -= 1
                if chunk is None:
                    break
                if not self._depth:
                    self._note(chunk, args, options)
                yield chunk
        except BaseException as error:
            failed(self._call, error)
            raise
        if not self._depth:
            self._end()

    def _note(self, data: bytes, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        call = self._call
        if not data or call.finished:
            return
        if not self._decoded and (args[1] if len(args) > 1 else options.get("decode_content")):
            self._decoded = True
            call.response_headers = [
                (str(name), str(value))
                for name, value in call.response_headers
                if str(name).lower() != "content-encoding"
            ]
        call.sent(data)

    def _end(self) -> None:
        if not self._call.finished:
            self._call.ended()
            self._call.finish()
