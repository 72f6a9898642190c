"""Streams of httpx that are handed on as they are, and noted in passing.

The classes here are combined with a library's own base classes (`httpx_library`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._outbound.policy import failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

    from otas_middleware._capture.capture import Capture


class _Stream:
    """A stream that is handed on as it is, and noted in passing.

    Args:
        inner: The stream.
        call: The record.
    """

    def __init__(self, inner: Any, call: Capture) -> None:
        self._inner = inner
        self._call = call


class RequestStream(_Stream):
    def __iter__(self) -> Iterator[bytes]:
        note = self._call.request.add
        for chunk in cast("Iterable[bytes]", self._inner):
            note(chunk)
            yield chunk

    def close(self) -> None:
        self._inner.close()


class AsyncRequestStream(_Stream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        note = self._call.request.add
        async for chunk in cast("AsyncIterable[bytes]", self._inner):
            note(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class ResponseStream(_Stream):
    def __iter__(self) -> Iterator[bytes]:
        call = self._call
        try:
            for chunk in cast("Iterable[bytes]", self._inner):
                call.sent(chunk)
                yield chunk
        except BaseException as error:
            failed(call, error)
            raise
        call.ended()
        call.finish()

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._call.finish()

    def __del__(self) -> None:
        self._call.finish()  # of a stream that nobody closed


class AsyncResponseStream(_Stream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        call = self._call
        chunks = aiter(cast("AsyncIterable[bytes]", self._inner))
        try:
            async for chunk in chunks:
                call.sent(chunk)
                yield chunk
        except BaseException as error:
            failed(call, error)
            raise
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        call.ended()
        call.finish()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._call.finish()

    def __del__(self) -> None:
        self._call.finish()
