"""Dropped documents beside a map, and copies of those that stayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import toy
from browser import Page, look, needs_chromium
from maps import a_root, documents, map_of
from release.roots import config_of

from redpajama_data import api
from redpajama_data.engine import tombstones
from redpajama_data.errors import UsageError
from redpajama_data.explorer import layer as layers
from redpajama_data.explorer import points
from redpajama_data.explorer.export import export
from redpajama_data.models.model_file import ModelFile
from redpajama_data.whole_run import run_parts

SHORT = ["junction tunnel boiler", "tulip rose lawn", "flour butter oven"]  # by which min_words drops them


@pytest.fixture
def root(tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    """A root whose slice published sixty documents, and dropped three short ones, two copies, a broken line."""
    texts = [text for text, _ in documents(60)]
    raw = tmp_path / "raw" / "a.jsonl"
    raw.parent.mkdir()
    lines = [json.dumps({"text": text}) for text in [*texts[:30], *SHORT, texts[3], texts[5], *texts[30:]]]
    raw.write_text("\n".join([*lines, "{"]) + "\n")
    made = tmp_path / "root"
    settings = toy.ToySettings(input=(str(raw),), min_words=4)
    config = config_of(made, tiny_tokenizer, max_malformed=0.5)
    assert run_parts([(toy.SLICE, settings)], config, quiet=True).exit_code() == 0
    assert api.run_job("embed", str(made), {}, root=str(made), executor="serial").exit_code() == 0
    return made


def test_those_with_a_text_lie_where_they_belong(root: Path) -> None:
    of = points.load(str(root))
    found, whole = layers.layer(str(root), of, {}, 100)
    assert found.of == 6
    assert sorted(record.rule for record in found.dropped) == ["duplicate"] * 2 + ["min_words"] * 3
    assert set(found.texts) >= set(SHORT)
    assert len(whole) == len(whole.vectors) == 65
    assert np.array_equal(whole.points[:60], of.points)
    for row, (record, text) in enumerate(zip(found.dropped, found.texts, strict=True), 60):
        point = whole.points[row]
        assert text.split()[0] in " ".join(of.clusters[point["cluster"]].words) or record.rule == "duplicate"
        near = of.points[point["near"][:5]]
        assert near["x"].min() - 1e-4 <= point["x"] <= near["x"].max() + 1e-4
        if record.rule == "duplicate":
            assert whole.vectors[row] @ of.vectors[point["near"][0]] == pytest.approx(1, abs=1e-5)
        (fate,) = [fate for fate in api.explain(str(root), record.id) if fate.drop]
        assert fate.drop is not None
        assert fate.drop["rule"] == record.rule


def test_a_few_are_of_every_rule(root: Path) -> None:
    found, _ = layers.layer(str(root), points.load(str(root)), {}, 2)
    assert {record.rule for record in found.dropped} == {"duplicate", "min_words"}


def test_the_table_has_the_layer_and_no_length_of_what_is_cut(root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(layers, "HEAD", len(SHORT[0]))
    export(str(root), str(tmp_path / "to"), parquet=str(tmp_path / "map.parquet"), dropped=100)
    rows = pyarrow.parquet.read_table(tmp_path / "map.parquet").to_pylist()
    assert [row["layer"] for row in rows] == ["published"] * 60 + ["dropped"] * 5
    assert {row["text"]: row["characters"] for row in rows[60:] if row["text"] in SHORT} == {
        text: len(text) if len(text) < len(SHORT[0]) else None for text in SHORT
    }
    assert {row["verdict"] for row in rows[60:]} == {"dropped: min_words", "dropped: duplicate"}


def test_what_was_forgotten_is_not_shown(root: Path) -> None:
    stone = tombstones.Tombstone(tombstones.digest(SHORT[0]), "", "2026-01-01")
    (root / tombstones.TOMBSTONES).write_bytes(tombstones.encoded([stone]))
    found, _ = layers.layer(str(root), points.load(str(root)), {}, 100)
    assert set(found.texts) & set(SHORT) == set(SHORT[1:])


def test_copies_of_a_document_are_named(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    from test_page import sections

    texts = documents(9)
    made = a_root(tmp_path, tiny_tokenizer, {"c4/a": [*texts, texts[3], texts[3]]})
    map_of(made)
    api.run_job("exact", str(made / "toy_job"), root=str(made), executor="serial", tokenizer="none")
    cards = sections(Path(export(str(made), str(tmp_path / "to")).page).read_bytes())["cards"]
    (stayed,) = [card for card in cards if "copies" in card]
    assert stayed["line"] == 3
    assert [copy.rpartition("#")[2] for copy in stayed["copies"]] == ["9", "10"]


@needs_chromium
def test_one_goes_from_a_copy_to_what_stayed_and_back(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    texts = documents(9)
    made = a_root(tmp_path, tiny_tokenizer, {"c4/a": [*texts, texts[3]]})
    map_of(made)
    api.run_job("exact", str(made / "toy_job"), root=str(made), executor="serial", tokenizer="none")
    page_file = Path(export(str(made), str(tmp_path / "to")).page)

    async def steps(page: Page) -> None:
        await page.until("document.body.dataset.state === 'ready'")
        await page.run("list.querySelectorAll('button')[9].click()")
        for line in ("line 10", "line 4", "line 10"):
            await page.until(f"facts.textContent.includes('{line}')")
            shown = "[...facts.querySelectorAll('button')].filter(button => button.textContent === 'Show')"
            assert await page.run(f"{shown}.length") == 1
            await page.run(f"{shown}[0].click()")
        assert page.said == []

    look(page_file.as_uri(), steps)


def test_a_map_by_a_model_takes_no_other_texts(root: Path) -> None:
    of = points.load(str(root))
    of.__dict__["words"] = None
    with pytest.raises(UsageError, match="--model"):
        layers.layer(str(root), of, {}, 1)


@needs_chromium
def test_the_layer_is_seen_and_can_be_left_out(root: Path, tmp_path: Path) -> None:
    from test_page import PAINTED

    made = export(str(root), str(tmp_path / "to"), dropped=100)
    assert (made.documents, made.dropped, made.dropped_of) == (60, 5, 6)

    async def steps(page: Page) -> None:
        await page.until("document.body.dataset.state === 'ready'")
        assert (await page.run("count.textContent")) == "65 of 65 documents: 60 published, 5 of 6 dropped (crosses)"
        await page.until(f"{PAINTED}[0] > 500")
        for label, shown in (("published", 60), ("dropped", 5)):
            value = f"[...layer.options].find(o => o.textContent === '{label}').value"
            await page.run(f"(layer.value = {value}, layer.dispatchEvent(new Event('input')))")
            await page.until(f"count.textContent.startsWith('{shown} of 65')")
            assert (await page.run(PAINTED))[0] > 30
        await page.run(f"(search.value = '{SHORT[0]}', search.dispatchEvent(new Event('input')))")
        await page.until("count.textContent.startsWith('1 of 65')")
        await page.run("list.querySelector('button').click()")
        await page.until("document.body.dataset.document !== undefined")
        facts = await page.run("facts.textContent")
        assert "dropped: min_words" in facts
        assert "measured 3, limit 4" in facts
        assert "#30" in await page.run("command.textContent")
        assert SHORT[0] in await page.run("document.getElementById('text').textContent")
        assert page.said == []

    look(Path(made.page).as_uri(), steps)
