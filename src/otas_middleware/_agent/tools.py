"""Tools: what an agent does besides HTTP, as events, with links from what happens within to what it happened in."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import inspect
import json
import math
import pathlib
import time
import uuid
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import uuid4

from otas_middleware._capture.values import members_of
from otas_middleware._errors import swallowing
from otas_middleware._runtime import this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otas_middleware._event import BackendEvent

    Submit = Callable[[BackendEvent, str, str | None, float], None]
    """Takes an event, its id, its parent's id, and when it began in Unix seconds."""


_F = TypeVar("_F", bound="Callable[..., Any]")

_running: ContextVar[tuple[ToolRun, ...]] = ContextVar("otas_middleware.tools", default=())
"""The tools that are running in this context, the innermost last."""


def enclosing() -> str | None:
    """Return the event id of the innermost tool that is running here, or None."""
    running = _running.get()
    return running[-1].event_id if running else None


class ToolRun:
    """One run of a tool. Set `result` to have it recorded.

    Attributes:
        name: The tool's name.
        event_id: The id of the event that this run becomes (`metadata.event_id`), and the `parent_id` of what happens
            within.
        result: What the tool gave; any value.
        properties: Anything else worth knowing, for the event's `custom_properties`.
    """

    def __init__(self, tool: Tool, arguments: Mapping[str, object]) -> None:
        self.tool = tool
        self.name = tool.name
        self.event_id = str(uuid4())
        self.result: object = None
        self.properties: dict[str, object] = {}
        self._parent_id = enclosing()
        self._arguments = to_json(arguments, tool.limit) if arguments else ""
        self._captured_at = time.time()
        self._t0 = time.perf_counter()
        self._finished = False
        self._process = this_process()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self.tool.end(error, self)

    def withdraw(self) -> None:
        """Make no event of it."""
        self._finished = True

    def finish(self, error: BaseException | None) -> None:
        """Hand the event in, once, and in the process in which it began: a forked child has a copy of the run.

        Args:
            error: What the run ended with; None when it went well.
        """
        if self._finished or self._process != this_process():
            return
        self._finished = True
        latency = time.perf_counter() - self._t0
        with swallowing("agent.tool"):
            self.tool.submit(self._event(error, latency), self.event_id, self._parent_id, self._captured_at)

    def _event(self, error: BaseException | None, latency: float) -> BackendEvent:
        from otas_middleware._capture.values import describe_exception  # noqa: PLC0415  # as below
        from otas_middleware._event import BackendEvent  # noqa: PLC0415  # pydantic, when something is recorded
        from otas_middleware._event.metadata import exception_record  # noqa: PLC0415  # as below

        path = f"/tools/{self.name}"
        metadata: dict[str, Any] = {"route": path}
        status, text = 200, ""
        if isinstance(error, Exception):
            described = describe_exception(error, with_traceback=self.tool.with_traceback)
            metadata["exception"] = exception_record(described)
            status, text = 500, f"{described.type}: {described.message}" if described.message else described.type
        elif error is not None:
            metadata["aborted"] = True
            status, text = 499, "Cancelled"
        result = "" if self.result is None else to_json(self.result, self.tool.limit)
        return BackendEvent(
            path=path,
            method="TOOL",
            status_code=status,
            latency_ms=latency * 1000,
            request_size_bytes=len(self._arguments.encode("utf-8", "replace")),
            response_size_bytes=len(result.encode("utf-8", "replace")),
            request_body=self._arguments,
            response_body=result,
            request_content_type="application/json" if self._arguments else "",
            response_content_type="application/json" if result else "",
            custom_properties={"tool": self.name, **self.properties},
            metadata=metadata,
            error=text,
        )


