# `make` alone lists the verbs. Everything happens in .venv; a stamp file a step keeps the second time short.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet --no-input
STAMPS := $(VENV)/stamps
# Tests find nats-server on the path.
PYTEST = PATH=$(abspath $(VENV))/bin:$$PATH $(PY) -m pytest
TWO_AT_ONCE := -n 2
# The plugin where there is one, else the older command.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
SERVICES := ws_edge rooms moderation
PROTOS := $(shell find protos/salon -name '*.proto')
CHECKED := chassis/src chassis/tests $(wildcard $(SERVICES:%=services/%/src) $(SERVICES:%=services/%/tests) tests tools loadtests)

##@ Use it

help: ## list the verbs
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(STAMPS)/services ## NATS and the three services; PORT=8000, DATA_DIR=.data; Ctrl-C stops
	@exec $(PY) -m tools.run

token: $(STAMPS)/services ## print a token: USER_ID=123 USERNAME=ana ROLES=admin,moderator TTL=86400
	@exec $(PY) -m tools.mint_token

##@ Work on it

setup: $(STAMPS)/services $(STAMPS)/dev ## what run, test and lint need, without running them

ifeq ($(T),)
test: setup ## every test but those marked slow; T=path: every test there, slow ones too
	@echo "Every test but those marked slow (make test-all runs them too)"
	@$(PYTEST) $(TWO_AT_ONCE) -m "not slow and not chaos and not containers"
else
test: setup
	@$(PYTEST) $(T)
endif

test-all: setup ## every test but those of make chaos and make compose-test: clusters, many browsers too
	@$(PYTEST) $(TWO_AT_ONCE) -m "not chaos and not containers"

test-replicas: setup ## the end-to-end tests on edges of 2 workers, 2 rooms, 2 moderation, PostgreSQL and 3 NATS servers
	@$(PYTEST) tests/e2e --replicas

chaos: setup ## faults under load, and the table of docs/reliability.md; S="an edge": those with this in their name
	@PATH=$(abspath $(VENV))/bin:$$PATH PYTHONPATH=.:tests/support:tests/e2e:tests/chaos/support $(PY) -m chaos $(S)

compose-test: setup ## docker-compose.yml on a real engine: crashes, recreates, --scale, down and up (some 11 minutes)
	@$(PYTEST) tests/containers -x -s

test-newest-python: setup ## the tests of the services on the newest Python to be had here
	@tools/newest_python.sh

test-unit: setup ## the tests without servers
	@$(PYTEST) chassis/tests/unit $(wildcard $(SERVICES:%=services/%/tests/unit))

test-services: setup ## the tests of the chassis and of the three services
	@$(PYTEST) $(TWO_AT_ONCE) chassis/tests $(wildcard $(SERVICES:%=services/%/tests))

e2e: setup ## real processes, real clients
	@$(PYTEST) tests/e2e

fuzz: $(STAMPS)/fuzz ## look for input that ends in no documented outcome: TARGET=websocket TIME=60 (seconds a target)
	@exec $(PY) -m tools.fuzz

coverage: setup ## every line and branch of protocol/ and domain/ has a unit test
	@exec $(PY) -m tools.core_coverage

lint: lint-style lint-types lint-imports lint-protos ## style, types, import contracts, protos

lint-style: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

lint-types: setup
	$(PY) -m mypy $(CHECKED)

lint-imports: setup
	$(VENV)/bin/lint-imports --no-cache

lint-protos: setup
	cd protos && $(abspath $(VENV))/bin/buf lint
	BUF=$(abspath $(VENV))/bin/buf tools/protos_breaking.sh

format: setup ## rewrite the style
	$(VENV)/bin/ruff check --fix --exit-zero .
	$(VENV)/bin/ruff format .

protos: ## generate the contracts again
	@rm -f $(STAMPS)/protos
	@$(MAKE) $(STAMPS)/protos

pins: setup ## write requirements again; UPGRADE=name, or UPGRADE=all, takes the newest that fits
	@exec $(PY) -m tools.pins

tables: setup ## write the tables of settings again from the code
	@exec $(PY) -m tools.settings_tables

asyncapi: setup ## write docs/api/asyncapi.yaml again from the frames of the edge
	@exec $(PY) -m tools.asyncapi

load: $(STAMPS)/load ## load a running Salon with locust: SCENARIO=many_small_rooms URL=ws://127.0.0.1:8000
	@exec sh loadtests/run.sh

bench: setup ## measure Salon against other servers in one run and write docs/benchmarks.md
	@exec $(PY) -m loadtests.bench

bench-quick: setup ## five works against two peers in a minute and a half; fails when something was lost
	@exec $(PY) -m loadtests.bench --quick

##@ Ship it

docker-secrets: ## write the secrets of the containers that are missing
	@sh deploy/secrets.sh

docker-build: ## the three images
	$(COMPOSE) build

docker-up: docker-secrets ## everything in containers, on http://localhost:8000/
	$(COMPOSE) up --build -d$(if $(findstring docker compose,$(COMPOSE)), --wait)

docker-down: ## stop the containers; the data stays
	$(COMPOSE) down

docker-ps: ## what runs and how it is
	$(COMPOSE) ps

docker-logs: ## follow the log of the edge
	$(COMPOSE) logs -f app

clean: ## remove what was generated, the virtual environments included; .data stays
	rm -rf $(VENV) .venv-* protos/src .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@[ ! -O /var/tmp/salon-python ] || rm -rf --one-file-system /var/tmp/salon-python
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help run token setup test test-all test-replicas chaos test-newest-python test-unit test-services e2e fuzz coverage lint lint-style \
	lint-types lint-imports lint-protos format protos pins tables asyncapi load bench bench-quick compose-test docker-secrets docker-build docker-up docker-down docker-ps docker-logs clean

# Steps of the set-up. They speak on stderr, so that `make token` prints a token and nothing else.

$(STAMPS)/venv:
	@sh tools/venv.sh $(VENV) >&2
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: requirements/run.txt | $(STAMPS)/venv
	@echo "Installing what Salon runs on (half a minute, once)" >&2
	@$(PIP) install -r requirements/run.txt >&2
	@touch $@

$(STAMPS)/protos: $(PROTOS) protos/hatch_build.py protos/pyproject.toml $(STAMPS)/run
	@echo "Generating the contracts" >&2
	@PATH=$(abspath $(VENV))/bin:$$PATH $(PIP) install --no-build-isolation --no-deps -e protos >&2
	@touch $@

$(STAMPS)/services: chassis/pyproject.toml $(SERVICES:%=services/%/pyproject.toml) | $(STAMPS)/protos
	@echo "Installing the chassis and the services" >&2
	@$(PIP) install --no-build-isolation --no-deps -e chassis $(SERVICES:%=-e services/%) >&2
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/run
	@echo "Installing what tests and lint need" >&2
	@$(PIP) install -r requirements/dev.txt >&2
	@touch $@

$(STAMPS)/fuzz: requirements/fuzz.txt $(STAMPS)/services $(STAMPS)/dev
	@echo "Installing what fuzzing needs" >&2
	@$(PIP) install -r requirements/fuzz.txt >&2
	@touch $@

$(STAMPS)/load: loadtests/requirements.txt | $(STAMPS)/venv
	@echo "Installing locust into .venv-load" >&2
	@sh tools/venv.sh .venv-load >&2
	@.venv-load/bin/python -m pip --disable-pip-version-check --quiet --no-input install -r loadtests/requirements.txt >&2
	@touch $@
