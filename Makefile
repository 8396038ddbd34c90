# The targets work on a fresh Debian 12 or 13 with git, make and python3 with venv; each brings
# .venv up to date first and says in one line what is missing.

.DEFAULT_GOAL := help
.PHONY: help env demo test test-sim test-faults lint bench deb clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */  make \1	/' | expand -t 18

env: ## the environment in .venv, from requirements.lock (every target does this first)
	@.ci/venv $(PYTHON)

demo: env ## a station and a centre at work on drives made of software; until Ctrl-C
	@.venv/bin/nullbay demo $(if $(CI),--once)

test: env ## all tests, or some: make test TIERS="unit house" (docs/testing.md)
	@.venv/bin/python tests/tiers.py $(TIERS)

test-sim: env ## days of a station in virtual time, with crashes at every moment
	@.venv/bin/python tests/tiers.py sim

test-faults: env ## daemons killed at random while drives are wiped (as root)
	@.venv/bin/python tests/tiers.py faults

lint: env ## style, formatting, types, floors
	@failed=; \
	step() { echo "lint: $$*"; .venv/bin/"$$@" || failed=1; }; \
	step ruff check -q --output-format concise; \
	step ruff format --check -q --output-format concise; \
	step mypy -p nullbay; \
	step mypy tests; \
	step lint-imports --no-logo; \
	[ -z "$$failed" ]

bench: env ## speed and memory on loop devices (as root)
	@.venv/bin/python tests/bench/run.py

deb: env ## the Debian package, in dist/ (docs/installation.md)
	@debian/build-deb

clean: ## removes the environment, caches and build leftovers, nothing else
	@rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
