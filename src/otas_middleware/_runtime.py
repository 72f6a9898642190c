"""What all middlewares and agent sessions of one process share, and the one way to have them record otherwise.

The test kit and the preview record into memory, without a key and without a thread: they call `runtime.replaced`.
Everything may import this module, so it imports nothing of the package, types included; recorders, exporters and
sessions are therefore `Any` here and have their types where they are made.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator


K = TypeVar("K")
T = TypeVar("T")

_logger = logging.getLogger("otas_middleware")

monotonic: Callable[[], float]
"""Returns seconds since some fixed moment. Libraries that stop or shift time in tests replace `time.monotonic`: a wait
that counts by that never ends, and a pause that began while it stood at a date is over after decades."""
if sys.platform == "win32":
    monotonic = time.monotonic
else:
    monotonic = partial(time.clock_gettime, time.CLOCK_MONOTONIC)


_LONGEST = 1e9
"""Seconds; no lock can be waited for until infinity."""


class Deadline:
    """The moment at which a wait ends.

    Args:
        seconds: From now on.
    """

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + min(seconds, _LONGEST)

    def left(self) -> float:
        """Return the seconds that are left; 0 when the time is up."""
        return max(0.0, self._at - monotonic())


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, whoever held it in the parent. Use it with `with`."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Begin anew: nobody holds it."""
        self._lock = threading.RLock()


_locks: WeakSet[ForkSafeLock] = WeakSet()


class BoundedDict(dict[K, T]):
    """What is worth remembering; when there is too much of it, all is forgotten, and what is in use is soon back.

    Strangers invent names, tokens and addresses without end. It takes no lock.

    Args:
        most: How many entries there may be.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: T) -> None:
        if len(self) >= self._most:
            self.clear()
        super().__setitem__(key, value)


class SharedWeakSet(Generic[T]):
    """What somebody else has, for as long as they have it. It may grow while another thread looks it through."""

    def __init__(self) -> None:
        self._members: WeakSet[T] = WeakSet()
        self._lock = ForkSafeLock()

    def add(self, member: T) -> None:
        """Take one in."""
        with self._lock:
            self._members.add(member)

    def __iter__(self) -> Iterator[T]:
        with self._lock:
            members = list(self._members)
        return iter(members)


_forks = 0
"""How many forks that Python saw lie between the first process and this one."""


def this_process() -> tuple[int, int]:
    """Return what tells this process from the one that it was forked from.

    The process id alone does not: in a new namespace of ids a child may have its parent's number. Nor does the count of
    forks: uWSGI forks without telling Python.
    """
    return _forks, os.getpid()


def _begin_in_child() -> None:
    global _forks  # noqa: PLW0603  # the process's
    _forks += 1
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


STACK_BYTES = 262_144
"""What a thread of ours needs at least: imports and nested documents go deep."""


@contextmanager
def enough_stack() -> Generator[None]:
    """Have threads that start in the block get as much stack as ours need, where the application made stacks small."""
    small = threading.stack_size()
    if not 0 < small < STACK_BYTES:
        yield
        return
    threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(small)


class Source(Protocol):
    """Something that delivers events and can be waited for: a pipeline, or what stands before one."""

    def flush(self, timeout: float, /) -> bool:
        """Wait at most so many seconds until everything taken has left; return whether it has."""
        ...

    def stats(self) -> dict[str, Any]:
        """Return the counters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How this process records; the defaults are what applications get.

    Attributes:
        record_without_key: Record without an SDK key too.
        deliver: Gives a recorder its delivery; None is the background pipeline. It may replace `new_capture` as well.
        deliver_agent: Gives an agent's exporter its delivery; None is the background pipeline.
        issue: Creates the sessions of agents (see `_agent.Issue`), without a network; None is UASAM.
        on_internal_error: Gets the place and the exception of each failure of ours that is swallowed.
        reraise: Raise such failures again (our own tests).
    """

    record_without_key: bool = False
    deliver: Callable[[Any], Any] | None = None
    deliver_agent: Callable[[Any], Any] | None = None
    issue: Callable[..., Any] | None = None
    on_internal_error: Callable[[str, BaseException], None] | None = None
    reraise: bool = False


class Runtime:
    """The state of one process.

    Attributes:
        behaviour: How it records.
        recorders: `OtasSettings` to the `Recorder` of those settings.
        sources: What delivers events beside the recorders: the agent's side adds itself.
        only_delivers: Nothing else is done here, as in a relay: nobody waits for the interpreter's lock meanwhile.
        off_because: Why a middleware of this process is off: `disabled`, `no_sdk_key`.
        logged: What was logged once and is not again.
        lock: Held for changes of these.
        no_fork: Held by a thread of ours while it may import something. A fork in the middle of an import leaves the
            child with half a module, and with that module's lock held for ever. A fork waits for this lock, unless what
            is imported forks itself: under gevent, a subprocess that a module starts does so.
    """

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.recorders: dict[Any, Any] = {}
        self.sources: list[Source] = []
        self.only_delivers = False
        self.off_because: set[str] = set()
        self.logged: set[str] = set()
        self.lock = ForkSafeLock()
        self.no_fork = threading.RLock()
        self._familiar: dict[int, object] = {}
        """Code of the user's that has run, by its identity, which is nobody else's while it is kept here."""
        self._followers: list[tuple[str, Callable[[], Iterable[Any]]]] = []

    def lead(self, field: str, followers: Callable[[], Iterable[Any]]) -> None:
        """Have a change of behaviour reach what exists already.

        Args:
            field: The field of `Behaviour` that matters.
            followers: Returns what exists: the method `follow` of each is called when a block that changes the field
                begins, and when it ends.
        """
        self._followers.append((field, followers))

    @contextmanager
    def forks_allowed(self, code: object) -> Generator[None]:
        """Let a fork go on while code of the user's runs, which may take its time; not in its first run, which imports.

        Args:
            code: It.
        """
        lock = self.no_fork if id(code) in self._familiar else None
        self._familiar[id(code)] = code
        if lock is not None:
            try:
                lock.release()
            except RuntimeError:  # it is not held: this is a request
                lock = None
        try:
            yield
        finally:
            if lock is not None:
                lock.acquire()

    def log_once(self, level: int, message: str) -> None:
        """Log a message that this process has not logged before.

        Args:
            level: As for `logging.log`.
            message: The text; no secret may be in it.
        """
        with self.lock:
            if message in self.logged:
                return
            self.logged.add(message)
        with suppress(Exception):  # of a handler or filter of the host's
            _logger.log(level, "%s", message)

    @contextmanager
    def replaced(self, **changes: Any) -> Generator[None]:
        """Have the process record in another way while the block runs, what was made before included.

        Args:
            **changes: Fields of `Behaviour`.
        """
        before = self.behaviour
        self._behave(replace(before, **changes), changes)
        try:
            yield
        finally:
            self._behave(before, changes)

    def _behave(self, behaviour: Behaviour, changed: Container[str]) -> None:
        with self.lock:
            self.behaviour = behaviour
            for field, followers in self._followers:
                if field in changed:
                    for each in followers():
                        each.follow()


runtime = Runtime()
"""This process's."""
