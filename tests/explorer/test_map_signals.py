"""Quality signals on a map: each document has its own, as numbers that can be a colour."""

from __future__ import annotations

from pathlib import Path

from maps import a_root, documents, map_of
from test_page import sections

from redpajama_data import api
from redpajama_data.explorer import documents as reading
from redpajama_data.explorer import points
from redpajama_data.explorer.export import export
from redpajama_data.models.model_file import ModelFile


def test_signals_of_the_job_are_numbers_of_each_document(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    texts = [(f"{'word ' * n}end", {}) for n in range(1, 9)]
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": texts, "books/b": documents(3)})
    map_of(root)
    before = list(reading.cards(str(root), points.load(str(root)), characters=10))
    assert not any(name.startswith("rps_") for card in before for name in card.numbers)
    options = {"root": str(root), "executor": "serial", "tokenizer": "none"}
    # The longest document is left out by the job, and has no signals; those behind it keep theirs.
    settings = {"max_characters": len(texts[-1][0]) - 1}
    assert api.run_job("signals", str(root / "toy_job" / "c4"), settings, **options).exit_code() == 0
    for workers in (1, 2):
        cards = list(reading.cards(str(root), points.load(str(root)), characters=10, workers=workers))
        counted = [card.numbers.get("rps_doc_word_count") for card in cards if card.slice == "c4"]
        assert counted == [2, 3, 4, 5, 6, 7, 8, None]
        assert not any(name.startswith("rps_") for card in cards if card.slice == "books" for name in card.numbers)
    assert not any(name.startswith("rps_lines") for card in cards for name in card.numbers)
    about = sections(Path(export(str(root), str(tmp_path / "to")).page).read_bytes())["about"]
    assert "rps_doc_word_count" in about["numbers"]
