"""Repairs: named in the settings, in the lineage of what they touch, and off by default."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from filters import (
    book_lines,
    ccnet,
    ccnet_lines,
    code,
    code_headers,
    latex,
    latex_definitions,
    latex_document,
    latex_encoding,
    latex_macros,
    latex_marks,
    latex_sections,
    wikiref,
    wikitext,
    wikitext_emptied,
    wikitext_templates,
)
from filters.ccnet_edges import own_lines
from filters.simhash import first_of_cluster, smallest_id_within
from filters.stackexchange import Post, order_by_score, order_by_score_text, readable_html, thread_text
from redpajama_data.cli.main import cli
from redpajama_data.config import RunConfig, load_config, slice_settings
from redpajama_data.document import Document, Drop, Step, run_steps
from redpajama_data.engine.stages import RunSettings
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.sample import build
from redpajama_data.training import references, references_every
from redpajama_data.training.balanced import Sampling, balanced_corpus
from redpajama_data.training.classifier import corpus
from redpajama_data.whole_run import run_parts
from slices import NAMES, load
from slices.parts.books_ids import COLLECTIONS, Ids, Numbering, own_ids, published_ids
from slices.readers.gutenberg import strip_gutenberg
from slices.readers.wikipedia_dump import day_of
from slices.readers.wikipedia_forms import dump_name
from slices.repairs import REPAIRS, Repair, repairs_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def with_path(step: Callable[[Document], Any], path: str, text: str) -> Any:
    """The text that a step on a file of that path leaves."""
    return step(Document("f#0", text, {"path": path})).text


LATEX_PUBLISHED = [
    latex_macros.collect_macros,
    latex.start_at_first_header,
    latex.remove_comment_lines,
    latex.remove_inline_comments,
    latex.cut_at_appendix,
    latex_macros.ascii_macros,
    partial(latex_macros.expand_macros, max_inserted_chars=1000),
    latex.join_sources,
    latex.not_empty,
]


def outcome(steps: Sequence[Step], **work: Any) -> str:
    """The text that steps leave of the sources of a paper, or the rule that drops it."""
    found = run_steps(Document("a#0", "", {}, work), steps)
    return f"dropped: {found.rule}" if isinstance(found, Drop) else found.text


def latex_steps(*steps: Step) -> Callable[[str], str]:
    """Steps on a paper of one source, joined."""
    return lambda text: outcome([*steps, latex.join_sources], sources=[text])


def encoded(step: Step) -> Callable[[str], str]:
    """A step on a source in Latin-1, given as "text in Latin-1"."""

    def decoded(text: str) -> str:
        data = text.removesuffix(" in Latin-1").encode("latin-1")
        found = outcome([step, latex.join_sources], names=["a.tex"], sources=[data])
        return found if found.startswith("dropped") else f"{found} in Latin-1"

    return decoded


def read_in(*steps: Step) -> Callable[[str], str]:
    """Steps on two files: the second ends with the words that the case gives it, and is read in by the first."""

    def text(case: str) -> str:
        one, two = (part.partition(": ")[2] for part in case.split("; "))
        begin = "\\documentclass{a}\\begin{document}"
        found = outcome([*steps, latex.join_sources], names=["a.tex", "b.tex"], sources=[begin + one, two])
        return found.removeprefix(begin)

    return text


expand_definitions = partial(latex_definitions.expand_definitions, max_inserted_chars=1000)
any_header = partial(latex_sections.any_header, keep_abstract=False)
block = partial(latex_sections.bibliography_as_block, keep_appendix=False, min_main_share=0.2)


def step_on_text(step: Step) -> Callable[[str], str]:
    """A step on a document of that text."""

    def text(given: str) -> str:
        found = step(Document("a#0", given, {"path": "a.py"}))
        return f"dropped: {found.rule}" if isinstance(found, Drop) else found.text

    return text


def untouched(text: str) -> str:
    """What the published recipe does where it has no step."""
    return text


def told_apart(key: Callable[[Document], bytes], *steps: Step) -> Callable[[str], str]:
    """How many of the files in a case are told apart."""

    def count(case: str) -> str:
        docs = [run_steps(Document("a#0", text, {"path": "a.py"}), steps) for text in case.split("; ")]
        keys = {key(doc) for doc in docs if isinstance(doc, Document)}
        return f"{len(keys)} file{'s' if len(keys) > 1 else ''}"

    return count


def book_ids(ids_of: Callable[..., list[Ids]]) -> Callable[[str], str]:
    """The ids of as many books as the case says."""

    def ids(case: str) -> str:
        train, books3 = (int(part) for part in re.findall(r"(\d+) (?:books )?of", case))
        receipts: Any = [SimpleNamespace(rank=n, notes={"lines": lines}) for n, lines in enumerate((train, books3))]
        one, other = ids_of(receipts, [("pg19-train.jsonl",), ("books3-train.jsonl",)])
        numbers = [" ".join(str(own.first + n) for n in range(lines)) for own, lines in ((one, train), (other, books3))]
        return f"ids {', '.join(numbers)}"

    return ids


def survivors(smallest: Callable[..., Any]) -> Callable[[str], str]:
    """Which of three books stay: the third is near to both others, which are not near to each other."""

    def stay(case: str) -> str:
        names = case.partition(": ")[2].split()
        hashes, places = np.array([0b00, 0b11, 0b01], dtype=np.uint64), np.arange(3)
        found = smallest(hashes, places, distance=1)
        left = [name for name, place, first in zip(names, places, found, strict=True) if first >= place]
        return f"{' '.join(left)} stay{'' if len(left) > 1 else 's'}"

    return stay


def ordered(order: Callable[..., list[Post]]) -> Callable[[str], str]:
    """The scores of answers in the order that is given to them."""
    return lambda scores: " ".join(
        str(post.score) for post in order([Post(0, "1", "2", None, "", score) for score in scores.split()])
    )


def asked(**bound: Any) -> Callable[[str], str]:
    """The text of a question, given as "title | body"."""

    def text(case: str) -> str:
        title, _, body = case.partition(" | ")
        return thread_text(Post(0, "1", None, title, body, "1"), [], **bound)

    return text


def reading(*repairs: str) -> Callable[[str], str]:
    """The text of a question, read with repairs."""
    return asked(read_html=partial(readable_html, repairs=repairs))


def page(*, before: Sequence[Step] = (), after: Sequence[Step] = ()) -> Callable[[str], str]:
    """The text of a page of the English Wikipedia, with steps before and after it is cleaned."""

    def text(case: str) -> str:
        found = run_steps(Document("a#0", case, {"language": "en"}), [*before, wikitext.unparsable, *after])
        assert isinstance(found, Document)
        return found.text

    return text


LATGALIAN = wikitext.LinkNames(("Medeja", "Fails"), ("Kategoreja",))


def in_latgalian(names: wikitext.LinkNames) -> Callable[[str], str]:
    """The text of a page of a language that the table lacks, with names of the dump's own."""
    return lambda case: wikitext.clean(case.removeprefix("ltg: "), "ltg", own=names)


