"""The raw response of requests, handed on with a note of what is read from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from otas_middleware._capture.body import without_coding
from otas_middleware._outbound.policy import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otas_middleware._capture.capture import Capture

    Function = Callable[..., Any]
    Args = tuple[Any, ...]
    Options = dict[str, Any]

_OWN = frozenset({"_raw", "_call", "_decoded"})


class RecordedRaw:
    """Stands for a response's `raw` (urllib3's, or whatever an adapter gives), and has what that has.

    What is noted is what the caller gets: without its content coding, where the caller asked for that.

    Args:
        raw: The response's own.
        call: The record; finished when the response is at its end, is closed or is dropped.
    """

    def __init__(self, raw: Any, call: Capture) -> None:
        self._raw = raw
        self._call = call
        self._decoded = False

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # while it is being made
            raise AttributeError(name)
        if name == "data":
            return self._whole(lambda: self._raw.data, (), {})
        value: Any = getattr(self._raw, name)
        method = _READERS.get(name)
        return value if method is None else partial(_call, getattr(self, method), value)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._raw, name, value)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces(lambda: iter(self._raw), (), {})

    def __next__(self) -> bytes:
        line: bytes = self._some(lambda: next(self._raw, b""), (), {})
        if not line:
            raise StopIteration
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_call" in self.__dict__:
            self._call.finish()  # of a response that nobody closed

    def _calling(self, function: Function, args: Args, options: Options) -> Any:
        try:
            return function(*args, **options)
        except BaseException as error:
            failed(self._call, error)
            raise

    def _whole(self, function: Function, args: Args, options: Options) -> Any:
        """Read everything that is left."""
        data = self._calling(function, args, options)
        self._note(data if isinstance(data, bytes) else b"", args, options)
        self._end()
        return data

    def _some(self, function: Function, args: Args, options: Options) -> Any:
        """Read what is at hand, a line or so many bytes: only nothing at all means the end."""
        data = self._calling(function, args, options)
        self._note(data, args, options)
        if not data and (args[0] if args else options.get("amt")) != 0:
            self._end()
        return data

    def _read(self, function: Function, args: Args, options: Options) -> Any:
        amount = args[0] if args else options.get("amt")
        return (self._whole if amount is None or amount < 0 else self._some)(function, args, options)

    def _readinto(self, function: Function, args: Args, options: Options) -> Any:
        count = self._calling(function, args, options)
        buffer = memoryview(args[0]).cast("B")
        self._note(bytes(buffer[: count or 0]), (), {})
        if not count and buffer:
            self._end()
        return count

    def _lines(self, function: Function, args: Args, options: Options) -> list[bytes]:
        lines: list[bytes] = self._calling(function, args, options)
        self._note(b"".join(lines), (), {})
        if not args:
            self._end()
        return lines

    def _json(self, function: Function, args: Args, options: Options) -> Any:
        self._whole(lambda: self._raw.data, (), {})
        return function(*args, **options)

    def _pieces(self, function: Function, args: Args, options: Options) -> Iterator[bytes]:
        try:
            pieces: Iterable[bytes] = function(*args, **options)
            for piece in pieces:
                self._note(piece, args, options)
                yield piece
        except BaseException as error:
            failed(self._call, error)
            raise
        self._end()

    def _close(self, function: Function, args: Args, options: Options) -> None:
        try:
            function(*args, **options)
        finally:
            self._call.finish()

    def _note(self, data: bytes, args: Args, options: Options) -> None:
        call = self._call
        if not data or call.finished:
            return
        decoded: object = args[1] if len(args) > 1 else options.get("decode_content")
        if not self._decoded and (getattr(self._raw, "decode_content", False) if decoded is None else decoded):
            self._decoded = True
            call.response_headers = without_coding(call.response_headers)
        call.sent(data)

    def _end(self) -> None:
        if not self._call.finished:
            self._call.ended()
            self._call.finish()


_READERS = {
    "read": "_read",
    "read1": "_some",
    "readline": "_some",
    "readlines": "_lines",
    "readinto": "_readinto",
    "stream": "_pieces",
    "read_chunked": "_pieces",
    "json": "_json",
    "close": "_close",
}
"""What reads of a response's own methods, and what stands in front of it here."""


def _call(method: Function, function: Function, *args: Any, **options: Any) -> Any:
    return method(function, args, options)
