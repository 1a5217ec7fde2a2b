"""The papers of the sample: two of arXiv's bulk tars, with new and with old ids.

Raw form: ``arXiv_src_YYMM_NNN.tar`` holds ``YYMM/<id>.gz``, which is a gzipped tar of a project or one gzipped source,
and ``YYMM/<id>.pdf`` where there is no source.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from redpajama_data.sample import arxiv_papers as papers
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.prose import Chance

BOMB_BYTES = 66 << 20
_MOMENT = 1_675_209_600  # 2023-02-01T00:00:00Z, the modification time of the first paper

PLANTED: tuple[Planted, ...] = (
    Planted("paper as PDF only", 1, "pdf_only"),
    Planted("Latin-1 source, alone and as one of three files of a project", 2, "strict_utf8"),
    Planted("macro with a letter that is not ASCII", 1, "ascii_macros"),
    Planted("single source without any header", 1, "not_empty"),
    Planted("gzip of nothing", 1, "not_empty"),
    Planted("project without a .tex file", 1, "not_empty"),
    Planted("project with a member ../evil.tex", 1, "safe_name"),
    Planted("project with a member of an absolute name", 1, "safe_name"),
    Planted("project with a symbolic link called link.tex", 1, "plain_file"),
    Planted("project with a folder called chapter.tex", 1, "plain_file"),
    Planted(f"source of {BOMB_BYTES >> 20} MiB in about 70 KB", 1, "max_paper_size"),
    Planted("gzip cut in the middle", 1, "malformed"),
    Planted("two files without a header: text of one newline", 1, ""),
    Planted("macros of all forms; comments of all forms; appendix; both kinds of bibliography", 5, ""),
    Planted("CRLF line ends", 1, ""),
    Planted("first header in a comment, and a header with a blank before its brace", 1, ""),
    Planted("old ids: with a hyphen, plain, with a subject class (its address has no slash)", 3, ""),
)


def _zip(data: bytes | str) -> bytes:
    return gzip.compress(data.encode() if isinstance(data, str) else data, mtime=0)


def _member(
    name: str, size: int = 0, moment: int = _MOMENT, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.type, info.linkname = size, moment, kind, link
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info


def project(*files: tuple[str, str | bytes], odd: tarfile.TarInfo | None = None) -> bytes:
    """A gzipped tar of ``files`` (name, content), with the header ``odd`` before the last one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, (name, content) in enumerate(files):
            if odd is not None and number == len(files) - 1:
                tar.addfile(odd)
            data = content.encode() if isinstance(content, str) else content
            tar.addfile(_member(name, len(data)), io.BytesIO(data))
    return _zip(packed.getvalue())


