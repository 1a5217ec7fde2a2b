"""Tokens to train on, read back by what knows only the published layouts, held against the tokenizer's library."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.cli.main import cli
from redpajama_data.corpus.token_files import megatron_index
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.reports.explanation import explain
from slices.jobs import tokenize as job
from slices.jobs import tokenize_mixture, tokenize_write
from slices.jobs.tokenize_mixture import DOCUMENT, Mixture, held_out, in_part, order_of, shares_of

Documents = dict[str, list[list[str]]]  # of each slice its shards
END = "<|endoftext|>"
HARD = [
    "a <|endoftext|> b",
    END,
    "",
    "e\u0301 \u1dfa",
    "x" * 5000,
    "\U000323b0's",
    "tab\t\r\n  ",
    "日本語",
    "<|padding|>",
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three slices of two shards each, of short documents; hard texts are in the second."""
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs"]
    documents: Documents = {}
    for number, name in enumerate(("books", "c4", "github")):
        texts = [
            " ".join(words[(i * 7 + j * number) % 11] for j in range(3 + i % 9)) + f" {name} {i}" for i in range(90)
        ]
        documents[name] = [texts[:50], texts[50:]]
    documents["c4"][1] += HARD
    return write(tmp_path / "corpus", documents)


def write(folder: Path, documents: Documents) -> Path:
    """Documents as shards, a folder a slice."""
    for name, shards in documents.items():
        (folder / name).mkdir(parents=True)
        for number, texts in enumerate(shards):
            lines = [json.dumps({"text": text, "meta": {}}) + "\n" for text in texts]
            (folder / name / f"{number:04d}.jsonl").write_text("".join(lines))
    return folder


def rpj(*words: object) -> Result:
    """Runs the command line; fails unless it ends with 0."""
    done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def tokenize(folder: Path, root: Path, *words: object) -> dict[str, Any]:
    """Runs the job and gives its report."""
    done = rpj("tokenize", folder, "--root", root, "--quiet", "--json", "--executor", "serial", *words)
    return dict(json.loads(done.stdout))


def read_megatron(prefix: Path) -> list[list[int]]:
    """Megatron's pair by its published layout alone."""
    index, data = (
        prefix.with_name(prefix.name + ".idx").read_bytes(),
        prefix.with_name(prefix.name + ".bin").read_bytes(),
    )
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (version, documents) == (1, sequences + 1)
    dtype = {8: np.dtype("<u2"), 4: np.dtype("<i4")}[code]
    at = 34
    sizes = np.frombuffer(index, "<i4", sequences, at)
    begins = np.frombuffer(index, "<i8", sequences, at + 4 * sequences)
    numbers = np.frombuffer(index, "<i8", documents, at + 12 * sequences)
    assert len(index) == at + 12 * sequences + 8 * documents
    assert numbers.tolist() == list(range(documents))
    found = [np.frombuffer(data, dtype, size, begin).tolist() for size, begin in zip(sizes, begins, strict=True)]
    assert sum(map(len, found)) * dtype.itemsize == len(data)
    return found


def read_uint(prefix: Path) -> list[list[int]]:
    """datatrove's array and its ends."""
    ids = np.fromfile(prefix.with_name(prefix.name + ".ds"), "<u2")
    ends = np.fromfile(prefix.with_name(prefix.name + ".ds.index"), "<u8").astype(int)
    return [part.tolist() for part in np.split(ids, ends[:-1])]


def texts_of(folder: Path, name: str) -> list[str]:
    """The texts of a slice in order, without those that have no token."""
    lines = [line for path in sorted((folder / name).iterdir()) for line in path.read_text().splitlines()]
    return [text for line in lines if (text := json.loads(line)["text"])]


@pytest.fixture(scope="session")
def reference(neox: str) -> Callable[[str], list[int]]:
    """The ids of the tokenizer's library that does not look for the document end in a text, and the end."""
    config = json.loads(Path(neox).read_text())
    config["added_tokens"] = [token for token in config["added_tokens"] if token["content"] != END]
    library = tokenizers.Tokenizer.from_str(json.dumps(config))
    return lambda text: [*library.encode(text, add_special_tokens=False).ids, 0]


