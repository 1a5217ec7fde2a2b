"""A walk through the content of archives that say of themselves whether they are whole: every damage is seen."""

from __future__ import annotations

import bz2
import errno
import gzip
import multiprocessing
import random
import resource
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import py7zr
import pytest
import zstandard
from trial import content_of

from redpajama_data.download import walks
from redpajama_data.download.content import WrongContent
from redpajama_data.errors import InputUnavailable

TEXT = b"".join(b"row %d of Posts.xml\n" % i for i in range(5_000)) + content_of(1, 20_000)


def _seven_zip(filters: list[dict[str, int]] | None, folder: Path) -> bytes:
    path = folder / "made.7z"
    with py7zr.SevenZipFile(path, "w", filters=filters) as archive:
        archive.writestr(TEXT, "Posts.xml")
        archive.writestr(b"<users/>", "Users.xml")
    return path.read_bytes()


def _zstd(checksum: bool = True, frames: int = 2) -> bytes:
    packer = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=False)
    return b"".join(packer.compress(TEXT[i::frames]) for i in range(frames))


FILTERS = {
    "lzma2": None,
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "copy": [{"id": py7zr.FILTER_COPY}],
}
MAKERS = {
    **{
        f"7z {name}": (lambda folder, filters=filters: _seven_zip(filters, folder)) for name, filters in FILTERS.items()
    },
    "zstd": lambda folder: _zstd(),
    "zstd of one frame": lambda folder: _zstd(frames=1),
}


def _walk(folder: Path, kind: str, data: bytes) -> None:
    path = folder / "file"
    path.write_bytes(data)
    walks.walk(str(path), kind)


@pytest.mark.parametrize("made", MAKERS)
def test_a_whole_archive_is_whole(tmp_path: Path, made: str) -> None:
    _walk(tmp_path, made.split()[0], MAKERS[made](tmp_path))


@pytest.mark.parametrize("made", MAKERS)
def test_a_truncated_archive_is_seen_wherever_it_ends(tmp_path: Path, made: str) -> None:
    whole = MAKERS[made](tmp_path)
    chance = random.Random(made)
    for end in (0, 1, 5, 31, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(25))):
        if made == "zstd" and end == len(_zstd()[: _first_frame()]):
            continue  # the end of a frame: only its length tells
        with pytest.raises(WrongContent):
            _walk(tmp_path, made.split()[0], whole[:end])


def _first_frame() -> int:
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    whole = _zstd()
    unpacker.decompress(whole)
    return len(whole) - len(unpacker.unused_data)


@pytest.mark.parametrize("made", MAKERS)
def test_a_flipped_bit_is_seen_wherever_it_is(tmp_path: Path, made: str) -> None:
    """In the data; the header of a 7z archive has bits without a meaning, such as times."""
    whole = MAKERS[made](tmp_path)
    chance = random.Random(made)
    places = [chance.randrange(32, len(whole) - 400) for _ in range(30)]
    missed = []
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        try:
            _walk(tmp_path, made.split()[0], bytes(damaged))
            missed.append(place)
        except WrongContent:
            pass
    assert missed == []


@pytest.mark.parametrize(("kind", "made"), [("zstd", "zstd"), ("7z", "7z lzma2")])
def test_what_lies_behind_an_archive_is_seen(tmp_path: Path, kind: str, made: str) -> None:
    with pytest.raises(WrongContent):
        _walk(tmp_path, kind, MAKERS[made](tmp_path) + b"more")


@pytest.mark.parametrize("kind", ["7z", "zstd", "gzip", "bz2", "tar"])
def test_a_page_in_place_of_an_archive_is_seen(tmp_path: Path, kind: str) -> None:
    with pytest.raises(WrongContent):
        _walk(tmp_path, kind, b"<!DOCTYPE html><html></html>" * 100)


def _header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _bomb(packer: Any, size: int) -> bytes:
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + bytes(packer.flush())


