# a2a-sdk 1.3.0: a task that asks its user something stays in the server's memory, with four asyncio tasks, for good.
#
# An agent that needs more ends its turn with `requires_input()`; the state is in the task store, and one would expect
# nothing else to be held until the user writes again. `DefaultRequestHandler` keeps a running producer and consumer
# with queues and locks for each such task (46 KB and four asyncio tasks), so that whoever asks once and never comes back
# is paid for until the process ends: 20,000 open questions are a gigabyte. `interrupted_task_timeout=` ends them; its
# default is None, never. Tasks that complete leave nothing.
#   200 tasks completed:       0 more asyncio tasks
#   200 tasks input required:  800 more asyncio tasks; with interrupted_task_timeout=1: 0
# Exits 1 when that changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check 'a2a-sdk[http-server]==1.3.0' starlette==1.10.0 httpx==0.28.1
cat > "$work/run.py" <<'PYTHON'
import asyncio, httpx, logging

from a2a.helpers import new_task, new_text_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, TaskState
from starlette.applications import Starlette

logging.disable(logging.WARNING)


class Clerk(AgentExecutor):
    async def execute(self, context, queue):
        await queue.enqueue_event(new_task(context.task_id, context.context_id, TaskState.TASK_STATE_SUBMITTED))
        task = TaskUpdater(queue, context.task_id, context.context_id)
        await (task.requires_input if context.get_user_input() == "ask" else task.complete)(new_text_message("?"))

    async def cancel(self, context, queue):
        pass


async def more_after(text, **options):
    card = AgentCard(name="Clerk", version="1", capabilities=AgentCapabilities(streaming=True))
    handler = DefaultRequestHandler(Clerk(), InMemoryTaskStore(), card, **options)
    transport = httpx.ASGITransport(Starlette(routes=create_jsonrpc_routes(handler, "/a2a")))
    before = len(asyncio.all_tasks())
    async with httpx.AsyncClient(transport=transport, base_url="http://clerk", headers={"A2A-Version": "1.0"}) as client:
        for number in range(200):
            message = {"messageId": f"m{number}", "role": "ROLE_USER", "parts": [{"text": text}]}
            call = {"jsonrpc": "2.0", "id": number, "method": "SendMessage", "params": {"message": message}}
            assert "task" in (await client.post("/a2a", json=call)).json()["result"]
    await asyncio.sleep(5)
    return len(asyncio.all_tasks()) - before


done, asked, ended = (asyncio.run(more_after(text, **options)) for text, options in (
    ("go", {}), ("ask", {}), ("ask", {"interrupted_task_timeout": 1})))
print(f"a2a-sdk 1.3.0, 200 tasks, more asyncio tasks: completed {done}, input required {asked}, with a time-out {ended}")
raise SystemExit(done > 10 or asked < 800 or ended > 10)
PYTHON
"$work/env/bin/python" "$work/run.py"
