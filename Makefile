# The two commands of a fresh machine are `make up` and `make test`. Needed: git, make, Python 3.11 or newer with venv.
#
#   make up [DEMO=1]        start Muster; DEMO=1 fills a demo advertiser
#   make test [ARGS=...]    lint, types, layers, migrations and tests
#   make test-long          the fault and load tests of a night
#   make bench [ONLY=name]  measure against the targets
#   make lock               write the lock files anew from pyproject.toml
#   make format             put the code into its form

PYTHON ?= python3
UV := 0.13.9
ROOMS := audience pixels segments exports config
BIN := .venv/bin

.PHONY: up test test-long bench lock format environment development
.DEFAULT_GOAL := up

up: environment
	@$(BIN)/python manage.py up $(if $(DEMO),--demo)

test: development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(ROOMS) manage.py
	$(BIN)/lint-imports
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(BIN)/python -m pytest -n 2 -m "not long" $(ARGS)

test-long: development
	$(BIN)/python -m pytest -m long $(ARGS)

bench: development
	ONLY='$(ONLY)' $(BIN)/python -m benchmarks

format: development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The lock files name versions and hashes, and no registry.
COMPILE := pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet
lock: $(BIN)/uv
	$(BIN)/uv $(COMPILE) --output-file requirements.lock
	$(BIN)/uv $(COMPILE) --group dev --output-file requirements-dev.lock

# What runs needs requirements.lock; what develops needs requirements-dev.lock, which holds the other one.
environment: .venv/.installed
development: .venv/.installed-dev

$(BIN)/uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Muster needs Python 3.11 or newer.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@touch $@

.venv/.installed: requirements.lock | $(BIN)/uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@rm -f .venv/.installed-dev
	@touch $@

.venv/.installed-dev: requirements-dev.lock requirements.lock | $(BIN)/uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	@touch .venv/.installed $@