def trained_on(repaired: bool) -> Callable[[str], str]:
    """The examples that two files of pages give, of which each page is a word."""

    def examples(case: str) -> str:
        with TemporaryDirectory() as folder:
            paths = []
            for n, part in enumerate(case.split("; ")):
                paths.append(f"{folder}/{n}.jsonl")
                words = part.split(": ")[1].split()
                Path(paths[-1]).write_text("".join(json.dumps({"text": word * 1000}) + "\n" for word in words))
            found = corpus(paths[:1], paths[1:])
            if repaired:
                drawn, _ = balanced_corpus(paths[:1], paths[1:], Sampling(0, 100, 1000))
                found = iter(sorted(drawn, key=lambda example: (example.label != "wiki", example.text)))
            return ", ".join(f"{example.label} {example.text[:1]}" for example in found)

    return examples


def date_of(repaired: bool) -> Callable[[str], str]:
    """The date of a page of that dump and of that time."""

    def date(case: str) -> str:
        path, _, time = case.partition(": ")
        named = dump_name(path)
        assert named
        return named[1] or (day_of(time) if repaired else "") or "20230320"

    return date


def likely(*steps: Step) -> Callable[[str], str]:
    """What steps make of a page of that probability, which is its text."""

    def text(case: str) -> str:
        found = run_steps(Document("a#0", case, {"wiki_prob": float(case)}), steps)
        return f"dropped: {found.rule}" if isinstance(found, Drop) else found.text

    return text


def records(case: str) -> list[tuple[str, str]]:
    """URL and digest of each record, given as "url a digest 1, url ..."."""
    return re.findall(r"url (\w+) digest (\w+)", case)


