# Each target sets up .venv by itself; PYTHON picks the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test unit lint bench proof serve lock clean help
.DEFAULT_GOAL := help

help:            ## this list
	@awk -F ':.*## ' '/^[.a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The lock holds hashes, so two machines install the same bytes or nothing at all.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv: $(STAMP)  ## only install

demo: $(STAMP)   ## chat over WebSocket and over polling, side by side, on one page
	$(BIN)/loadtest demo

# Most tests wait most of the time, so three share the machine; those that measure have it to themselves.
SHARING := -n 3 --dist loadfile

test: $(STAMP)   ## every test but the long ones
	$(BIN)/python -m pytest -m "not proof and not calm" $(SHARING) $(ARGS)
	$(BIN)/python -m pytest -m "not proof and calm" $(ARGS)

unit: $(STAMP)   ## the tests that start no server and no process
	$(BIN)/python -m pytest -m "not proof and not e2e and not browser" $(SHARING) $(ARGS)

proof: $(STAMP)  ## the long known-answer tests
	$(BIN)/python -m pytest -m "proof and not calm" $(SHARING) $(ARGS)
	$(BIN)/python -m pytest -m "proof and calm" $(ARGS)

lint: $(STAMP)   ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## our client against Locust's own, in one session
	$(BIN)/python -m bench $(ARGS)

serve: $(STAMP)  ## the reference server on 127.0.0.1:3000
	$(BIN)/loadtest serve

lock: $(STAMP)   ## resolve the lower bounds of pyproject.toml anew
	$(PYTHON) -m uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -o requirements.lock

clean:           ## remove the environment and caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
