#!/usr/bin/env bash
# OpenTelemetry 1.45.2 on free-threaded Python 3.14: the spans of a shared executor all join the trace of whichever request
# started its threads.
#
# There a thread begins with a copy of its starter's context, and ThreadPoolExecutor starts its threads when it is first
# given work: each keeps the context of that request for good. A job handed over with `executor.submit` or
# `loop.run_in_executor` finds that request's span as its parent, hours later and from other requests, or from none. With
# the interpreter lock the thread's context is empty, and the job begins a trace of its own. One would have expected the
# caller's trace, or none. The old trace grows without end, is sampled as the first one was, and the baggage (a tenant's
# or user's name) of that request is read in everyone's jobs. `asyncio.to_thread` copies the caller's context and is right.
#   job of request:      alice  bob    nobody
#   belongs to, 3.14t:   alice  alice  alice
#   same, flag off:      -      -      -
# Needs a free-threaded Python 3.14 (`python3.14t`, or name it in PYTHON). Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.14t}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check opentelemetry-sdk==1.45.2
cat >"$folder/jobs.py" <<'PYTHON'
import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider

tracer = TracerProvider().get_tracer("shop")
executor = ThreadPoolExecutor(1)
requests = {}


def job():
    with tracer.start_as_current_span("job") as span:
        parent = requests.get(span.parent.trace_id) if span.parent else "-"
        assert parent == (baggage.get_baggage("user") or "-")
        return parent


async def request(user):
    context.attach(baggage.set_baggage("user", user))
    with tracer.start_as_current_span("request") as span:
        requests[span.context.trace_id] = user
        return await asyncio.get_running_loop().run_in_executor(executor, job)


async def served():
    return [await asyncio.create_task(request(user)) for user in ("alice", "bob")]


print(*asyncio.run(served()), executor.submit(job).result())
PYTHON
default=$("$folder/venv/bin/python" "$folder/jobs.py")
off=$("$folder/venv/bin/python" -X thread_inherit_context=0 "$folder/jobs.py")
echo "$("$folder/venv/bin/python" -VV): the jobs of alice, bob and nobody belong to: $default; with thread_inherit_context=0: $off"
[ "$default" = "alice alice alice" ] && [ "$off" = "- - -" ]
