# Edgehaul: everything a developer or a first-time user runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiled bytecode halves the start-up of Airflow, which starts a process for every task.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPATH := $(CURDIR)/plugins:$(CURDIR)

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(VENV)/.synced  ## .venv with everything from requirements.lock

# uv comes from the lock file too, by its hash, and then keeps the environment equal to the lock.
$(VENV)/.synced: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Edgehaul needs Python 3.11 or later: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^    --hash/p;}' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	@touch $@

lock:  ## resolve pyproject.toml into requirements.lock again
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --output-file requirements.lock

.PHONY: help setup lock
