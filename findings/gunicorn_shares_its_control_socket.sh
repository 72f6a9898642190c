#!/usr/bin/env bash
# gunicorn 27.0.1: two services of one user have one control socket, and the one that started last has it.
#
# By default each gunicorn listens for `gunicornc` at ~/.gunicorn/gunicorn.ctl. A second service of the same user removes
# the socket of the first and makes its own in its place, without a word: `gunicornc` then shows, reloads and shuts down
# the second. When the second ends it removes the path, and the first, still running, cannot be controlled any more.
# Where the home directory cannot be written (`nobody`, read-only containers) every start logs an ERROR instead.
# Give each service `--control-socket PATH` of its own, or `--no-control-socket`.
set -eu
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check gunicorn==27.0.1
cd "$work"
export HOME="$work/home"
mkdir "$HOME"
cat > shop.py <<'PYTHON'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
PYTHON

start() { # NAME; its log says when it listens for gunicornc, and at which pid
	env/bin/gunicorn shop:app --bind 127.0.0.1:0 --pid "$1.pid" --log-file "$1.log" &
	for _ in $(seq 100); do [ -s "$1.pid" ] && grep -q "Control socket listening" "$1.log" && return; sleep 0.1; done
	cat "$1.log"; exit 1
}
answers() { env/bin/gunicornc -c "show all" 2>&1 | grep -m1 -E "PID:|Error" | sed 's/^ *//'; }

start first
echo "the first service is process $(cat first.pid); gunicornc is answered by $(answers)"
start second
second=$(cat second.pid)
replaced=$(answers)
echo "the second is process $second; gunicornc is answered by $replaced"
kill "$second"
wait %2
lost=$(answers)
echo "the second has ended, the first runs ($(kill -0 "$(cat first.pid)" && echo yes)); gunicornc says: $lost"
[ "$replaced" = "PID: $second" ]
case "$lost" in *"No such file"*) ;; *) exit 1 ;; esac
