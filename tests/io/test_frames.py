"""What stands where a compressed frame should be: padding, a hole, bytes added at the end, a file of another kind."""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from functools import partial
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.corpus.columns import line_lists
from redpajama_data.errors import BrokenInput
from redpajama_data.io.lines import TooLong, iter_lines

PACK = {
    "gz": partial(gzip.compress, mtime=0),
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
}
ADDED = b"added by a bad upload\n"


def lines_of(path: Path) -> tuple[list[bytes | TooLong], str]:
    """The lines of a file and the message it ends with, the same from both line readers."""
    found: list[bytes | TooLong] = []
    message = ""
    try:
        for line in iter_lines(str(path), max_bytes=1 << 20):
            found.append(line)
    except BrokenInput as error:
        message = error.message
    lists: list[bytes | TooLong] = []
    try:
        for lines, _ in line_lists(str(path), max_bytes=1 << 20):
            lists += lines
    except BrokenInput as error:
        lists.append(error.message.encode())
    assert lists == ([*found, message.encode()] if message else found)
    return found, message


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize(
    ("between", "after", "message"),
    [
        (b"", b"", ""),
        (b"", bytes(1), ""),
        (b"", bytes(200_000), ""),
        (bytes(17), b"", ""),  # too few to hide a member
        (bytes(18), b"", "18 zero bytes where"),
        (bytes(100_000), b"", "100000 zero bytes where"),
        (b"", ADDED, "22 bytes after the last"),
        (b"", bytes(17) + ADDED, "22 bytes after the last"),
        (b"", bytes(18) + ADDED, "damaged"),
        (b"", b"x" * 200_000, "200000 bytes after the last"),
        (b"", b"x" * 200_000 + b"\x1f\x8b\x08\x28\xb5\x2f\xfdBZh91AY&SY", "damaged"),
    ],
)
def test_bytes_between_and_after_frames(
    tmp_path: Path, ending: str, between: bytes, after: bytes, message: str
) -> None:
    path = tmp_path / f"a.{ending}"
    frames = PACK[ending](b"one\nt") + between + PACK[ending](b"wo\nthree")
    path.write_bytes(frames + after)
    found, said = lines_of(path)
    assert found == [b"one", b"two", b"three"], "the last line is whole too, though nothing ends it"
    if not message:
        assert said == ""
    else:
        assert message in said
        assert said.endswith("then run again.")
    if "after the last" in message:
        zeros = len(after) - len(after.lstrip(b"\0"))
        assert f"truncate -s {len(frames) + zeros} FILE" in said


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize(
    ("data", "what", "action"),
    [
        (b"", "an empty file", "fetch it again"),
        (bytes(5000), "nothing but zero bytes", "fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer", "git lfs pull"),
        (b'<?xml version="1.0"?>\n<Error><Code>SlowDown', "an error message in XML", "fetch it again"),
        (b"<!DOCTYPE html><html>", "an HTML page", "fetch it again"),
        (b'{"text": "a"}\n', "plain JSON, not compressed", "mv "),
        (b"PAR1\x15\x04", "a Parquet file", "Convert it"),
        (b"Obj\x01\x04\x16avro.schema", "an Avro file", "JSON lines"),
        (b"ORC\x08\x03", "an ORC file", "JSON lines"),
        (b"PK\x03\x04", "a zip archive", "unzip"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, ending: str, data: bytes, what: str, action: str) -> None:
    path = tmp_path / f"a.json.{ending}"
    path.write_bytes(data)
    found, message = lines_of(path)
    assert found == []
    assert what in message
    assert action in message


def test_a_frame_cut_in_its_first_bytes_is_cut(tmp_path: Path) -> None:
    for ending, pack in PACK.items():
        for size in (1, 2, 3):
            (tmp_path / f"a.{ending}").write_bytes(pack(b"one\n") + pack(b"two\n")[:size])
            found, message = lines_of(tmp_path / f"a.{ending}")
            assert found == [b"one"]
            assert "ends early" in message


def test_an_empty_frame_is_an_empty_file(tmp_path: Path) -> None:
    for ending, pack in PACK.items():
        (tmp_path / f"a.{ending}").write_bytes(pack(b""))
        assert lines_of(tmp_path / f"a.{ending}") == ([], "")


def test_the_new_name_of_a_file_that_is_not_compressed(tmp_path: Path) -> None:
    for name, new in {"github_0.gz": "github_0.jsonl", "c4.json.gz": "c4.json", "a.jsonl.zst": "a.jsonl"}.items():
        (tmp_path / name).write_bytes(b'{"text": "a"}')
        _, message = lines_of(tmp_path / name)
        assert message.endswith(f"Is it unpacked already? mv {tmp_path / name} {tmp_path / new}, then run again.")


MEMBERS = [PACK["gz"](b"".join(b"line %d of part %d\n" % (n, part) for n in range(9))) for part in range(4)]
WHOLE = b"".join(MEMBERS)
WHOLE_LINES = gzip.decompress(WHOLE).splitlines()
BOUNDS = [sum(map(len, MEMBERS[:n])) for n in range(5)]
PLACES = st.one_of(st.sampled_from(BOUNDS), st.integers(0, len(WHOLE)))


@settings(max_examples=300)
@given(st.sampled_from(["flip", "zero", "delete", "insert", "cut", "append"]), PLACES, PLACES, st.binary(max_size=40))
def test_no_byte_is_lost_in_silence(
    tmp_path_factory: pytest.TempPathFactory, how: str, first: int, end: int, junk: bytes
) -> None:
    """Whatever is done to a file of gzip members, its lines are all there as they were, or damage is reported."""
    first, end = min(first, end), max(first, end)
    data = {
        "flip": WHOLE[:first] + bytes(255 - byte for byte in WHOLE[first : first + 1]) + WHOLE[first + 1 :],
        "zero": WHOLE[:first] + bytes(end - first) + WHOLE[end:],
        "delete": WHOLE[:first] + WHOLE[end:],
        "insert": WHOLE[:first] + junk + WHOLE[first:],
        "cut": WHOLE[:first],
        "append": WHOLE + junk,
    }[how]
    path = tmp_path_factory.mktemp("gz") / "a.gz"
    path.write_bytes(data)
    found, message = lines_of(path)
    # Members that are there whole, one after the other, with zeros at most behind them, leave no trace of others.
    rest, expected = data, []
    while member := next((member for member in MEMBERS if rest.startswith(member)), None):
        rest = re.sub(rb"\A\0{1,17}(?!\0)", b"", rest[len(member) :])
        expected += zlib.decompress(member, 31).splitlines()
    if expected and not rest.strip(b"\0"):
        assert (found, message) == (expected, "")
    elif found != WHOLE_LINES:  # a byte may be another that nobody reads, such as the time in a header
        assert message
