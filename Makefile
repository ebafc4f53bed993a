# Everything a person or a machine does with this repository. `make help` explains itself.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOR_USERS := $(VENV)/.for-users
FOR_DEVELOPERS := $(VENV)/.for-developers
FOR_DOCS := $(VENV)/.for-docs
SHAPES := --jaxtyping-packages=elinformer.ops,elinformer.nn,elinformer.models,beartype.beartype

.PHONY: help install demo test check bench docs report-tests adapters golden format

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(FOR_DEVELOPERS)  ## Create .venv with everything for development.

# PyTorch goes first and exactly as pinned: a looser range may bring gigabytes of CUDA packages.
$(FOR_USERS): pyproject.toml constraints.txt setup.py $(wildcard src/elinformer/ops/eala/kernels/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[plots]'
	touch $@

$(FOR_DEVELOPERS): $(FOR_USERS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $@

$(FOR_DOCS): $(FOR_USERS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[docs]'
	touch $@

demo: $(FOR_USERS)  ## Train on the embedded data for a minute or two and show how it did.
	$(BIN)/elinformer demo

test: install  ## Run all tests, and some again with the shapes in signatures checked.
	$(BIN)/python -m pytest -n 2 --dist worksteal
	$(BIN)/python -m pytest -q -n 2 $(SHAPES) -k "not refused and not compiles" tests/models tests/nn tests/ops/test_golden.py

check: install  ## Format, lint, types, import direction, docstrings and doctests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docstrings.py src
	$(BIN)/python -m pytest -q -n 2 --doctest-modules src

bench: install  ## Run the benchmarks (long).
	$(BIN)/python -m benchmarks.ops

docs: $(FOR_DOCS)  ## Build the documentation site into site/ and check its links.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tools/check_site.py site

report-tests: install  ## Test reports in Chromium, with axe-core (npm) if it can be had.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[browser]'
	npm install --silent --no-save axe-core || echo "no axe-core: its tests are skipped"
	$(BIN)/python -m pytest tests/report

adapters: install  ## Install the other libraries that adapters serve, and run their tests (long).
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[peers]'
	$(BIN)/python -m pytest tests/adapters

golden: install  ## Make the golden files anew; read the diff.
	$(BIN)/python tests/golden/make_golden.py

format: install  ## Format and mend what can be mended.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