def texts_kept(repaired: bool) -> Callable[[str], str]:
    """The places of the records that stay of those with other digests, by their texts if ``repaired``."""

    def places(case: str) -> str:
        texts = re.findall(r"digest \w+ text (\w+)", case)
        kept = {place for _, place in ccnet.first_of_each_text([texts])} if repaired else range(len(texts))
        return f"{' '.join(map(str, sorted(kept)))} stay"

    return places


def records_of_kept_urls(case: str) -> str:
    """The places of the records that stay by the published rule."""
    kept = ccnet.kept_urls([records(case)])
    return " ".join(str(place) for place, (url, _) in enumerate(records(case)) if url in kept) + " stay"


def records_kept(case: str) -> str:
    """The places of the records that stay by their digest."""
    return " ".join(str(place) for _, place in sorted(ccnet.kept_records([records(case)]))) + " stay"


def shards_of(case: str) -> list[list[str]]:
    """The texts of the documents of each shard, given as "shard: a b | c; shard: d": a letter a line."""
    return [[" ".join(doc.split()).replace(" ", "\n") for doc in part.removeprefix(" ")[6:].split("|")]
            for part in case.split(";")]  # fmt: skip


def lines_left(case: str, *, whole_dump: bool = False, first_stays: bool = False) -> str:
    """The lines left in each document, in the form of the case."""
    shards = shards_of(case)
    groups = [shards] if whole_dump else [[shard] for shard in shards]
    cleaned = map(clean_first if first_stays else clean_all, groups)
    return "; ".join(" | ".join(" ".join(doc.split("\n")) for doc in shard) for group in cleaned for shard in group)


def clean_all(group: list[list[str]]) -> list[list[str]]:
    """The texts of the shards of a group, as published."""
    hashes = [[ccnet_lines.line_hashes(doc) for doc in shard] for shard in group]
    found = ccnet_lines.duplicated_lines([ccnet_lines.line_sets(shard) for shard in hashes])
    return [
        [ccnet_lines.clean_lines(doc, lines, found)[0] for doc, lines in zip(docs, shard, strict=True)]
        for docs, shard in zip(group, hashes, strict=True)
    ]


def clean_first(group: list[list[str]]) -> list[list[str]]:
    """The same, where the first occurrence of a line stays."""
    sets = [ccnet_lines.line_sets(map(ccnet_lines.line_hashes, shard)) for shard in group]
    tables = ccnet_lines.by_first_shard((each.lines for each in sets), ccnet_lines.duplicated_lines(sets))
    left = []
    for docs, (earlier, here) in zip(group, tables, strict=True):
        step = partial(ccnet_lines.keep_first_lines, earlier=earlier, here=here, seen=np.zeros(len(here), dtype=bool))
        found = [step(Document("a#0", doc, {"nlines": 0, "length": 0})) for doc in docs]
        left.append(["" if isinstance(doc, Drop) else doc.text for doc in found])
    return left


def without_foreign_edges(text: str) -> str:
    """The text of an English page without the lines at its ends that are of one word, which counts as German."""
    lid: Any = SimpleNamespace(predict=lambda line: ("__label__en" if " " in line else "__label__de", 0.9))
    lines = text.split("\n")
    return "\n".join(lines[slice(*own_lines(lines, "en", lid))])


