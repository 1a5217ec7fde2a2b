# Two commands do all the set-up: `make sample` runs the main job on the embedded sample, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := build/sample

.PHONY: sample tour loads matrix readers trainers proxy test sanitize lint soak bench clean

# A stamp an environment: installing again only when the project's metadata or its compiled part changed.
.venv/.installed: pyproject.toml scripts/hatch_build.py $(wildcard filters/_*.c filters/_*.h)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

# The main job on the embedded sample. Exit status 3: the sample plants files that break off.
sample: .venv/.installed
	rm -rf $(SAMPLE)
	$(BIN)/rpj sample $(SAMPLE)
	$(BIN)/rpj run --all --config $(SAMPLE)/rpj.yaml --root build/sample-run --quiet; test $$? -eq 0 -o $$? -eq 3
	@echo
	@echo "Try next:"
	@echo "  $(BIN)/rpj explain build/sample-run '$(SAMPLE)/github/github_000000000000.gz#57'   # what became of one record"
	@echo "  ls build/sample-run build/sample-run/github                                        # the published shards"
	@echo "  $(BIN)/rpj count-tokens build/sample-run                                           # rule by rule, slice by slice"

# Every other command, on what the sample gave.
tour: sample .venv/.installed-test
	$(BIN)/rpj status build/sample-run; test $$? -eq 0 -o $$? -eq 3
	$(BIN)/rpj explain build/sample-run '$(SAMPLE)/github/github_000000000000.gz#57'
	$(BIN)/rpj verify build/sample-run --against build/sample-run/manifest.json
	$(BIN)/rpj count-tokens build/sample-run --against redpajama-1t
	$(BIN)/rpj overlap build/sample-run --quiet
	$(BIN)/rpj plan $(SAMPLE)/rpj.yaml --here --quiet
	$(BIN)/rpj tokenize build/sample-run --mixture configs/mixture-llama.yaml --tokens 100000 --root build/sample-jobs --quiet
	$(BIN)/rpj dedup exact build/sample-run --by line --root build/sample-jobs --quiet
	$(BIN)/rpj dedup fuzzy build/sample-run --audit --root build/sample-jobs --quiet
	$(BIN)/rpj quality score build/sample-run/c4 --model redpajama_data/sample/models/wikiref.bin --root build/sample-jobs --quiet
	$(BIN)/rpj quality filter build/sample-jobs/quality_score --min 0.25 --root build/sample-jobs --quiet
	$(BIN)/rpj signals build/sample-run/c4 --out build/sample-jobs --quiet
	$(BIN)/rpj run --slice common_crawl_v2 --config $(SAMPLE)/rpj.yaml --root build/sample-v2 --quiet; test $$? -eq 3
	$(BIN)/rpj redpajama-v2 build/sample-v2 --quiet
	$(BIN)/rpj count-tokens build/sample-v2 --against redpajama-v2
	$(BIN)/rpj filter build/sample-run --where 'rps_doc_word_count >= 50 and text_length < 1e5' --root build/sample-jobs --quiet
	$(BIN)/rpj sample $(SAMPLE) --slice instruct
	$(BIN)/rpj run --slice instruct --config $(SAMPLE)/rpj.yaml --root build/sample-instruct --quiet
	$(BIN)/rpj decontaminate build/sample-run build/sample-instruct --against $(SAMPLE)/test_sets --root build/sample-jobs --quiet
	rm -rf build/sample-again
	$(BIN)/rpj run --slice c4 --input $(SAMPLE)/c4 --root build/sample-again --quiet
	$(BIN)/rpj diff build/sample-again build/sample-run; test $$? -eq 1
	$(BIN)/rpj report build/sample-run --out build/report.html --against build/sample-again
	rm -rf build/release
	$(BIN)/rpj release build/sample-run --to build/release/all --quiet
	$(BIN)/rpj release build/sample-run --to build/release/lines --format jsonl --quiet
	$(BIN)/rpj release build/sample-run --to build/release/sample --sample 100K --quiet
	$(BIN)/rpj verify build/release/sample
	$(BIN)/rpj find build/sample-run --text 'local Jury = {}'
	$(BIN)/rpj find build/sample-run --index --url-host news.libellous-press.example --limit 1
	$(BIN)/rpj forget build/sample-again --url-host news.libellous-press.example --reason tour
	$(BIN)/rpj verify build/sample-again
	$(BIN)/rpj find build/sample-again --url-host news.libellous-press.example; test $$? -eq 1
	$(BIN)/rpj explore build/sample-run --export build/explorer --parquet build/explorer/map.parquet --dropped 300 --quiet
	$(BIN)/rpj help format > /dev/null
	# From addresses to totals: every source in miniature on loopback, download --all, run --all, count-tokens. No network.
	$(BIN)/python -m tests.download.offline build/tour-download
	@echo
	@echo "tour: download, run, status, explain, verify, count-tokens, overlap, tokenize, dedup, quality, signals, redpajama-v2, filter, decontaminate, diff, report, release, find, forget, explore, help: all passed"

