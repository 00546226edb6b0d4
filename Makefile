# `make demo` and `make test` set up everything they need by themselves.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements/cpu.txt requirements/dev.txt
ONCE ?= 0

.PHONY: demo test check format docs setup clean

setup: $(VENV)/.installed

# --no-deps: the locks are complete, and leave out what would break the CPU build of torch.
$(VENV)/.installed: $(LOCKS) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip==26.3
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/cpu.txt -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	ONCE=$(ONCE) $(BIN)/genrec demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The reference pages, from the code.
docs: setup
	$(BIN)/python docs/generate

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist
