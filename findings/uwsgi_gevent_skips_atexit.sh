#!/usr/bin/env bash
# uWSGI (pyuwsgi 2.0.30) with --gevent (gevent 26.9.0): a worker that is stopped does not run `atexit`, one without does.
#
# Whatever an application or a library registered with `atexit` is left out when a worker of `uwsgi --gevent` ends, by
# SIGTERM (--die-on-term) as well as by a reload (SIGHUP), although nobody was killed: what telemetry had queued is lost
# without a word. `uwsgi.atexit`, which uWSGI documents for this, is called in every mode.
# Prints for each mode and each kind of end what ran in the first worker; exits 1 when that changes.
set -eu
folder=$(mktemp -d)
server=""
trap 'test -z "$server" || kill -9 "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyuwsgi==2.0.30 gevent==26.9.0
cat >application.py <<'PYTHON'
import atexit, os, uwsgi

def note(what):
    if what == "ready" or uwsgi.worker_id():  # and not the master's own end
        with open(os.environ["NOTES"], "a") as file:
            file.write(what + " ")

atexit.register(note, "atexit")
uwsgi.atexit = lambda: note("uwsgi.atexit")

def application(environ, start_response):
    note("ready")
    start_response("204 No Content", [])
    return []
PYTHON
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ask() { python3 -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$port').read()" 2>/dev/null; }

ends() { # name, signal, options -> what a worker ran at its end
	export NOTES="$folder/notes-$1"
	signal=$2
	shift 2
	venv/bin/uwsgi --http-socket "127.0.0.1:$port" --module application --virtualenv venv --master --processes 1 \
		--die-on-term --no-orphans --disable-logging "$@" >/dev/null 2>&1 &
	server=$!
	until ask; do sleep 0.1; done
	sleep 1
	kill "-$signal" "$server"
	sleep 3
	tr ' ' '\n' <"$NOTES" | grep -v ready | sort -u | tr '\n' ' '
	kill -9 "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
	server=""
}
threads="$(ends threads-term TERM --enable-threads)| $(ends threads-hup HUP --enable-threads)"
gevent="$(ends gevent-term TERM --gevent 10)| $(ends gevent-hup HUP --gevent 10)"
echo "threads (stop | reload): $threads"
echo "gevent  (stop | reload): $gevent"
[ "$threads" = "atexit uwsgi.atexit | atexit uwsgi.atexit " ] && [ "$gevent" = "uwsgi.atexit | uwsgi.atexit " ]
