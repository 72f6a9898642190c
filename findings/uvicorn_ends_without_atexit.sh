#!/usr/bin/env bash
# uvicorn 0.54.0, alone and as gunicorn's worker (gunicorn 27.0.1, uvicorn-worker 0.4.0): a graceful stop by SIGTERM does
# not run `atexit`.
#
# The server lets requests end, tells the application by its lifespan, logs that it has finished, and then raises the
# signal again that it was stopped by, with the handler of before: Python's default for SIGTERM ends the process at once.
# Whatever an application registered with `atexit` is left out, although nothing was killed. gunicorn's own worker runs
# it, and so does hypercorn 0.18.0.
# Prints for each server whether the lifespan ended (WSGI has none) and whether `atexit` ran; exits 1 when that changes.
set -eu
folder=$(mktemp -d)
server=""
trap 'test -z "$server" || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet uvicorn==0.54.0 gunicorn==27.0.1 uvicorn-worker==0.4.0 hypercorn==0.18.0
cat >application.py <<'PYTHON'
import atexit, os

def note(what):
    with open(os.environ["NOTES"], "a") as file:
        file.write(what + " ")

atexit.register(note, "atexit")

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        note("ready")
        await receive()
        note("lifespan")
        await send({"type": "lifespan.shutdown.complete"})

def wsgi(environ, start_response):
    start_response("204 No Content", [])
    return []
PYTHON
echo 'def post_worker_init(worker): __import__("application").note("ready")' >told.py

stop() { # name, command -> notes of the process that serves
	export NOTES="$folder/notes-$1"
	shift
	"$@" >/dev/null 2>&1 &
	server=$!
	until grep -qs ready "$NOTES"; do sleep 0.1; done
	sleep 1
	kill -TERM "$server"
	wait "$server" || true
	server=""
	sed 's/ready //' "$NOTES"
}
address=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
alone=$(stop alone venv/bin/uvicorn --port "${address#*:}" application:asgi)
worker=$(stop worker venv/bin/gunicorn --bind "$address" -k uvicorn_worker.UvicornWorker application:asgi)
own=$(stop own venv/bin/gunicorn --bind "$address" -c told.py application:wsgi)
other=$(stop other venv/bin/hypercorn --bind "$address" application:asgi)
echo "uvicorn: $alone| gunicorn with uvicorn's worker: $worker| gunicorn's own worker: $own| hypercorn: $other"
[ "$alone$worker$own$other" = "lifespan lifespan atexit lifespan atexit " ]
