# Two commands for a fresh machine: `make launch` and `make test`. Everything else is for people who work on this.
# .venv is made on the way, and a container engine is installed and started where we may (root, apt).

SDK ?= go-openai
CPUS ?= 0
# Empty: the default of repro.
WORKLOAD ?=
MEMS ?=
MEMORY ?=
LAUNCHES ?=
DURATION ?=
WARMUP ?=
# Anything else, as it is typed after repro launch.
ARGS ?=

REPRO = .venv/bin/repro

.DEFAULT_GOAL := help
.PHONY: help setup engine launch test test-unit test-all test-long test-lab lint bench pins proto clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## make or refresh .venv with everything for development
	@sh scripts/setup.sh dev

engine: ## see to it that a container engine answers
	@sh scripts/setup.sh runtime engine

launch: engine ## run one SDK: make launch SDK=go-openai WORKLOAD=chat-stream-128 CPUS=0
	@$(REPRO) launch --sdk $(SDK) --cpus $(CPUS) $(if $(WORKLOAD),--workload $(WORKLOAD)) $(if $(MEMS),--mems $(MEMS)) \
	  $(if $(MEMORY),--memory $(MEMORY)) $(if $(LAUNCHES),--launches $(LAUNCHES)) $(if $(DURATION),--duration $(DURATION)) \
	  $(if $(WARMUP),--warmup $(WARMUP)) $(ARGS)

test: ## checks, unit, simulated and engine tests
	@sh scripts/setup.sh dev engine
	@sh scripts/test.sh unit simulated engine

test-unit: setup ## unit and simulated tests only, no engine
	@CHECKS=no sh scripts/test.sh unit simulated

test-all: ## as test, with every SDK
	@sh scripts/setup.sh dev engine
	@REPRO_TEST_SDKS=all sh scripts/test.sh unit simulated engine

test-long: ## repeatability, soak, chaos
	@sh scripts/setup.sh dev engine
	@CHECKS=no sh scripts/test.sh long

test-lab: ## on the throw-away machines
	@sh scripts/setup.sh dev engine
	@CHECKS=no PYTEST_ARGS="-v --durations=0 $(PYTEST_ARGS)" sh scripts/test.sh lab

lint: setup ## ruff and mypy
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy

bench: ## performance against named peers; writes docs/performance.md
	@sh scripts/setup.sh dev engine
	@.venv/bin/python bench/run.py $(ARGS)

pins: setup ## refresh requirements/*.txt
	@.venv/bin/nox -s pins

proto: setup ## generate toolkit/proto from agent.proto
	@.venv/bin/nox -s proto

clean: ## remove .venv and caches; keeps runs and the store (see repro clean)
	rm -rf .venv .setup.lock .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