class Tool:
    """Records runs of a tool, as a context manager (also `async with`) or as a decorator.

    Args:
        name: The tool's name; None takes the decorated function's.
        arguments: What a context manager is to record as the tool's arguments.
        submit: Takes the events; None when nothing is recorded.
        limit: Characters of arguments and of the result to keep.
        with_traceback: Whether exceptions bring their tracebacks.
    """

    def __init__(
        self, name: str | None, arguments: Mapping[str, object], submit: Submit, *, limit: int, with_traceback: bool
    ) -> None:
        self.name = name or "tool"
        self.submit = submit
        self.limit = limit
        self.with_traceback = with_traceback
        self._named = name is not None
        self._arguments = arguments
        self._last: ToolRun | None = None

    def __enter__(self) -> ToolRun:
        return self._begin(self._arguments)

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self.end(error)

    async def __aenter__(self) -> ToolRun:
        return self._begin(self._arguments)

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self.end(error)

    def __call__(self, function: _F) -> _F:
        """Record each call of a function, synchronous or asynchronous: arguments, result, exception, duration.

        Raises:
            TypeError: It is a generator function, whose work is done where others iterate; use `with` inside it.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator function, and those cannot be recorded from outside; "
                "write `with session.tool(...)` around the work inside it."
            )
        tool = self
        if not self._named:
            name = getattr(function, "__name__", self.name)
            tool = type(self)(name, {}, self.submit, limit=self.limit, with_traceback=self.with_traceback)
        return cast("_F", tool.around(function))

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is recorded."""
        bind = _binder(function)

        async def awaited(arguments: Mapping[str, object], start: Callable[[], Any]) -> Any:
            with self._begin(arguments) as run:
                run.result = await start()
            return run.result

        @functools.wraps(function)
        def recorded(*args: Any, **keywords: Any) -> Any:
            arguments = bind(args, keywords)
            with self._begin(arguments) as run:
                result = run.result = function(*args, **keywords)
                if inspect.iscoroutine(result):  # the work is done where that is awaited
                    run.withdraw()
                    return awaited(arguments, lambda: result)
            return result

        @functools.wraps(function)
        async def recorded_async(*args: Any, **keywords: Any) -> Any:
            return await awaited(bind(args, keywords), lambda: function(*args, **keywords))

        return recorded_async if inspect.iscoroutinefunction(function) else recorded

    def _begin(self, arguments: Mapping[str, object]) -> ToolRun:
        run = self._last = ToolRun(self, arguments)
        _running.set((*_running.get(), run))
        return run

    def end(self, error: BaseException | None, run: ToolRun | None = None) -> None:
        """End a run: of the tool as a context manager the innermost one in this context."""
        running = _running.get()
        if run is None:  # of one that began in another context, the last
            run = next((each for each in reversed(running) if each.tool is self), self._last)
        if run is not None:
            _running.set(tuple(each for each in running if each is not run))
            run.finish(error)


def _binder(function: Callable[..., Any]) -> Callable[..., Mapping[str, object]]:
    """Return what names a call's arguments as the function does, so that redaction knows a password by its name."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None

    def bind(args: tuple[Any, ...], keywords: dict[str, Any]) -> Mapping[str, object]:
        try:
            if signature is not None:
                named = signature.bind(*args, **keywords).arguments
                return {name: value for name, value in named.items() if name not in {"self", "cls"}}
        except TypeError:
            pass  # the call itself will say so
        return {"args": list(args), **keywords}

    return bind


_MAX_DEPTH = 20
_MAX_ITEMS = 10_000
_MAX_INTEGER_BITS = 1024
_AS_TEXT = (float, dt.date, dt.time, dt.timedelta, decimal.Decimal, pathlib.PurePath, uuid.UUID)


def to_json(value: object, limit: int) -> str:
    """Return a value as JSON.

    What JSON does not know, or cannot be looked into, stands there as its type's name, such as `"<Connection>"`: `str`
    and `repr` are code of others, and may take long or say too much. Raises nothing, as an agent's work waits for it.

    Args:
        value: Anything.
        limit: About how many characters of text to keep, and at most how many characters to return.
    """
    text = json.dumps(_Plain(limit).of(value, 0), ensure_ascii=False)
    return text[:limit]


class _Plain:
    """Copies a value into what JSON knows, and stops when there is enough of it."""

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._items = _MAX_ITEMS

    def of(self, value: object, depth: int) -> Any:
        self._items -= 1
        try:
            return self._of(value, depth)
        except Exception:  # the methods and attributes of others' classes, a proxy's `__class__` among them
            return f"<{type(value).__name__}>"

    def _of(self, value: object, depth: int) -> Any:
        if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= _MAX_INTEGER_BITS else f"<an integer of {value.bit_length()} bits>"
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, _AS_TEXT):
            return self._text(str(value))
        if isinstance(value, bytes | bytearray):
            return f"<{len(value)} bytes>"
        return self._container(value, depth) if depth < _MAX_DEPTH else "…"

    def _container(self, value: object, depth: int) -> Any:
        members = members_of(value)
        if members is not None:
            return self._mapping(members, depth)
        if isinstance(value, Sequence | AbstractSet):
            return self._list(cast("Sequence[object]", value), depth)
        return f"<{type(value).__name__}>"

    def _mapping(self, members: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in members:
            if self._items <= 0 or self._room <= 0:
                result["…"] = "…"
                break
            name = self._text(key) if isinstance(key, str) else str(self.of(key, _MAX_DEPTH))
            result[name] = self.of(item, depth + 1)
        return result

    def _list(self, value: Sequence[object], depth: int) -> list[Any]:
        result: list[Any] = []
        for item in value:
            if self._items <= 0 or self._room <= 0:
                result.append("…")
                break
            result.append(self.of(item, depth + 1))
        return result

    def _text(self, text: str) -> str:
        kept = text[: max(self._room, 0)]
        self._room -= len(kept) + 1
        return kept
