"""A walk through the content of archives that say of themselves whether they are whole: every damage is seen."""

from __future__ import annotations

import errno
import io
import os
import random
import subprocess
import sys
from pathlib import Path

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


def test_a_zstd_bomb_costs_time_and_not_memory(tmp_path: Path) -> None:
    """256 MB of zeros in some kilobytes, in a process of its own that may take 200 MB more than it has."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as packer:
        for _ in range(256):
            packer.write(bytes(1 << 20))
    (tmp_path / "bomb").write_bytes(out.getvalue())
    program = f"""
import resource, sys
from redpajama_data.download import walks
import zstandard
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
walks.walk({str(tmp_path / "bomb")!r}, "zstd")
sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 200 << 10)
"""
    root = str(Path(__file__).resolve().parents[2])
    assert subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": root}).returncode == 0


def test_a_disk_that_fails_is_not_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(file: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setitem(walks._WALKS, "7z", fails)
    with pytest.raises(InputUnavailable):
        _walk(tmp_path, "7z", b"")
