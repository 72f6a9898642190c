"""The tap around `wsgi.input`: what the application reads of its request's body is noted as it reads it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import BoundedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class InputTap:
    """Stands for a server's input stream, offers what that offers and nothing else, and notes what is read through it.

    It passes for an instance of the stream's own class, and what is copied or pickled is the stream. Bytes that are
    read again after `seek` are noted once.

    Args:
        stream: The server's input stream (PEP 3333, "Input and Error Streams").
        note: Gets each piece of bytes that the application has read.
    """

    __slots__ = ("_again", "_note_bytes", "_stream")

    _stream: Any
    _note_bytes: Callable[[bytes], None]
    _again: int
    """How many of the bytes that come next have been noted already; negative after a jump ahead."""

    def __new__(cls, stream: object, note: Callable[[bytes], None]) -> InputTap:  # noqa: PYI034  # a subclass
        """Make an instance that has the methods of this stream's class."""
        kind = type(stream)
        tap = object.__new__(_classes.get(kind) or _class_for(kind))
        _set_stream(tap, stream)
        _set_note_bytes(tap, note)
        _set_again(tap, 0)
        return tap

    def _noted(self, data: bytes) -> bytes:
        try:
            again = self._again
            new = data
            if again:
                _set_again(self, max(0, again - len(data)))
                new = data[max(0, again) :]
            if new:
                self._note_bytes(new)
        except Exception:
            report_internal_error("wsgi.input")
        return data

    # As `unittest.mock` does it, for `isinstance`.
    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        stream: object = self._stream
        return type(stream)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._stream, name)
        ours = vars(_Methods).get(name)
        return value if ours is None else ours.__get__(self)  # a method that the stream's class does not name

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._stream, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._stream, name)

    def __dir__(self) -> list[str]:
        return dir(self._stream)

    def __repr__(self) -> str:
        return repr(self._stream)

    def __copy__(self) -> Any:
        return copy.copy(self._stream)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self._stream, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._stream.__reduce_ex__(protocol)


# What `tap.name = value` would do if it were not handed on to the stream.
_slots = cast("dict[str, Any]", vars(InputTap))
_set_stream, _set_note_bytes, _set_again = (_slots[name].__set__ for name in ("_stream", "_note_bytes", "_again"))


class _Methods(InputTap):
    """The methods of all streams, of which a tap gets those that its stream's class has."""

    __slots__ = ()

    def read(self, *args: Any, **named: Any) -> bytes:
        return self._noted(self._stream.read(*args, **named))

    def read1(self, *args: Any, **named: Any) -> bytes:
        return self._noted(self._stream.read1(*args, **named))

    def readall(self) -> bytes:
        return self._noted(self._stream.readall())

    def readline(self, *args: Any, **named: Any) -> bytes:
        return self._noted(self._stream.readline(*args, **named))

    def readlines(self, *args: Any, **named: Any) -> list[bytes]:
        return [self._noted(line) for line in self._stream.readlines(*args, **named)]

    def readinto(self, buffer: Any) -> int | None:
        return self._filled(buffer, self._stream.readinto(buffer))

    def readinto1(self, buffer: Any) -> int | None:
        return self._filled(buffer, self._stream.readinto1(buffer))

    def _filled(self, buffer: Any, count: int | None) -> int | None:
        if count:
            self._noted(bytes(memoryview(buffer).cast("B")[:count]))
        return count

    def seek(self, *args: Any, **named: Any) -> Any:
        before = self._position()
        result = self._stream.seek(*args, **named)
        _set_again(self, self._again + before - self._position())
        return result

    def _position(self) -> int:
        try:
            position: int = self._stream.tell()
        except Exception:  # the stream's own business, whatever it raises
            return 0
        return position

    def __iter__(self) -> Iterator[bytes]:
        lines = iter(self._stream)
        return cast("Iterator[bytes]", self) if lines is self._stream else map(self._noted, lines)

    def __next__(self) -> bytes:
        return self._noted(next(self._stream))

    def __enter__(self) -> Any:
        entered = self._stream.__enter__()
        return self if entered is self._stream else entered

    def __exit__(self, *error: object) -> Any:
        return self._stream.__exit__(*error)

    def __len__(self) -> int:
        return len(self._stream)

    def __bool__(self) -> bool:
        return bool(self._stream)


_classes = BoundedDict[type, type[InputTap]](64)
"""By the streams' classes, of which servers have few; a middleware may make one for each request."""


def _class_for(kind: type) -> type[InputTap]:
    """Make the tap's class for streams of a class; special methods are looked for in the class only."""
    helpers = {"_filled", "_position"}
    methods = {name: value for name, value in vars(_Methods).items() if name in helpers or hasattr(kind, name)}
    methods["__slots__"] = ()
    made = type("InputTap", (InputTap,), methods)
    _classes[kind] = made
    return made
