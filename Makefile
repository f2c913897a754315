# Edgehaul: everything a developer or a first-time user runs. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiled bytecode halves the start-up of Airflow, which starts a process for every task.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPATH := $(CURDIR)/plugins:$(CURDIR)
# Downloads trust the CAs that the system trusts: a company's own is among them. uv asks the system itself; pip does from
# 24.2 on, and is given the file of Debian or Fedora before, unless the user has chosen one.
export UV_SYSTEM_CERTS ?= true
SYSTEM_CAS := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt))
# Where set-up downloads are kept is the user's business; what is measured and tested is not.
LOCK := $(BIN)/uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | while IFS=@ read -r target text; do printf '%-14s %s\n' "$$target" "$$text"; done

demo: setup  ## the main job on real files with a real Airflow and a local cloud (SOURCE=/some/directory, KEEP=1)
	@$(BIN)/python -m demo $(if $(SOURCE),--source "$(SOURCE)") $(if $(KEEP),--keep)

up: setup  ## local cloud and Airflow with its UI, left running (ROUTES=routes.yaml)
	@$(BIN)/python -m demo up $(if $(SOURCE),--source "$(SOURCE)") $(if $(ROUTES),--routes "$(ROUTES)")

down: setup  ## stop what `make up` started
	@$(BIN)/python -m demo down

test: setup  ## the test suite (ARGS=… for pytest)
	$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),tests/run-all $(BIN)/python)

tools:  ## Debian's packages of the programs that tests need, where one is missing and you are root
	@missing=; for program in chromium npm openssl curl git redis-server; do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then missing="$${missing# chromium}"; fi; \
	[ -z "$$missing" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

pictures: setup  ## the pictures of the UI in docs/images, by the tests in a browser
	EDGEHAUL_PICTURES=$(CURDIR)/docs/images $(BIN)/python -m pytest tests/end_to_end/test_routes.py tests/end_to_end/test_pages.py tests/web/test_overview_in_the_browser.py -k "in_the_browser or watched"

chaos: setup  ## kills and faults of every kind, for longer than in the test suite (SEEDS="1 2 3 4 5", OBJECTS=5000)
	CHAOS_SEEDS="$(or $(SEEDS),1 2 3 4 5)" CHAOS_OBJECTS=$(or $(OBJECTS),5000) $(BIN)/python -m pytest --slow tests/chaos $(ARGS)

chaos-engine: setup  ## the same on the engine alone, hundreds of seeds: SEEDS=300, or SEED=17 to repeat one (ARGS=--help)
	PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests/support $(BIN)/python -m engine_chaos $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),300)) $(ARGS)

compose-test: setup  ## docker-compose.yaml in containers, with Docker or podman: one run, compared (ARGS=--keep)
	PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests/support $(BIN)/python tests/containers/run.py $(ARGS)

fuzz: setup  ## hostile answers, messages, records and lists, for longer than in the test suite (EXAMPLES=2000)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest tests/fuzz $(ARGS)

check: setup  ## style, types, import contracts, lock file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@cp requirements.lock $(VENV)/resolved.lock
	$(LOCK) --output-file $(VENV)/resolved.lock
	@cmp requirements.lock $(VENV)/resolved.lock || { echo 'requirements.lock does not follow from pyproject.toml: run make lock'; exit 1; }

bench: setup  ## the engine beside its peers on the same servers; tables in .local/bench.json
	$(BIN)/python -m benchmarks $(ARGS)

setup: $(VENV)/.synced  ## .venv with everything from requirements.lock

# uv comes from the lock file too, by its hash, and then keeps the environment equal to the lock.
$(VENV)/.synced: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Edgehaul needs Python 3.11 or later: make PYTHON=python3.12 …")'
	@echo 'Setting up .venv from requirements.lock (once; a minute or two)'
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^    --hash/p;}' requirements.lock > $(VENV)/uv.lock
	@case "$$($(BIN)/python -m pip config list)" in *.cert=*) ;; *) export PIP_CERT='$(SYSTEM_CAS)' ;; esac; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@touch $@

lock: setup  ## resolve pyproject.toml into requirements.lock again
	$(LOCK) --output-file requirements.lock

clean:  ## remove what runs leave behind (.local); .venv stays
	rm -rf .local

.PHONY: help demo up down test tools pictures chaos chaos-engine compose-test fuzz check bench setup lock clean
