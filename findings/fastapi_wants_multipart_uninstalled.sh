#!/usr/bin/env bash
# FastAPI 0.128.0: where `python-multipart` is missing and `multipart` is installed, it tells people to remove the latter.
#
# `multipart` (defnull's, the parser of Bottle, Litestar and others) and `python-multipart` are two distributions. An
# application with a form and without `python-multipart` fails at its start with "It seems you installed "multipart"
# instead. You can remove "multipart" with: pip uninstall multipart". Whoever does so breaks the package that asked for it,
# and need not: with both installed FastAPI reads the form, and `multipart` parses too.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip fastapi==0.128.0 httpx==0.28.1 multipart==2.0.1
cat > "$work/run.py" <<'PYTHON'
import logging
import sys

from fastapi import FastAPI, Form
from fastapi.testclient import TestClient

logging.basicConfig(stream=sys.stdout)
app = FastAPI()
try:
    @app.post("/")
    def read(name: str = Form()):
        return name
except RuntimeError as error:
    print(error)
    raise SystemExit(not (sys.argv[1] == "alone" and "pip uninstall multipart" in str(error)))

import multipart

answer = TestClient(app).post("/", data={"name": "Ada"}).json()
print("with both:", answer, hasattr(multipart, "PushMultipartParser"))
raise SystemExit(not (sys.argv[1] == "both" and answer == "Ada" and hasattr(multipart, "PushMultipartParser")))
PYTHON
"$work/env/bin/python" "$work/run.py" alone
pip python-multipart==0.0.21
"$work/env/bin/python" "$work/run.py" both
