"""ArXiv's bulk tars: what is a paper, in which order, and what hostile archives come to."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import random
import tarfile
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import language, latex, latex_macros
from redpajama_data.document import Document, Drop, Rejected, Step, run_steps
from redpajama_data.errors import BrokenInput, MissingModel
from redpajama_data.io import tar_members
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve
from slices.readers.arxiv_reader import published_id, read_arxiv_tar
from slices.readers.arxiv_sources import read_sources

gz = partial(gzip.compress, mtime=0)  # the same bytes in every process that collects these cases
TEX = b"\\section{S} text"


def info(name: str, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    for field, value in {"mtime": 1_500_000_000, **fields}.items():
        setattr(entry, field, value)
    return entry


def tar(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for entry, data in members:
            header = info(entry) if isinstance(entry, str) else entry
            if header.isreg():
                header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return out.getvalue()


def project(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    return gz(tar(members))


def read(tmp_path: Path, bulk: bytes, **bounds: int) -> list[Document | Rejected]:
    place = tmp_path / "arXiv_src_1501_001.tar"
    place.write_bytes(bulk)
    before = sorted(tmp_path.rglob("*"))
    records = list(read_arxiv_tar(str(place), **bounds))
    assert sorted(tmp_path.rglob("*")) == before, "nothing is unpacked"
    return records


def sources(record: Document | Rejected) -> Any:
    return record.drop.rule if isinstance(record, Rejected) else record.work["sources"]


LID = "models/lid.176.ftz"


def test_real_bulk_tars_give_the_published_documents(shared_data: Path) -> None:
    steps: list[Step] = [
        latex.strict_utf8,
        latex_macros.collect_macros,
        latex.start_at_first_header,
        latex.remove_comment_lines,
        latex.remove_inline_comments,
        latex.cut_at_appendix,
        latex_macros.ascii_macros,
        partial(latex_macros.expand_macros, max_inserted_chars=1 << 24),
        latex.join_sources,
        latex.not_empty,
        partial(language.record_language, model=ModelFile(str(shared_data / LID), ""), line=language.arxiv_line),
    ]
    ours = []
    dropped = []
    for place in sorted((shared_data / "arxiv").glob("*.tar")):
        for record in read_arxiv_tar(str(place)):
            result = record.drop if isinstance(record, Rejected) else run_steps(record, steps)
            if isinstance(result, Drop):
                dropped.append(result.rule)
            else:
                sha = hashlib.sha256(result.text.encode()).hexdigest()
                ours.append(json.dumps({"sha256": sha, "chars": len(result.text), "meta": result.meta}))
    with gzip.open(shared_data / "expected" / "arxiv.jsonl.gz", "rt") as expected:
        assert ours == [json.dumps(json.loads(line)) for line in expected]
    assert dropped == ["strict_utf8", "ascii_macros", "ascii_macros", "strict_utf8", "pdf_only"]


def test_papers_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    single = gz(TEX)
    names = ["1501/math1501002.gz", "1501/1501.00002.gz", "1412/1501.00001.gz", "1501/hep-th1501001.gz"]
    bulk = tar([(info("1501/", type=tarfile.DIRTYPE), b""), *((name, single) for name in names)])
    records = read(tmp_path, bulk)
    place = tmp_path / "arXiv_src_1501_001.tar"
    assert [record.id for record in records] == [f"{place}#{i}" for i in range(4)]
    metas = [record.meta for record in records if isinstance(record, Document)]
    assert [(meta["yymm"], meta["arxiv_id"]) for meta in metas] == [
        ("1412", "1501.00001"),
        ("1501", "1501.00002"),
        ("1501", "hep-th/1501001"),
        ("1501", "math/1501002"),
    ]
    assert list(metas[0].items()) == [
        ("timestamp", "2017-07-14T02:40:00"),
        ("yymm", "1412"),
        ("arxiv_id", "1501.00001"),
        ("language", ""),
        ("url", "https://arxiv.org/abs/1501.00001"),
        ("source", "arxiv"),
    ]


@pytest.mark.parametrize(
    ("raw", "published"),
    [
        ("1501.00001", "1501.00001"),
        ("hep-th0309001", "hep-th/0309001"),
        ("math.GT0001007", "math.GT0001007"),
        ("1501.00001v2", "1501.00001v2"),
        ("abc", "abc"),
    ],
)
def test_ids(raw: str, published: str) -> None:
    assert published_id(raw) == published


LINK: dict[str, Any] = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
HARD: dict[str, Any] = {"type": tarfile.LNKTYPE, "linkname": "b.tex"}


@pytest.mark.parametrize(
    ("name", "data", "outcome"),
    [
        ("x/a.gz", gz(TEX), [TEX]),
        ("x/a.gz", gz(TEX) + gz(TEX), [TEX + TEX]),
        ("x/a.gz", gz(b""), [b""]),
        ("x/a.gz", gz(b"\0" * 1024), []),
        ("x/a.gz", project(("b.tex", b"2"), ("c.TEX", b"3"), ("a.tex", b"1")), [b"2", b"1"]),
        ("x/a.gz", project(("notes.txt", b"1")), []),
        ("x/a.gz", project((b"caf\xe9.tex".decode("utf-8", "surrogateescape"), b"1")), [b"1"]),
        ("x/a.gz", project(("inner.tar", tar([("b.tex", b"2")])), ("a.tex", b"1")), [b"1"]),
        ("x/a.gz", tar([("b.tex", b"2")]), [b"2"]),
        ("x/a.gz", project((info("fig.eps", **LINK), b""), ("a.tex", b"1")), [b"1"]),
        ("x/a.gz", project((info("a.tex", **LINK), b"")), "plain_file"),
        ("x/a.gz", project(("b.tex", b""), (info("a.tex", **HARD), b"")), "plain_file"),
        ("x/a.gz", project((info("a.tex", type=tarfile.DIRTYPE), b"")), "plain_file"),
        ("x/a.gz", project((info("a.tex", type=tarfile.CHRTYPE), b"")), "plain_file"),
        ("x/a.gz", project(("../a.tex", b"1")), "safe_name"),
        ("x/a.gz", project(("/a.tex", b"1")), "safe_name"),
        ("x/a.gz", b"plain text", "malformed"),
        ("x/a.gz", gz(TEX)[:-9], "malformed"),
        ("x/a.gz", gz(TEX) + b"garbage", "malformed"),
        ("x/a.gz", bz2.compress(TEX), "malformed"),
        ("x/a.gz", b"", "malformed"),
        ("x/a.pdf", b"%PDF", "pdf_only"),
        ("x/a.tar", tar([("b.tex", b"2")]), "not_a_paper"),
        ("x/a.GZ", gz(TEX), "not_a_paper"),
        ("x/../../a.gz", gz(TEX), "safe_name"),
        ("/etc/a.gz", gz(TEX), "safe_name"),
        (b"x/\xe9.gz".decode("utf-8", "surrogateescape"), gz(TEX), "safe_name"),
        (info("x/a.gz", **LINK), b"", "plain_file"),
        (info("x/a.gz", type=tarfile.LNKTYPE, linkname="x/b.gz"), b"", "plain_file"),
        (info("x/a.gz", type=tarfile.BLKTYPE), b"", "plain_file"),
        (info("x/a.gz", type=tarfile.FIFOTYPE), b"", "plain_file"),
        (info("x/a.gz", mtime=1 << 62), gz(TEX), "malformed"),
    ],
)
def test_what_becomes_of_a_member(tmp_path: Path, name: Any, data: bytes, outcome: Any) -> None:
    records = read(tmp_path, tar([(name, data), ("x/z.gz", gz(TEX))]))
    assert sorted(map(str, map(sources, records))) == sorted([str(outcome), str([TEX])])


def test_the_last_member_of_a_name_counts(tmp_path: Path) -> None:
    bulk = tar([("x/a.gz", gz(b"1")), ("x/b.gz", gz(b"2")), ("x/a.gz", gz(b"3"))])
    assert [sources(record) for record in read(tmp_path, bulk)] == ["overwritten", [b"3"], [b"2"]]


def test_a_cut_project_is_one_source_as_published(tmp_path: Path) -> None:
    cut = tar([("a.tex", TEX), ("b.tex", b"x" * 2000)])[:2500]
    assert [sources(record) for record in read(tmp_path, tar([("x/a.gz", gz(cut))]))] == [[cut]]


def _damaged(bulk: bytes) -> dict[str, tuple[bytes, int]]:
    """Bulk tars and how many of their three papers are whole."""
    second = bulk.index(b"x/b.gz")
    third = bulk.index(b"x/c.gz")
    return {
        "cut in the first header": (bulk[:100], 0),
        "cut in data": (bulk[: third - 600], 1),
        "cut in padding": (bulk[: third - 1], 1),
        "cut between members": (bulk[:third], 2),
        "cut in a header": (bulk[: third + 100], 2),
        "cut before the end mark": (bulk[: third + 512 + 512], 3),
        "header overwritten": (bulk[:second] + b"?" * 512 + bulk[second + 512 :], 2),
        "negative size": (bulk[: second + 124] + b"\xff" * 11 + b"\0" + bulk[second + 136 :], 2),
        "zeros for a header": (bulk[:second] + bytes(512) + bulk[second + 512 :], 2),
        "zeros for a member": (bulk[:second] + bytes(third - second) + bulk[third:], 2),
        "data behind the end mark": (bulk + b"added by a bad upload", 3),
        "empty": (b"", 0),
        "no tar": (b"hello " * 1000, 0),
    }


@pytest.mark.parametrize("kind", list(_damaged(b"x/b.gz x/c.gz")))
def test_a_damaged_bulk_tar_keeps_what_is_whole(tmp_path: Path, kind: str) -> None:
    paper = gz(TEX)
    noise = gz(random.Random(0).randbytes(700))
    bulk, whole = _damaged(tar([("x/a.gz", paper), ("x/b.gz", noise), ("x/c.gz", paper)]))[kind]
    place = tmp_path / "cut.tar"
    place.write_bytes(bulk)
    records: list[Document | Rejected] = []
    with pytest.raises(BrokenInput, match="fetch it again"):
        records.extend(_each_into(records, read_arxiv_tar(str(place))))
    assert len(records) == whole


def test_tars_put_together_are_one(tmp_path: Path) -> None:
    one, two = tar([("x/a.gz", gz(b"1")), ("x/b.gz", gz(b"2"))]), tar([("x/c.gz", gz(b"3")), ("y/a.gz", gz(b"4"))])
    for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        three = tar([(info("z/" + "n" * 90 + ".gz", pax_headers={"comment": "c"}), gz(b"5"))], format)
        records = read(tmp_path, one + bytes(10_240) + two + three + bytes(777))
        assert [sources(record) for record in records] == [[b"1"], [b"2"], [b"3"], [b"4"], [b"5"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gz(TEX), "a source of one paper, no bulk tar"),
        (project(("main.tex", TEX)), "the archive of one paper, no bulk tar"),
        (tar([("main.tex", TEX), ("fig.eps", b"")]), "a tar without a paper .*it holds 'main.tex'"),
        (tar([(info("2301", type=tarfile.DIRTYPE), b"")] * 3), "a tar of nothing but folders"),
        (b"%PDF-1.5", "the PDF of one paper, no bulk tar"),
        (gz(tar([("1501/1501.00001.gz", gz(TEX))])), "a gzipped tar. Unpack it"),
        (b"<html><body>", "it is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (bytes(10_240), "nothing but zero bytes"),
        (b"", "an empty file"),
        (b"PK\x03\x04", "a zip archive"),
    ],
)
def test_what_is_no_bulk_tar_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(BrokenInput, match=message) as caught:
        read(tmp_path, data)
    assert caught.value.message.endswith(".")


BULK = tar([(f"x/{n}.gz", gz(b"paper %d " % n * 9)) for n in range(4)], tarfile.PAX_FORMAT)
BLOCKS = st.one_of(st.integers(0, len(BULK) // 512).map(lambda block: block * 512), st.integers(0, len(BULK)))


@settings(max_examples=300)
@given(st.sampled_from(["flip", "zero", "delete", "insert", "cut", "append"]), BLOCKS, BLOCKS, st.binary(max_size=600))
def test_no_paper_is_lost_in_silence(
    tmp_path_factory: pytest.TempPathFactory, how: str, first: int, end: int, junk: bytes
) -> None:
    """A paper of the tar that is missing or changed means that it is rejected, or that damage is reported."""
    first, end = min(first, end), max(first, end)
    data = {
        "flip": BULK[:first] + bytes(255 - byte for byte in BULK[first : first + 1]) + BULK[first + 1 :],
        "zero": BULK[:first] + bytes(end - first) + BULK[end:],
        "delete": BULK[:first] + BULK[end:],
        "insert": BULK[:first] + junk + BULK[first:],
        "cut": BULK[:first],
        "append": BULK + junk,
    }[how]
    place = tmp_path_factory.mktemp("tar") / "a.tar"
    place.write_bytes(data)
    found: list[Document | Rejected | BrokenInput] = []
    try:
        for record in read_arxiv_tar(str(place)):
            found.append(record)
    except BrokenInput as error:
        found.append(error)
    texts = [record.work["sources"][0] for record in found if isinstance(record, Document)]
    expected = [b"paper %d " % n * 9 for n in range(4)]
    assert set(texts) <= set(expected)
    # Whole members taken out leave no trace, and zeros from a member on to the end are an end mark.
    traceless = how in ("delete", "zero") and not BULK[first : -(-first // 512) * 512].strip(b"\0") and texts
    assert texts == expected or traceless or any(not isinstance(record, Document) for record in found)


def _each_into(
    records: list[Document | Rejected], stream: Iterator[Document | Rejected]
) -> Iterator[Document | Rejected]:
    for record in stream:
        records.append(record)
    return iter(())


# ------------------------------------------------------------------ bounds

BOUNDS = {"max_gz_bytes": 1 << 20, "max_paper_bytes": 1 << 20, "max_tex_bytes": 4096, "max_files": 8}
NOISE = random.Random(0).randbytes(1 << 20)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (gz(b"x" * 4096), True),
        (gz(b"x" * 4097), False),
        (project(("a.tex", b"x" * 4000), ("b.tex", b"x" * 96)), True),
        (project(("a.tex", b"x" * 4000), ("b.tex", b"x" * 97)), False),
        (project(("a.tex", b"x"), ("fig", bytes((1 << 20) - 2048))), True),
        (project(("a.tex", b"x"), ("fig", bytes(1 << 20))), False),
        (project(*((f"{i}.tex", b"") for i in range(8))), True),
        (project(*((f"{i}.tex", b"") for i in range(9))), False),
        (gz(NOISE[: (1 << 20) - 200]), False),
        (NOISE + b"x", False),
    ],
)
def test_bounds_of_a_paper(tmp_path: Path, data: bytes, kept: bool) -> None:
    (record,) = read(tmp_path, tar([("x/a.gz", data)]), **BOUNDS)
    assert isinstance(record, Document) if kept else sources(record) == "max_paper_size"


def _long_names(count: int, size: int) -> bytes:
    header = info("././@LongLink", size, type=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    return gz((header + bytes(-(-size // 512) * 512)) * count + bytes(1024), 1)


def _sized(size: int, type: bytes = tarfile.REGTYPE) -> bytes:
    return gz(info("a.tex", size, type=type).tobuf(tarfile.GNU_FORMAT) + bytes(10_000_000), 1)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (gz(bytes(200 << 20), 9), None),  # one block of zeros: a tar without members
        (gz(b"x" * (100 << 20), 9), "max_paper_size"),
        (_long_names(3, 200 << 20), "max_paper_size"),
        (_long_names(100_000, 0), "max_paper_size"),
        (_sized(1 << 50), "max_paper_size"),
        (_sized(1 << 50, tarfile.XHDTYPE), "max_paper_size"),
        (_sized(1 << 30, tarfile.GNUTYPE_SPARSE), "max_paper_size"),
    ],
)
def test_bombs_take_little_memory_and_time(data: bytes, rule: str | None) -> None:
    start = time.process_time()
    tracemalloc.start()
    found = read_sources(data, max_paper_bytes=1 << 28, max_tex_bytes=1 << 20, max_files=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.rule if isinstance(found, Drop) else None) == rule
    assert peak < len(data) + (8 << 20)
    assert time.process_time() - start < 2


# ------------------------------------------------------------------ the tar walk against the standard library


def _by_library(data: bytes) -> list[tuple[str, int, float]] | None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            return [(m.name, m.size, float(m.mtime)) for m in archive.getmembers()]
    except tarfile.ReadError:
        return None


def _by_us(data: bytes) -> list[tuple[str, int, float]] | None:
    try:
        walk = tar_members.iter_members(io.BytesIO(data), max_bytes=1 << 30, max_members=1000)
        return [(m.name, m.size, m.mtime) for m in walk]
    except (tar_members.TarDamagedError, tar_members.TarTooLargeError):
        return None


names = st.text(st.sampled_from("ab/.\u00e9"), min_size=1, max_size=200)
entries = st.lists(
    st.tuples(names, st.binary(max_size=1100), st.sampled_from([0, 1.5, 1e9]), st.sampled_from(["", "b" * 120])),
    max_size=4,
)


_EXTENDED = tar([(info("a", mtime=0), b"1"), (info("\u00e9", mtime=0), b"")], tarfile.PAX_FORMAT)
# Python 3.11.2 takes records that are cut for the end of the tar; later ones, and we, for damage.
_LIBRARY_SEES_CUT_RECORDS = _by_library(_EXTENDED[: 3 * 512 + 1]) is None


@settings(max_examples=150)
@given(entries, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(0, 20_000))
def test_members_are_those_of_the_standard_library(
    files: list[tuple[str, bytes, float, str]], format: int, cut: int
) -> None:
    try:
        members = [
            (info(name, mtime=mtime, type=tarfile.SYMTYPE if link else tarfile.REGTYPE, linkname=link), data)
            for name, data, mtime, link in files
        ]
        data = tar(members, format)
    except ValueError:  # a name that ustar has no room for
        return
    assert _by_us(data) == _by_library(data)
    if _LIBRARY_SEES_CUT_RECORDS:
        assert _by_us(data[:cut]) == _by_library(data[:cut])


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 513])
def test_a_tar_cut_behind_the_header_of_extended_records_is_damaged(kept: int) -> None:
    """The tar of two members; of the second only the first header, which announces its name, and what follows it."""
    assert _by_us(_EXTENDED[: 3 * 512 + kept]) is None
    assert _by_us(_EXTENDED[: 3 * 512 - 1]) == [("a", 1, 0.0)]  # not even that header: nothing says that more was meant
    assert _by_us(_EXTENDED[: 5 * 512]) == [("a", 1, 0.0), ("\u00e9", 0, 0.0)]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=6))
def test_a_mangled_tar_ends_or_is_reported(changes: list[tuple[int, int]]) -> None:
    data = bytearray(tar([("a" * 150, b"1"), (info("b", pax_headers={"mtime": "1.5"}), b"2")], tarfile.PAX_FORMAT))
    for place, value in changes:
        data[place] = value
    _by_us(bytes(data))  # no exception but its own two, no endless walk


# ------------------------------------------------------------------ language


@pytest.fixture(scope="module")
def model(shared_data: Path) -> Any:
    return language.load_lid(resolve(str(shared_data / LID)))


@pytest.mark.parametrize(
    ("text", "label"),
    [("The quick brown fox jumps over the lazy dog", "en"), ("Der schnelle braune Fuchs springt", "de"), ("", "en")],
)
def test_language(model: Any, text: str, label: str) -> None:
    found, score = language.predict_language(model, text)
    assert (found, score > 0.5) == (label, text != "")


def test_language_of_lone_surrogates_is_that_of_question_marks(model: Any) -> None:
    assert language.predict_language(model, "hello \ud800") == language.predict_language(model, "hello ?")


def test_language_takes_one_line(model: Any) -> None:
    with pytest.raises(ValueError, match="newlines"):
        language.predict_language(model, "two\nlines")


def test_lines_are_made_as_each_script_does() -> None:
    assert language.arxiv_line("A\n\tB\r") == "a  b\r"
    assert language.stack_exchange_line("A\n\tB") == "A \tB"


def test_a_model_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(b"no model")
    for name in ("none.bin", "bad.bin"):
        with pytest.raises(MissingModel, match=r"Fetch lid\.176"):
            language.load_lid(ModelFile(str(tmp_path / name), ""))


def test_another_model_in_the_same_place_is_another_model(shared_data: Path, tmp_path: Path) -> None:
    """A process that lives long must not use the old one under the new one's hash."""
    place = tmp_path / "lid.ftz"
    place.write_bytes((shared_data / LID).read_bytes())
    first = resolve(str(place))
    before = language.load_lid(first)
    (tmp_path / "new").write_bytes((shared_data / LID).read_bytes() + b" ")
    (tmp_path / "new").replace(place)
    second = resolve(str(place))
    assert second.sha256 != first.sha256
    assert language.load_lid(second) is not before


def test_the_model_is_loaded_once(shared_data: Path, model: Any) -> None:
    assert language.load_lid(resolve(str(shared_data / LID))) is model
