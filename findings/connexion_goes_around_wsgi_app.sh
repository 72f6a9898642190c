# Connexion 3.3.0 (Flask 3.1.3, a2wsgi): what is put around the `wsgi_app` of its Flask application is never called.
#
# Flask documents `app.wsgi_app = Middleware(app.wsgi_app)`, Werkzeug's ProxyFix and most extensions that wrap do just
# that, and with Connexion 2 `app.app.wsgi_app = …` worked. Connexion 3 hands the bound method to its bridge when the
# application is made: the assignment raises nothing, Flask's own test client goes through the middleware, and no request
# that is served does. `add_wsgi_middleware` is the way around Flask; around all of it a middleware of ASGI.
#   Flask's client: wrapped; as served: not wrapped; with add_wsgi_middleware: wrapped
# Exits 1 when that changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check "connexion[flask]==3.3.0" flask==3.1.3 httpx2
cat > "$work/run.py" <<'PYTHON'
import asyncio
from importlib.metadata import version

import connexion
import httpx2


class Wrapping:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        def start(status, headers, *rest):
            return start_response(status, [*headers, ("X-Wrapped", "yes")], *rest)

        return self.app(environ, start)


def made():
    app = connexion.FlaskApp("shop")
    app.add_url_rule("/", "tea", lambda: "tea")
    return app


async def served(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://shop") as client:
        answer = await client.get("/")
        return answer.status_code, "x-wrapped" in answer.headers


assigned, added = made(), made()
assigned.app.wsgi_app = Wrapping(assigned.app.wsgi_app)
added.add_wsgi_middleware(Wrapping)
by_flask = "X-Wrapped" in assigned.app.test_client().get("/").headers
by_server, by_its_own_way = asyncio.run(served(assigned)), asyncio.run(served(added))
print("connexion", version("connexion"), "flask", version("flask"))
print(f"Flask's client wrapped: {by_flask}; as served: {by_server[1]};")
print(f"with add_wsgi_middleware: {by_its_own_way[1]}")
raise SystemExit((by_flask, by_server, by_its_own_way) != (True, (200, False), (200, True)))
PYTHON
"$work/env/bin/python" "$work/run.py"
