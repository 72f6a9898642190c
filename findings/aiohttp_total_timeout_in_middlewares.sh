#!/usr/bin/env bash
# aiohttp 3.14.5: the same time limit reaches a client middleware as two kinds of exception.
#
# `ClientTimeout(total=...)` that runs out while the server is silent raises TimeoutError inside of a client middleware.
# If it runs out while a connection is being made (name, TCP, TLS), the middleware sees CancelledError, as if the
# caller's task had been cancelled; the caller gets TimeoutError in both cases. A middleware that retries, counts or
# logs timeouts (`except TimeoutError`) misses those of unreachable hosts, and one that takes a CancelledError for the
# caller's leaving is wrong about them. Only afterwards can it be told: `asyncio.current_task().cancelling()` is back at
# its old value.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5
cat > "$work/run.py" <<'PYTHON'
import asyncio
import socket

import aiohttp

seen = []

class Silent(aiohttp.abc.AbstractResolver):
    """A name server that never answers."""

    async def resolve(self, *_, **__):
        await asyncio.Event().wait()

    async def close(self):
        pass

async def middleware(request, handler):
    try:
        return await handler(request)
    except BaseException as error:
        seen.append(type(error).__name__)
        raise

async def ask(url, resolver=None):
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with aiohttp.ClientSession(connector=connector, middlewares=(middleware,)) as session:
        try:
            await session.get(url, timeout=aiohttp.ClientTimeout(total=0.2))
        except BaseException as error:
            return type(error).__name__

async def main():
    with socket.create_server(("127.0.0.1", 0)) as server:  # connects, and never answers
        got = await ask(f"http://127.0.0.1:{server.getsockname()[1]}/")
    print(f"silent server: the caller gets {got}, the middleware {seen[-1]}")
    got = await ask("http://shop.example/", Silent())
    print(f"silent name server: the caller gets {got}, the middleware {seen[-1]}", flush=True)

asyncio.run(main())
raise SystemExit(seen != ["TimeoutError", "CancelledError"])
PYTHON
"$work/env/bin/python" "$work/run.py"
