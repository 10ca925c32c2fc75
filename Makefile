# The farm's front door. `make` alone lists what there is.
#
# Nothing here is done twice: packages are looked for (milliseconds) and installed only when one is missing, the
# virtual environment is made again only when pyproject.toml changed or the checkout moved.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-by-make
# A virtual environment knows its place by absolute path: a moved checkout, or one whose Python is gone, makes a new one.
VENV_IS_GOOD := $(and $(realpath $(BIN)/python),$(filter $(CURDIR),$(file <$(STAMP))))
ifeq ($(VENV_IS_GOOD),)
OUTDATED := force
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help venv deps run test check bench bench-oracle bench-bisect bench-mutation clean force

help:  ## Show this list.
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' Makefile
	@echo '  ARGS="..." is handed on, e.g.  make run ARGS="--patch fix.patch test_luks2.py"'
	@echo '  make turns every failure into status 2; $(BIN)/farm run itself tells bad (1) from could-not-judge (125).'

deps:  ## Install the Debian packages that are missing (by sudo when not root).
ifneq ($(VENV_IS_GOOD),)
	@$(BIN)/python -m farm.host.packages
else
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	    "make: %s is Python %d.%d and the farm needs 3.11 or newer: make PYTHON=/path/to/python3" \
	    % (sys.executable, v[0], v[1]))'
	@$(PYTHON) -m farm.host.packages
endif

venv: deps $(STAMP)  ## Make the virtual environment with the farm in it.

$(STAMP): pyproject.toml $(OUTDATED) | deps
	@echo 'venv: making $(VENV) (about a minute)'
	@rm -f $@
	@$(if $(VENV_IS_GOOD),,$(PYTHON) -m venv --clear $(VENV))
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --editable '.[dev]'
	@printf '%s' '$(CURDIR)' > $@

run: venv  ## Build the kernel and the guest image, run the smoke plan, tell the verdict.
	@$(BIN)/farm run $(ARGS)

# A directory of tests that is not named here runs last.
QUICK := tests/unit tests/golden tests/plugin tests/cli
TESTS := $(wildcard $(QUICK)) $(filter-out $(QUICK) tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))

test: venv  ## Run the whole test suite, the quick tests first.
	@$(BIN)/pytest -n 2 $(TESTS) $(ARGS)

check: venv  ## Check style, types, floors and sizes.
	@$(BIN)/ruff check
	@$(BIN)/mypy -p farm -p bench
	@$(BIN)/mypy --allow-untyped-defs --allow-untyped-calls testcases
	@$(BIN)/pytest -q -p no:farm tests/unit/test_floors.py

bench: venv  ## Measure the farm against its targets (--quick leaves the cold build out).
	@$(BIN)/python -m bench.main $(ARGS)

bench-oracle: venv  ## Measure how well the console classification finds bugs.
	@$(BIN)/python -m bench.oracle $(ARGS)

bench-bisect: venv  ## Measure farm bisect beside git bisect run (--quick: one step, --commits 16: half an hour). About an hour.
	@$(BIN)/python -m bench.bisect $(ARGS)

bench-mutation: venv  ## Measure which random changes of the kernel the testcases notice (--count N). An hour and more.
	@$(BIN)/python -m bench.mutation $(ARGS)

clean:  ## Remove what make made here; caches and run directories stay.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find farm tests testcases bench -name __pycache__ -prune -exec rm -rf {} +
