# Every target makes the virtual environment it needs; nothing is installed outside .venv and .venv-*.
PYTHON ?= python3
# The lowest versions have no wheels for a newer Python.
PYTHON_LOWEST ?= python3.11
PYTHONS ?= python3.11 python3.12 python3.13 python3.14
BIN := .venv/bin
STAMP := .venv/installed
UNIT := tests/gridrun tests/cnn_core

.PHONY: demo test test-first test-second quick quick-gridrun quick-others test-examples test-lowest test-newest test-python test-pythons soak lint docs reference bench studies screenshots profile

demo: $(STAMP)
	$(BIN)/gridrun sweep grid.toml
	$(BIN)/gridrun report results/lenet-digits

# In two halves of about the same length, side by side: most of the time they wait for sweeps and their timeouts.
test: $(STAMP)
	@$(MAKE) --no-print-directory -j 2 test-first test-second

test-first:
	$(BIN)/pytest $(UNIT) tests/acceptance/test_[a-o]*.py

test-second:
	$(BIN)/pytest tests/acceptance/test_[p-z]*.py

# Between two edits: the unit tests and the plainest sweeps, without what is marked slow, on two cores.
quick: $(STAMP)
	@$(MAKE) --no-print-directory -j 2 quick-gridrun quick-others

quick-gridrun:
	$(BIN)/pytest -q -m 'not slow' tests/gridrun

quick-others:
	$(BIN)/pytest -q -m 'not slow' tests/cnn_core tests/acceptance/test_sweep.py

# The examples, those that need heavy packages too.
test-examples: .venv/examples
	$(BIN)/pytest tests/acceptance/test_examples*.py

# The lower bounds of pyproject.toml, all at once. Old libraries warn of newer ones: no reason to fail.
test-lowest:
	$(call make_venv,.venv-lowest,$(PYTHON_LOWEST),--constraint constraints-lowest.txt)
	$(call try_venv,.venv-lowest,-W default)

# Whatever pip finds today.
test-newest:
	$(call make_venv,.venv-newest,$(PYTHON),--upgrade --upgrade-strategy eager)
	$(call try_venv,.venv-newest,)

# The unit tests with the interpreter PYTHON, and with each of PYTHONS that there is.
test-python: OWN = .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
test-python:
	$(call make_venv,$(OWN),$(PYTHON),--constraint constraints.txt)
	$(OWN)/bin/pytest -q $(UNIT)

test-pythons:
	@missing=; failed=; for python in $(PYTHONS); do \
	  if ! $$python -c '' 2>/dev/null; then missing="$$missing $$python"; \
	  elif ! $(MAKE) test-python PYTHON=$$python; then failed="$$failed $$python"; fi; \
	done; \
	echo "failed:$${failed:- none}; not found:$${missing:- none}"; test -z "$$failed"

# Kills, damaged stores and caches, hostile files, limits, misbehaving cells on every backend, random grids and
# numbers, and simulated sweeps, ten to a hundred times as many as in `make test`; a test may take an hour.
soak: $(STAMP)
	GRIDRUN_SOAK=1 $(BIN)/pytest -s -o faulthandler_timeout=3600 tests/acceptance/test_kills.py \
	  tests/acceptance/test_crashes.py tests/acceptance/test_properties.py tests/acceptance/test_hostile.py \
	  tests/acceptance/test_misbehaviour.py tests/acceptance/test_limits.py tests/acceptance/test_extremes.py tests/acceptance/test_group.py \
	  tests/gridrun/test_comparison.py tests/gridrun/test_resampling.py tests/cnn_core/test_damage.py \
	  tests/cnn_core/test_cache.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/biome check
	$(BIN)/lint-imports

# The site, into docs/site. Warnings are errors.
docs: $(STAMP)
	rm -rf docs/site
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/site

# The pages that are made from the code; a test tells when they are behind it.
reference: $(STAMP)
	$(BIN)/python docs/make_reference.py

# Of docs/page.md, after `make demo`; Chromium is needed.
screenshots: $(STAMP)
	$(BIN)/python docs/screenshots.py

bench: .venv/bench
	$(BIN)/python -m benchmarks

# What normalisation, depth, initialisation, schedules and ensembles do, on digits and MNIST (docs/data.md says
# where MNIST is looked for; without it the first sweep says so). Resumes.
studies: $(STAMP)
	@for study in results/study-*; do \
	  $(BIN)/gridrun sweep $$study/grid.toml && $(BIN)/gridrun report $$study || exit; \
	done

profile: $(STAMP)
	$(BIN)/python -m benchmarks.profile

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/examples: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[examples]'
	touch $@

# What speed is compared with: not needed to run or to test anything.
.venv/bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

# $(call make_venv,ENVIRONMENT,INTERPRETER,ARGUMENTS OF PIP)
define make_venv
$(2) -m venv $(1)
$(1)/bin/python -m pip install --quiet --upgrade pip
$(1)/bin/python -m pip install --quiet $(3) --editable '.[test]'
endef

# $(call try_venv,ENVIRONMENT,ARGUMENTS OF PYTEST): what `make quick` runs, and the demo from its first cell on.
define try_venv
$(1)/bin/pytest -q -m 'not slow' $(2) $(UNIT) tests/acceptance/test_sweep.py
rm -rf $(1)/demo
$(1)/bin/gridrun sweep grid.toml --out $(1)/demo
$(1)/bin/gridrun report $(1)/demo
endef
