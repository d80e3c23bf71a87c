# Sportello: `make run` to try it, `make test` before a change is sent, `make help` for the rest.
# Needs Python 3.11 - 3.13 and make; everything else is installed into .venv.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
# A change of these makes the pages stale; whether they really are is decided by their content, in hatch_build.py.
UI_SOURCES := $(shell find gateway/ui -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/.*' 2>/dev/null)

# uv must use the interpreter that it is given, and download none.
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
ARGS ?=
PYTEST_ARGS ?=

.PHONY: help
help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(VENV)/.project  ## Install, build the pages and start the demo at http://127.0.0.1:8080 (ARGS="--port 9000" for another port).
	@exec $(BIN)/sportello demo $(ARGS)

.PHONY: test
test: lint  ## Check everything as the CI does: style, types, layers, pages, and all tests with coverage.
	@echo "== tests"
	@$(BIN)/pytest -n 2 --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.dev $(VENV)/.project  ## Check style, types, layers and pages only.
	@echo "== style"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@echo "== types"
	@$(BIN)/mypy --no-error-summary
	@echo "== layers"
	@$(BIN)/lint-imports > $(VENV)/layers.log || { cat $(VENV)/layers.log; exit 1; }
	@echo "== pages"
	@$(BIN)/python hatch_build.py --check

.PHONY: format
format: $(VENV)/.dev  ## Put the code into its canonical form.
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: bench
bench: $(VENV)/.dev $(VENV)/.project  ## Measure, as ratios to a floor measured in the same run.
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.dev $(VENV)/.project  ## Kill, freeze and cut the power, and count what was lost (LONG=1: the run before a release, hours).
	@$(BIN)/python -m tests.chaos $(if $(LONG),--long) $(ARGS)

.PHONY: build
build: $(VENV)/.project  ## Install the project and build its pages, if they are stale.

.PHONY: docs
docs: $(VENV)/.project  ## Rewrite the generated texts: config/README.md and deploy/env.example.
	@$(BIN)/sportello settings --write .

.PHONY: lock
lock: $(VENV)/.uv  ## Choose new versions of all dependencies that pyproject.toml allows.
	@$(UV) pip compile --quiet --python $(BIN)/python --python-version 3.11 --universal --upgrade --no-header --no-annotate \
		--output-file requirements.lock pyproject.toml > /dev/null
	@$(UV) pip compile --quiet --python $(BIN)/python --python-version 3.11 --universal --upgrade --no-header --no-annotate \
		--constraint requirements.lock --extra dev --output-file requirements-dev.lock pyproject.toml > /dev/null
	@wc -l requirements.lock requirements-dev.lock

.PHONY: clean
clean:  ## Remove the environment, the built pages and all caches; the demo's data stay.
	@rm -rf $(VENV) gateway/ui/dist gateway/ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment, step by step; each step leaves a stamp ---------------------------------------------------------

# A second make has nothing to do here.
$(VENV)/.uv: requirements-dev.lock
	@set -e; \
	if [ ! -x $(BIN)/python ]; then \
		python=""; \
		for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
			if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' > /dev/null 2>&1; then python=$$candidate; break; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo "Sportello needs Python 3.11, 3.12 or 3.13, and none was found. Install one, or name it: make run PYTHON=/path/to/python3" >&2; exit 1; \
		fi; \
		echo "== environment: $$($$python --version)"; \
		$$python -m venv $(VENV) || { rm -rf $(VENV); \
			echo "Python's venv module does not work here; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi; \
	$(BIN)/python -m pip install --quiet "$$(grep '^uv==' requirements-dev.lock)"; \
	touch $@

$(VENV)/.runtime: $(VENV)/.uv requirements.lock
	@echo "== dependencies"
	@$(INSTALL) --requirement requirements.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.uv requirements-dev.lock
	@echo "== dependencies for development"
	@$(INSTALL) --requirement requirements-dev.lock
	@touch $@

$(VENV)/.project: $(VENV)/.runtime pyproject.toml $(wildcard hatch_build.py) $(UI_SOURCES)
	@echo "== sportello and its pages"
	@$(INSTALL) --no-deps --editable .
	@touch $@
