#!/usr/bin/env bash
# FastPySGI 0.6: threads of the application do not run while the server waits for requests.
#
# Its event loop waits without letting go of the interpreter lock. A thread that an application starts, and that sleeps
# for 0.2 s, goes on only when the next request comes: whatever works in the background (exporters of telemetry, caches,
# schedulers) stands still on a quiet server. waitress, cheroot, bjoern and others run such threads at once.
#
# Prints the version, and after how long the thread woke; exits 1 when it wakes within a second.
set -eu
folder=$(mktemp -d)
server=""
trap 'test -z "$server" || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastpysgi==0.6
cat >"$folder/app.py" <<'PYTHON'
import sys, threading, time
import fastpysgi

def app(environ, start_response):
    began = time.monotonic()
    def work():
        time.sleep(0.2)
        with open(sys.argv[2], "a") as log:
            log.write(f"{time.monotonic() - began:.1f}\n")
    if environ["PATH_INFO"] == "/start":
        threading.Thread(target=work, daemon=True).start()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]

fastpysgi.run(app, "127.0.0.1", int(sys.argv[1]))
PYTHON
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/python" "$folder/app.py" "$port" "$folder/woke" >"$folder/log" 2>&1 &
server=$!
ask() { python3 -c "import sys, urllib.request as r; r.urlopen('http://127.0.0.1:$port$1', timeout=5).read()"; }
for _ in $(seq 50); do ask / 2>/dev/null && break; sleep 0.1; done
ask /start
sleep 3 # nobody asks for anything
test ! -s "$folder/woke" && echo "after 3 s without requests the thread has not woken"
for _ in $(seq 20); do ask /; sleep 0.1; test -s "$folder/woke" && break; done
woke=$(head -1 "$folder/woke")
echo "fastpysgi $("$folder/venv/bin/pip" show fastpysgi | sed -n 's/^Version: //p'): a thread that sleeps 0.2 s woke after $woke s"
python3 -c "import sys; sys.exit(float('$woke') < 1)"
