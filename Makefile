# Everything here sets itself up; `make` alone lists what there is.
PYTHON3 ?= $(or $(PYTHON),python3)
BIN     := .venv/bin
WORKERS ?= 2
# More for pytest: make test ARGS="-k study -x"
ARGS    ?=

SET_UP  := $(PYTHON3) scripts/set_up.py
PYTEST  := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=40 --durations-min=5
COVER   := --cov=medfed --cov-branch --cov-report=term:skip-covered

.DEFAULT_GOAL := help
.PHONY: help setup base install demo test test-slow coverage check format docs bench mutants lock audit system-packages clean

help:            ## this list
	@echo "medfed: federated medical AI between hospitals"
	@echo
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1|\2/p' Makefile | \
	  while IFS='|' read -r name text; do printf '%-24s%s\n' "$$name" "$$text"; done
	@echo
	@echo "  TORCH=cuda on any of them takes the CUDA build of torch (default: the CPU build)."

setup:           ## make .venv with everything development needs (each target does it by itself)
	@$(SET_UP) --profile dev

base:
	@$(SET_UP) --profile base

install: base    ## register medfed in .venv again, after a change of entry points
	@$(SET_UP) --editable-only

demo: base       ## three hospitals learn to find lung nodules, live in a browser
	@$(BIN)/medfed demo $(ARGS)

test: setup      ## the tests
	@$(PYTHON3) scripts/system_packages.py --check
	$(PYTEST) $(ARGS)

# Status 5 is pytest's "no test was chosen".
test-slow: setup ## the tests that take long; pictures of all pages go to build/screenshots
	@$(PYTHON3) scripts/system_packages.py --check
	@rm -rf build/screenshots
	$(PYTEST) -m slow $(ARGS) || { status=$$?; [ $$status -eq 5 ] && echo "No slow tests."; }

coverage: setup  ## the tests again, a third slower, and which branches they do not take
	@$(PYTHON3) scripts/system_packages.py --check
	$(PYTEST) $(COVER) $(ARGS)

check: setup     ## style, types, layers, docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy src scripts $(wildcard benchmarks)
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs

format: setup    ## put the code into the common format, mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup      ## build the docs into docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: setup     ## run benchmarks/*.py and write docs/reference/benchmarks.md (QUICK=1, ONLY=name)
	$(BIN)/python scripts/bench.py $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

mutants: setup   ## take out one defence after another and see that its test notices (ARGS="ledger-")
	$(BIN)/python scripts/mutants.py $(ARGS)

lock: setup      ## resolve requirements.lock again (KEEP=1: only what pyproject.toml changed)
	$(BIN)/python scripts/lock.py

audit: setup     ## ask OSV whether locked packages have known vulnerabilities (needs the network)
	@$(BIN)/python scripts/audit.py $(ARGS)

system-packages: ## install the Debian packages that tests need
	@$(PYTHON3) scripts/system_packages.py --install

clean:           ## remove .venv, caches and builds
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis docs/_build build dist
	rm -f .coverage .coverage.*