published_limit = partial(wikiref.min_wiki_prob, limit=0.25)
CASES: dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]] = {  # what published and what repaired the case
    "every_reference": (
        lambda text: " ".join(references.urls(references.between_references(html.escape(text)))),
        lambda text: " ".join(references_every.reference_urls(text)),
    ),
    "balanced_corpus": (trained_on(repaired=False), trained_on(repaired=True)),
    "lines_of_dump": (lines_left, partial(lines_left, whole_dump=True)),
    "keep_first_lines": (lines_left, partial(lines_left, first_stays=True)),
    "no_foreign_edges": (untouched, without_foreign_edges),
    "kept_records": (records_of_kept_urls, records_kept),
    "distinct_texts": (texts_kept(repaired=False), texts_kept(repaired=True)),
    "classified_as_reference": (
        likely(published_limit),
        likely(published_limit, wikiref.classified_as_reference),
    ),
    "cut_licence_header": (
        partial(with_path, code.strip_copyright_header, "a.sh"),
        partial(with_path, code_headers.cut_licence_header, "a.sh"),
    ),
    "cleaned_key": (
        told_apart(code.content_key, code.content_hash),
        told_apart(code.cleaned_key, code.content_hash, code_headers.cut_licence_header),
    ),
    "min_characters": (untouched, step_on_text(partial(code.min_characters, limit=50))),
    "own_ids": (
        book_ids(partial(published_ids, numbering=Numbering(2000, 14, 99))),
        book_ids(partial(own_ids, order=COLLECTIONS)),
    ),
    "first_of_cluster": (survivors(smallest_id_within), survivors(first_of_cluster)),
    "strip_gutenberg": (untouched, step_on_text(strip_gutenberg)),
    "join_lines": (untouched, step_on_text(book_lines.join_lines)),
    "plain_italics": (untouched, step_on_text(book_lines.plain_italics)),
    "any_encoding": (encoded(latex.strict_utf8), encoded(latex_encoding.any_encoding)),
    "remove_comments": (
        latex_steps(latex.remove_comment_lines, latex.remove_inline_comments),
        latex_steps(latex_marks.remove_comments),
    ),
    "assemble_document": (
        read_in(latex.start_at_first_header),
        read_in(partial(latex_document.assemble_document, max_chars=1000)),
    ),
    "any_header": (latex_steps(latex.start_at_first_header), latex_steps(any_header)),
    "expand_definitions": (
        latex_steps(*LATEX_PUBLISHED[:-2]),
        latex_steps(latex_definitions.collect_definitions, any_header, expand_definitions),
    ),
    "bibliography_as_block": (latex_steps(latex.cut_at_appendix), latex_steps(block)),
    "no_leftovers": (latex_steps(*LATEX_PUBLISHED[:-2]), latex_steps(latex_sections.no_leftovers)),
    "namespaces_of_dump": (in_latgalian(wikitext.NO_NAMES), in_latgalian(LATGALIAN)),
    "own_dates": (date_of(repaired=False), date_of(repaired=True)),
    "without_categories": (
        partial(wikitext.clean, language="en"),
        partial(wikitext.clean, language="en", categories=False),
    ),
    "render_templates": (page(), page(before=[wikitext_templates.render_templates])),
    "no_bare_headings": (
        page(),
        page(before=[wikitext_emptied.mark_headings], after=[wikitext_emptied.no_bare_headings]),
    ),
    "no_emptied": (page(), page(after=[wikitext_emptied.no_emptied])),
    "order_by_score": (ordered(order_by_score_text), ordered(order_by_score)),
    "plain_title": (asked(), reading("plain_title")),
    "line_breaks": (asked(), reading("line_breaks")),
    "list_items": (asked(), reading("list_items")),
    "quote_marks": (asked(), reading("quote_marks")),
    "not_blank": (
        lambda text: outcome(LATEX_PUBLISHED, sources=text.split("; ")),
        lambda text: outcome([*LATEX_PUBLISHED[:-1], latex_sections.not_blank], sources=text.split("; ")),
    ),
}


LINES = [  # of two shards, compared in the dump; the first stays
    ("shard: a b | b c", "a b | c"),
    ("shard: a b; shard: b c", "a b; c"),
    ("shard: a a b; shard: a", "a b; "),  # twice in one document: its first occurrence
    ("shard: a; shard: a b | b c", "a; b | c"),
    ("shard: c | a; shard: a c d", "c | a; d"),
    ("shard: a b; shard: c d", "a b; c d"),
]


@pytest.mark.parametrize(("case", "left"), LINES)
def test_first_lines_of_a_dump_stay(case: str, left: str) -> None:
    assert lines_left(case, whole_dump=True, first_stays=True) == left


DOCUMENTS = st.lists(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1).map(" ".join), min_size=1), min_size=1)


@given(DOCUMENTS)
def test_every_line_is_left_once(shards: list[list[str]]) -> None:
    case = "; ".join("shard: " + " | ".join(shard) for shard in shards)
    every = re.findall(r"\b[a-g]\b", case)
    left = lines_left(case, whole_dump=True, first_stays=True)
    assert re.findall("[a-g]", left) == list(dict.fromkeys(every))  # first occurrences, in their order


@pytest.mark.parametrize(("probability", "stays"), [(0.49999, False), (0.5, True), (1.00001, True), (-0.00001, False)])
def test_classified_as_reference(probability: float, stays: bool) -> None:
    found = wikiref.classified_as_reference(Document("a#0", "", {"wiki_prob": probability}))
    assert isinstance(found, Document) is stays