# What the sample gave, read with other libraries, in an environment of their own: 650 MB that no test needs.
READERS := build/readers
$(READERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/python -m pip install --quiet --upgrade pip
	$(READERS)/bin/python -m pip install --quiet --group readers
	touch $@

readers: sample $(READERS)/.installed
	$(READERS)/bin/python scripts/read_root.py build/sample-run

# Tokens of what the sample gave, read by megatron-core and datatrove, in an environment of their own: 1.2 GB with a
# torch for CPUs, 6 GB with PyPI's. MosaicML's Streaming wants an older huggingface-hub than datatrove, and rpj beside
# it, which writes with it: one more environment of that size. CI leaves both out.
TRAINERS := build/trainers
$(TRAINERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TRAINERS)
	$(TRAINERS)/bin/python -m pip install --quiet --upgrade pip
	$(TRAINERS)/bin/python -m pip install --quiet --group trainers
	touch $@

STREAMING := build/streaming
$(STREAMING)/.installed: pyproject.toml
	$(PYTHON) -m venv $(STREAMING)
	$(STREAMING)/bin/python -m pip install --quiet --upgrade pip
	$(STREAMING)/bin/python -m pip install --quiet --editable '.[mds]' 'tokenizers>=0.20'
	touch $@

# Prefix a slice and mixture, each in every format. A root holds one of them.
TOKENS := build/sample-tokens
trainers: sample $(TRAINERS)/.installed $(STREAMING)/.installed
	rm -rf $(TOKENS)
	for form in megatron uint; do \
	  $(BIN)/rpj tokenize build/sample-run --format $$form --root $(TOKENS)/$$form --quiet && \
	  $(BIN)/rpj tokenize build/sample-run --format $$form --mixture configs/mixture-llama.yaml --tokens 100000 \
	    --held-out 0.05 --root $(TOKENS)/$$form-mixed --quiet || exit; done
	$(TRAINERS)/bin/python scripts/read_tokens.py $(TOKENS)/* --tokenizer "$$($(BIN)/rpj models path gpt-neox-20b)"
	$(STREAMING)/bin/rpj tokenize build/sample-run --format mds --root $(TOKENS)/mds --quiet
	$(STREAMING)/bin/rpj tokenize build/sample-run --format mds --mixture configs/mixture-llama.yaml --tokens 100000 \
	  --held-out 0.05 --root $(TOKENS)/mds-mixed --quiet
	$(STREAMING)/bin/python scripts/read_tokens.py $(TOKENS)/mds $(TOKENS)/mds-mixed \
	  --tokenizer "$$($(BIN)/rpj models path gpt-neox-20b)"
	$(BIN)/python scripts/neox_data.py $(TOKENS)/megatron-mixed

# A small model of GPT-NeoX's shape learns from the sample's tokens: a minute and a half on two cores.
PROXY := build/proxy
proxy: sample .venv/.installed-test $(TRAINERS)/.installed
	rm -rf $(PROXY)
	mkdir -p $(PROXY)
	$(BIN)/python scripts/small_tokenizer.py build/sample-run --vocabulary 2048 --out $(PROXY)/small.json
	$(BIN)/rpj tokenize build/sample-run --tokenizer $(PROXY)/small.json --held-out 0.05 --root $(PROXY)/tokens --quiet
	$(TRAINERS)/bin/python scripts/train_proxy.py $(PROXY)/tokens --out $(PROXY) --sequence 128 --steps 60

# A release of what the sample gave, loaded offline by datasets (newest, 4.0.0), DuckDB, polars, pandas, pyarrow, mlcroissant.
loads: tour
	$(BIN)/python scripts/release_loads.py build/release/all --jsonl build/release/lines
	$(BIN)/python scripts/release_loads.py build/release/sample

# The sample on every Python of this machine, each in an environment of its own: three minutes a Python.
# scripts/aarch64.sh adds a row for an emulated machine.
NOX := build/nox-itself
$(NOX)/.installed:
	$(PYTHON) -m venv $(NOX)
	$(NOX)/bin/python -m pip install --quiet nox virtualenv
	touch $@

matrix: $(NOX)/.installed .venv/.installed
	$(NOX)/bin/nox -s source sample
	$(BIN)/python scripts/matrix.py build/matrix

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest

# Random faults of the machine, random damage of raw files, random failures of hosts; SOAK=long takes hours.
SOAK ?= short
SOAK_short := --faults 40 --minutes 4
SOAK_long := --faults 1000
SOAK_READERS_short := --files 10000 --minutes 2
SOAK_READERS_long := --files 100000
SOAK_DOWNLOADS_short := --schedules 150 --commands 1 --minutes 1
SOAK_DOWNLOADS_long := --schedules 1000 --commands 40
soak: .venv/.installed-test
	$(BIN)/python scripts/soak/downloads.py $(SOAK_DOWNLOADS_$(SOAK))
	$(BIN)/python scripts/soak/readers.py $(SOAK_READERS_$(SOAK))
	$(BIN)/python scripts/soak/soak.py $(SOAK_$(SOAK))

# The kernels under AddressSanitizer and UBSan: their tests, then a minute of generated texts and models.
sanitize: .venv/.installed-test
	$(BIN)/python scripts/sanitize.py

bench: .venv/.installed-test
	$(BIN)/python scripts/bench.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
