"""What comes back to requests: its raw response, with a note of what is read from it; each try as an event of its own.

An adapter's `max_retries` is a `urllib3.util.Retry`, whose `increment` urllib3 calls after each try that did not do. A
`Retry` that tells of it stands in the adapter in place of the user's own: of a class derived from that one's.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

from urllib3.util import Retry

from otas_middleware._capture.body import without_coding
from otas_middleware._errors import swallowing
from otas_middleware._outbound import ended, failed, note_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otas_middleware._capture import Capture

    Function = Callable[..., Any]
    Args = tuple[Any, ...]
    Options = dict[str, Any]

_OWN = frozenset({"_raw", "_call", "_decoded"})
_WHERE = "outbound.requests"
_CODINGS = ("gzip", "x-gzip", "deflate", "br", "zstd")


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

    @property  # type: ignore[misc]  # the one of `object` can be set
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The class of what it stands for, for those who ask."""
        raw: object = self._raw
        return type(raw)

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
        def pieces(**_: object) -> Iterator[bytes]:
            return iter(self._raw)

        return self._pieces(pieces, (), {"decode_content": True})  # urllib3 always does, here

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
        if "_call" in self.__dict__ and not self._call.finished:
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

    @swallowing(_WHERE)
    def _note(self, data: bytes, args: Args, options: Options) -> None:
        call = self._call
        if not data or call.finished:
            return
        decoded: object = args[1] if len(args) > 1 else options.get("decode_content")
        if not self._decoded and (getattr(self._raw, "decode_content", False) if decoded is None else decoded):
            self._decoded = True
            if self._knows_coding():
                call.response_headers = without_coding(call.response_headers)
        call.sent(data)

    def _knows_coding(self) -> bool:
        """Say whether urllib3 undoes the response's codings: what it does not know, it hands on as it came."""
        codings: str = getattr(self._raw, "headers", {}).get("content-encoding", "")
        known: Sequence[str] = getattr(self._raw, "CONTENT_DECODERS", _CODINGS)
        return any(coding.strip().lower() in known for coding in codings.split(","))

    def _end(self) -> None:
        ended(self._call)


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

    @swallowing(_WHERE)
    def failed(self, response: Any, error: BaseException | None) -> None:
        """Note what the try that is under way ended with: a response whose body nobody will see, or an error."""
        call = self.call
        if call is not None and response is not None:
            call.started(response.status, list(response.headers.items()), response.reason)
            call.opaque = True
        elif call is not None and error is not None:
            call.failed(error)

    @swallowing(_WHERE)
    def finish(self) -> None:
        """Finish the record of the try that failed."""
        if self.call is not None:
            self.call.ended()
            self.call.finish()

    @swallowing(_WHERE)
    def again(self) -> None:
        """Begin the next try."""
        self.call = self._begin()

    def note_body(self, data: bytes | str) -> None:
        """Note a piece of the request's body; urllib3 passes over whatever is empty."""
        if self.call is not None and data:
            note_request(self.call, data)


_under_way: ContextVar[Tries | None] = ContextVar("otas_middleware.requests_tries", default=None)


def send(tries: Tries, function: Callable[[], Any]) -> Any:
    """Call what sends, with each try that fails told to `tries`."""
    retries = getattr(tries.sender, "max_retries", None)
    if not isinstance(retries, Retry) or retries.total == 0:  # 0 and False: there is one try
        return function()
    if not isinstance(retries, _ObservedRetry):
        tries.sender.max_retries = _observed(retries)  # type: ignore[attr-defined]  # it has one
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


class _ObservedRetry:
    """A `Retry` that reports each try that failed, and the beginning of the next."""

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


def _observed(retries: Retry) -> Any:
    kind: Any = type(retries)
    return _of_class(_observed_class(kind), retries.__dict__)


def _of_class(kind: Any, state: dict[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    made.__dict__.update(state)
    return made


@lru_cache(maxsize=32)
def _observed_class(kind: Any) -> Any:
    return type(kind.__name__, (_ObservedRetry, kind), {"__module__": kind.__module__})
