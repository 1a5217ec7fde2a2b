# Two commands do all the set-up: `make sample` runs the main job on the embedded sample, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := build/sample

.PHONY: sample test lint bench clean

# A stamp an environment: installing again only when the project's metadata or its compiled part changed.
.venv/.installed: pyproject.toml scripts/hatch_build.py $(wildcard filters/_*.c)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

sample: .venv/.installed
	rm -rf $(SAMPLE)
	$(BIN)/rpj sample $(SAMPLE)
	$(BIN)/rpj run --all --config $(SAMPLE)/rpj.yaml --root build/sample-run; test $$? -eq 0 -o $$? -eq 3
	$(BIN)/rpj verify build/sample-run

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest

bench: .venv/.installed-test
	$(BIN)/python scripts/bench.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
