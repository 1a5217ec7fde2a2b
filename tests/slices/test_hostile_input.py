"""Every reader on raw files with bytes changed, cut or put in: it ends, and every record is a document or rejected.

The files are the sample's, damaged outside (in the compressed bytes) and inside (decompressed, changed, compressed
again, so that no checksum stands between the damage and the reader).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redpajama_data import sample
from redpajama_data.errors import BrokenInput

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "soak"))
from readers import LAYERS, READERS

# Pieces that mean something to one format or another, and plain bytes.
PIECES = st.one_of(
    st.sampled_from(
        [b"\0", b"\n", b"\r", b'"', b"{", b"}", b"<", b"]]>", b"<row ", b"WARC/1.0\r\n", b"\xff", b"\xed\xa0\x80"]
    ),
    st.binary(max_size=8),
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES), max_size=6)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    with pytest.MonkeyPatch.context() as patch:
        # Half a bomb would do, but every example would unpack it.
        patch.setattr("redpajama_data.sample.arxiv.BOMB_BYTES", 1 << 16, raising=False)
        sample.build(folder)
    return folder


def damaged(data: bytes, damage: list[tuple[float, int, bytes]], keep: float) -> bytes:
    for place, length, piece in damage:
        at = int(place * len(data))
        data = data[:at] + piece + data[at + length :]
    return data[: max(1, int(keep * len(data)))]


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=DAMAGE, keep=st.sampled_from([1, 1, 1, 0.99, 0.5, 0]), inside=st.booleans())
def test_any_bytes_end_in_records_or_a_clear_error(
    raw: Path, tmp_path: Path, name: str, damage: list[tuple[float, int, bytes]], keep: float, inside: bool
) -> None:
    folder, pattern, reader = READERS[name]
    original = min((raw / folder).rglob(pattern))
    data = original.read_bytes()
    unpack, pack = LAYERS.get(original.suffix, (None, None))
    if inside and unpack is not None and pack is not None:
        data = pack(damaged(unpack(data), damage, keep))
    else:
        data = damaged(data, damage, keep)
    path = tmp_path / original.name
    path.write_bytes(data)
    seen, messages = [], []
    try:
        for record in reader(str(path)):
            if isinstance(record, BrokenInput):  # a damaged place behind which reading goes on
                messages.append(record.message)
                continue
            seen.append(record.ordinal if hasattr(record, "ordinal") else record.id)
    except BrokenInput as error:
        messages.append(error.message)
    assert all(message.endswith(".") for message in messages), "a whole sentence, the next action in it"
    assert len(set(seen)) == len(seen), "each record has an id of its own"
