# make run     install into .venv, do the main job at a small scale, print where its report is
# make test    install with the development tools, then every check that a change must pass
# make trials  the long versions of the tests, and the long benchmarks
# make format  let ruff rewrite what it can

SHELL := /bin/bash
BIN := .venv/bin
JOBS ?= 2
QUICKSTART ?= runs/quickstart

# What is installed must come from .venv alone.
unexport PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE := 1

.PHONY: run test trials format lint types pytest install install-dev clean

run: install
	$(BIN)/handful quickstart --out $(QUICKSTART)

test: lint types pytest

lint: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: install-dev
	$(BIN)/mypy

pytest: install-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile

trials: install-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m trial
	@for script in $$(ls benchmarks/*.py 2>/dev/null | grep -v __init__); do \
		echo "== $$script"; $(BIN)/python $$script --long || exit 1; \
	done

format: install-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: .venv/.installed
install-dev: .venv/.installed-dev

# The stamps are newer than pyproject.toml once its dependencies are in: a second make installs nothing.
.venv/.installed: pyproject.toml | $(BIN)/python
	@echo "installing into .venv; the first time takes a few minutes"
	@$(BIN)/python -m pip install --quiet --quiet -e .
	@touch $@

.venv/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing into .venv; the first time takes a few minutes"
	@$(BIN)/python -m pip install --quiet --quiet -e '.[dev]'
	@touch .venv/.installed $@

$(BIN)/python:
	@for python in python3 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then \
			echo "creating .venv with $$("$$python" --version)"; \
			"$$python" -m venv .venv || { \
				echo "error: 'python3 -m venv' failed; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }; \
			exit 0; \
		fi; \
	done; \
	echo "error: Python 3.11 or 3.12 is needed and neither python3, python3.12 nor python3.11 is one;" \
		"python3 is: $$(python3 --version 2>&1 || echo missing)" >&2; exit 1

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
