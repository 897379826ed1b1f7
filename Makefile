# Two commands need nothing but Python 3.10+ with venv, make and a package index:
#   make demo                 extract features from sample videos made on the spot, and check them
#   VIDEOS=folder make demo   the same on your own videos
#   make test                 lint, types and all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
OUT ?= demo-output
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint format clean

demo: $(STAMP)
	$(BIN)/python -m pipeline.sample.demo --out "$(OUT)" $(if $(VIDEOS),--videos "$(VIDEOS)")

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "longform needs Python 3.10 or newer: PYTHON=python3.11 make demo")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,decord,hf]"
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
