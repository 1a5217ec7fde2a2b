"""A query by a pasted text: the page makes the vector that Python makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from browser import Page, look, needs_chromium
from maps import SUBJECTS, a_root, documents, map_of

from redpajama_data.explorer import basis, page, points
from redpajama_data.explorer.export import export
from redpajama_data.explorer.terms import READ, bucket_of, terms_of, words_of
from redpajama_data.models.model_file import ModelFile

TEXTS = [
    "The greenhouse and the lawn: lavender, tulip, rose, rose, rose.",
    "Straße ½ ② Ⅷ naïve ΣΑΣ İstanbul 日本語の鉄道 x a_b ab1cd 12 don't e\u0301a",
    "\U00010428\U00010429 " + "tunnel " * 700,
    "a" * (READ - 3) + " signal box",
    " ".join("junction"[:n] * k for n in range(2, 9) for k in (1, 2, 3)),
]
WORDS = ["a" * size for size in range(1, 97)] + ["é" * 24, "日本", "ſ", "\U00010428" * 24, "station"]


def test_the_vector_of_a_text_is_that_of_the_document_with_it(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    held = documents(60)
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": held})
    found = map_of(root)
    assert found.words is not None
    for place in (0, 31, 59):
        text = held[int(found.points["line"][place])][0]
        vector = basis.vector_of(terms_of(words_of(text)), found.words, found.middle)
        assert np.allclose(vector, found.vectors[place], atol=1e-5)


def test_words_are_packed_with_an_error_of_half_a_step(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": documents(60)})
    words = map_of(root).words
    assert words is not None
    count, width = words.axes.shape
    packed = page.packed_words(words, np.zeros(width, np.float32))
    steps, rest = np.frombuffer(packed, "<u4", count, 4 * width), packed[4 * width + 8 * count :]
    assert np.array_equal(np.cumsum(steps), words.buckets)
    scales = np.frombuffer(rest, "<f4", count)
    axes = np.frombuffer(rest, "i1", -1, 4 * count).reshape(count, width)
    assert (np.abs(axes * scales[:, None] - words.axes) <= scales[:, None] * 0.51).all()


@needs_chromium
def test_the_page_finds_what_python_finds(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": [*documents(89), (TEXTS[1] * 2, {}), (TEXTS[1], {})]})
    map_of(root)
    found = points.load(str(root))
    made = export(str(root), str(tmp_path / "to"))
    assert found.words is not None

    async def steps(page: Page) -> None:
        await page.until("document.body.dataset.state === 'ready'")
        assert await page.run(f"{json.dumps(WORDS)}.map(bucketOf)") == [bucket_of(word) for word in WORDS]
        for text in TEXTS:
            assert await page.run(f"Object.fromEntries(wordsOf({json.dumps(text)}))") == words_of(text)
            if text is TEXTS[3]:
                continue  # no word of it is known
            assert found.words is not None
            vector = basis.vector_of(terms_of(words_of(text)), found.words, found.middle)
            exact = np.sort(found.vectors @ vector)[::-1]
            await page.run(f"(pasted.value = {json.dumps(text)}, like.click())")
            shown = await page.run(
                "[...list.querySelectorAll('small')].map(note => +note.textContent.split(' ').pop())"
            )
            assert len(shown) == 91
            assert np.allclose(shown, exact, atol=0.02)
        await page.run("(pasted.value = 'lawn tulip wisteria', like.click())")
        assert await page.run("[colour.value, x.lastChild.value]") == ["likeness", "likeness"]
        first = await page.run("list.querySelector('button').firstChild.textContent")
        assert set(first.split()[:5]) <= set(SUBJECTS["garden"])
        await page.run("(x.value = 'likeness', x.dispatchEvent(new Event('input')))")
        await page.run("(pasted.value = '12 34', like.click())")
        assert "No word" in await page.run("likeness.textContent")
        await page.run("(y.value = 'likeness', y.dispatchEvent(new Event('input')))")
        await page.run("reset.click()")
        assert await page.run("[pasted.value, colour.value, x.value, y.value]") == ["", "slice", "map x", "map y"]
        assert await page.run("listed.textContent") == "Shown"
        assert await page.run("document.querySelectorAll('[value=likeness]').length") == 0
        assert page.said == []
        assert page.asked == [Path(made.page).as_uri()]

    look(Path(made.page).as_uri(), steps)
