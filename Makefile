# GNU make. Every target makes .venv and installs what it needs the first time only.
PYTHON ?= python3
BIN := .venv/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# No look-up of newer versions.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help quickstart accelerator test coverage slow lint docs lock clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: .venv/.installed ## the query attack on the MNIST images in the package, in minutes
	$(BIN)/python -m experiments.sweep --flagfile=experiments/flagfiles/quickstart.flags

# With the Python that has JAX for the device: nothing is installed on a rented machine.
accelerator: ## every figure of the GPU or TPU here, in 6 minutes: PYTHON=... has JAX for it
	$(PYTHON) -m benchmarks.accelerator --output_dir=out/accelerator

test: .venv/.installed-dev ## the whole test suite, with doctests
	$(BIN)/python -m pytest

coverage: .venv/.installed-dev ## the same with coverage, which takes half as long again
	$(BIN)/python -m pytest --cov=mamljax --cov=experiments --cov-report=term:skip-covered

slow: .venv/.installed-dev ## the tests that take minutes each, or need SLURM
	$(BIN)/python -m pytest -n0 -m slow

lint: .venv/.installed-dev ## style, format, types and the layers of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/.installed-docs ## the site, into build/site: open build/site/index.html
	$(BIN)/mkdocs build --strict

# A stamp is written last, so an interrupted installation is taken up again.
.venv/.installed: requirements.txt
.venv/.installed-dev: requirements-dev.txt
.venv/.installed-docs: requirements-docs.txt
.venv/.installed .venv/.installed-dev .venv/.installed-docs: | $(BIN)/pip
	@echo 'Installing $< into .venv: a minute or two, once.'
	@$(BIN)/pip install --quiet --require-hashes --requirement $<
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'mamljax needs Python 3.11 or newer: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -m venv .venv

# Extras are kept: pip 23.2 takes coverage[toml] for unpinned where the lock has only coverage.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
  --generate-hashes --no-header --no-strip-extras --group build --extra experiments pyproject.toml

lock: ## requirements*.txt from pyproject.toml; keeps the versions that still fit
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT \
	  && $(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet uv && PATH="$$tools/bin:$$PATH" \
	  && $(COMPILE) --output-file requirements.txt \
	  && $(COMPILE) --extra dev --constraint requirements.txt --output-file requirements-dev.txt \
	  && $(COMPILE) --extra docs --constraint requirements-dev.txt --output-file requirements-docs.txt

clean: ## remove the environment and every cache; results in out/ stay
	rm -rf .venv build dist *.egg-info .coverage* .*_cache .hypothesis
	find mamljax experiments tests -name __pycache__ -prune -exec rm -rf {} +