def tree(folder: Path) -> dict[str, str]:
    """Every exported file with its SHA-256."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "tokenize").iterdir()}


# ---------------------------------------------------------------------------------------------- a prefix a slice


@pytest.mark.parametrize(("form", "read"), [("megatron", read_megatron), ("uint", read_uint)])
def test_each_document_as_the_library_has_it(
    corpus: Path,
    tmp_path: Path,
    reference: Callable[[str], list[int]],
    form: str,
    read: Callable[[Path], list[list[int]]],
) -> None:
    """And one end after each, whatever it spells out."""
    report = tokenize(corpus, tmp_path / "out", "--format", form)
    for name in ("books", "c4", "github"):
        found = read(tmp_path / "out" / "tokenize" / name)
        assert found == [reference(text) for text in texts_of(corpus, name)]
        assert all(ids.count(0) == 1 and ids[-1] == 0 for ids in found)
        assert report["slices"][name]["documents"] == len(found)
        assert report["slices"][name]["tokens"] == sum(map(len, found))
    assert report["dtype"] == "uint16"
    assert report["encoded"]["spelled_out"] == 2


def test_the_counts_are_those_of_count_tokens(corpus: Path, tmp_path: Path) -> None:
    """And a document end each; what spells the end out has as many more as the report says."""
    report = tokenize(corpus, tmp_path / "out")
    counted = json.loads(rpj("count-tokens", corpus, "--json").stdout)
    tokens = sum(part["tokens"] for part in counted["slices"])
    encoded = report["encoded"]
    assert encoded["tokens"] == tokens + encoded["documents"] + encoded["spelled_out_tokens"]


def test_a_text_without_a_token_is_in_the_ledger(corpus: Path, tmp_path: Path) -> None:
    tokenize(corpus, tmp_path / "out")
    ledgers = sorted((tmp_path / "out/_run/tokenize/encode").glob("*drops*"))
    drops = [record for path in ledgers for record in read_jsonl(str(path))]
    assert [(drop["rule"], drop["measured"], drop["limit"]) for drop in drops] == [("no_tokens", 0, 1)]
    assert drops[0]["id"].endswith("c4/0001.jsonl#42")


def test_the_files_of_the_report_are_those_on_the_disk(corpus: Path, tmp_path: Path) -> None:
    report = tokenize(corpus, tmp_path / "out")
    named = {Path(file["path"]).name: file["sha256"] for prefix in report["prefixes"] for file in prefix["files"]}
    found = tree(tmp_path / "out")
    assert found.pop("tokens.json")
    assert named == found
    assert rpj("verify", tmp_path / "out").output.endswith("0 problems.\n")


def test_files_that_lost_their_bookkeeping_are_written_anew(corpus: Path, tmp_path: Path) -> None:
    """Receipt, ids and index gone: the manifest still says whose the ids are."""
    tokenize(corpus, tmp_path / "out")
    before = tree(tmp_path / "out")
    for path in [*(tmp_path / "out/_run/tokenize/write").glob("c4.*"), tmp_path / "out/tokenize/c4.idx"]:
        path.unlink()
    tokenize(corpus, tmp_path / "out")
    assert tree(tmp_path / "out") == before


def test_every_sequence_has_the_way_back(corpus: Path, tmp_path: Path) -> None:
    """Line i of a prefix's ids is where document i stands."""
    tokenize(corpus, tmp_path / "out")
    (path,) = (tmp_path / "out/_run/tokenize/write").glob("c4.ids.zst")
    import zstandard

    ids = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().decode().split()
    assert ids[0].endswith("c4/0000.jsonl#0")
    assert ids[-1].endswith("c4/0001.jsonl#48")
    assert len(ids) == len(texts_of(corpus, "c4"))


def test_ids_of_a_prefix_are_of_no_published_shard(corpus: Path, tmp_path: Path) -> None:
    """What the job keeps for the way back is nothing that explain could end at."""
    tokenize(corpus, tmp_path / "out")
    with pytest.raises(UsageError, match="has no such record"):
        explain(str(tmp_path / "out"), f"{corpus}/c4/0000.jsonl#0")


