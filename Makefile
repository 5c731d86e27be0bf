# make quickstart        the whole loop on this machine, from nothing
# make quickstart-smoke  the same with a few steps of everything
# make test, make lint, make format, make clean
#
# Needs python3 >= 3.11 (PYTHON=python3.12 picks another); all else is installed
# into VENV, so no environment has to be active.

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/quickstart.py
WORKDIR ?= runs/quickstart
SMOKE_WORKDIR ?= runs/smoke
# Further flags of the run, e.g. ARGS=--config.train_user_model.num_types=8
ARGS ?=
# Further options of pytest, e.g. PYTEST_ARGS=tests/agent
PYTEST_ARGS ?=

# An active environment, or somebody else's pasta, must not leak in.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: quickstart quickstart-smoke test lint format clean
.DELETE_ON_ERROR:

quickstart: $(INSTALLED)
	$(BIN)/python -m launch.quickstart --config=$(CONFIG) \
	  --workdir=$(WORKDIR) $(ARGS)

quickstart-smoke: $(INSTALLED)
	$(BIN)/python -m launch.quickstart --config=$(CONFIG):smoke \
	  --workdir=$(SMOKE_WORKDIR) $(ARGS)

test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  $(PYTEST_ARGS)

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	@report=$$($(BIN)/lint-imports --no-logo --cache-dir .cache/import_linter) \
	  || { echo "$$report"; exit 1; }

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Leaves runs/ alone: results are the user's.
clean:
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo 'error: there is no $(PYTHON):' \
	  'install Python 3.11 or newer, or make PYTHON=/path/to/python3.11' >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'error: $(PYTHON) is' \
	  "$$($(PYTHON) --version 2>&1)," \
	  'pasta needs 3.11 or newer: make PYTHON=/path/to/python3.11' >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo 'error: $(PYTHON) -m venv failed (on Debian and Ubuntu:' \
	  'apt install python3-venv)' >&2; exit 1; }

$(INSTALLED): setup.py | $(BIN)/python
	@echo 'installing into $(VENV), about a minute'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

$(INSTALLED_DEV): setup.py | $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
