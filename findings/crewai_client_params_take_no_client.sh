#!/usr/bin/env bash
# crewai 1.15.30 with openai 2.54.0: no HTTP client can be given to a model, and the error says that a provider is missing.
#
# `LLM(client_params=...)` holds "additional parameters" for OpenAI's client, whose `http_client` is its documented way to
# have a proxy, certificates or instrumentation. crewai makes two clients of them at once, `OpenAI` and `AsyncOpenAI`, and
# gives both the same one: each accepts only its own kind, so that an `httpx.Client` is refused by the second and an
# `httpx.AsyncClient` by the first, whether the other is ever used or not. What reaches the user is an ImportError,
# "Error importing native provider". Without `http_client` the same call works.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check crewai==1.15.30 openai==2.54.0 httpx==0.28.1
cat > "$work/run.py" <<'PYTHON'
import os

os.environ["CREWAI_DISABLE_TELEMETRY"] = os.environ["OTEL_SDK_DISABLED"] = "true"

import httpx
from crewai import LLM

def made(**params):
    try:
        return type(LLM(model="openai/gpt-4o", api_key="k", client_params=params)).__name__
    except ImportError as error:
        return f"ImportError: {error}"

got = made(timeout=5), made(http_client=httpx.Client()), made(http_client=httpx.AsyncClient())
for params, answer in zip(("timeout", "httpx.Client", "httpx.AsyncClient"), got):
    print(f"{params}: {answer}", flush=True)
refused = "ImportError: Error importing native provider: Invalid `http_client` argument"
raise SystemExit(got[0] != "OpenAICompletion" or not all(answer.startswith(refused) for answer in got[1:]))
PYTHON
"$work/env/bin/python" "$work/run.py"
