"""Maps by models of the user's: fastText's, SentencePiece's, sentence-transformers'."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maps import SUBJECTS, a_root, documents, map_of

from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.explorer import encoders, points
from redpajama_data.explorer.basis import DIMENSIONS, turn
from redpajama_data.explorer.encoders import find_encoder, pieces_of, vectors_of
from redpajama_data.models.model_file import ModelFile

TEXTS = documents(60)


@pytest.fixture
def root(tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    return a_root(tmp_path, tiny_tokenizer, {"c4/a": TEXTS[:40], "c4/b": TEXTS[40:]})


@pytest.fixture(autouse=True)
def _no_model_is_kept() -> None:
    encoders._load.cache_clear()


def subjects(found: points.Map) -> Any:
    """The subject of each document of a map."""
    held = {"c4/a": TEXTS[:40], "c4/b": TEXTS[40:]}
    names = [path.partition("toy_job/")[2].removesuffix(".jsonl.zst") for path in found.shards]
    return np.array([held[names[p["shard"]]][int(p["line"])][1]["subject"] for p in found.points])


def of_one_subject(found: points.Map) -> float:
    """The share of neighbours that are of their document's subject."""
    own = subjects(found)
    return float((own[found.points["near"]] == own[:, None]).mean())


def fasttext_model(folder: Path) -> Path:
    import fasttext

    from redpajama_data.training.classifier import write_first_vectors

    lines = [f"__label__{name} {' '.join(words)}\n" for name, words in SUBJECTS.items()]
    (folder / "train.txt").write_text("".join(lines) * 60)
    given = {"input": str(folder / "train.txt"), "dim": 6, "lr": 0.5, "minCount": 1, "thread": 1, "verbose": 0}
    words = fasttext.train_supervised(**given, epoch=0).get_words()
    write_first_vectors(words, str(folder / "vectors"), dim=6, seed=0)  # fastText's own are not all set
    model = fasttext.train_supervised(**given, epoch=20, pretrainedVectors=str(folder / "vectors"))
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def test_fasttext_gives_the_vectors(root: Path, tmp_path: Path) -> None:
    found = map_of(root, model=str(fasttext_model(tmp_path)), clusters=3)
    assert (found.model, found.words) == ("fasttext", None)
    assert found.vectors.shape == (60, DIMENSIONS)
    assert not found.vectors[:, 6:].any()  # as many axes as the model has
    assert of_one_subject(found) > 0.9
    assert all(cluster.words for cluster in found.clusters)
    again = map_of(root, model=str(tmp_path / "model.bin"), clusters=3, executor="local")
    assert np.array_equal(again.points, found.points)


def test_sentencepiece_gives_the_pieces(root: Path, tmp_path: Path) -> None:
    import sentencepiece

    (tmp_path / "text").write_text("\n".join(text for text, _ in TEXTS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "sp"), vocab_size=60, minloglevel=2, num_threads=1
    )
    encoder = find_encoder(str(tmp_path / "sp.model"))
    pieces = pieces_of("Lawn, lawn 12 \ud800", encoder)
    assert pieces
    assert all(piece == piece.strip("\u2581") and any(map(str.isalpha, piece)) for piece in pieces)
    found = map_of(root, model=str(tmp_path / "sp.model"))
    assert (found.model, found.words) == ("sentencepiece", None)
    assert of_one_subject(found) > 0.8


def test_sentence_transformers_are_asked_in_batches_and_offline(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Stub:
        def __init__(self, path: str, *, device: str, local_files_only: bool) -> None:
            assert (Path(path).name, device, local_files_only) == ("model", "cpu", True)

        def encode(self, texts: list[str], **given: Any) -> Any:
            asked.append(len(texts))
            return np.array([[sum(word in text for word in words) for words in SUBJECTS.values()] for text in texts])

    module = types.ModuleType("sentence_transformers")
    module.__dict__["SentenceTransformer"] = Stub
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "modules.json").write_text("[]")
    monkeypatch.setattr("redpajama_data.explorer.work.TOGETHER", 16)
    found = map_of(root, model=str(folder))
    assert sorted(asked) == [4, 8, 16, 16, 16]
    assert found.model == "sentence-transformers"
    assert of_one_subject(found) > 0.9
    before = find_encoder(str(folder)).model.sha256
    (folder / "weights").write_bytes(b"1")
    assert find_encoder(str(folder)).model.sha256 != before


def test_what_is_no_model_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.model").write_bytes(b"no model")
    (tmp_path / "x.bin").write_bytes(b"no model")
    for name in ("x.model", "x.bin"):
        with pytest.raises(MissingModel, match="of sentence-transformers"):
            find_encoder(str(tmp_path / name))
    with pytest.raises(MissingModel, match=r"modules\.json"):
        find_encoder(str(tmp_path))
    with pytest.raises((MissingModel, UsageError)):
        find_encoder(str(tmp_path / "nowhere.bin"))
    (tmp_path / "modules.json").write_text("[]")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingModel, match="pip install"):
        find_encoder(str(tmp_path))


def test_vectors_are_turned_to_their_principal_axes() -> None:
    rng = np.random.default_rng(0)
    wide = (rng.standard_normal((300, 90)) * 0.9 ** np.arange(90)).astype(np.float32)
    middle, axes = turn(wide)
    assert axes.shape == (90, DIMENSIONS)
    turned = (wide - middle) @ axes
    assert np.allclose(turned.T @ turned, np.diag(np.diag(turned.T @ turned)), atol=1e-2)
    assert (np.diff(np.diag(turned.T @ turned)) <= 1e-2).all()


def test_vectors_of_fasttext_are_its_own(tmp_path: Path) -> None:
    import fasttext

    path = str(fasttext_model(tmp_path))
    given = vectors_of(["tulip\nrose", ""], find_encoder(path))
    model = fasttext.load_model(path)
    assert np.array_equal(given[0], model.get_sentence_vector("tulip rose"))
