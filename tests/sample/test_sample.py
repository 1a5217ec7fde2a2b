"""The sample: the same everywhere, whole in its formats, and what is planted is there (counted in the raw files)."""

from __future__ import annotations

import ast
import bz2
import gzip
import hashlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redpajama_data import sample
from redpajama_data.sample import arxiv, books, c4, github, stackexchange, wikipedia
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.programs import LANGUAGES, program
from redpajama_data.sample.prose import Chance, plural

NAMES = [name for name in sample.SLICES if find_spec(f"redpajama_data.sample.{name}")]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    sample.build(folder, NAMES)
    return folder


def planted(table: Sequence[Planted], rule: str) -> int:
    return sum(row.number for row in table if row.rule == rule)


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "rpj.yaml")  # names folder
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines_of(folder: Path, pattern: str) -> list[bytes]:
    return [line for path in sorted(folder.glob(pattern)) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_same_bytes_in_another_process(raw: Path, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from redpajama_data import sample; sample.build(pathlib.Path(sys.argv[1]), sys.argv[2:])"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path), *NAMES], env=environment, check=True)
    assert digest(tmp_path) == digest(raw)


def test_build_returns_what_it_wrote_and_leaves_nothing_else(tmp_path: Path) -> None:
    sample.build(tmp_path, ["c4"])
    (tmp_path / "c4" / "c4-train.00000-of-00002.json.gz").write_bytes(b"old")
    written = sample.build(tmp_path, ["c4"])
    assert {path.name for path in written} >= {f"c4-train.{n:05d}-of-00002.json.gz" for n in (0, 1)}
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == written
    assert written[0].read_bytes() != b"old"


def test_unknown_slice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no slice 'c5'"):
        sample.build(tmp_path, ["c5"])
    assert not list(tmp_path.iterdir())


def test_small(raw: Path) -> None:
    assert sum(path.stat().st_size for path in raw.rglob("*") if path.is_file()) < 3_000_000


# --- words and programs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "expected"), [("gull", "gulls"), ("latch", "latches"), ("jury", "juries"), ("buoy", "buoys")]
)
def test_plural(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_chance_is_pinned() -> None:
    chance = Chance("pin")
    assert [chance.below(1000) for _ in range(4)] == [166, 404, 42, 448]


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_programs_have_no_slot_left(language: Any) -> None:
    for seed in range(5):
        made = program(Chance(f"program {seed}"), language)
        assert not re.search(r"@(?!media|echo)\w+@|<<<$|>>>$", made.path + made.content, re.MULTILINE)
        assert len(made.content.splitlines()) >= 10
        if language.name == "Python":
            ast.parse(made.content)


# --- github -------------------------------------------------------------------------------------------------------

KEYS = ["repo_name", "ref", "path", "mode", "id", "size", "binary", "copies", "sample_repo_name", "sample_path"]
KEYS += ["license", "language", "content"]
_ENDINGS = (
    ".c .h .cs .cpp .hpp .css .go .hs .html .java .js .lua .md .php .pl .pm .py .rb"
    " .rs .sql .scala .sh .ts .tex .rst .m"
)
EXTENSIONS = (*_ENDINGS.split(), "Dockerfile", "Makefile")  # those of the published list that the sample uses


def github_records(raw: Path) -> Iterator[dict[str, Any] | None]:
    for line in lines_of(raw / "github", "github_*.gz"):
        try:
            record = json.loads(line.decode())
        except ValueError:
            yield None
            continue
        sound = isinstance(record, dict) and isinstance(record.get("path"), str)
        yield record if sound and isinstance(record.get("content"), (str, type(None))) else None


def stripped(content: str) -> str:
    block = re.search(r"/\*.*?\*/", content, re.DOTALL)
    if block:
        return content.replace(block[0], "", 1) if "copyright" in block[0].lower() else content
    lines = content.split("\n")
    while lines and (not lines[0] or lines[0].startswith(("//", "#", "--"))):
        del lines[0]
    return "\n".join(lines)


def github_fate(record: dict[str, Any] | None, seen: set[str]) -> str:
    """The rule that drops a record; what is left is "" and may still fall by its tokens."""
    if record is None:
        return "malformed"
    path, content = record["path"], record.get("content")
    if content is None:
        return "content_not_null"
    if not str(record.get("license")).startswith(("mit", "bsd", "apache")):
        return "license_starts_with"
    if path == "LICENSE" or path.endswith(".crt"):
        return "path_not_in"
    if content in seen:
        return "duplicate"
    seen.add(content)
    text = stripped(content)
    if not text:
        return "not_empty"
    if not path.endswith(EXTENSIONS):
        return "extension_in"
    lines = text.splitlines()
    if max(map(len, lines)) > 1000:
        return "max_line_length"
    if len(text) / len(lines) > 100:
        return "avg_line_length"
    return "min_alnum_prop" if sum(map(str.isalnum, text)) / len(text) < 0.25 else ""


def test_github_planted_by_rule(raw: Path) -> None:
    seen: set[str] = set()
    fates = Counter(github_fate(record, seen) for record in github_records(raw))
    rules = {row.rule for row in github.PLANTED} - {"", "min_alpha_per_token"}
    assert {rule: fates[rule] for rule in rules} == {rule: planted(github.PLANTED, rule) for rule in rules}
    assert set(fates) - {""} == rules
    assert fates[""] > 250


def test_github_letters_a_token(raw: Path, neox: str) -> None:
    tokenizers = importlib.import_module("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(neox)
    seen: set[str] = set()
    few = []
    for record in github_records(raw):
        if record is None or github_fate(record, seen):
            continue
        text = stripped(record["content"])
        if sum(map(str.isalpha, text)) / len(tokenizer.encode(text, add_special_tokens=False).ids) < 1.5:
            few.append(record["path"])
    assert sorted(few) == ["data/prices.sql", "fixtures/series.py", "src/crc_table.c"]
    assert len(few) == planted(github.PLANTED, "min_alpha_per_token")


def test_github_rows_are_those_of_the_export(raw: Path) -> None:
    records = [record for record in github_records(raw) if record is not None]
    number = Counter(record.get("content") for record in records)
    for record in records:
        assert [key for key in KEYS if key in record] == list(record)
        assert {type(record[key]) for key in record if key not in ("license", "language", "binary", "content")} == {str}
        assert all(list(language) == ["name", "bytes"] for language in record["language"])
        if record.get("content"):
            data = record["content"].encode()
            assert record["id"] == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            assert record["size"] == str(len(data))
            assert int(record["copies"]) == number[record["content"]]
    assert Counter(set(KEYS) <= set(record) for record in records)[False] == 5  # three without content, two a licence


def test_github_odd_files_that_stay(raw: Path) -> None:
    texts = {r["path"]: r["content"] for r in github_records(raw) if r is not None and r.get("content")}
    contents = list(texts.values())
    assert sum("\r\n" in content for content in contents) == 4
    assert sum(not content.isascii() for content in contents) == 6
    assert sum("<|endoftext|>" in content for content in contents) == 1
    assert sum(" " * 600 in content for content in contents) == 2
    assert max(map(len, texts["docs/just-fits.md"].splitlines())) == 1000
    assert max(map(len, texts["docs/one-too-many.md"].splitlines())) == 1001
    assert len(texts["docs/hundred.md"]) == 100 * len(texts["docs/hundred.md"].splitlines())
    assert 4 * sum(map(str.isalnum, texts["docs/quarter.md"])) == len(texts["docs/quarter.md"])
    second = texts["src/second_block.rs"]
    assert len(re.findall(r"/\*", second)) == 2
    assert second.index("Copyright") > second.index("*/")
    spoken = {path.rpartition(".")[2] for path in texts}
    assert (
        len(spoken & {"py", "js", "ts", "rb", "php", "lua", "c", "hpp", "java", "cs", "go", "rs", "scala", "hs"}) == 14
    )


def test_github_lost_text(raw: Path) -> None:
    first: dict[str, dict[str, Any]] = {}
    lost = saved = within = across = 0
    shard_of: dict[int, int] = {}
    for shard, path in enumerate(sorted((raw / "github").iterdir())):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            try:
                record = json.loads(line.decode())
            except ValueError:
                continue
            content = record.get("content") if isinstance(record, dict) else None
            if not isinstance(content, str) or not content or "path" not in record:
                continue
            earlier = first.setdefault(content, record)
            shard_of.setdefault(id(earlier), shard)
            if earlier is record or record["path"] == "LICENSE.md" or earlier["path"] == "LICENSE.md":
                continue
            if earlier["license"] == "gpl-2.0":
                saved += 1
            elif earlier["path"].endswith(".txt"):
                lost += 1
            elif shard_of[id(earlier)] == shard:
                within += 1
            else:
                across += 1
    assert (within, across, lost, saved) == (10, 12, 3, 2)


# --- c4 -----------------------------------------------------------------------------------------------------------


def test_c4_planted(raw: Path) -> None:
    lines = [line for path in sorted((raw / "c4").iterdir()) for line in io.BytesIO(gzip.decompress(path.read_bytes()))]
    good, bad = [], 0
    for line in lines:
        try:
            record = json.loads(line)
            good.append((record["text"] + "", record["timestamp"], record["url"], list(record)))
        except (ValueError, KeyError, TypeError):
            bad += 1
    assert bad == planted(c4.PLANTED, "malformed") == 5
    assert lines.count(b"\n") == 1
    assert len(good) - len({(text, url) for text, _, url, _ in good}) == 3
    assert [keys for *_, keys in good if keys != ["text", "timestamp", "url"]] == [["url", "timestamp", "text"]]
    assert sum(not text for text, *_ in good) == 1
    assert sum("\u2028" in text and "\x01" in text and "\U0001f600" in text for text, *_ in good) == 1
    assert max(len(text) for text, *_ in good) == 40000


# --- books --------------------------------------------------------------------------------------------------------


def simhash(text: str) -> int:
    """SimHash of the published recipe: 6-char windows, last 8 bytes of MD5, a bit is set by a strict majority."""
    text = re.sub(r"[^\w]+", "", text.lower())
    windows = Counter(text[at : at + 6] for at in range(max(len(text) - 5, 1)))
    hashes = np.frombuffer(b"".join(hashlib.md5(w.encode()).digest()[8:] for w in windows), dtype=">u8").astype("<u8")
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    weights = np.fromiter(windows.values(), dtype=np.float64)
    ones = weights @ bits
    return int(np.packbits(ones * 2 > weights.sum(), bitorder="little").view("<u8")[0])


def test_books_near_duplicates_and_no_others(raw: Path) -> None:
    found: dict[str, str] = {}
    broken = Counter[str]()
    for name in ("pg19-train", "pg19-test", "pg19-validation", "books3-train"):
        for number, line in enumerate((raw / "books" / f"{name}.jsonl").read_text().splitlines()):
            record = json.loads(line)
            if isinstance(record.get("text"), str):
                found[f"{name} {number}"] = record["text"]
                keys = ["title"] if name == "books3-train" else ["short_book_title", "publication_date", "url"]
                assert list(record) == [*keys, "text"]
            else:
                broken[f"{name} {number}"] += 1
    assert set(broken) == {"pg19-train 4", "books3-train 6"}
    assert len(broken) == planted(books.PLANTED, "malformed")
    hashes = {place: simhash(text) for place, text in found.items()}
    places = list(hashes)
    apart = {(a, b): (hashes[a] ^ hashes[b]).bit_count() for at, a in enumerate(places) for b in places[at + 1 :]}
    assert {pair for pair, bits in apart.items() if bits <= 5} == {
        ("pg19-train 0", "pg19-train 2"),
        ("pg19-train 0", "books3-train 3"),
        ("pg19-train 2", "books3-train 3"),
        ("pg19-train 1", "pg19-train 6"),
        ("pg19-train 5", "books3-train 5"),
        ("pg19-test 1", "pg19-validation 0"),
        ("pg19-validation 1", "books3-train 1"),
    }
    assert min(bits for bits in apart.values() if bits > 5) >= 10  # room for another rounding of the hash
    assert len(found) == len(set(found.values()))  # no exact copies


def test_gutenberg(raw: Path) -> None:
    data = {path.name: path.read_bytes() for path in (raw / "books" / "gutenberg").iterdir()}
    assert len(data) == 5
    assert all(b"\r\n" in text for text in data.values())
    marks = {name: (text.count(b"*** START OF TH"), text.count(b"*** END OF TH")) for name, text in data.items()}
    assert Counter(marks.values()) == {(1, 1): 4, (0, 0): 1}
    with pytest.raises(UnicodeDecodeError):
        data["pg91003.txt"].decode()
    assert "Légende" in data["pg91003.txt"].decode("latin-1")
    one, two = (data[name].decode("utf-8-sig").split("***")[2] for name in ("pg91002.txt", "pg91004.txt"))
    assert one != two
    assert (simhash(one) ^ simhash(two)).bit_count() <= 5


# --- arxiv --------------------------------------------------------------------------------------------------------


def papers(raw: Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    found = {}
    for path in sorted((raw / "arxiv").iterdir()):
        with tarfile.open(path) as tar:
            for info in tar:
                if info.isfile():
                    member = tar.extractfile(info)
                    assert member is not None
                    found[info.name] = (info, member.read())
    return found


def project_of(data: bytes) -> dict[str, tarfile.TarInfo] | None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            return {info.name: info for info in tar}
    except tarfile.TarError:
        return None


def test_arxiv_layout(raw: Path) -> None:
    found = papers(raw)
    assert {name.partition("/")[0] for name in found} == {"0301", "2301"}
    assert all(info.mtime >= 1_675_209_600 for info, _ in found.values())
    assert sum(name.endswith(".pdf") for name in found) == planted(arxiv.PLANTED, "pdf_only")
    assert {name[5:] for name in found if name.startswith("0301/")} == {
        "astro-ph0301001.gz",
        "cs0301002.gz",
        "math.GT0301007.gz",
    }


def test_arxiv_hostile(raw: Path) -> None:
    found = papers(raw)
    bomb = found["2301/2301.00016.gz"][1]
    assert len(bomb) < 80_000
    size = 0
    with gzip.open(io.BytesIO(bomb)) as stream:  # the checksum is tested at the end
        while piece := stream.read(1 << 20):
            size += len(piece)
    assert arxiv.BOMB_BYTES < size < arxiv.BOMB_BYTES + 100
    cut = found["2301/2301.00019.gz"][1]
    with pytest.raises(EOFError):
        gzip.decompress(cut)
    kinds = Counter[str]()
    for name, (_, data) in found.items():
        members = (project_of(data) if name.endswith(".gz") and data not in (cut, bomb) else None) or {}
        for inner, info in members.items():
            if inner.endswith(".tex"):
                kinds["safe_name"] += inner.startswith("/") or ".." in inner
                kinds["plain_file"] += not info.isfile()
    assert kinds == {rule: planted(arxiv.PLANTED, rule) for rule in ("safe_name", "plain_file")}


def test_arxiv_sources(raw: Path) -> None:
    found = papers(raw)

    def source(number: int) -> bytes:
        return gzip.decompress(found[f"2301/2301.{number:05d}.gz"][1])

    latin = 0
    for number in (*range(1, 16), 18, 20, 21):
        try:
            source(number).decode()
        except UnicodeDecodeError:
            latin += 1
    assert latin == planted(arxiv.PLANTED, "strict_utf8")
    assert b"\\newcommand{\\name}{Erd\xc5\x91s}\n" in source(9)
    header = rb"\\(chapter|part|(sub)*section)\*?\{"
    assert not re.search(header, source(10))
    assert not re.search(header, source(11))
    assert source(17) == b""
    assert not any(name.endswith(".tex") for name in project_of(found["2301/2301.00018.gz"][1]) or {})
    assert source(20).count(b"\r\n") == source(20).count(b"\n") > 50
    assert re.search(header, source(21)).start() == source(21).index(b"\\section{Hidden")  # type: ignore[union-attr]
    assert b"\n% TODO" in source(4)
    assert b"\n  % an indented" in source(4)
    assert re.search(rb"[a-z.,]% joined", source(4))
    assert b"\\appendix\n" in source(5)
    assert b"\\begin{thebibliography}" in source(6)
    assert len([name for name in project_of(found["2301/2301.00001.gz"][1]) or {} if name.endswith(".tex")]) == 3


# --- wikipedia ----------------------------------------------------------------------------------------------------

SPACE = "{http://www.mediawiki.org/xml/export-0.10/}"


@pytest.mark.parametrize(("language", "redirects", "others"), [("en", 4, 4), ("de", 2, 2)])
def test_wikipedia_pages(raw: Path, language: str, redirects: int, others: int) -> None:
    (path,) = (raw / "wikipedia").glob(f"{language}wiki-20230320-*.xml.bz2")
    pages = ElementTree.fromstring(bz2.decompress(path.read_bytes())).findall(f"{SPACE}page")
    titles = [page.findtext(f"{SPACE}title") for page in pages]
    assert len(titles) == len(set(titles))
    numbers = [int(page.findtext(f"{SPACE}id") or 0) for page in pages]
    assert numbers == sorted(set(numbers))
    assert sum(page.find(f"{SPACE}redirect") is not None for page in pages) == redirects
    assert sum(page.findtext(f"{SPACE}ns") != "0" for page in pages) == others
    texts = [page.find(f"{SPACE}revision/{SPACE}text") for page in pages]
    assert sum(text is None or text.text is None for text in texts) == (2 if language == "en" else 0)
    whole = "".join(text.text or "" for text in texts if text is not None)
    wanted = ["[[Category:", "<ref", "{|", "{{Infobox", "[[File:", "__NOTOC__", "<gallery>", "<!--"]
    for mark in wanted if language == "en" else ["[[Kategorie:", "[[Datei:", "[[Bild:", "{{Infobox", "ß"]:
        assert mark in whole


def test_wikipedia_planted_in_all() -> None:
    rules = {rule: planted(wikipedia.PLANTED, rule) for rule in ("redirect", "not_article", "no_text", "not_empty")}
    assert rules == {"redirect": 6, "not_article": 6, "no_text": 2, "not_empty": 3}


def test_wikipedia_multistream_and_index(raw: Path) -> None:
    folder = raw / "wikipedia"
    (dump,) = folder.glob("*multistream.xml.bz2")
    (index,) = folder.glob("*multistream-index.txt.bz2")
    data = dump.read_bytes()
    entries = [line.split(":", 2) for line in bz2.decompress(index.read_bytes()).decode().splitlines()]
    offsets = sorted({int(offset) for offset, _, _ in entries})
    assert len(offsets) > 3
    head = bz2.BZ2Decompressor()
    assert head.decompress(data).endswith(b"</siteinfo>\n")
    assert len(data) - len(head.unused_data) == offsets[0]
    for offset in offsets:
        block = bz2.BZ2Decompressor().decompress(data[offset:]).decode()
        wanted = [f"{number}" for at, number, _ in entries if int(at) == offset]
        assert re.findall(r"^    <id>(\d+)</id>", block, re.MULTILINE) == wanted


# --- stack exchange -----------------------------------------------------------------------------------------------


def posts(raw: Path, tmp_path: Path) -> dict[str, list[str]]:
    py7zr = importlib.import_module("py7zr")
    folder = raw / "stackexchange"
    found = {path.parent.name: path.read_bytes() for path in folder.glob("*/Posts.xml")}
    for path in folder.glob("*.7z"):
        with py7zr.SevenZipFile(path) as archive:
            assert set(archive.getnames()) == {
                f"{name}.xml" for name in ("Badges", "Comments", "Posts", "Tags", "Users", "Votes")
            }
            archive.extract(tmp_path / path.stem, targets=["Posts.xml"])
        found[path.stem] = (tmp_path / path.stem / "Posts.xml").read_bytes()
    return {site: data.decode("utf-8-sig").split("\r\n") for site, data in found.items()}


def test_stackexchange_planted(raw: Path, tmp_path: Path) -> None:
    sites = posts(raw, tmp_path)
    assert len(sites) == 3
    broken, untitled, orphans, unanswered = 0, 0, 0, 0
    for lines in sites.values():
        assert lines[:2] == ['<?xml version="1.0" encoding="utf-8"?>', "<posts>"]
        assert lines[-1] == "</posts>"
        rows = []
        for row in re.findall("<row.*?/>", "\n".join(lines), re.DOTALL):  # one has a line break inside
            try:
                rows.append(dict(ElementTree.fromstring(row).items()))
            except ElementTree.ParseError:
                broken += 1
        questions = {row["Id"] for row in rows if "ParentId" not in row}
        parents = Counter(row["ParentId"] for row in rows if "ParentId" in row)
        assert len({row["Id"] for row in rows}) == len(rows)
        untitled += sum("ParentId" not in row and "Title" not in row for row in rows)
        orphans += sum(number for parent, number in parents.items() if parent not in questions)
        unanswered += sum(row["Id"] not in parents and "Title" in row for row in rows)
    assert broken == planted(stackexchange.PLANTED, "malformed")
    assert untitled == planted(stackexchange.PLANTED, "no_title")
    assert orphans == planted(stackexchange.PLANTED, "orphan_answer")
    assert unanswered == 3


def test_stackexchange_score_order(raw: Path, tmp_path: Path) -> None:
    rows = []
    for line in posts(raw, tmp_path)["allotment.stackexchange.com"][2:-1]:
        try:
            rows.append(ElementTree.fromstring(line))
        except ElementTree.ParseError:
            continue
    (number,) = (row.get("Id") for row in rows if row.get("Title") == "Which answer comes first?")
    scores = [row.get("Score", "") for row in rows if row.get("ParentId") == number]
    assert sorted(scores, reverse=True) == ["9", "85", "100", "10", "0", "-5", "-1"] != scores
    places = {row.get("Id"): at for at, row in enumerate(rows)}
    early = [row for at, row in enumerate(rows) if places.get(row.get("ParentId"), -1) > at]
    assert len(early) == 1
