from __future__ import annotations

import gzip
import json
import random
import statistics
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.minhash import jaccard, scheme, shingles
from slices.jobs.audit import Checked, audit, check, found_by_bands, sample
from slices.jobs.planted import _UNIT, EDITS, LEAST_WORDS, MOST_CHARACTERS, Planted, plant

SCHEME = scheme(threshold=0.8, ngram=5, permutations=128)


def prose(seed: int, words: int = 300) -> str:
    generator = random.Random(seed)
    vocabulary = [f"w{generator.randrange(10**6)}" for _ in range(words)]
    return " ".join(word + "." * (i % 9 == 0) for i, word in enumerate(vocabulary))


TEXTS = [prose(i) for i in range(20)]


# ---------------------------------------------------------------------------- planting


def test_planted_texts_are_what_they_say() -> None:
    planted = plant(TEXTS, scheme=SCHEME, count=70, seed=1)
    assert len(planted) == 70
    assert {one.edit for one in planted} == set(EDITS)
    assert len({one.source for one in planted}) == len(TEXTS)
    for one in planted:
        assert one.text != TEXTS[one.source]
        assert one.true == jaccard(TEXTS[one.source], one.text, ngram=5)


def test_planting_is_the_same_for_the_same_seed() -> None:
    assert plant(TEXTS, scheme=SCHEME, count=30, seed=1) == plant(TEXTS, scheme=SCHEME, count=30, seed=1)
    assert plant(TEXTS, scheme=SCHEME, count=30, seed=1) != plant(TEXTS, scheme=SCHEME, count=30, seed=2)


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_true_jaccard_spreads_around_the_threshold(threshold: float) -> None:
    made = scheme(threshold=threshold, ngram=5, permutations=128)
    planted = plant(TEXTS, scheme=made, count=700, seed=3)
    for edit in EDITS:
        true = [one.true for one in planted if one.edit == edit]
        if edit == "respelt":
            assert set(true) == {1.0}
        elif edit != "swapped" or threshold > 0.7:  # it ends where all sentences have changed places
            assert sum(value < threshold for value in true) >= 3, edit
            assert sum(value >= threshold for value in true) >= 40, edit
            assert statistics.mean(true) == pytest.approx((threshold - 0.1 + 1) / 2, abs=0.06), edit


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        (" ".join("x" * LEAST_WORDS), True),
        (" ".join("x" * (LEAST_WORDS - 1)), False),
        ("漢" * LEAST_WORDS, True),
        ("漢" * (LEAST_WORDS - 1), False),
        ("\u0e35" * 100, False),
        ("a " * (MOST_CHARACTERS // 2), True),
        ("a " * (MOST_CHARACTERS // 2) + "b", False),
        ("", False),
    ],
)
def test_texts_that_are_edited(text: str, usable: bool) -> None:
    planted = plant([text], scheme=SCHEME, count=1, seed=1)
    assert bool(planted) is usable


def test_no_texts() -> None:
    assert plant([], scheme=SCHEME, count=5, seed=1) == []
    assert plant(TEXTS, scheme=SCHEME, count=0, seed=1) == []


def test_text_that_an_edit_does_not_change_ends() -> None:
    """No sentences, no case, no spaces: two of the edits change nothing, the others do."""
    planted = plant(["漢" * 50], scheme=SCHEME, count=1000, seed=1)
    assert 0 < len(planted) <= 1000
    assert not {"respelt", "swapped"} & {one.edit for one in planted}


hostile = st.text(st.one_of(st.sampled_from("ab .\n。!?_'\ud800漢ทีИ\u0301\0"), st.characters(codec=None)), max_size=300)


@given(hostile)
def test_units_are_the_text(text: str) -> None:
    assert "".join(_UNIT.findall(text)) == text


@settings(max_examples=50)
@given(hostile, hostile)
def test_any_text_can_be_edited(one: str, other: str) -> None:
    for made in plant([one + " ab" * 39, other, other * 3], scheme=SCHEME, count=14, seed=1):
        assert 0 <= made.true <= 1


@pytest.mark.parametrize("text", ["." * 200_000, " " * 200_000, "?!" * 100_000, "\n" * 200_000, "\u0e35" * 200_000])
def test_nothing_takes_forever(text: str) -> None:
    assert len(plant([text + " ab" * LEAST_WORDS], scheme=SCHEME, count=7, seed=1)) == 7


# ---------------------------------------------------------------------------- the sample


def test_sample_is_even_and_repeatable() -> None:
    counts = [0] * 10
    for seed in range(3000):
        for item in sample(iter(range(10)), count=3, seed=seed):
            counts[item] += 1
    assert all(abs(count - 900) < 5 * (3000 * 0.3 * 0.7) ** 0.5 for count in counts)
    assert sample(range(1000), count=5, seed=1) == sample(iter(range(1000)), count=5, seed=1)


@pytest.mark.parametrize(("items", "count", "size"), [(0, 5, 0), (4, 5, 4), (5, 5, 5), (6, 5, 5), (6, 0, 0)])
def test_size_of_a_sample(items: int, count: int, size: int) -> None:
    found = sample(range(items), count=count, seed=1)
    assert len(found) == len(set(found)) == size


# ---------------------------------------------------------------------------- the result


def planted_at(true: float, edit: str = "deleted") -> Planted:
    return Planted(0, edit, "", true)


def test_recall_by_band_of_true_jaccard() -> None:
    trues = [0.79, 0.8, 0.8, 0.8499, 0.85, 0.95, 1.0, 1.0]
    hits = [True, False, True, True, False, True, True, True]
    found = audit([planted_at(true) for true in trues], hits, [], SCHEME)
    assert [(band.low, band.high, band.planted, band.found) for band in found.bands] == [
        (0.0, 0.8, 1, 1),
        (0.8, 0.85, 3, 2),
        (0.85, 0.9, 1, 0),
        (0.9, 0.95, 0, 0),
        (0.95, 1.0, 3, 3),
    ]
    assert found.recall == 5 / 7
    assert found.bands[-1].expected == pytest.approx((1 - (1 - 0.95**13) ** 9 + 2) / 3)


@pytest.mark.parametrize(
    ("threshold", "edges"),
    [(1.0, [(0, 1), (1, 1)]), (0.97, [(0, 0.97), (0.97, 1)]), (0.9, [(0, 0.9), (0.9, 0.95), (0.95, 1)])],
)
def test_bands_at_the_upper_end(threshold: float, edges: list[tuple[float, float]]) -> None:
    found = audit([planted_at(1.0)], [True], [], scheme(threshold=threshold, ngram=5, permutations=16))
    assert [(band.low, band.high) for band in found.bands] == edges
    assert [band.planted for band in found.bands] == [0] * (len(edges) - 1) + [1]


def test_precision_and_error_of_the_estimates() -> None:
    found = audit([], [], [Checked(0.9, 0.8), Checked(0.9, 0.79), Checked(0.8, 1.0), Checked(1.0, 1.0)], SCHEME)
    assert (found.checked, found.precision, found.lowest) == (4, 0.75, 0.79)
    assert found.error == pytest.approx((0.1 + 0.11 + 0.2) / 4)


def test_check_compares_in_full() -> None:
    assert check("a b c d e f", "B, C d e f g", estimate=0.5, ngram=5) == Checked(0.5, 1 / 3)


def test_nothing_to_audit() -> None:
    found = audit([], [], [], SCHEME)
    assert (found.recall, found.precision, found.error) == (None, None, None)
    assert "recall     - of 0 planted texts" in found.render()


def test_an_answer_a_planted_text() -> None:
    with pytest.raises(ValueError, match="1 planted texts, but 2 answers"):
        audit([planted_at(1)], [True, False], [], SCHEME)


def test_result_as_text_and_json() -> None:
    planted = [planted_at(0.83), planted_at(0.96, "framed"), planted_at(0.2)]
    found = audit(planted, [False, True, False], [Checked(0.9, 0.85), Checked(0.9, 0.7)], SCHEME)
    assert found.render().splitlines() == [
        "recall     0.500 of 2 planted texts with true Jaccard 0.8 or more",
        "           (0.783 expected of 9 bands of 13 rows)",
        "           true Jaccard    planted     found    recall  expected",
        "           0.00 to 0.80          1         0     0.000     0.000",
        "           0.80 to 0.85          1         0     0.000     0.567",
        "           0.85 to 0.90          0         0         -         -",
        "           0.90 to 0.95          0         0         -         -",
        "           0.95 to 1.00          1         1     1.000     1.000",
        "           by edit: substituted -, deleted 0.000, inserted -, swapped -, framed 1.000, cut_off -, respelt -",
        "precision  0.500 of 2 removed texts have true Jaccard 0.8 or more with their survivor (lowest 0.700)",
        "estimates  0.1250 mean absolute error on these pairs",
    ]
    as_json = json.loads(json.dumps(asdict(found)))
    assert as_json["scheme"]["rows"] == 13
    assert as_json["edits"]["framed"] == [1, 1]
    assert len(as_json["bands"]) == 5


def test_bands_find_what_theory_says(shared_data: Path) -> None:
    """On real text recall follows the curve of the bands (and the estimate's own limit just above the threshold)."""
    with gzip.open(shared_data / "c4" / "c4-train.00000-of-00001.json.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    planted = plant(texts, scheme=SCHEME, count=1000, seed=7)
    assert len(planted) == 1000
    assert all(len(shingles(one.text, ngram=5)) for one in planted)
    found = audit(planted, found_by_bands(texts, planted, SCHEME), [], SCHEME)
    below, first, *others = found.bands
    assert below.found / below.planted < below.expected
    assert first.found / first.planted == pytest.approx(first.expected, abs=0.2)
    for band in others:
        assert band.planted > 80
        assert band.found / band.planted == pytest.approx(band.expected, abs=0.08)
    assert found.bands[-1].found >= 0.99 * found.bands[-1].planted
