# Every target makes the virtual environment it needs by itself; Python 3.11 or newer and make are enough.

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin

# An environment is whole when its stamp is there, and the stamp's name tells which locks it was made from.
KEY     := $(shell cat requirements.lock requirements-dev.lock pyproject.toml | cksum | tr ' ' '-')
RUNTIME := $(VENV)/.runtime-$(KEY)
DEV     := $(VENV)/.dev-$(KEY)

export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help demo up test chaos check format bench kubectl control-plane reference locks clean

help: ## Tell what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  %-13s %s\n' "$$name" "$$what"; done

demo: $(RUNTIME) ## Migrate a cluster of an embedded KKP from Canal to Cilium, watch it, read the report
	@$(BIN)/python -m deployments.demo $(ARGS)

up: $(RUNTIME) ## Leave an embedded KKP and a Prefect server running, with all flows deployed
	@$(BIN)/python -m deployments.up $(ARGS)

test: $(DEV) ## Run all tests (those that need kubectl or a real kube-apiserver are left out without one)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: $(DEV) ## Strike runs in every way and see them come through (half an hour and more; ARGS="--cases 60" for less)
	@$(BIN)/python -m tests.chaos $(ARGS)

check: $(DEV) ## Formatting, lint, types and import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV) ## Format the code, and fix what lint can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(DEV) ## Measure speed and memory, and print the ratios that README tells
	@$(BIN)/python -m tests.bench $(ARGS)

kubectl: ## Build the pinned kubectl into the user's cache (needs go)
	@$(PYTHON) tools/kubernetes/build.py kubectl

control-plane: ## Build kube-apiserver, its controllers, etcd and kubectl into the user's cache (needs go; once, some minutes)
	@$(PYTHON) tools/kubernetes/build.py control-plane

reference: $(DEV) ## Write docs/parameters.md anew, from the flows' signatures
	@$(BIN)/python -m tools.parameters

locks: ## Compile the requirements locks again (ARGS=--upgrade for newer versions)
	@PYTHON=$(PYTHON) tools/locks.sh $(ARGS)

clean: ## Remove what make made in this directory
	rm -rf $(VENV) .venv.lock .demo .lab .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage

$(RUNTIME):
	@$(PYTHON) tools/bootstrap.py runtime $@

$(DEV):
	@$(PYTHON) tools/bootstrap.py dev $@