def bomb(size: int) -> bytes:
    """A gzip of a LaTeX head and ``size`` bytes of blank lines, never held: a flushed block, repeated."""
    start, block = b"\\documentclass{article}\n\\section{A very long paper}\n", b"\n" * (1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    once = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.crc32(start)
    for _ in range(size >> 20):
        body += once
        check = zlib.crc32(block, check)
    tail = packer.flush(zlib.Z_FINISH)
    length = len(start) + (size >> 20 << 20)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return head + body + tail + check.to_bytes(4, "little") + length.to_bytes(4, "little")


def new_papers(chance: Chance) -> Iterator[tuple[str, bytes]]:
    """File name and content of the papers of 2301."""

    def paper(macros: str = "") -> papers.Parts:
        return papers.parts(chance, macros)

    one = paper("\\input{macros}\n")
    yield (
        "2301.00001.gz",
        project(
            (
                "ms.tex",
                one.preamble + "\\input{intro}\n" + "\n".join(one.sections[1:]) + "\\bibliography{refs}\n" + one.end,
            ),
            ("macros.tex", papers.MACROS),
            ("sections/intro.tex", one.sections[0]),
            ("refs.bib", "@article{first,\n  author = {Author, A.},\n  year = 1998\n}\n"),
            ("figures/plot.eps", "%!PS-Adobe-3.0 EPSF-3.0\n0 0 moveto 100 100 lineto stroke\n"),
        ),
    )
    yield "2301.00002.gz", _zip(papers.whole(paper()))
    body = "With \\R and \\norm{} for all \\eps, \\R\\R and \\pair{a}{b}; \\commented\\bare, \\phi.\n"
    yield "2301.00003.gz", _zip(papers.whole(paper(papers.MACROS), body))
    yield "2301.00004.gz", _zip(papers.with_comments(papers.whole(paper())))
    yield "2301.00005.gz", _zip(papers.whole(paper(), papers.APPENDIX + papers.BIBLIOGRAPHY))
    yield "2301.00006.gz", _zip(papers.whole(paper(), papers.BIBLIOGRAPHY))
    yield "2301.00007.gz", _zip(papers.whole(paper(), "Universit\u00e9 de Gen\u00e8ve\n").encode("latin-1"))
    two = paper()
    yield (
        "2301.00008.gz",
        project(
            ("main.tex", papers.whole(two)),
            ("intro.tex", two.sections[0]),
            ("thanks.tex", "\\section*{Danksagung}\nF\u00fcr Hinweise danken wir den Gutachtern.\n".encode("latin-1")),
        ),
    )
    yield "2301.00009.gz", _zip(papers.whole(paper("\\newcommand{\\name}{Erd\u0151s}\n")))
    yield (
        "2301.00010.gz",
        _zip("\\documentclass{letter}\n\\begin{document}\nThis note has no header.\n\\end{document}\n"),
    )
    yield "2301.00011.gz", project(("a.tex", "No header here.\n"), ("b.tex", "\\section {Nor here}\nText.\n"))
    good = papers.whole(paper())
    yield (
        "2301.00012.gz",
        project(("main.tex", good), ("../evil.tex", "\\section{Outside}\nWritten above the folder.\n")),
    )
    yield "2301.00013.gz", project(("main.tex", good), ("/tmp/evil.tex", "\\section{Outside}\nAn absolute name.\n"))
    link = _member("link.tex", kind=tarfile.SYMTYPE, link="/etc/passwd")
    yield "2301.00014.gz", project(("intro.tex", good), ("main.tex", good), odd=link)
    folder = _member("chapter.tex", kind=tarfile.DIRTYPE)
    yield "2301.00015.gz", project(("intro.tex", good), ("main.tex", good), odd=folder)
    yield "2301.00016.gz", bomb(BOMB_BYTES)
    yield "2301.00017.gz", _zip(b"")
    yield (
        "2301.00018.gz",
        project(("paper.ps", "%!PS-Adobe-3.0\n(Only PostScript) show\n"), ("README", "See paper.ps\n")),
    )
    whole = _zip(papers.whole(paper()))
    yield "2301.00019.gz", whole[: len(whole) // 2]
    yield "2301.00020.gz", _zip(papers.whole(paper()).replace("\n", "\r\n"))
    three = paper()
    hidden = "% \\section{Hidden in a comment}\n\\section {Never found}\n"
    yield "2301.00021.gz", _zip(three.preamble + hidden + "\n".join(three.sections) + three.end)
    yield (
        "2301.00022.pdf",
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< >>\n%%EOF\n",
    )
    for number in range(23, 31):
        yield (
            f"2301.{number:05d}.gz",
            _zip(papers.whole(paper(), chance.pick(("", papers.BIBLIOGRAPHY, papers.APPENDIX)))),
        )


def old_papers(chance: Chance) -> Iterator[tuple[str, bytes]]:
    """The same for 0301."""
    for name in ("astro-ph0301001", "cs0301002", "math.GT0301007"):
        yield f"{name}.gz", _zip(papers.whole(papers.parts(chance), papers.BIBLIOGRAPHY))


def build(folder: Path) -> None:
    """Write ``arXiv_src_0301_001.tar`` and ``arXiv_src_2301_001.tar`` into ``folder``."""
    for yymm, make in (("0301", old_papers), ("2301", new_papers)):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            tar.addfile(_member(yymm, kind=tarfile.DIRTYPE))
            for number, (name, data) in enumerate(make(Chance(f"arxiv {yymm}"))):
                tar.addfile(_member(f"{yymm}/{name}", len(data), _MOMENT + 61 * number), io.BytesIO(data))
        (folder / f"arXiv_src_{yymm}_001.tar").write_bytes(packed.getvalue())
