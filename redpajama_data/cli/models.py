"""The commands around models: fetch them, train them, extract what they are trained on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import click

from redpajama_data import config
from redpajama_data.cli import output
from redpajama_data.cli.options import json_option
from redpajama_data.defaults import config_here
from redpajama_data.download.addresses import Addresses
from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.io.credentials import shown
from redpajama_data.models import registry
from redpajama_data.reports.totals import amount


@click.group("models")
def models_group() -> None:
    """Models and tokenizers: what is known, what is here, and where it comes from."""


@models_group.command("list")
@json_option
def models_list(json_out: bool) -> None:
    """Every model of the registry, with size, licence, and whether it is in the cache.

    \b
    rpj models list
    """
    models = list(registry.list_models())
    if json_out:
        keys = ("name", "what", "licence", "size", "sha256")
        output.echo_json(
            [
                {key: getattr(here.model, key) for key in keys}
                | {"state": here.state, "path": here.path, "trust": here.trust}
                for here in models
            ]
        )
        return
    for here in models:
        size = f"{amount(here.model.size)}B" if here.model.size else "?"
        click.echo(f"{here.model.name:<16} {here.state:<8} {size:>8}  {here.model.licence:<24} {here.model.what}")
    cached = sum(here.state == "cached" for here in models)
    click.echo(f"\nCache: {registry.cache_dir()}. {cached} of {len(models)} are here.")


@models_group.command("fetch")
@click.argument("names", nargs=-1, required=True)
def models_fetch(names: tuple[str, ...]) -> None:
    """Fetch models into the cache, verified by their SHA-256. What an earlier call began is gone on with.

    A model that cannot be had does not keep the others. Exit status 2: some could not, and are named at the end.

    \b
    rpj models fetch lid.176.ftz gpt-neox-20b
    rpj models fetch lid.176.bin en.sp.model en.arpa.bin
    """
    Addresses(config.load_config(config_here(None), {}).addresses).pass_on()
    wanted = [registry.lookup(name).name for name in dict.fromkeys(names)]  # a name that is none, before any is fetched
    failed: dict[str, MissingModel] = {}
    for name in dict.fromkeys(wanted):
        try:
            click.echo(registry.fetch(name).path)
        except MissingModel as error:
            if len(wanted) == 1:
                raise
            click.echo(f"rpj: {shown(str(error))}", err=True)
            failed[name] = error
    if failed:
        raise MissingModel(
            f"{len(failed)} of {len(wanted)} models could not be fetched: {', '.join(failed)}. Why stands above. Try "
            f"again: rpj models fetch {' '.join(failed)}"
        )


@models_group.command("path")
@click.argument("name")
def models_path(name: str) -> None:
    """Print where a cached model lies; fails when it has not been fetched.

    \b
    rpj models path lid.176.ftz
    """
    click.echo(registry.cached_path(name))


@click.group()
def train() -> None:
    """Train the models of the CommonCrawl slice: the same input gives the same bytes."""


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
    from redpajama_data.training.lm import train_lm

    model = train_lm(
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
    click.echo(model.render())


@train.command("classifier")
@click.option("--positive", required=True, multiple=True, metavar="FILE", help="Pages that Wikipedia cites.")
@click.option("--negative", required=True, multiple=True, metavar="FILE", help="Other pages of the crawl.")
@click.option("--out", required=True, metavar="MODEL", help="The fastText model to write.")
@click.option("--dim", default=100, show_default=True, help="Vector size.")
@click.option("--lr", default=0.1, show_default=True, help="Learning rate.")
@click.option("--epochs", default=5, show_default=True, help="Passes over the texts.")
@click.option("--min-count", default=1, show_default=True, help="Rarer words are left out.")
@click.option(
    "--recipe",
    type=click.Choice(["published", "corrected"]),
    default="published",
    show_default=True,
    help="corrected: each page once, a drawn sample, both classes of one size.",
)
@click.option("--per-host", type=click.IntRange(min=1), help="corrected: pages of a host in a class. Default: 100.")
@click.option("--seed", default=0, show_default=True, help="Of what is drawn: first vectors, and with corrected pages.")
@json_option
def train_classifier_command(
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    out: str,
    dim: int,
    lr: float,
    epochs: int,
    min_count: int,
    recipe: str,
    per_host: int | None,
    seed: int,
    json_out: bool,
) -> None:
    """The classifier "would Wikipedia cite this page?", with its precision and recall on held-out pages.

    \b
    rpj train classifier --positive wiki/en_head_0000.json.gz --negative crawl/*.json.gz --out wikiref.bin
    rpj train classifier --recipe corrected --positive cited.jsonl --negative crawl.jsonl --out wikiref.bin
    """
    from redpajama_data.training.balanced import PER_HOST
    from redpajama_data.training.classifier import train_classifier

    if recipe == "published" and per_host is not None:
        raise UsageError("--per-host belongs to the corrected corpus. Add --recipe corrected, or leave it out.")
    if recipe == "corrected":
        per_host = per_host or PER_HOST
    report = train_classifier(
        positive, negative, out, dim=dim, lr=lr, epochs=epochs, min_count=min_count, seed=seed, per_host=per_host
    )
    if json_out:
        output.echo_json(asdict(report))
    else:
        click.echo(report.render())


@click.group()
def extract() -> None:
    """Extract training material from raw sources."""


@extract.command("references")
@click.argument("dump", metavar="DUMP.xml.bz2")
@click.option("--out", metavar="FILE", help="Where to write, one URL a line. Default: standard output.")
@click.option(
    "--recipe",
    type=click.Choice(["published", "corrected"]),
    default="published",
    show_default=True,
    help="corrected: every reference, whole addresses, each once.",
)
def extract_references_command(dump: str, out: str | None, recipe: str) -> None:
    """The URLs that the references of a Wikipedia dump cite: where the classifier's positive pages come from.

    \b
    rpj extract references enwiki-20230320-pages-articles.xml.bz2 --out urls.txt
    rpj extract references enwiki-20230320-pages-articles.xml.bz2 --recipe corrected --out urls.txt
    """
    from redpajama_data.training.references import extract_references, write_references
    from redpajama_data.training.references_every import extract_every_reference

    found = extract_references(dump) if recipe == "published" else extract_every_reference(dump)
    if out is not None:
        click.echo(f"{write_references(found, out):,} URLs in {out}")
        return
    for url in found:
        click.echo(url)
