"""Every reference of a dump: what is one, which address it gives, each once."""

from __future__ import annotations

import bz2
import time
from html import escape
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.cli.main import cli
from redpajama_data.errors import BrokenInput
from redpajama_data.training.references_every import extract_every_reference, reference_urls, references

REFERENCES = [
    ("named", '<ref name="a">x</ref>', ["x"]),
    ("any case", "<REF group=n>x</Ref >", ["x"]),
    ("closed in itself", "<ref name=a />x<ref>y</ref>", ["y"]),
    ("over lines", "<ref\nname=a>x\n\ny</ref>", ["x\n\ny"]),
    ("two", "<ref>x</ref> z <ref>y</ref>", ["x", "y"]),
    ("another element", "<references>x</references><reference>y</reference>", []),
    ("never closed", "<ref>x", []),
    ("in a comment", "<!-- <ref>x</ref> --><ref>y<!-- z --></ref>", ["y"]),
    ("in a comment without end", "<ref>y</ref><!-- <ref>x</ref>", ["y"]),
]


@pytest.mark.parametrize(("text", "found"), [r[1:] for r in REFERENCES], ids=[r[0] for r in REFERENCES])
def test_references(text: str, found: list[str]) -> None:
    assert list(references(text)) == found


WAYBACK = "https://web.archive.org/web/20100529044524"
ADDRESSES = [
    ("plain", "http://a.org/x y", ["http://a.org/x"]),
    ("a link with a name", "[http://a.org/x A]", ["http://a.org/x"]),
    ("a template", "{{cite web|url=http://a.org/x|title=y}}", ["http://a.org/x"]),
    (
        "with its archive",
        f"{{{{cite web|url=http://a.org|archiveurl={WAYBACK}/http://a.org}}}}",
        ["http://a.org", "http://a.org"],
    ),
    ("an ampersand", "http://a.org/?b=1&c=2", ["http://a.org/?b=1&c=2"]),
    ("one as an entity", "http://a.org/?b=1&amp;c=2", ["http://a.org/?b=1&c=2"]),
    ("no entity", "http://a.org/?b=1&copy=2", ["http://a.org/?b=1&copy=2"]),
    ("a semicolon", "http://a.org/b;c=d;", ["http://a.org/b;c=d"]),
    ("marks at the end", "http://a.org/b.!? http://c.org,", ["http://a.org/b", "http://c.org"]),
    ("italics", "''http://a.org/b''", ["http://a.org/b"]),
    ("brackets", "http://a.org/b_(c) (http://a.org/d)", ["http://a.org/b_(c)", "http://a.org/d"]),
    ("other letters", "http://d\u00fcsseldorf.de/\u00e9", ["http://d\u00fcsseldorf.de/\u00e9"]),
    ("archived", f"{WAYBACK}/http://a.org/b", ["http://a.org/b"]),
    ("archived without a scheme", f"{WAYBACK}id_/a.org/b", ["http://a.org/b"]),
    ("archived twice", f"{WAYBACK}/{WAYBACK}/https:/a.org", ["https://a.org"]),
    ("of the archive itself", "https://archive.org/details/a1984", ["https://archive.org/details/a1984"]),
    ("nothing behind", f"http:// {WAYBACK}/ ftp://. https://a", ["https://a"]),
    ("another scheme", "mailto:a@b.org telnet://a.org", []),
]


@pytest.mark.parametrize(("text", "found"), [a[1:] for a in ADDRESSES], ids=[a[0] for a in ADDRESSES])
def test_addresses(text: str, found: list[str]) -> None:
    assert list(reference_urls(f"<ref>{text}</ref>")) == found
    assert list(reference_urls(text)) == []


@pytest.mark.parametrize(
    "piece", ["<ref>", "<ref ", "<!--", "</ref>", "http://", "&amp;", "http://(", f"{WAYBACK}/", "["]
)
def test_hostile_pages_take_time_in_proportion(piece: str) -> None:
    text = "<ref>" + piece * (500_000 // len(piece)) + "</ref>"
    start = time.process_time()
    list(reference_urls(text))
    assert time.process_time() - start < 1


@given(
    st.lists(
        st.sampled_from(["<ref>", "</ref>", "<!--", "-->", "http://a.org/", "&amp;", ".", ")", "/", " ", "\u00e9"])
    )
)
def test_an_address_is_one(pieces: list[str]) -> None:
    for url in reference_urls("".join(pieces)):
        assert url.startswith("http://a.org/")
        assert not set(url) & set(" <>\n")


def dump(path: Path, *texts: str) -> Path:
    pages = (
        f"<page><title>{n}</title><ns>0</ns><revision><text>{escape(text)}</text></revision></page>"
        for n, text in enumerate(texts)
    )
    path.write_bytes(bz2.compress(f"<mediawiki>{''.join(pages)}</mediawiki>".encode()))
    return path


def test_each_address_once_in_the_order_of_the_dump(tmp_path: Path) -> None:
    path = dump(
        tmp_path / "enwiki-20230320-pages-articles.xml.bz2",
        "<ref>http://b.org</ref><ref>http://a.org</ref>",
        "<ref>http://a.org http://c.org</ref>",
    )
    asked = ["extract", "references", str(path), "--recipe", "corrected"]
    assert CliRunner().invoke(cli, asked).stdout.split() == ["http://b.org", "http://a.org", "http://c.org"]
    told = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "urls.txt")]).stdout
    assert told == f"3 URLs in {tmp_path / 'urls.txt'}\n"
    assert (tmp_path / "urls.txt").read_text() == "http://b.org\nhttp://a.org\nhttp://c.org\n"


def test_a_damaged_dump_ends_in_an_error_behind_what_can_be_read(tmp_path: Path) -> None:
    path = dump(tmp_path / "enwiki-20230320-pages-articles.xml.bz2", "<ref>http://a.org</ref>")
    path.write_bytes(bz2.compress(bz2.decompress(path.read_bytes()).removesuffix(b"</mediawiki>")))
    found = extract_every_reference(str(path))
    assert next(found) == "http://a.org"
    with pytest.raises(BrokenInput):
        next(found)


def test_the_references_of_a_real_dump(shared_data: Path) -> None:
    path = shared_data / "wikipedia" / "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    found = list(extract_every_reference(str(path)))
    assert len(found) == len(set(found)) == 3813
    assert not [url for url in found if "&amp" in url or "archive.org/web/" in url]
