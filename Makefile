# Each target's `##` comment is its line in `make help`.
.DEFAULT_GOAL := help

# the first Python on the path that is new enough
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --dist loadgroup # a process for each core
EDITABLE := $(INSTALL) --no-build-isolation -e # hatchling, which builds the package, is in requirements.lock

help: ## list the targets
	@awk -F ' *:.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: .venv/installed ## install into .venv, run both notebooks together, show what they found
	@$(BIN)/python -m classroom run

test: .venv/installed-tests ## check style, types and imports, then run the tests
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports
	@$(PYTEST) -m "not slow"

test-slow: .venv/installed-tests ## run the slow tests: whole notebooks, browsers, clusters, several processes
	@$(PYTEST) -m slow

lab: .venv/installed ## open the notebooks in JupyterLab
	@$(BIN)/python -m classroom lab

serve: .venv/installed ## serve the API; with WORKERS=2 from two supervised processes
	@$(if $(WORKERS),YOLOLAB_WORKERS=$(WORKERS)) $(BIN)/python -m yololab serve

cluster: .venv/installed ## serve the API on a Ray cluster
	@$(EDITABLE) '.[cluster]'
	@RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=. $(BIN)/python -m deploy.ray_serve # loopback only

bench: .venv/installed ## measure the API beside other servers; writes benchmarks/RESULTS.md
	@$(EDITABLE) '.[bench]'
	@$(BIN)/python -m benchmarks.run $(ARGS)

reliability: .venv/installed ## measure overload and faults; writes benchmarks/RELIABILITY.md
	@$(EDITABLE) '.[bench]'
	@$(BIN)/python -m benchmarks.reliability $(ARGS)

fuzz: .venv/installed-tests ## send the API 10,000 and more cases of what a client may send
	@LAB_FUZZ=1 $(BIN)/python -m pytest --timeout 3600 tests/api/test_survival.py tests/api/test_survival_live.py \
		tests/api/test_schema.py tests/vision/test_survival_models.py

test-browser: .venv/installed-tests ## test the pages and JupyterLab in Chromium; screenshots in build/screenshots
	@$(EDITABLE) '.[browser]'
	@$(BIN)/python -m pytest tests/browser

outputs: .venv/installed-tests ## run the notebooks and keep their outputs in them (a quiet machine; some minutes)
	@$(BIN)/python -m classroom outputs $(NOTEBOOKS)

site: .venv/installed-tests ## build the site of notebooks and docs in build/site
	@$(EDITABLE) '.[site]'
	@$(BIN)/python -m sphinx -W --keep-going -q -j auto -c docs . build/site
	@echo "Look at it: $(BIN)/python -m http.server -d build/site --bind 127.0.0.1, then http://127.0.0.1:8000"

dev: .venv/installed-tests ## install the git hooks that check each commit
	@$(EDITABLE) '.[dev]'
	@$(BIN)/pre-commit install

lock: .venv/installed ## write requirements.lock anew from requirements.txt
	@$(EDITABLE) '.[dev]'
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-package yololab \
		--custom-compile-command "make lock" requirements.txt -o requirements.lock

clean: ## remove .venv and build
	rm -rf .venv build

.venv/installed: requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "This lab needs Python 3.11 or newer; here is: $$($(or $(PYTHON),python3) --version 2>&1)"; \
		echo "Get one from https://www.python.org/downloads/ and run make again, or name one: make run PYTHON=python3.13"; \
		exit 1; }
	@echo "Installing into .venv; the first time this takes a minute or two ..."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -r requirements.lock
	@$(EDITABLE) . --no-deps
	@touch $@

.venv/installed-tests: .venv/installed
	@$(EDITABLE) '.[test]'
	@touch $@

.PHONY: help run test test-slow lab serve cluster bench reliability fuzz test-browser outputs site dev lock clean
