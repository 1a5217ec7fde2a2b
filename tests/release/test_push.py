"""An upload: every file is there as it is here, or it is an error; what was sent is not sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stub import Hub, serving
from roots import files_of, line, make_root, release

from redpajama_data.errors import StorageError, UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import folder
from redpajama_data.release.push import Pushed, push

SHARDS = {name: [line(f"{name} {n}") for n in range(3)] for name in ("c4/a", "arxiv/b", "books/c")}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", "of-the-stub")
    with serving() as found:
        yield found


def pushed(to: Path, hub: Hub, **more: bool) -> Pushed:
    return push(str(to), "me/data", endpoint=hub.url, say=lambda _: None, **more)


def test_what_is_there_is_what_is_here(tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub) -> None:
    release(make_root(tmp_path, SHARDS, tiny_tokenizer), tmp_path / "to", tiny_tokenizer)
    found = pushed(tmp_path / "to", hub, private=True)
    assert hub.files == files_of(tmp_path / "to")
    assert (len(found.files), found.there_before, found.removed) == (6, 0, [])
    assert hub.created[0]["type"] == "dataset"


def test_what_is_there_already_is_not_sent_again(tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer)
    pushed(tmp_path / "to", hub)
    hub.objects.clear()
    commits = hub.commits
    assert pushed(tmp_path / "to", hub).there_before == 6
    assert hub.commits == commits
    make_root(tmp_path, {"c4/a": [line("another")]}, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer)
    pushed(tmp_path / "to", hub)
    assert len(hub.objects) == 1  # the one file that has changed
    assert hub.files == files_of(tmp_path / "to")


def test_an_upload_that_was_ended_goes_on(tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub) -> None:
    release(make_root(tmp_path, SHARDS, tiny_tokenizer), tmp_path / "to", tiny_tokenizer)
    hub.objects_left = 0
    with pytest.raises(StorageError, match="run the same command again"):
        pushed(tmp_path / "to", hub)
    hub.objects_left = 1_000_000
    pushed(tmp_path / "to", hub)
    assert hub.files == files_of(tmp_path / "to")


def test_files_that_the_release_has_no_more_are_removed_and_no_others(
    tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub
) -> None:
    release(make_root(tmp_path, SHARDS, tiny_tokenizer), tmp_path / "to", tiny_tokenizer)
    others = {".gitattributes": b"theirs", "notes.txt": b"mine"}
    hub.files = {"data/wikipedia/train-00000-of-00001.parquet": b"old", **others}
    assert pushed(tmp_path / "to", hub).removed == ["data/wikipedia/train-00000-of-00001.parquet"]
    assert hub.files == {**files_of(tmp_path / "to"), **others}


@pytest.mark.parametrize("name", ["README.md", "data/c4/train-00000-of-00001.parquet"])
def test_a_file_that_is_another_one_there_is_an_error(
    tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub, name: str
) -> None:
    release(make_root(tmp_path, SHARDS, tiny_tokenizer), tmp_path / "to", tiny_tokenizer)
    hub.damaged = name
    with pytest.raises(StorageError, match="1 files are not there as they are here"):
        pushed(tmp_path / "to", hub)


def test_a_file_that_is_not_what_its_receipt_says_is_not_sent(
    tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub
) -> None:
    release(make_root(tmp_path, SHARDS, tiny_tokenizer), tmp_path / "to", tiny_tokenizer)
    path = tmp_path / "to/data/c4/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UsageError, match="not what its receipt says"):
        pushed(tmp_path / "to", hub)
    assert not hub.created


def test_only_what_is_of_the_release_is_sent(tmp_path: Path, tiny_tokenizer: ModelFile, hub: Hub) -> None:
    release(make_root(tmp_path, SHARDS, tiny_tokenizer), tmp_path / "to", tiny_tokenizer)
    (tmp_path / "to" / "notes.txt").write_text("not for others")
    (tmp_path / "to" / "data" / "c4" / "mine.parquet").write_text("not for others")
    pushed(tmp_path / "to", hub)
    assert hub.files == {k: v for k, v in files_of(tmp_path / "to").items() if not k.endswith("mine.parquet")}
    (tmp_path / "to" / folder.CARD).unlink()
    with pytest.raises(UsageError, match="not finished"):
        pushed(tmp_path / "to", hub)
