"""The page: what it holds, that no text of a document does anything in it, and that the map is seen."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from browser import Page, look, needs_chromium
from click.testing import CliRunner
from maps import HOSTILE, a_root, documents, map_of

from redpajama_data import api
from redpajama_data.cli.main import cli
from redpajama_data.errors import UsageError
from redpajama_data.explorer import documents as reading
from redpajama_data.explorer import export as exporting
from redpajama_data.explorer.export import export
from redpajama_data.explorer.serve import HOST, Server
from redpajama_data.models.model_file import ModelFile

TEXTS = [
    *documents(59),
    (HOSTILE, {"title": HOSTILE, "url": "javascript:alert(1)", "license": HOSTILE, "language": HOSTILE}),
]


@pytest.fixture
def root(tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    """Sixty documents with their map; one is hostile."""
    made = a_root(tmp_path, tiny_tokenizer, {"c4/a": TEXTS[:40], "books/x": TEXTS[40:]})
    map_of(made)
    return made


def sections(page: bytes) -> dict[str, Any]:
    """The data of a page, unpacked."""
    found = re.findall(rb'<script type="text/plain" id="(\w+)">([A-Za-z0-9+/=]*)</script>', page)
    data = {name.decode(): gzip.decompress(base64.b64decode(packed)) for name, packed in found}
    return {name: json.loads(held) if held[:1] in b"[{" else held for name, held in data.items()}


# ------------------------------------------------------------------------------------------------ what is in it


def test_the_page_holds_every_document_and_the_id_that_explains_it(root: Path, tmp_path: Path) -> None:
    made = export(str(root), str(tmp_path / "to"))
    held = sections(Path(made.page).read_bytes())
    about, cards, texts = held["about"], held["cards"], held["texts"]
    assert (made.documents, made.of, made.beside) == (60, 60, False)
    assert {shown["text"] for shown in texts} == {text for text, _ in TEXTS}
    assert len(held["vectors"]) == 60 * about["dimensions"]
    for card, shown in zip(cards, texts, strict=True):
        (fate,) = [f for f in api.explain(str(root), card["id"]) if f.slice == "toy_job"]
        assert (fate.kept, fate.line) == (card["shard"], card["line"] + 1)
        assert card["url"] == json.loads(shown["meta"])["url"]
    assert about["kinds"]["slice"] == ["books", "c4"]
    assert set(about["kinds"]["language"]) == {"en", "de", HOSTILE}
    assert set(about["numbers"]) == {"characters", "n"}


def test_the_same_map_gives_the_same_page(root: Path, tmp_path: Path) -> None:
    pages = [
        Path(export(str(root), str(tmp_path / name), workers=n).page).read_bytes() for name, n in (("a", 1), ("b", 2))
    ]
    assert pages[0] == pages[1]


def test_no_text_becomes_markup_and_no_script_runs_but_the_page_s_own(root: Path, tmp_path: Path) -> None:
    page = Path(export(str(root), str(tmp_path / "to")).page).read_text(encoding="utf-8")
    assert "owned" not in page
    assert "innerHTML" not in page
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; connect-src 'self'; script-src 'sha256-{digest}'" in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", page)


def test_a_page_of_somebody_else_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / exporting.PAGE).write_text("mine")
    with pytest.raises(UsageError, match="did not write it"):
        export(str(root), str(tmp_path))
    assert (tmp_path / exporting.PAGE).read_text() == "mine"
    export(str(root), str(tmp_path / "to"))
    export(str(root), str(tmp_path / "to"))  # its own it writes again


def test_a_root_without_a_map_and_a_bad_size_say_what_to_do(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": TEXTS[:3]})
    with pytest.raises(UsageError, match="rpj explore"):
        export(str(root), str(tmp_path / "to"))
    for wrong in (["--documents", "0"], ["--clusters", "1001"], ["--dropped", "5", "--model", "x.bin"]):
        done = CliRunner().invoke(cli, ["explore", str(root), *wrong])
        assert done.exit_code == 2
        assert wrong[0] in done.output
    assert not (root / "embed").exists()


def test_more_documents_than_a_map_holds_are_sampled_and_that_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slices.jobs.embed.LARGEST", 30)
    monkeypatch.setattr("redpajama_data.cli.explore.LARGEST", 30)
    words = ["explore", str(root), "--job", "toy_job", "--export", str(tmp_path / "to"), "--executor", "serial"]
    done = CliRunner().invoke(cli, [*words, "--documents", "1000000"])
    assert done.exit_code == 0, done.output
    assert "30 documents, a sample of 60 (a map holds 30)" in done.output
    about = sections((tmp_path / "to" / exporting.PAGE).read_bytes())["about"]
    assert (about["documents"], about["of"]) == (30, 60)


def test_the_command_makes_a_page_and_a_table(root: Path, tmp_path: Path) -> None:
    words = ["explore", str(root), "--job", "toy_job", "--export", str(tmp_path / "to"), "--executor", "serial"]
    done = CliRunner().invoke(cli, [*words, "--parquet", str(tmp_path / "map.parquet"), "--json", "--slice", "c4"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["documents"] == 40
    table = pyarrow.parquet.read_table(tmp_path / "map.parquet").to_pylist()
    assert {row["text"] for row in table} == {text for text, _ in TEXTS[:40]}
    row = table[0]
    assert len(row["neighbors"]["ids"]) == 10
    assert np.all(np.diff(row["neighbors"]["distances"]) >= -1e-6)


def test_numbers_and_languages_of_a_meta() -> None:
    card = reading.card_of(
        "a#0",
        "c4/a.jsonl.zst",
        0,
        b'{"text":"x  y","meta":{"a":true,"b":"12","c":"2023-01-01","d":1.5,"e":"20230101000","f":"0301","g":"--1"}}',
        9,
    )
    assert card.numbers == {"characters": 4, "b": 12, "d": 1.5}
    assert card.title == "x y"
    assert reading.language_of([{"name": "C", "bytes": "5"}, {"name": "Go", "bytes": "70"}, {"name": 3}]) == "Go"
    assert reading.language_of([]) == reading.language_of(None) == reading.language_of(3) == ""
    assert reading.card_of("a#0", "a", 0, b'{"text":"x","meta":[1]}', 9).numbers == {"characters": 1}


def test_verdicts_of_jobs_are_shown(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": [*TEXTS[:9], TEXTS[3]]})
    map_of(root)
    api.run_job("exact", str(root / "toy_job"), root=str(root), executor="serial", tokenizer="none")
    held = sections(Path(export(str(root), str(tmp_path / "to")).page).read_bytes())
    assert held["about"]["kinds"]["verdict"] == ["stayed", "exact: duplicate"]
    (copy,) = [card for card in held["cards"] if "verdicts" in card]
    assert copy["line"] == 9
    assert copy["verdicts"][0].startswith("exact: duplicate: measured ")


# ------------------------------------------------------------------------------------------------ served


@pytest.fixture
def server(root: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of an export whose texts lie beside it."""
    made = export(str(root), str(tmp_path / "served"), embedded=59)
    assert made.beside
    assert "texts" not in sections(Path(made.page).read_bytes())
    running = Server(str(tmp_path / "served"))
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def get(server: Server, path: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    connection.request("GET", path, headers={"Host": host or f"{HOST}:{server.server_port}"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_texts_and_searches_are_served_behind_the_token(server: Server) -> None:
    base = f"/{server.token}"
    status, page = get(server, f"{base}/")
    assert (status, page) == (200, server.page)
    texts = [json.loads(get(server, f"{base}/text/{n}")[1]) for n in range(60)]
    assert {shown["text"] for shown in texts} == {text for text, _ in TEXTS}
    found = json.loads(get(server, f"{base}/search?q=Number%2017")[1])
    assert [texts[n]["text"].endswith("number 17") for n in found] == [True]
    assert json.loads(get(server, f"{base}/search?q=nowhere")[1]) == []


@pytest.mark.parametrize(
    "path", ["/", "/x/", "/{token}", "/{token}/text/60", "/{token}/text/-1", "/{token}/../x", "/{token}/texts.bin"]
)
def test_nothing_else_is_served(server: Server, path: str) -> None:
    assert get(server, path.format(token=server.token))[0] == 404


def test_a_page_that_has_its_texts_is_served_alone(root: Path, tmp_path: Path) -> None:
    export(str(root), str(tmp_path / "to"))
    with Server(str(tmp_path / "to")) as running:
        assert running.texts is None
        assert running.url.endswith(f"/{running.token}/")
    with pytest.raises(UsageError, match="no explorer"):
        Server(str(tmp_path))


def test_a_request_by_another_name_is_refused(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert get(server, f"/{server.token}/", host=f"evil.example:{server.server_port}")[0] == 404


def test_a_smaller_map_takes_the_texts_of_a_larger_one_away(root: Path, tmp_path: Path) -> None:
    export(str(root), str(tmp_path / "to"), embedded=59)
    export(str(root), str(tmp_path / "to"), embedded=60)
    assert [path.name for path in (tmp_path / "to").iterdir()] == [exporting.PAGE]


# ------------------------------------------------------------------------------------------------ seen


PAINTED = """(() => {
    const {width, height} = document.getElementById("map");
    const data = document.getElementById("map").getContext("2d").getImageData(0, 0, width, height).data;
    const colours = new Set();
    let painted = 0;
    for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] < 100) continue;
        painted++;
        colours.add(data[i] >> 5 << 6 | data[i + 1] >> 5 << 3 | data[i + 2] >> 5);
    }
    return [painted, colours.size];
})()"""


# From the highest pixel that is painted to the lowest.
ROWS = """(() => {
    const {width, height} = document.getElementById("map");
    const data = document.getElementById("map").getContext("2d").getImageData(0, 0, width, height).data;
    const painted = [...Array(height).keys()].filter(
        (y) => data.subarray(4 * width * y, 4 * width * (y + 1)).some((value, i) => i % 4 === 3 && value > 100));
    return painted.length ? painted[painted.length - 1] - painted[0] : 0;
})()"""


@needs_chromium
def test_the_map_is_seen_and_answers(root: Path, tmp_path: Path) -> None:
    made = export(str(root), str(tmp_path / "to"))

    async def steps(page: Page) -> None:
        await page.until("document.body.dataset.state === 'ready'")
        await page.until(f"{PAINTED}[0] > 500")
        painted, colours = await page.run(PAINTED)
        assert painted > 500
        assert colours > 3
        await page.run("(search.value = 'number 17', search.dispatchEvent(new Event('input')))")
        await page.until("count.textContent.startsWith('1 of 60')")
        assert (await page.run(PAINTED))[0] < painted
        await page.run("reset.click()")
        await page.until("count.textContent.startsWith('60 of 60')")
        # The hostile document, with all of its fields.
        await page.run("[...list.querySelectorAll('button')].find(b => b.textContent.includes('owned')).click()")
        await page.until("document.body.dataset.document !== undefined")
        assert await page.run("document.getElementById('text').textContent") == HOSTILE
        assert await page.run("document.title") == f"Documents of {root}"
        assert await page.run("document.querySelectorAll('img, #facts a').length") == 0
        assert "rpj explain" in await page.run("command.textContent")
        assert await page.run("near.children.length") == 8
        # By keys alone: to the map, the document in the middle, and back.
        await page.run("(delete document.body.dataset.document, map.focus())")
        await page.press("Enter")
        await page.until("document.body.dataset.document !== undefined")
        await page.run("document.getElementById('close').focus()")
        await page.press("Enter")
        await page.until("document.getElementById('document').hidden && document.activeElement.id === 'map'")
        # A line drawn around all of the map, and one around nothing.
        box = json.loads(await page.run("JSON.stringify(map.getBoundingClientRect())"))
        left, top, right, bottom = (box[side] for side in ("left", "top", "right", "bottom"))
        await page.run("lasso.click()")
        for corners, shown in (
            ([(left + 1, top + 1), (right - 2, top + 1), (right - 2, bottom - 2), (left + 1, bottom - 2)], 60),
            ([(left + 1, top + 1), (left + 9, top + 1), (left + 9, top + 9)], 0),
        ):
            await page.mouse("mousePressed", *corners[0])
            for corner in corners[1:]:
                await page.mouse("mouseMoved", *corner)
            await page.mouse("mouseReleased", *corners[-1])
            await page.until(f"count.textContent.startsWith('{shown} of 60')")
        assert page.said == []
        assert page.asked == [Path(made.page).as_uri()]

    look(Path(made.page).as_uri(), steps)


@needs_chromium
def test_on_a_telephone_nothing_is_too_wide_and_a_document_comes_into_sight(root: Path, tmp_path: Path) -> None:
    async def steps(page: Page) -> None:
        await page.until("document.body.dataset.state === 'ready'")
        assert await page.run("document.documentElement.scrollWidth") == 360
        # Two fingers, from 60 pixels apart to 40: the map is two thirds as large.
        box = json.loads(await page.run("(map.scrollIntoView(), JSON.stringify(map.getBoundingClientRect()))"))
        x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
        before = await page.run(ROWS)
        for kind, apart in (("touchStart", 30), ("touchMove", 25), ("touchMove", 20)):
            fingers = [{"x": x, "y": y - apart, "id": 0}, {"x": x, "y": y + apart, "id": 1}]
            await page.call("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)
        await page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        await page.until(f"0 < {ROWS} && {ROWS} < {before} * 0.8")
        assert await page.run("document.getElementById('document').hidden")
        await page.run("reset.click()")
        await page.until(f"{ROWS} == {before}")
        await page.run("list.querySelector('button').click()")
        await page.until("document.body.dataset.document !== undefined")
        await page.until("Math.abs(document.getElementById('document').getBoundingClientRect().top) < 2")
        assert await page.run("document.documentElement.scrollWidth") == 360
        assert page.said == []

    look(Path(export(str(root), str(tmp_path / "to")).page).as_uri(), steps, width=360, height=740)


@needs_chromium
def test_a_served_page_asks_this_server_alone(server: Server) -> None:
    async def steps(page: Page) -> None:
        await page.until("document.body.dataset.state === 'ready'")
        await page.run("(search.value = 'number 17', search.dispatchEvent(new Event('input')))")
        await page.until("count.textContent.startsWith('1 of 60')")
        await page.run("list.querySelector('button').click()")
        await page.until("document.getElementById('text').textContent.includes('number 17')")
        assert page.said == []
        assert all(url.startswith((server.url, "data:")) for url in page.asked)

    look(server.url, steps)
