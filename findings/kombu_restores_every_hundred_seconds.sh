#!/usr/bin/env bash
# Celery 5.7.0 with kombu 5.7.0 over Redis, `visibility_timeout` of 2 seconds, `task_acks_late`: a worker that is killed
# leaves its message unacknowledged, and one would expect another worker to have it two seconds later. The other worker
# looks for such messages when it starts, and then only every 100 seconds: `unacked_restore_interval` (10) times
# `unacked_restore_throttle` (10), both new among the transport options. One that started just before the two seconds
# were over does not run the task within 30 seconds; with both options set to 1 it does within a few.
# Needs redis-server (Debian: apt-get install redis-server). Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(cat "$folder"/*.pid 2>/dev/null) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'celery[redis]==5.7.0' kombu==5.7.0
redis-server --unixsocket "$folder/redis.sock" --port 0 --save '' --daemonize yes --dir "$folder" --pidfile "$folder/redis.pid" >/dev/null

cat >proj.py <<'PYTHON'
import os
import pathlib
import time

from celery import Celery

app = Celery("proj", broker=f"redis+socket://{os.environ['FOLDER']}/redis.sock")
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True, task_default_queue=os.environ["QUEUE"])
app.conf.broker_transport_options = {"visibility_timeout": 2, "polling_interval": 0.1}
if os.environ["QUEUE"] == "often":
    app.conf.broker_transport_options |= {"unacked_restore_interval": 1, "unacked_restore_throttle": 1}


@app.task(name="note")
def note():
    begun = pathlib.Path(os.environ["FOLDER"], os.environ["QUEUE"])
    with begun.open("a") as file:
        file.write("begun\n")
    time.sleep(0 if begun.read_text().count("begun") > 1 else 600)
PYTHON

seconds_until_the_second_worker_begins() { # queue -> seconds; 30 stands for not at all
	export QUEUE=$1 FOLDER=$folder
	venv/bin/celery -A proj worker -c 1 -n "one-$1@test" --without-gossip --without-mingle >/dev/null 2>&1 &
	local first=$!
	venv/bin/python -c 'import proj; proj.note.delay()'
	until [ -s "$1" ]; do sleep 0.1; done
	pkill -KILL -P "$first" || true
	kill -KILL "$first"
	venv/bin/celery -A proj worker -c 1 -n "two-$1@test" --without-gossip --without-mingle >/dev/null 2>&1 &
	echo $! >"$folder/$1.pid"
	local waited=0
	while [ "$(wc -l <"$1")" -lt 2 ] && [ "$waited" -lt 30 ]; do sleep 1; waited=$((waited + 1)); done
	echo "$waited"
}

usual=$(seconds_until_the_second_worker_begins usual)
often=$(seconds_until_the_second_worker_begins often)
echo "the killed worker's task began again after: $usual s by default (30: not at all), $often s with both options at 1"
[ "$usual" -ge 30 ] && [ "$often" -lt 15 ]