def test_a_large_slice_has_several_prefixes(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokenize(corpus, tmp_path / "whole")
    monkeypatch.setattr(job, "PREFIX_TOKENS", 500)
    parts = tokenize(corpus, tmp_path / "parts")
    assert [prefix["name"] for prefix in parts["prefixes"]][:2] == ["books-00000-of-00002", "books-00001-of-00002"]
    for name in ("books", "c4", "github"):
        together = [read_megatron(tmp_path / f"parts/tokenize/{name}-0000{i}-of-00002") for i in (0, 1)]
        assert [*together[0], *together[1]] == read_megatron(tmp_path / "whole/tokenize" / name)
    assert whole["slices"] == parts["slices"]


def test_pieces_of_a_shard_are_of_no_account(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenize(corpus, tmp_path / "whole", "--held-out", 0.2)
    monkeypatch.setattr(tokenize_write, "_TOKENS_AT_ONCE", 7)
    monkeypatch.setattr(tokenize_mixture, "_ROWS_AT_ONCE", 3)
    tokenize(corpus, tmp_path / "pieces", "--held-out", 0.2)
    assert tree(tmp_path / "whole") == tree(tmp_path / "pieces")


def test_what_is_held_out_is_out_and_stays_so(corpus: Path, tmp_path: Path) -> None:
    """By the text: in another file, and with another seed, the same documents."""
    every = tokenize(corpus, tmp_path / "all")
    tokenize(corpus, tmp_path / "some", "--held-out", 0.2)
    place = tmp_path / "some" / "tokenize"
    for name in ("books", "c4", "github"):
        train, held = read_megatron(place / name), read_megatron(place / f"{name}-held-out")
        assert Counter(map(tuple, train + held)) == Counter(map(tuple, read_megatron(tmp_path / "all/tokenize" / name)))
        assert 5 < len(held) < 35
    again = write(tmp_path / "moved", {name: [texts_of(corpus, name)[::-1]] for name in ("books", "c4", "github")})
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text("epochs: {books: 1, c4: 1, github: 1}\n")
    tokenize(again, tmp_path / "mixed", "--held-out", 0.2, "--mixture", mixture, "--seed", 5)
    held = [ids for name in ("books", "c4", "github") for ids in read_megatron(place / f"{name}-held-out")]
    assert Counter(map(tuple, read_megatron(tmp_path / "mixed/tokenize/held-out"))) == Counter(map(tuple, held))
    assert sum(part["tokens"] for part in every["slices"].values()) == every["encoded"]["tokens"]


FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


@pytest.mark.parametrize("vocabulary", [65_499, 65_500])
def test_two_bytes_where_the_vocabulary_fits(corpus: Path, tmp_path: Path, vocabulary: int) -> None:
    """The limit is megatron-core's."""
    tokens = {END: 0, "[UNK]": 1, **{f"w{i}": i for i in range(2, vocabulary)}}
    config = {
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": END, "special": True, **dict.fromkeys(FLAGS, False)}],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": tokens, "unk_token": "[UNK]"},
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(config))
    shards = write(tmp_path / "texts", {"c4": [[f"w2 w{vocabulary - 1}", "w3"]]})
    report = tokenize(shards, tmp_path / "out", "--tokenizer", path)
    assert report["dtype"] == ("uint16" if vocabulary < 65_500 else "uint32")
    assert read_megatron(tmp_path / "out/tokenize/c4") == [[2, vocabulary - 1, 0], [3, 0]]


def test_a_tokenizer_without_such_an_end_is_refused(corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["tokenize", str(corpus), "--root", str(tmp_path / "out"), "--end", "<stop>"])
    assert done.exit_code == 2
    assert "no token <stop>; its special tokens: <|endoftext|>, <|padding|>" in done.output
    assert not (tmp_path / "out" / "tokenize").exists()


@given(st.lists(st.integers(1, 2**31 - 1), max_size=50), st.sampled_from([2, 4]))
def test_an_index_is_header_sizes_places_numbers(sizes: list[int], item: int) -> None:
    """Also where sizes add up to more than 32 bits hold (what other builders overflowed on)."""
    data = b"".join(megatron_index(lambda: iter([np.array(sizes, "<i4")] if sizes else []), len(sizes), item))
    n = len(sizes)
    assert len(data) == 34 + 20 * n + 8
    begins = np.frombuffer(data, "<i8", n, 34 + 4 * n).tolist()
    assert begins == [item * sum(sizes[:i]) for i in range(n)]


# ---------------------------------------------------------------------------------------------- a mixture


SHARES = "tokens: 3000\nshares: {books: 60, c4: 30, github: 10}\n"


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    path = tmp_path / "mixture.yaml"
    path.write_text(SHARES)
    return path


def test_a_mixture_has_the_shares_asked(corpus: Path, tmp_path: Path, mixture: Path) -> None:
    """To within a document; whole epochs have every document."""
    report = tokenize(corpus, tmp_path / "out", "--mixture", mixture)
    plain = tokenize(corpus, tmp_path / "plain")["slices"]
    for name, asked in {"books": 1800, "c4": 900, "github": 300}.items():
        part = report["slices"][name]
        assert part["asked"] == asked
        longest = max(map(len, read_megatron(tmp_path / "plain/tokenize" / name)))
        assert asked - longest < part["tokens"] <= asked
        assert part["available"] == plain[name]["tokens"]
    found = Counter(map(tuple, read_megatron(tmp_path / "out/tokenize/train")))
    whole = read_megatron(tmp_path / "plain/tokenize/books")
    epochs = 1800 // plain["books"]["tokens"]
    assert {found[tuple(ids)] for ids in whole} == {epochs, epochs + 1}
    assert sum(found.values()) == sum(part["documents"] for part in report["slices"].values())


VARIANTS = {
    "local workers": ("--executor", "local", "--workers", "2"),
    "little memory": ("--workers", "1", "--memory", "64M"),
}


@pytest.mark.parametrize("variant", [*VARIANTS, "small buckets", "small pieces", "other paths and shards"])
def test_the_order_hangs_on_texts_and_seed_alone(
    corpus: Path, tmp_path: Path, mixture: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--mixture", mixture, "--seed", 3, "--held-out", 0.1)
    tokenize(corpus, tmp_path / "a", *words)
    other = corpus
    if variant == "small buckets":
        monkeypatch.setattr(job, "BUCKET_BYTES", 64)
        monkeypatch.setattr(job, "SCATTER_TOKENS", 100)
    elif variant == "small pieces":
        monkeypatch.setattr(tokenize_write, "_TOKENS_AT_ONCE", 7)
        monkeypatch.setattr(tokenize_write, "_FLUSH", 100)
    elif variant == "other paths and shards":
        other = write(tmp_path / "x", {name: [texts_of(corpus, name)] for name in ("github", "c4", "books")})
    tokenize(other, tmp_path / "b", *words, *VARIANTS.get(variant, ()))
    found, expected = tree(tmp_path / "b"), tree(tmp_path / "a")
    if other is not corpus:  # the report names the shards' number of documents, nothing else may differ
        found.pop("tokens.json"), expected.pop("tokens.json")
    assert found == expected


def test_another_seed_is_another_order_and_encodes_nothing_again(corpus: Path, tmp_path: Path, mixture: Path) -> None:
    tokenize(corpus, tmp_path / "out", "--mixture", mixture)
    first = read_megatron(tmp_path / "out/tokenize/train")
    encoded = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/_run/tokenize/encode").iterdir()}
    tokenize(corpus, tmp_path / "out", "--mixture", mixture, "--seed", 1)
    second = read_megatron(tmp_path / "out/tokenize/train")
    assert second != first
    assert {path: path.stat().st_mtime_ns for path in encoded} == encoded
    together = sorted(map(tuple, first)), sorted(map(tuple, second))
    assert together[0] != together[1]  # another part of the last epoch, too


def test_a_mixture_in_several_prefixes_is_the_same_order(
    corpus: Path, tmp_path: Path, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenize(corpus, tmp_path / "one", "--mixture", mixture)
    monkeypatch.setattr(job, "PREFIX_TOKENS", 1000)
    monkeypatch.setattr(job, "BUCKET_BYTES", 64)
    report = tokenize(corpus, tmp_path / "four", "--mixture", mixture)
    names = [prefix["name"] for prefix in report["prefixes"]]
    assert names == [f"train-{i:05d}-of-00004" for i in range(4)]
    parts = [ids for name in names for ids in read_megatron(tmp_path / "four/tokenize" / name)]
    assert parts == read_megatron(tmp_path / "one/tokenize/train")


REFUSED = {
    "a slice that is not there": ("shares: {books: 1, c4: 1, github: 1, arxiv: 1}", "the mixture names arxiv"),
    "a slice that is not named": ("shares: {books: 1, c4: 1}", "has github, which the mixture does not name"),
    "too many epochs": ("tokens: 100000\nshares: {books: 1, c4: 1, github: 1}", "more than 4 epochs"),
    "an unknown key": ("weights: {books: 1}", "no such key"),
    "both": ("shares: {books: 1}\nepochs: {books: 1}", "shares or epochs"),
    "neither": ("tokens: 5", "shares or epochs"),
    "a negative share": ("shares: {books: -1, c4: 1, github: 1}", "greater than or equal to 0"),
    "no share at all": ("shares: {books: 0, c4: 0, github: 0}", "every share is 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mixtures_that_cannot_be_had_are_refused(corpus: Path, tmp_path: Path, case: str) -> None:
    text, message = REFUSED[case]
    path = tmp_path / "m.yaml"
    path.write_text(text + "\n")
    words = ["tokenize", corpus, "--root", tmp_path / "out", "--mixture", path, "--executor", "serial", "--quiet"]
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (tmp_path / "out/tokenize").exists()
    if "the mixture names" in message or "does not name" in message:
        assert not [*(tmp_path / "out/_run/tokenize").glob("*/*")], "refused when something had been done"


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["c4", "c4-held-out"], True),
        (["c4", "c4-00000-of-00002"], True),
        (["c4", "c4-held-out-00000-of-00002"], True),
        (["github", "c4-held-out"], False),
        (["c4", "c4-held"], False),
    ],
)
def test_slices_called_as_the_prefixes_of_another_are_refused(tmp_path: Path, names: list[str], refused: bool) -> None:
    folder = write(tmp_path / "corpus", {name: [["a b c"]] for name in names})
    words = ["tokenize", folder, "--root", tmp_path / "out", "--held-out", 0.5, "--executor", "serial", "--quiet"]
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == (2 if refused else 0), done.output
    assert (f"the slice {names[1]} is called as a prefix of c4" in done.output) == refused
    assert bool([*(tmp_path / "out/_run/tokenize").glob("encode/*")]) != refused


def rows_of(count: int) -> np.ndarray[Any, Any]:
    """Documents with hashes as a hash gives them."""
    rows = np.zeros(count, DOCUMENT)
    hashes = np.frombuffer(b"".join(hashlib.md5(b"%d" % i).digest() for i in range(count)), "<u8").reshape(-1, 2)
    rows["high"], rows["low"], rows["n"], rows["tokens"] = hashes[:, 0], hashes[:, 1], range(count), 10
    return rows


def test_numbers_are_evenly_spread_and_of_one_purpose() -> None:
    """A document held out, drawn, or early in one epoch is no likelier to be so elsewhere."""
    rows = rows_of(20_000)
    assert abs(held_out(rows, 0.3).mean() - 0.3) < 0.015
    assert held_out(rows, 0.0).sum() == 0
    orders = [order_of(rows, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    ranks = np.argsort(np.argsort(np.array(orders), axis=1), axis=1)
    assert np.abs(np.corrcoef(ranks) - np.eye(4)).max() < 0.03
    apart = held_out(rows, 0.5)
    assert abs(ranks[0][apart].mean() / 10_000 - 1) < 0.03


def test_the_part_of_an_epoch_is_exact_also_among_equal_texts(tmp_path: Path) -> None:
    """Ten shards of the same text: what decides is the shard and the record."""
    rows = np.repeat(rows_of(1), 10)
    rows["n"] = range(10)
    files = []
    for rank in range(10):
        (tmp_path / f"{rank}").write_bytes(rows.tobytes())
        files.append((rank, str(tmp_path / f"{rank}")))
    share = shares_of(Mixture(epochs={"c4": 0.355}), {"c4": files}, seed=0, held=0.0)["c4"]
    assert (share.available, share.asked, share.epochs) == (1000, 355, 0)
    taken = [int(in_part(rows, rank, 0, share.cut).sum()) for rank in range(10)]
    assert taken == [10, 10, 10, 5, 0, 0, 0, 0, 0, 0]


def test_shares_add_up_to_the_tokens_asked(tmp_path: Path) -> None:
    shards = {}
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / name).write_bytes(rows_of(100 + number).tobytes())
        shards[name] = [(number, str(tmp_path / name))]
    for total in (1000, 1001, 1003):
        shares = shares_of(Mixture(tokens=total, shares=dict.fromkeys(shards, 1.0)), shards, seed=0, held=0.0)
        assert sum(share.asked for share in shares.values()) == total


@pytest.mark.parametrize(("name", "field"), [("c4", "text"), ("github", "content")])
def test_real_texts_as_the_library_has_them(
    shared_data: Path, tmp_path: Path, reference: Callable[[str], list[int]], name: str, field: str
) -> None:
    """Document by document; one of GitHub's spells the end out."""
    lines = [
        line for path in (shared_data / name).glob("*.gz") for line in gzip.decompress(path.read_bytes()).split(b"\n")
    ]
    texts = [
        text for line in lines if line and isinstance(text := json.loads(line).get(field), str) and len(text) < 20_000
    ]
    assert len(texts) > 500
    folder = write(tmp_path / "texts", {name: [texts]})
    tokenize(folder, tmp_path / "out")
    found = read_megatron(tmp_path / "out/tokenize" / name)
    assert found == [reference(text) for text in texts if text]
