"""The card of a release: ``README.md`` with the front matter that data set libraries read, all of it from the root."""

from __future__ import annotations

from typing import Any

import yaml

from redpajama_data.engine.slice_run import ORDER
from redpajama_data.release import markdown
from redpajama_data.release.description import Facts, Release
from redpajama_data.release.parquet import COLUMNS
from redpajama_data.reports import waterfall_table

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_MORE_SIZES = ((10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"))
_NAMED = 5  # raw files, damaged places or failures of a slice that the card names; it says how many more there are


def render(of: Release) -> str:
    """The card, front matter first."""
    parts = [
        f"# {of.name}",
        _what(of),
        "## What is in it\n\n" + _table(of),
        "## How to read it\n\n" + (_reading(of) if of.parquet else _reading_lines(of)),
        "## Where it is from\n\n" + _sources(of),
        "## How it was made\n\n" + _recipe(of),
        "## What is wrong or missing\n\n" + _defects(of),
        "## Licence and terms\n\n" + _terms(of),
        "## Contact and removal\n\n" + _contact(of),
        "## What it was made with\n\n" + _made_with(of),
    ]
    return front_matter(of) + "\n" + "\n\n".join(parts) + "\n"


def front_matter(of: Release) -> str:
    """What libraries read of a card. A configuration names only folders that are there: one that is missing breaks all
    of them in some versions of `datasets`."""
    configs: list[dict[str, Any]] = [{"config_name": "default", "data_files": _data_files(f"data/*/*.{of.ending}")}]
    configs += [{"config_name": name, "data_files": _data_files(f"data/{name}/*.{of.ending}")} for name in of.files]
    shown = {
        "pretty_name": of.name,
        "language": ["en"],
        "license": "other",
        "license_name": "terms-of-each-slice",
        "license_link": "#licence-and-terms",
        "task_categories": ["text-generation"],
        "size_categories": [_size(sum(shard.documents for own in of.files.values() for shard in own))],
        "tags": ["redpajama", "pretraining", "croissant"],
        "configs": configs,
    }
    return f"---\n{yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120)}---\n"


def _data_files(path: str) -> list[dict[str, str]]:
    return [{"split": "train", "path": path}]


def _size(documents: int) -> str:
    return next((name for limit, name in (*_SIZES, *_MORE_SIZES) if documents < limit), "10B<n<100B")


def _what(of: Release) -> str:
    text = (
        f"A reproduction of RedPajama-Data-1T, the training corpus of LLaMA, made by `rpj` {of.source.version} from "
        "the raw files of its sources. It is not the published data set: what differs is below."
    )
    if of.settings["job"]:
        text += f" The documents are those that the job `{of.settings['job']}` left."
    if of.settings["sample"] is None:
        return text
    shares = of.settings["shares"]
    return (
        f"{text}\n\nThis is a sample of it: {of.settings['sample']}, "
        + (
            f"with the shares {', '.join(f'{k} {v:g}' for k, v in shares.items())}"
            if shares
            else "with the shares of the whole"
        )
        + ". Of each slice it has the documents whose texts have the smallest hashes (XXH3 with seed "
        f"{of.settings['seed']}). So a smaller sample lies within a larger one, and anybody draws the same."
    )


def _table(of: Release) -> str:
    rows = []
    totals = [0, 0, 0, 0, 0]
    counted = True
    for name, own in of.files.items():
        tokens = _tokens(of, name)
        row = [
            len(own),
            sum(s.documents for s in own),
            sum(s.text_bytes for s in own),
            tokens or 0,
            sum(s.bytes for s in own),
        ]
        counted = counted and tokens is not None
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        rows.append([f"`{name}`", *(f"{value:,}" for value in row)])
        rows[-1][4] = "not counted" if tokens is None else rows[-1][4]
    rows.append(["all", *(f"{value:,}" for value in totals)])
    rows[-1][4] = rows[-1][4] if counted else "not counted"
    tokenizers = ", ".join(f"{model.name} (SHA-256 {model.sha256})" for model in of.source.tokenizers)
    heads = ["slice", "files", "documents", "bytes of text (UTF-8)", "tokens", "bytes of the files"]
    return markdown.table(heads, rows) + (f"\n\nTokens were counted with {tokenizers}." if tokenizers else "")


def _tokens(of: Release, name: str) -> int | None:
    """Tokens of a slice: of a sample its own, of a whole those that the root counted."""
    own = of.files[name]
    if of.settings["sample"] is None:
        job = of.settings["job"]
        folder = f"{job}/{name}/" if job else f"{name}/"
        own = [shard for shard in of.source.shards if shard.path.startswith(folder)]
    return sum(s.tokens for s in own) if all(s.tokenizer for s in own if s.documents) else None


def _reading(of: Release) -> str:
    first = next(iter(of.files))
    columns = markdown.table(["column", "what it is"], [[f"`{name}`", what] for name, what in COLUMNS.items()])
    return f"""{columns}

Each file is sorted by `id`, in row groups of at most {of.settings["row_group"] >> 20} MB, with a page index.

```python
from datasets import load_dataset

load_dataset("REPOSITORY_OR_FOLDER", "{first}", split="train", streaming=True)   # or "default": all slices
```

```sql
SELECT slice, count(*), avg(length(text)) FROM 'data/*/*.parquet' GROUP BY slice;    -- DuckDB
SELECT meta->>'$.source' FROM 'data/{first}/*.parquet';
```

`meta` is text, so that no reader guesses types of its values. A line of the shard comes back byte for byte:

```python
line = '{{"text":%s,"meta":%s}}' % (json.dumps(row["text"], ensure_ascii=False), row["meta"])
```"""


def _reading_lines(of: Release) -> str:
    first = next(iter(of.files))
    return f"""The shards are as `rpj` published them: JSON lines with `text` and `meta`, zstd. The keys of `meta`
differ by slice, so tell a reader not to guess: readers that do fail, or change dates and floats.

```sql
SELECT text, meta FROM read_json('data/{first}/*.jsonl.zst', format='newline_delimited',
                                 columns={{text: 'VARCHAR', meta: 'JSON'}});          -- DuckDB
```

```python
pl.scan_ndjson("data/{first}/*.jsonl.zst", schema={{"text": pl.String, "meta": pl.String}})   # polars
```"""


def _sources(of: Release) -> str:
    return markdown.table(
        ["slice", "what it is", "raw files"],
        [[f"`{name}`", of.facts.get(name, Facts()).summary, of.sources.get(name, "")] for name in of.files],
    )


def _recipe(of: Release) -> str:
    rows = []
    for name, note in of.notes.items():
        facts = of.facts.get(name, Facts())
        for key, value in note.settings.items():
            if key not in ("source_shards", "repairs"):
                what, published = facts.settings.get(key, ("", value))
                differs = (
                    ""
                    if markdown.plain(value) == markdown.plain(published)
                    else f" (published: {markdown.shown(published)})"
                )
                rows.append([f"`{name}`", f"`{key}`", markdown.shown(value) + differs, what])
    falls = waterfall_table.render([fall for fall in of.falls if fall.slice in of.files])
    table = markdown.table(["slice or job", "setting", "value", "what it is"], rows) if rows else "No setting."
    return (
        "Every threshold that can be set, as it was. The rules are those of the published scripts, in the order of "
        f"`rpj help recipe`.\n\n{table}\n\nFrom raw records to documents, rule by rule:\n\n```text\n{falls}\n```"
    )


def _defects(of: Release) -> str:
    lines = []
    for name, note in of.notes.items():
        chosen = note.settings.get("repairs", ())
        for repair, wrong in of.facts.get(name, Facts()).repairs:
            state = "repaired here" if repair in chosen else "as published, not repaired"
            lines.append(f"- `{name}`, {state} (`{repair}`): {wrong}.")
    for name, status in of.states.items():
        if not status.finished:
            lines.append(f"- `{name}`: its run did not come to its end.")
        for what, places in (
            ("damaged", status.broken),
            ("a step failed on", status.defects),
            ("left out", status.quarantined),
        ):
            lines += [f"- `{name}`, {what}: {markdown.one_line(place)}" for place in places[:_NAMED]]
            if len(places) > _NAMED:
                lines.append(f"- `{name}`, {what}: {len(places) - _NAMED:,} more.")
    missing = [name for name in ORDER if name not in of.files]
    lines += [f"- `{name}`: it was run, and no document of it is here." for name in missing if name in of.notes]
    never = [name for name in missing if name not in of.notes]
    if never:
        lines.append(f"- Slices of the recipe that were not run: {', '.join(never)}.")
    return "\n".join(lines) or "Nothing is known to be."


def _terms(of: Release) -> str:
    rows = [
        [f"`{name}`", f"[{term}]({address})", text]
        for name in of.files
        for term, address, text in of.facts.get(name, Facts()).terms
    ]
    table = markdown.table(["slice", "terms", "in a sentence"], rows) if rows else ""
    return f"The texts stay under the terms of their sources; nothing is granted here beyond them.\n\n{table}".strip()


def _contact(of: Release) -> str:
    to = of.contact or "whoever gave you this folder (the maintainers named no address: `rpj release --contact`)"
    return (
        f"Questions, and documents that should not be here: {to}. Name the `id`, the address (`url`) or a sentence of "
        "the text. What is taken out with `rpj forget` stays out: the next release does not have it."
    )


def _made_with(of: Release) -> str:
    lines = [f"- rpj {of.source.version}, engine {of.source.engine}", *(f"- {writer}" for writer in of.writers)]
    lines += [f"- model `{m.name}`: SHA-256 {m.sha256}" for m in of.source.models]
    named = {m.sha256 for m in of.source.models}
    lines += [f"- tokenizer `{m.name}`: SHA-256 {m.sha256}" for m in of.source.tokenizers if m.sha256 not in named]
    return (
        "\n".join(lines)
        + "\n\n`source-manifest.json` has every shard of the root with its checksum: who runs the same holds it "
        "against theirs with `rpj verify ROOT --against source-manifest.json`. `croissant.json` has the checksum of "
        "every file here."
    )
