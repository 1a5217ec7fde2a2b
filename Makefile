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

# The main job, then every command that works on its shards, on the same small input.
sample: .venv/.installed
	rm -rf $(SAMPLE)
	$(BIN)/rpj sample $(SAMPLE)
	$(BIN)/rpj run --all --config $(SAMPLE)/rpj.yaml --root build/sample-run; test $$? -eq 0 -o $$? -eq 3
	$(BIN)/rpj verify build/sample-run --against build/sample-run/manifest.json
	$(BIN)/rpj count-tokens build/sample-run --against redpajama-1t
	$(BIN)/rpj overlap build/sample-run --quiet
	$(BIN)/rpj dedup exact build/sample-run --by line --root build/sample-jobs --quiet
	$(BIN)/rpj dedup fuzzy build/sample-run --audit --root build/sample-jobs --quiet
	$(BIN)/rpj quality score build/sample-run/c4 --model redpajama_data/sample/models/wikiref.bin --root build/sample-jobs --quiet
	$(BIN)/rpj quality filter build/sample-jobs/quality_score --min 0.25 --root build/sample-jobs --quiet
	$(BIN)/rpj signals build/sample-run/c4 --out build/sample-jobs --quiet
	$(BIN)/rpj filter build/sample-run --where 'rps_doc_word_count >= 50 and text_length < 1e5' --root build/sample-jobs --quiet
	$(BIN)/rpj run --slice c4 --input $(SAMPLE)/c4 --root build/sample-again --quiet
	$(BIN)/rpj diff build/sample-again build/sample-run; test $$? -eq 1

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
