#!/usr/bin/env bash
# fastmcp 4.2.3: a server made by FastMCP.from_fastapi hands the MCP request's own headers (mcp-method, mcp-name,
# mcp-protocol-version) on to the application's routes, which it calls in process. A route that looks at them, as a
# gateway or a recorder does, takes its plain GET for a tool's call. Seen with fastapi 0.165.0, starlette 1.10.0 and
# httpx2 2.16.2, revision 2026-07-28:
#   GET /orders/8 mcp-method=tools/call mcp-name=read_order
# Exits 1 when the route no longer sees them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'fastmcp==4.2.3' 'fastapi==0.165.0' 'starlette==1.10.0' 'httpx2==2.16.2'
cat > "$folder/seen.py" <<'PYTHON'
import asyncio

import httpx2
from fastapi import FastAPI, Request
from fastmcp import FastMCP

api = FastAPI()
seen: list[str] = []


@api.get("/orders/{order_id}", operation_id="read_order")
async def read_order(order_id: int, request: Request) -> dict[str, int]:
    names = ("mcp-method", "mcp-name")
    seen.append(f"GET {request.url.path} " + " ".join(f"{name}={request.headers.get(name)}" for name in names))
    return {"id": order_id}


async def main() -> None:
    app = FastMCP.from_fastapi(app=api, name="Orders").http_app()
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": "2026-07-28", f"{prefix}clientCapabilities": {}}
    call = {"name": "read_order", "arguments": {"order_id": 8}, "_meta": meta}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "read_order",
    }
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        answer = await client.post("http://127.0.0.1:8000/mcp", json=body, headers=headers)
        assert answer.status_code == 200, answer.text


asyncio.run(main())
print(*seen, sep="\n")
raise SystemExit(seen != ["GET /orders/8 mcp-method=tools/call mcp-name=read_order"])
PYTHON
"$folder/venv/bin/python" "$folder/seen.py"
