# make run    install into .venv, run both notebooks together, show what comes out
# make test   install what the tests need as well, run them all
# make test-browser   the pages and JupyterLab in Chromium; screenshots in build/screenshots
# make lab    JupyterLab on server.ipynb
# make serve  the API from this terminal (YOLOLAB_HOST, YOLOLAB_PORT); WORKERS=2: two processes, supervised
# make bench  how fast it is, beside others: benchmarks/RESULTS.md
# make fuzz   10,000 and more cases of what a client may send;  make reliability: benchmarks/RELIABILITY.md
# make cluster  the API on Ray Serve

# the first Python on the path that is new enough
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

run: .venv/installed
	@$(BIN)/python -m classroom run

lab: .venv/installed
	@$(BIN)/python -m classroom lab

serve: .venv/installed
	@$(if $(WORKERS),YOLOLAB_WORKERS=$(WORKERS)) $(BIN)/python -m yololab serve

test: .venv/installed-tests
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

fuzz: .venv/installed-tests
	@LAB_FUZZ=1 $(BIN)/python -m pytest tests/api/test_survival.py tests/api/test_schema.py

cluster: .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cluster]'
	@RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=. $(BIN)/python -m deploy.ray_serve # loopback only

reliability: .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@$(BIN)/python -m benchmarks.reliability

test-browser: .venv/installed-tests
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'
	@$(BIN)/python -m pytest tests/browser

bench: .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv build

.venv/installed: requirements.txt pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "This lab needs Python 3.11 or newer: https://www.python.org/downloads/"; exit 1; }
	@echo "Installing into .venv; the first time this takes a minute or two ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-tests: .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

.PHONY: run lab serve test test-browser bench fuzz reliability cluster clean