RECORDS = [  # (URL, digest) of each record of each file, and the (file, place) of those that stay
    ([[("a", "1"), ("b", "1")]], {(0, 0)}),
    ([[("a", "1"), ("a", "2")]], {(0, 0), (0, 1)}),
    ([[("a", "1"), ("a", "2")], [("a", "1"), ("c", "3")]], {(0, 0), (0, 1), (1, 1)}),
    ([[], [("a", "1")], [("b", "1")]], {(1, 0)}),
    ([], set()),
]


TEXTS = [  # texts of each file, and the (file, place) of those that stay
    ([["a", "b", "a"]], {(0, 0), (0, 1)}),
    ([["a"], ["a", "b"]], {(0, 0), (1, 1)}),
    ([[], ["a\n", "a"]], {(1, 0), (1, 1)}),
    ([], set()),
]


@pytest.mark.parametrize(("files", "kept"), TEXTS)
def test_first_of_each_text(files: list[list[str]], kept: set[tuple[int, int]]) -> None:
    assert ccnet.first_of_each_text(files) == kept


@pytest.mark.parametrize(("files", "kept"), RECORDS)
def test_kept_records(files: list[list[tuple[str, str]]], kept: set[tuple[int, int]]) -> None:
    assert ccnet.kept_records(files) == kept


@pytest.mark.parametrize("repair", REPAIRS, ids=lambda repair: f"{repair.slice}-{repair.name}")
def test_the_case_of_the_table_is_true(repair: Repair) -> None:
    published, repaired = CASES[repair.name]
    given, before, after = repair.case
    assert (published(given), repaired(given)) == (before, after)


# ------------------------------------------------------------------------------------------------ settings

SETTINGS = [
    ("github", {}, ()),
    ("github", {"repairs": "none"}, ()),
    ("github", {"repairs": "all"}, tuple(repair.name for repair in repairs_of("github"))),
    ("github", {"repairs": "cut_licence_header"}, ("cut_licence_header",)),
    ("c4", {"repairs": "all"}, ()),
]


@pytest.mark.parametrize(("name", "given", "chosen"), SETTINGS)
def test_settings_name_repairs(name: str, given: dict[str, Any], chosen: tuple[str, ...]) -> None:
    assert slice_settings(load(name).settings, name, RunConfig(), given, None).repairs == chosen  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("github", "nosuch", "'nosuch' is no repair of github; expected all, none or some of cut_licence_header"),
        ("github", "all,cut_licence_header", "'all' stands alone"),
        ("books", "cut_licence_header", r"is a repair of github: give github\.repairs=cut_licence_header"),
    ],
)
def test_what_names_no_repair_is_refused(name: str, given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slice_settings(load(name).settings, name, RunConfig(), {"repairs": given}, None)


def test_the_order_of_names_does_not_matter() -> None:
    names = [repair.name for repair in repairs_of("github")]
    model = load("github").settings
    assert model(repairs=names[::-1]) == model(repairs=names)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("recipe: published\n", False),
        ("recipe: corrected\n", True),
        ("recipe: corrected\nslices:\n  github: {repairs: none}\n", False),
        ("slices:\n  github: {repairs: [cut_licence_header]}\n", True),
    ],
)
def test_a_configuration_names_the_recipe(tmp_path: Path, text: str, chosen: bool) -> None:
    (tmp_path / "c.yaml").write_text(text)
    path = str(tmp_path / "c.yaml")
    settings: Any = slice_settings(load("github").settings, "github", load_config(path, {}), {}, path)
    assert ("cut_licence_header" in settings.repairs) is chosen
    settings = slice_settings(load("github").settings, "github", load_config(path, {}), {"repairs": "none"}, path)
    assert settings.repairs == ()