MB, TAR_END = 1 << 20, bytes(1024)
LAUGHS = b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "' + b"&a;" * 1000 + b'"><!ENTITY c "' + b"&b;" * 1000 + b'">]>'
ATTACKS: dict[str, tuple[str, Callable[[], bytes], str]] = {  # what it is, the file, what is said of it ("": whole)
    "gzip: 256 MB of zeros": ("gzip", lambda: _bomb(zlib.compressobj(wbits=31), 256 * MB), ""),
    "bz2: 64 MB of zeros": ("bz2", lambda: _bomb(bz2.BZ2Compressor(), 64 * MB), ""),
    "zstd: 256 MB of zeros": ("zstd", lambda: _bomb(zstandard.ZstdCompressor().compressobj(), 256 * MB), ""),
    "gzip: 300,000 members": ("gzip", lambda: gzip.compress(b"") * 300_000, ""),
    "bz2: 300,000 streams": ("bz2", lambda: bz2.compress(b"") * 300_000, ""),
    "zstd: 50,000 frames": ("zstd", lambda: zstandard.compress(b"") * 50_000, ""),
    "tar: names that climb, links, devices": (
        "tar",
        lambda: _header("../../a") + b"".join(_header("/b", 0, b"%d" % kind) for kind in range(1, 7)) + TAR_END,
        "",
    ),
    "tar: 50,000 members": ("tar", lambda: _header("a") * 50_000 + TAR_END, ""),
    "tar: a negative size": ("tar", lambda: _header("a", -1024) + TAR_END, "negative size"),
    "tar: a size of 2^60": ("tar", lambda: _header("a", 1 << 60) + TAR_END, "damaged tar archive"),
    "tar: a name of 64 MB": (
        "tar",
        lambda: _header("a", 64 * MB, b"L") + b"a" * 64 * MB + _header("a") + TAR_END,
        "header record of",
    ),
    "tar: 100,000 records before a member": (
        "tar",
        lambda: (_header("a", 9, b"x") + b"9 a=bbbb\n".ljust(512, b"\0")) * 50_000 + TAR_END,
        "header records",
    ),
    "xml: entities": ("xml", lambda: LAUGHS + b"<a>&c;</a>", "document type"),
    "xml: a foreign file": ("xml", lambda: b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
    "xml: an attribute of 64 MB": ("xml", lambda: b'<a b="' + b"a" * 64 * MB + b'"/>', "longer than 16,777,216 bytes"),
    "xml: a comment of 64 MB": ("xml", lambda: b"<a><!--" + b"a" * 64 * MB + b"--></a>", "longer than"),
    "xml: 20 million elements inside each other": ("xml", lambda: b"<a>" * 20_000_000, "over 64 elements"),
    "xml: 500,000 rows": ("xml", lambda: b"<a>" + b'<b c="d"/>\n' * 500_000 + b"</a>", ""),
}


def _confined(path: Path, kind: str, answer: Any) -> None:
    """Walk in this process, which is there for that alone."""
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = ""
    try:
        walks.walk(str(path), kind)
    except WrongContent as error:
        found = str(error)
    answer.put((found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in kilobytes, and fork")
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_time_and_not_memory(tmp_path: Path, name: str) -> None:
    """In 20 seconds of computing and 200 MB, as tests/faults/test_attacks.py has it for the readers."""
    kind, data, said = ATTACKS[name]
    (tmp_path / "file").write_bytes(data())
    fork = multiprocessing.get_context("fork")
    answer = fork.SimpleQueue()
    child = fork.Process(target=_confined, args=(tmp_path / "file", kind, answer))
    child.start()
    child.join()
    assert child.exitcode == 0, "it did not end, or the process died"
    found, grown = answer.get()
    assert (said in found) if said else not found, found
    assert grown < 200 * MB


def test_a_disk_that_fails_is_not_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(file: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setitem(walks._WALKS, "7z", fails)
    with pytest.raises(InputUnavailable):
        _walk(tmp_path, "7z", b"")
