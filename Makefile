# Every target sets up .venv by itself. PYTHON picks the interpreter (3.11 to 3.13).
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out/demo
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test test-gpu check bench lab environment environment-dev clean

demo: environment
	$(BIN)/workbench demo --out $(OUT)

test: environment-dev
	$(PYTEST) -n 2 --dist worksteal tests

# Needs an NVIDIA GPU; writes out/gpu/gpu.md and .json. On a machine without a package registry:
# scripts/gpu/on_machine.sh make test-gpu GPU_PYTHON=python
GPU_PYTHON ?= $(BIN)/python
test-gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),environment-dev)
	$(GPU_PYTHON) -m pytest tests/gpu -m gpu -s -p no:cacheprovider -o filterwarnings=default

check: environment-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/gpu/check_types.py

bench: environment-dev
	$(PYTEST) tests/bench -m bench -s -o filterwarnings=default

lab:
	@$(PYTHON) scripts/bootstrap.py lab
	$(BIN)/jupyter lab --notebook-dir=notebooks

environment:
	@$(PYTHON) scripts/bootstrap.py

environment-dev:
	@$(PYTHON) scripts/bootstrap.py dev

clean:
	rm -rf .venv out .pytest_cache .ruff_cache .hypothesis .import_linter_cache
