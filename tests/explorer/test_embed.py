"""The map: which documents are on it, that the same ones give the same bytes, and what lies close to what."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import whole_root
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from maps import SUBJECTS, a_root, documents, map_of

from redpajama_data import api
from redpajama_data.errors import UsageError
from redpajama_data.explorer import basis, layout, naming, neighbours, points, terms
from redpajama_data.explorer.sparse import Sparse
from redpajama_data.explorer.work import takes
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile

TEXTS = documents(90)


@pytest.fixture
def root(tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    """Ninety documents on three subjects in three shards of two slices."""
    return a_root(tmp_path, tiny_tokenizer, {"c4/a": TEXTS[:40], "c4/b": TEXTS[40:60], "books/x": TEXTS[60:]})


def on_map(root: Path, found: points.Map) -> list[str]:
    """The texts of the documents on a map, in its order."""
    held = {path: list(read_jsonl(str(root / path.removeprefix("root:/")))) for path in found.shards}
    return [held[found.shards[point["shard"]]][int(point["line"])]["text"] for point in found.points]


def files_of(root: Path) -> dict[str, str]:
    held = whole_root.files_of(root)
    return {name: hashlib.sha256(data).hexdigest() for name, data in held.items() if "embed" in Path(name).parts}


# ------------------------------------------------------------------------------------------------ which documents


def test_all_documents_are_on_a_map_that_has_room(root: Path) -> None:
    found = map_of(root)
    assert sorted(on_map(root, found)) == sorted(text for text, _ in TEXTS)
    assert found.of == {"books": 30, "c4": 60}


def test_a_smaller_map_has_the_smallest_hashes_of_each_slice(root: Path) -> None:
    shown = on_map(root, map_of(root, documents=30, seed=3))
    for own, count in ((TEXTS[:60], 20), (TEXTS[60:], 10)):
        ranked = sorted((text for text, _ in own), key=lambda text: xxhash.xxh3_64_intdigest(text.encode(), 3))
        assert {text for text, _ in own} & set(shown) == set(ranked[:count])
    assert set(on_map(root, map_of(root, documents=6, seed=3))) < set(shown)
    assert set(on_map(root, map_of(root, documents=30, seed=4))) != set(shown)


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 10_000), min_size=1), st.integers(1, 20_000))
def test_takes_sum_to_what_is_asked_and_leave_no_slice_out(counts: dict[str, int], asked: int) -> None:
    found = takes(counts, asked)
    assert set(found) == {name for name, count in counts.items() if count}
    assert all(1 <= take <= counts[name] for name, take in found.items())
    total = sum(counts.values())
    if asked >= max(total, 1):
        assert sum(found.values()) == total
    else:
        assert asked <= sum(found.values()) <= asked + len(found)
        assert all(take <= 1 + counts[name] * asked / total for name, take in found.items())


def test_one_slice_alone(root: Path) -> None:
    assert map_of(root, slices=["books"]).of == {"books": 30}
    with pytest.raises(UsageError, match="There are books, c4"):
        map_of(root, slices=["book"])


# ------------------------------------------------------------------------------------------------ the same again


def test_other_workers_give_the_same_bytes(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shards = {"c4/a": TEXTS[:40], "c4/b": TEXTS[40:60], "books/x": TEXTS[60:]}
    found = []
    for executor in ("serial", "local"):
        root = a_root(tmp_path / executor, tiny_tokenizer, shards)
        map_of(root, executor=executor, documents=50)
        found.append({name: digest for name, digest in files_of(root).items() if "receipt" not in name})
    assert found[0] == found[1]
    assert any(name.endswith(points.POINTS) for name in found[0])


def test_a_second_run_does_nothing_and_another_size_hashes_nothing_again(root: Path) -> None:
    map_of(root)
    before = files_of(root)
    (again,) = api.run_job("embed", str(root / "toy_job"), {}, root=str(root), executor="serial").slices
    assert again.done_now == 0
    assert files_of(root) == before
    map_of(root, documents=40)
    after = files_of(root)
    assert {k: v for k, v in after.items() if "/hash/" in k} == {k: v for k, v in before.items() if "/hash/" in k}
    assert after["embed/points.npy"] != before["embed/points.npy"]


def test_no_text_is_stored(root: Path) -> None:
    map_of(root)
    for path in (root / "_run" / "embed").rglob("*"):
        if path.is_file():
            data = b"".join(map(str.encode, map(str, read_jsonl_or_bytes(path))))
            assert b"and the number" not in data, path


def read_jsonl_or_bytes(path: Path) -> list[object]:
    if path.name.endswith(".words.jsonl.zst"):
        from redpajama_data.io.lines import iter_lines

        return list(iter_lines(str(path), max_bytes=None))
    return [path.read_bytes()]


# ------------------------------------------------------------------------------------------------ what is close


def test_documents_of_one_subject_are_neighbours_and_name_their_cluster(root: Path) -> None:
    found = map_of(root, clusters=3)
    subject = {text: meta["subject"] for text, meta in TEXTS}
    of = np.array([subject[text] for text in on_map(root, found)])
    assert (of[found.points["near"]] == of[:, None]).mean() > 0.95
    named = {next(s for s, words in SUBJECTS.items() if set(cluster.words) <= set(words)) for cluster in found.clusters}
    assert named == set(SUBJECTS)
    assert [cluster.documents for cluster in found.clusters] == [30, 30, 30]
    flat = np.stack([found.points["x"], found.points["y"]], axis=1)
    apart = np.linalg.norm(flat[:, None] - flat[None, :], axis=2) + np.eye(len(flat)) * 1e9
    assert (of[np.argmin(apart, axis=1)] == of).mean() > 0.8  # each text has words of its own in it


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_documents_and_equal_ones_have_a_place(tmp_path: Path, tiny_tokenizer: ModelFile, count: int) -> None:
    root = a_root(tmp_path, tiny_tokenizer, {"c4/a": [("the same words", {})] * count, "c4/b": [("", {}), ("1 2", {})]})
    found = map_of(root)
    assert len(found) == count + 2
    for name in ("x", "y", "axes"):
        assert np.isfinite(found.points[name]).all()
    assert (found.points["near"] < count + 2).all()


def test_words_are_letters_in_lower_case_and_pairs_where_no_spaces_are() -> None:
    assert terms.words_of("The the x_y 12 Straße a1b") == {"the": 2, "straße": 1}
    assert terms.words_of("日本語") == {"日本": 1, "本語": 1}
    assert terms.words_of("a" * terms.READ + " later") == {"a" * 24: terms.READ // 24, "a" * (terms.READ % 24): 1}
    packed = terms.terms_of(terms.words_of("word " * 700))
    assert terms.split(packed)[1].tolist() == [700]


def test_sparse_products_equal_dense_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((50, 40)) < 0.1, rng.standard_normal((50, 40)), 0).astype(np.float32)
    dense[[0, 7, 49]] = 0
    rows, columns = np.nonzero(dense)
    begins = np.concatenate([[0], np.cumsum((dense != 0).sum(axis=1))])
    matrix = Sparse(begins, columns.astype(np.int32), dense[rows, columns], 40)
    other = rng.standard_normal((40, 6)).astype(np.float32)
    whole = matrix.times(other)
    assert np.allclose(whole, dense @ other, atol=1e-5)
    assert np.allclose(matrix.transposed().times(whole), dense.T @ (dense @ other), atol=1e-4)
    monkeypatch.setattr("redpajama_data.explorer.sparse._AT_ONCE", 3)
    assert np.array_equal(matrix.times(other), whole)


def test_the_axes_are_those_of_the_singular_value_decomposition() -> None:
    rng = np.random.default_rng(2)
    scales = 0.8 ** np.arange(30)
    dense = (rng.standard_normal((200, 30)) * scales @ rng.standard_normal((30, 120))).astype(np.float32)
    begins = np.arange(201) * 120
    axes = basis.learn(Sparse(begins, np.tile(np.arange(120, dtype=np.int32), 200), dense.ravel(), 120), 0)
    right = np.linalg.svd(dense, full_matrices=False)[2][:10].T
    assert np.allclose(np.abs((right * axes[:, :10]).sum(axis=0)), 1, atol=1e-3)
    assert (axes[np.argmax(np.abs(axes[:, :10]), axis=0), np.arange(10)] > 0).all()


def test_neighbours_by_cells_are_nearly_all_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    vectors = basis.unit(
        rng.standard_normal((20, 16))[rng.integers(0, 20, 3000)] + 0.5 * rng.standard_normal((3000, 16))
    )
    exact = neighbours.nearest(vectors, 10, 0)
    cosines = vectors @ vectors.T - 9 * np.eye(3000)
    assert np.allclose(np.take_along_axis(cosines, exact, 1), -np.sort(-cosines, axis=1)[:, :10], atol=1e-5)
    monkeypatch.setattr(neighbours, "EXACT", 2999)
    near = neighbours.nearest(vectors, 10, 0)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), near.tolist(), strict=True)]
    assert np.mean(shared) > 9
    assert not (near == np.arange(3000)[:, None]).any()
    assert all(len(set(row)) == 10 for row in near.tolist())


@pytest.mark.parametrize("span", [1e-4, 5, 120])
def test_forces_on_the_grid_are_those_of_all_pairs(span: float) -> None:
    places = np.random.default_rng(4).standard_normal((400, 2)) * span / 4
    push, normal = layout._fitting(places, None).forces(places)
    exact, of_all = layout._of_all_pairs(places)
    assert normal == pytest.approx(of_all, rel=0.05)
    assert np.linalg.norm(push - exact) < 0.2 * np.linalg.norm(exact) + 1e-9


def test_clusters_are_numbered_by_size() -> None:
    assert naming.largest_first(np.array([4, 1, 1, 4, 4, 0], np.int32)).tolist() == [0, 1, 1, 0, 0, 2]
    assert [naming.clusters_for(n) for n in (1, 5, 7, 840, 10**6)] == [1, 5, 6, 19, 60]
