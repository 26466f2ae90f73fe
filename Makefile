# Every target makes the virtual environment it needs; nothing is installed outside .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: demo test soak lint bench profile

demo: $(STAMP)
	$(BIN)/gridrun sweep grid.toml
	$(BIN)/gridrun report results/lenet-digits

test: $(STAMP)
	$(BIN)/pytest

# Kills, damaged stores, hostile files and random grids, ten to twenty times as many as in `make test`.
soak: $(STAMP)
	GRIDRUN_SOAK=1 $(BIN)/pytest -s tests/acceptance/test_kills.py tests/acceptance/test_crashes.py \
	  tests/acceptance/test_properties.py tests/acceptance/test_hostile.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/bench
	$(BIN)/python -m benchmarks

profile: $(STAMP)
	$(BIN)/python -m benchmarks.profile

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# What speed is compared with: not needed to run or to test anything.
.venv/bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@
