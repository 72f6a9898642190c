"""An HTTP server that takes events and forgets them, as fast as Python can: the other end of the sender.

Runs in a process of its own, so that its CPU is not counted. Speaks just enough HTTP/1.1: keep-alive, Content-Length.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

ANSWER_BODY = b'{"status":1,"status_description":"event_captured","response":{}}'
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(ANSWER_BODY),
    ANSWER_BODY,
)


class _Sink(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(buffer) < end + 4 + length:
                return
            del buffer[: end + 4 + length]
            self._transport.write(ANSWER)


def _serve(channel: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Sink, "127.0.0.1", 0)
        channel.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, channel.recv)  # until the parent says stop, or is gone
        server.close()

    try:
        asyncio.run(main())
    except (EOFError, KeyboardInterrupt):
        sys.exit(0)


@contextmanager
def sink() -> Generator[str]:
    """Run the sink in another process and yield its base URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.send(None)
        process.join(5)
        if process.is_alive():
            process.kill()
