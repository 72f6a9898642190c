#!/usr/bin/env bash
# pytest-cov 7.1.0 (coverage 7.17.5) under pytest-xdist 3.8.0: tests marked `no_cover` run under coverage's tracer all the same.
#
# The marker "disables coverage for this test". With `-n`, pytest-cov begins two measurements in each worker: one when
# the worker reads the command line, as in a process that is alone, and one at the session's start, which it later reads.
# `no_cover` stops the second, whereupon coverage.py resumes the first, of which nobody reads anything. What the test
# does is not counted, as it should be, but costs what it costs under a tracer (twice the time below Python 3.12, where
# coverage.py has no other core), and tests that measure time or memory measure the tracer.
# Prints for both ways of running what traces a marked test; exits 1 when that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pytest==9.2.0 pytest-cov==7.1.0 pytest-xdist==3.8.0 coverage==7.17.5
cat >test_marked.py <<'PYTHON'
import sys
import pytest

@pytest.mark.no_cover
def test_marked():
    with open("tracer", "w") as file:
        print(type(sys.gettrace()).__name__, file=file)
PYTHON
export COVERAGE_CORE=ctrace # the default below Python 3.14
traced() { # options -> what traces the test
	venv/bin/python -m pytest -q -p no:cacheprovider --cov=test_marked --cov-report= "$@" test_marked.py >/dev/null
	cat tracer
}
alone=$(traced)
worker=$(traced -n 1)
echo "in one process: $alone"
echo "in a worker:    $worker"
[ "$alone" = NoneType ] && [ "$worker" = CTracer ]
