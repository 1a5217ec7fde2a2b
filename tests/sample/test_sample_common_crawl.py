"""The sample's web pages: what is planted meets its rule, and the shipped models put pages into every bucket."""

from __future__ import annotations

import importlib.util
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from filters import ccnet, ccnet_lines, wikiref
from redpajama_data.document import Document, Drop, Rejected, run_steps
from redpajama_data.errors import BrokenInput, MissingModel
from redpajama_data.models.model_file import ModelFile
from redpajama_data.sample import common_crawl
from redpajama_data.training.lm import kenlm_tool
from slices.readers.wet import read_wet


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("common_crawl")
    common_crawl.build(folder)
    return folder


def test_the_same_files_again(raw: Path, tmp_path: Path) -> None:
    common_crawl.build(tmp_path)
    files = sorted(path.relative_to(raw) for path in raw.rglob("*.gz"))
    assert len(files) == 4
    for file in files:
        assert (tmp_path / file).read_bytes() == (raw / file).read_bytes()


def walk(raw: Path, lid: Path) -> tuple[list[Document], Counter[str], Counter[str]]:
    """The published steps on the sample, one shard a file: kept documents, drops by rule, documents by bucket."""
    models = common_crawl.model_paths()
    pieces, words = (ModelFile(models[f"en.{name}"], "") for name in ("sp.model", "arpa.bin"))
    language_models = {"en": ccnet.LanguageModel(pieces, words)}
    drops: Counter[str] = Counter()
    buckets: Counter[str] = Counter()
    mined: list[Document] = []

    def stays(result: Document | Drop | Rejected | BrokenInput) -> bool:
        if isinstance(result, BrokenInput):
            result = Drop("broken_input")
        if isinstance(result, Rejected):
            result = result.drop
        if isinstance(result, Drop):
            drops[result.rule] += 1
        return isinstance(result, Document)

    for path in sorted(raw.rglob("*.gz")):
        pages = [doc for doc in read_wet(str(path)) if stays(doc) and isinstance(doc, Document)]
        pages = [doc for doc in pages if stays(ccnet.min_length(doc, limit=300))]
        sets = ccnet_lines.line_sets(ccnet_lines.line_hashes(doc.text) for doc in pages)
        steps = [
            partial(ccnet_lines.remove_duplicated_lines, duplicated=ccnet_lines.duplicated_lines([sets])),
            partial(ccnet.identify_language, model=ModelFile(str(lid), "")),
            partial(ccnet.min_language_score, limit=0.5),
            partial(ccnet.language_in, allowed=("en",)),
            partial(ccnet.measure_perplexity, models=language_models),
            partial(ccnet.assign_bucket, cutoffs=ccnet.CUTOFFS),
        ]
        pages = [doc for doc in pages if stays(run_steps(doc, steps))]
        buckets.update(str(doc.meta["bucket"]) for doc in pages)
        mined += [doc for doc in pages if stays(ccnet.bucket_in(doc, allowed=("head", "middle")))]
    kept = ccnet.kept_urls([[(doc.meta["url"], doc.meta["digest"])] for doc in mined])
    drops["kept_urls"] += sum(doc.meta["url"] not in kept for doc in mined)
    mined = [doc for doc in mined if doc.meta["url"] in kept]
    for doc in mined:
        wikiref.classify_reference(doc, model=ModelFile(str(models["wikiref.bin"]), ""))
    return [doc for doc in mined if stays(wikiref.min_wiki_prob(doc, limit=0.25))], drops, buckets


def test_every_rule_and_bucket(raw: Path, shared_data: Path) -> None:
    kept, drops, buckets = walk(raw, shared_data / "models" / "lid.176.ftz")
    planted: Counter[str] = Counter()
    for each in common_crawl.PLANTED:
        if each.rule:
            planted[each.rule] += each.number
    assert drops == planted
    assert all(buckets[bucket] >= 10 for bucket in ("head", "middle", "tail"))
    published = Counter(str(doc.meta["bucket"]) for doc in kept)
    assert published["head"] >= 10
    assert published["middle"] >= 2
    scores = [float(doc.meta["wiki_prob"]) for doc in kept]
    assert min(scores) < 0.5 < max(scores)  # LLaMA's threshold would keep fewer
    urls = Counter(str(doc.meta["url"]) for doc in kept)
    assert sum(count == 2 for count in urls.values()) == 3 + 1 + 1  # those planted to stay twice
    lengths = [len(path.read_bytes()) for path in sorted(raw.rglob("*.gz"))]
    assert sum(lengths) < 200_000


def test_the_models_are_those_that_the_script_makes(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_sample_models.py"
    try:
        kenlm_tool("lmplz")
    except MissingModel as error:
        pytest.skip(str(error))
    spec = importlib.util.spec_from_file_location("make_sample_models", script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(tmp_path)
    for name, path in common_crawl.model_paths().items():
        assert (tmp_path / name).read_bytes() == Path(path).read_bytes(), f"run {script.name} and commit {name}"
