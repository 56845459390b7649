# Everything here runs in a virtual environment of its own; `make VENV=/somewhere/else ...` puts it elsewhere.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.installed-base
FULL := $(VENV)/.installed-full

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

help:  ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 16

demo: $(BASE)  ## sample an ensemble with the shipped checkpoint, score it, write a report into demo-output/
	$(BIN)/python -m gencarbon demo --out demo-output

# As many workers as cores, up to four; several threads in each would only wait for one another.
test: $(FULL)  ## run the whole test suite, slow tests included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(FULL)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(FULL)  ## put the source into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment, the demo's output and caches
	rm -rf .venv demo-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(BASE): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(FULL): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev,benchmark,cluster,judges]"
	touch $@
