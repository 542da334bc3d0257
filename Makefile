# Development tasks; `make` lists them. They use the virtual environment .venv, or another with: make test VENV=/path
VENV ?= .venv
PYTHON = $(VENV)/bin/python
export HF_HUB_OFFLINE = 1

.PHONY: help setup test test-fast lint format types bench docs
help:  ## list the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup:  ## make the virtual environment with everything for development
	python3 -m venv $(VENV) && $(VENV)/bin/pip install -r requirements-dev.txt

test:  ## all tests
	$(PYTHON) -m pytest

test-fast:  ## the plain tier: no process, no server, no browser
	$(PYTHON) -m pytest -m "not integration and not browser and not slow"

lint:  ## style and spelling
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/typos

format:  ## mend the style
	$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

types:  ## static types
	$(PYTHON) -m mypy

bench:  ## time training and generation beside other programs
	$(PYTHON) -m benchmarks

docs:  ## write what is generated: the command line's reference, the picture of the architecture
	$(PYTHON) -m docs.command_line && $(PYTHON) -m docs.architecture