def test_no_other_recipe_is_known(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("recipe: repaired\n")
    with pytest.raises(UsageError, match=r"c\.yaml:1: recipe"):
        load_config(str(tmp_path / "c.yaml"), {})


def test_the_corrected_run_is_the_published_one_but_for_the_recipe() -> None:
    corrected = load_config(str(CONFIGS / "redpajama-1t-corrected.yaml"), {})
    assert corrected.recipe == "corrected"
    assert corrected.model_copy(update={"recipe": "published"}) == load_config(str(CONFIGS / "redpajama-1t.yaml"), {})


def test_help_prints_the_table() -> None:
    shown = CliRunner().invoke(cli, ["help", "repairs"]).stdout
    assert shown.startswith("# ")
    for repair in REPAIRS:
        assert f"## {repair.slice}: {repair.name}\n" in shown


# ------------------------------------------------------------------------------------------------ lineage


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The embedded sample, and its folder as the current one."""
    folder = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        build(Path("raw"))
        yield folder


def stages_of(name: str, repairs: str, tokenizer: ModelFile, lid: str) -> str:
    """All that the stages of a slice are bound to, but for the setting itself: what is chosen must show in them."""
    config = load_config("raw/rpj.yaml", {})
    model = load(name).settings
    given: dict[str, Any] = {"repairs": repairs, "lid": lid} if "lid" in model.model_fields else {"repairs": repairs}
    settings = slice_settings(model, name, config, given, "raw/rpj.yaml")
    return "\n".join(shown(stage.plan) for stage in load(name).stages(settings, RunSettings(tokenizer, 0.05)))


def shown(value: Any) -> str:
    """A bound function in words, settings without the repairs."""
    if isinstance(value, partial):
        bound = [*map(shown, value.args), *(f"{key}={shown(item)}" for key, item in value.keywords.items())]
        return f"{shown(value.func)}({', '.join(bound)})"
    if isinstance(value, BaseModel):
        return repr(value.model_dump(exclude={"repairs"}))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if callable(value) and getattr(value, "__closure__", None):
        return f"{value.__qualname__}[{', '.join(shown(cell.cell_contents) for cell in value.__closure__)}]"
    return value.__qualname__ if callable(value) else repr(value)


@pytest.mark.parametrize("name", NAMES)
def test_each_repair_is_chosen_by_its_slice(name: str, sample: Path, tiny_tokenizer: ModelFile, tiny_lid: str) -> None:
    found = {"none": stages_of(name, "none", tiny_tokenizer, tiny_lid)}
    for repair in repairs_of(name):
        found[repair.name] = stages_of(name, repair.name, tiny_tokenizer, tiny_lid)
    found["all"] = stages_of(name, "all", tiny_tokenizer, tiny_lid)
    different = len(repairs_of(name)) + (1 if len(repairs_of(name)) < 2 else 2)
    assert len(set(found.values())) == different, "two choices of repairs give the same stages"


def github(root: Path, raw: Path, tokenizer: str, repairs: str) -> tuple[dict[str, int], list[str]]:
    """Run the slice; how many tasks of each stage were done now, and the texts published."""
    given = {
        "input": [str(raw)],
        "repairs": repairs,
        "code_tokenizer": tokenizer,
        "min_alpha_per_token": 0.1,
    }  # a byte a token
    config = RunConfig(root=str(root), executor="serial", tokenizer=tokenizer, workers=1)
    before = {path: path.stat().st_mtime_ns for path in root.glob("_run/github/*/*.receipt.json")}
    part = load("github")
    report = run_parts([(part, slice_settings(part.settings, "github", config, given, None))], config, quiet=True)
    assert report.exit_code() == 0
    after = {path: path.stat().st_mtime_ns for path in root.glob("_run/github/*/*.receipt.json")}
    done: dict[str, int] = {"clean": 0, "dedup": 0, "copies": 0, "publish": 0}
    for path in after:
        done[path.parent.name] += after[path] != before.get(path)
    return done, [line["text"] for line in read_jsonl(str(next(root.glob("github/*.jsonl.zst"))))]


def test_choosing_a_repair_redoes_what_it_touches(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    text = "#!/usr/bin/env python\n# Copyright 2015 A\nimport sums\nsums.add_all_of_them()\n"
    record = {"path": "a.py", "content": text, "license": "mit"}
    (tmp_path / "raw").mkdir()
    with gzip.open(tmp_path / "raw" / "github_000.gz", "wt") as file:
        file.write(json.dumps(record) + "\n")
    run_with = partial(github, tmp_path / "out", tmp_path / "raw", tiny_tokenizer.path)
    published = "import sums\nsums.add_all_of_them()\n"
    assert run_with("none") == ({"clean": 1, "dedup": 1, "copies": 1, "publish": 1}, [published])
    assert run_with("cut_licence_header") == (
        {"clean": 0, "dedup": 0, "copies": 0, "publish": 1},
        [f"#!/usr/bin/env python\n{published}"],
    )
    assert run_with("none") == ({"clean": 0, "dedup": 0, "copies": 0, "publish": 1}, [published])
