"""What a file is by its first bytes."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.io.first_bytes import LOOK, known, not_that


def a_tar() -> bytes:
    """A tar with one empty member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "empty"),
        (b"\0" * 100, "zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "Git LFS pointer"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (b"<HTML><head>", "HTML"),
        (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN"><html>', "HTML"),
        (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code></Error>', "error message in XML"),
        (b"<Error><Code>AccessDenied</Code>", "error message in XML"),
        (b'<?xml version="1.0"?><posts>', "plain XML"),
        (b'{"text": "a"}\n', "plain JSON"),
        (b'\xef\xbb\xbf{"text": "a"}\n', "plain JSON"),
        (b"[\n  {}\n]", "JSON array"),
        (b"PAR1\x15\x04", "Parquet"),
        (gzip.compress(b"a", mtime=0), "gzip"),
        (b"BZh91AY&SY", "bzip2"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
        (b"PK\x03\x04\x14", "zip"),
        (a_tar()[:LOOK], "tar"),
        (b"\x00\x05\x16\x07\x00\x02", "AppleDouble"),
        ("<html>".encode("utf-16"), "HTML"),
    ],
)
def test_named_for_what_it_is(head: bytes, name: str) -> None:
    """Each kind is named, and the message ends in what to do."""
    found = known(head)
    assert found is not None
    assert name in found.name
    assert str(not_that("x", head, "this")).endswith(found.advice)


@pytest.mark.parametrize("head", [b"Once upon a time, <html> was new.", b"BZ", b"\x1f", b"\\documentclass{article}"])
def test_says_nothing_of_what_it_does_not_know(head: bytes) -> None:
    """Text that only mentions a mark, or begins like one, is not named for it."""
    assert known(head) is None
    assert repr(head[:12]) in str(not_that("x", head, "this"))


@given(st.binary(max_size=LOOK))
def test_any_bytes(head: bytes) -> None:
    """Never raises."""
    assert "x: not this; it" in str(not_that("x", head, "this"))
