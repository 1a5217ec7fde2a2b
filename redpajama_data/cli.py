"""The command line: parse, call one library function, print. The one place that knows the slices."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from redpajama_data import account, config, models, output
from redpajama_data.errors import RpjError, StorageError, UsageError
from redpajama_data.run import run as run_slices
from slices import NAMES, load


class Group(click.Group):
    """Prints the project's errors in one piece, without a traceback, and exits with their status."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, with :class:`RpjError` shown to the user."""
        try:
            return super().invoke(ctx)
        except RpjError as error:
            click.echo(f"rpj: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("rpj: stopped. Nothing is lost: the same command goes on where it stopped.", err=True)
            ctx.exit(130)


json_option = click.option("--json", "json_out", is_flag=True, help="Print JSON instead of tables.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="redpajama-data")
def cli() -> None:
    """Reproduce the LLaMA pre-training corpus, RedPajama-Data-1T.

    \b
    Try it:   rpj sample sample && rpj run --all --config sample/rpj.yaml --root out
    One slice: rpj run --slice github --input 'raw/github_*.gz' --root out
    Totals:    rpj count-tokens out

    Exit status: 0 done, 1 a check failed, 2 wrong usage or missing model, 3 done but shards were
    quarantined or broken, 4 root in use, 5 root cannot be written.
    """


@cli.command()
@click.option("--slice", "names", multiple=True, metavar="NAME", help=f"A slice to run: {', '.join(NAMES)}.")
@click.option("--all", "every", is_flag=True, help="Run all slices.")
@click.option("--config", "config_path", metavar="FILE", help="YAML file: run settings and `slices: {NAME: {...}}`.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="GLOB_OR_DIR",
    help="Raw files: path, URL, glob or folder. With several slices: a folder with a subfolder a slice.",
)
@click.option("--root", metavar="DIR", help="Where to write: a folder or URL.")
@click.option("--workers", type=int, help="Tasks at once. Default: all cores.")
@click.option("--memory", metavar="SIZE", help="Memory of all workers together, as 4G. Default: 4G.")
@click.option("--executor", type=click.Choice(["serial", "local", "ray"]), help="Where tasks run. Default: local.")
@click.option("--address", metavar="ADDR", help="Ray cluster to join, as auto or HOST:PORT.")
@click.option("--tokenizer", metavar="NAME_OR_PATH", help="Counts the published tokens. Default: gpt-neox-20b.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the slice, or SLICE.KEY=VALUE.")
@click.option("--prune", is_flag=True, help="Remove what raw files gave that are no longer among the input.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def run(
    names: tuple[str, ...],
    every: bool,
    config_path: str | None,
    inputs: tuple[str, ...],
    sets: tuple[str, ...],
    prune: bool,
    quiet: bool,
    json_out: bool,
    **options: Any,
) -> None:
    """Run slices: raw files in, published shards and an account of every document out.

    Running the same command again does what is missing and nothing else.

    \b
    rpj run --slice github --input raw/github --root out
    rpj run --slice arxiv --input s3://bucket/arXiv_src_*.tar --root s3://bucket/out --executor ray
    rpj run --all --config configs/redpajama-1t.yaml --root out --memory 64G
    """
    if every and names:
        raise UsageError("--all and --slice exclude each other. Give one of them.")
    if not every and not names:
        raise UsageError(f"which slice? Give --slice NAME ({', '.join(NAMES)}) or --all.")
    chosen = [load(name) for name in (NAMES if every else dict.fromkeys(names))]
    run_sets, slice_sets = config.split_sets(sets, {part.name: part.settings for part in chosen})
    run_config = config.load_config(config_path, {**options, **run_sets})
    for name in run_config.slices:
        load(name)
    parts = []
    for part in chosen:
        overrides: dict[str, Any] = dict(slice_sets[part.name])
        if inputs:
            overrides["input"] = [f"{place.rstrip('/')}/{part.name}" for place in inputs] if len(chosen) > 1 else inputs
        parts.append((part, config.slice_settings(part.settings, part.name, run_config, overrides, config_path)))
    if every:
        parts = output.skip_without_input(parts, given=bool(inputs))
    report = run_slices(parts, run_config, quiet=quiet, prune=prune)
    output.print_report(report, as_json=json_out)
    sys.exit(report.exit_code())


@cli.command()
@click.argument("root")
@json_option
def status(root: str, json_out: bool) -> None:
    """How far the run of ROOT is: tasks, documents, drops by rule, what is broken.

    \b
    rpj status out
    """
    found = account.status(root)
    if json_out:
        output.echo_json([asdict(part) for part in found])
    else:
        output.print_status(found)
    if not all(part.complete() for part in found):
        sys.exit(3)


@cli.command()
@click.argument("root")
@json_option
def verify(root: str, json_out: bool) -> None:
    """Check ROOT: checksums of every file, and read == kept + dropped for every receipt.

    \b
    rpj verify out
    """
    problems = output.collect_problems(account.verify(root), quiet=json_out)
    if json_out:
        output.echo_json({"checked": problems.checked, "problems": problems.found})
    else:
        output.print_problems(problems)
    if problems.found:
        sys.exit(1)


@cli.command()
@click.argument("root")
@click.argument("doc_id", metavar="ID")
@json_option
def explain(root: str, doc_id: str, json_out: bool) -> None:
    """What happened to one raw record: kept, where; or dropped, by which rule, measured value and limit.

    ID is the raw path as given to the run, `#`, and the record's number from 0.

    \b
    rpj explain out 'raw/github_0003.gz#17'
    """
    fates = account.explain(root, doc_id)
    if json_out:
        output.echo_json([asdict(fate) for fate in fates])
    else:
        output.print_fates(fates)


@cli.command("count-tokens")
@click.argument("places", nargs=-1, required=True, metavar="ROOT | FILES...")
@click.option(
    "--tokenizer", metavar="NAME_OR_PATH", help="Count with this tokenizer: tokenizer.json or SentencePiece .model."
)
@click.option("--check", metavar="PERCENT", help="Exit with 1 when a total is off the published one by more, as 5%.")
@json_option
def count_tokens(places: tuple[str, ...], tokenizer: str | None, check: str | None, json_out: bool) -> None:
    """Totals of a run's ROOT (from its receipts, at once) or of any JSONL files, beside the published ones.

    \b
    rpj count-tokens out
    rpj count-tokens out --check 5% --json
    rpj count-tokens out/github/*.jsonl.zst --tokenizer llama/tokenizer.model
    """
    totals, counted_by = output.count(places, tokenizer)
    if output.print_totals(totals, counted_by, check, as_json=json_out):
        sys.exit(1)


@cli.command()
@click.argument("folder")
@click.option("--slice", "names", multiple=True, metavar="NAME", help="Only this slice. Default: all.")
def sample(folder: str, names: tuple[str, ...]) -> None:
    """Write the embedded sample: raw input of every slice in its true format, and a configuration to run it.

    \b
    rpj sample sample && rpj run --all --config sample/rpj.yaml --root out
    """
    from redpajama_data import sample as embedded

    for name in names:
        load(name)
    try:
        files = embedded.build(Path(folder), list(names) or list(NAMES))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
    click.echo(f"{len(files)} raw files in {folder}. Next: rpj run --all --config {folder}/rpj.yaml --root out")


@cli.group("models")
def models_group() -> None:
    """Models and tokenizers: what is known, what is here, and where it comes from."""


@models_group.command("list")
@json_option
def models_list(json_out: bool) -> None:
    """Every model of the registry, with size, licence, and whether it is in the cache.

    \b
    rpj models list
    """
    output.print_models(as_json=json_out)


@models_group.command("fetch")
@click.argument("names", nargs=-1, required=True)
def models_fetch(names: tuple[str, ...]) -> None:
    """Fetch models into the cache, verified by their SHA-256.

    \b
    rpj models fetch lid.176.ftz gpt-neox-20b
    """
    for name in names:
        click.echo(models.fetch(name).path)


@models_group.command("path")
@click.argument("name")
def models_path(name: str) -> None:
    """Print where a cached model lies; fails when it has not been fetched.

    \b
    rpj models path lid.176.ftz
    """
    click.echo(models.cached_path(name))


@cli.group()
def train() -> None:
    """Train the models of the CommonCrawl slice, reproducibly: the same input gives the same bytes."""


@train.command("lm")
@click.option("--lang", "language", required=True, metavar="LL", help="Language code, as en.")
@click.option(
    "--text", "files", required=True, multiple=True, metavar="FILE", help="Texts: .txt, one a line, or JSONL."
)
@click.option("--out", required=True, metavar="DIR", help="Gets LL.sp.model and LL.arpa.bin.")
@click.option("--vocab-size", type=int, default=65536, show_default=True, help="SentencePiece pieces.")
@click.option("--documents", type=int, default=1_000_000, show_default=True, help="Texts used, from the first.")
@click.option("--memory", default="2G", show_default=True, help="For lmplz' sorting.")
@click.option(
    "--structure",
    type=click.Choice(["probing", "trie"]),
    default="probing",
    show_default=True,
    help="KenLM's: probing is faster, trie (quantised) smaller.",
)
@click.option("--kenlm-bin", metavar="DIR", help="Where lmplz and build_binary are. Default: PATH.")
def train_lm_command(
    language: str,
    files: tuple[str, ...],
    out: str,
    vocab_size: int,
    documents: int,
    memory: str,
    structure: Literal["probing", "trie"],
    kenlm_bin: str | None,
) -> None:
    """A SentencePiece model and a 5-gram KenLM of a language, as CCNet's.

    \b
    rpj train lm --lang en --text wikipedia_openings.txt --out lm
    """
    from filters.ccnet_normalize import normalize
    from redpajama_data.train_lm import train_lm

    made = train_lm(
        files,
        out,
        language,
        normalize=normalize,
        vocabulary=vocab_size,
        documents=documents,
        memory=memory,
        structure=structure,
        kenlm_bin=kenlm_bin,
    )
    click.echo(made.render())


@train.command("classifier")
@click.option("--positive", required=True, multiple=True, metavar="FILE", help="Pages that Wikipedia cites.")
@click.option("--negative", required=True, multiple=True, metavar="FILE", help="Other pages of the crawl.")
@click.option("--out", required=True, metavar="MODEL", help="The fastText model to write.")
@click.option("--dim", default=100, show_default=True, help="Vector size.")
@click.option("--lr", default=0.1, show_default=True, help="Learning rate.")
@click.option("--epochs", default=5, show_default=True, help="Passes over the texts.")
@click.option("--min-count", default=1, show_default=True, help="Rarer words are left out.")
@json_option
def train_classifier_command(
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    out: str,
    dim: int,
    lr: float,
    epochs: int,
    min_count: int,
    json_out: bool,
) -> None:
    """The classifier "would Wikipedia cite this page?", with its precision and recall on held-out pages.

    \b
    rpj train classifier --positive wiki/en_head_0000.json.gz --negative crawl/*.json.gz --out wikiref.bin
    """
    from redpajama_data.train_classifier import train_classifier

    report = train_classifier(positive, negative, out, dim=dim, lr=lr, epochs=epochs, min_count=min_count)
    if json_out:
        output.echo_json(asdict(report))
    else:
        click.echo(report.render())


@cli.group()
def extract() -> None:
    """Extract training material from raw sources."""


@extract.command("references")
@click.argument("dump", metavar="DUMP.xml.bz2")
@click.option("--out", metavar="FILE", help="Where to write, one URL a line. Default: standard output.")
def extract_references_command(dump: str, out: str | None) -> None:
    """The URLs that the references of a Wikipedia dump cite: where the classifier's positive pages come from.

    \b
    rpj extract references enwiki-20230320-pages-articles.xml.bz2 --out urls.txt
    """
    from redpajama_data.references import extract_references, write_references

    if out is not None:
        click.echo(f"{write_references(dump, out):,} URLs in {out}")
        return
    for url in extract_references(dump):
        click.echo(url)
