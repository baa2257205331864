# Each target sets up what it needs, in a virtual environment of its own.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
TRIAL = $(BIN)/python -m twisted.trial
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)

# For mypy; ruff finds the same by itself.
SOURCES = reitunnel tests $(shell find twisted examples benchmarks -name '*.py' 2>/dev/null)
UNIT_TESTS = $(filter-out tests.integration,$(subst /,.,$(basename \
    $(patsubst %/__init__.py,%,$(wildcard tests/test_*.py tests/*/__init__.py)))))

.PHONY: help demo test test-unit lint format fuzz bench bench-quick bench-tuning news clean

help:
	@echo 'make demo         set up, open a tunnel over TLS 1.3 and fetch a page through it'
	@echo 'make test         set up, then lint, types and every test'
	@echo 'make test-unit    the tests that need no other program'
	@echo 'make lint         ruff and mypy'
	@echo 'make format       let ruff rewrite the code'
	@echo 'make fuzz         search for inputs that break a parser: SECONDS=60 each, FUZZ=target ...'
	@echo 'make bench        every benchmark, next to other tunnels: benchmarks/RESULTS.md'
	@echo 'make bench-quick  most of it in a minute or two, shown only'
	@echo 'make bench-tuning what the keys of [tuning] do: benchmarks/TUNING.md'
	@echo 'make news         the news of the next release'
	@echo 'make clean        remove what the other targets made'

demo: $(VENV)/.installed
	$(BIN)/reitunnel demo --once

test: lint test-unit
	$(TRIAL) tests.integration

test-unit: $(VENV)/.installed-test
	$(TRIAL) --jobs=$(JOBS) $(UNIT_TESTS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(SOURCES)

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fuzz: $(VENV)/.installed-test
	set -e; for target in $(or $(FUZZ),`$(BIN)/python -m tests.fuzz`); do \
	    $(BIN)/python -m tests.fuzz $$target --seconds $(or $(SECONDS),60) \
	        --keep .fuzz/$$target; \
	done

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --plan full --publish

bench-quick: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --plan quick

bench-tuning: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --plan tuning --publish

news: $(VENV)/.installed-release
	$(BIN)/towncrier build --draft --version next

clean:
	rm -rf $(VENV) _trial_temp* build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .fuzz

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[test]'
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[bench]'
	touch $@

$(VENV)/.installed-release: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[release]'
	touch $@
