"""Importance weights: how much more likely a text's words are in books, OpenWebText or Wikipedia than in CCNet's pages.

Source: RedPajama-Data, app/src (importance_weights.py, dsir.py, hash_dist.py), after DSIR (Xie et al. 2023). The counts
of each corpus lie in ``<language>/<corpus>.<language>.<buckets>.counts.npy``, its mean length in
``<language>/<corpus>.<language>.lambda.npy``. Words are hashed by Python's own ``hash`` under PYTHONHASHSEED=42, and
which SipHash that is depends on the Python that counted: 1-3 from 3.11 on (the published image has 3.11), 2-4 before.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters._signals import hash_features
from filters.signals_lists import files_by_language, list_file
from redpajama_data.errors import MissingModel
from redpajama_data.models.model_file import ModelFile

SEED = 42  # PYTHONHASHSEED of the published image
SOURCE = "ccnet"
TARGETS = ("books", "openwebtext", "wikipedia")  # in the order of their signals
PRECISION = 8
FLOOR = 1e-8  # added to every probability before its logarithm
SIPHASH_ROUNDS = {13: 1, 24: 2}


@dataclass(frozen=True)
class Distributions:
    """The files of one language: counts by corpus, and mean lengths by corpus where they are there.

    ``siphash`` is 13 or 24; ``words`` says whose ``\\w`` splits words, as in :mod:`filters.signals`.
    """

    counts: Mapping[str, ModelFile]
    lambdas: Mapping[str, ModelFile]
    siphash: int = 13
    words: str = "regex"


class Weights(NamedTuple):
    """One corpus against the source: the log ratio of each bucket, and both mean lengths or None."""

    log_ratio: npt.NDArray[np.float64]
    lengths: tuple[float, float] | None


def distribution_files(folder: str, *, siphash: int, words: str) -> dict[str, Distributions]:
    """The distributions in a folder of folders of languages. Languages without the source or without a target are left
    out.

    Raises :class:`MissingModel` when none is left.
    """
    counts: dict[str, dict[str, ModelFile]] = {}
    lambdas: dict[str, dict[str, ModelFile]] = {}
    for kind, files in (("counts", counts), ("lambda", lambdas)):
        for language, path in files_by_language(folder, (f".{kind}.npy",)):
            corpus, of_language = os.path.basename(path).split(".")[:2]
            if corpus in (SOURCE, *TARGETS) and of_language == language:
                files.setdefault(language, {})[corpus] = list_file(path)
    found = {
        language: Distributions(files, lambdas.get(language, {}), siphash, words)
        for language, files in counts.items()
        if SOURCE in files and len(files) > 1
    }
    if not found:
        raise MissingModel(
            f"{folder}: no distributions there. Expected files such as en/ccnet.en.10000.counts.npy and "
            "en/wikipedia.en.10000.counts.npy, as prep_artifacts.py of RedPajama-Data writes them to dsir/."
        )
    return found


def importance_scores(text: str, files: Distributions) -> dict[str, float | None]:
    """``<corpus>_importance`` for each target there is, and ``..._length_correction`` where mean lengths are there.

    The score is the sum of the log ratios over all words and pairs of words (natural logarithm, 8 decimals); None for
    an empty text. The correction is that of the published code: it holds the number of characters against mean lengths
    in words, so that both probabilities are nearly 0 and the term often vanishes.
    Raises :class:`MissingModel` for a file that cannot be used.
    """
    weights = _weights(files.counts[SOURCE], tuple(sorted(files.counts.items())), tuple(sorted(files.lambdas.items())))
    buckets = len(next(iter(weights.values())).log_ratio)
    k0, k1 = hash_key(SEED)
    found = hash_features(text, buckets, k0, k1, SIPHASH_ROUNDS[files.siphash], files.words == "regex")
    features = np.frombuffer(found, "<i8")
    scores: dict[str, float | None] = {}
    for target, (log_ratio, lengths) in weights.items():
        score = float(np.inner(features, log_ratio))
        scores[f"{target}_importance"] = round(score, PRECISION) if text else None
        if lengths is not None:
            corrected = score + _length_correction(len(text), *lengths)
            scores[f"{target}_importance_length_correction"] = round(corrected, PRECISION) if text else None
    return scores


def hash_key(seed: int) -> tuple[int, int]:
    """The SipHash key that CPython takes under ``PYTHONHASHSEED=seed`` (1 to 2**32 - 1): 16 bytes of a linear
    congruential generator, as two little-endian numbers. Source: CPython, Python/bootstrap_hash.c."""
    state, key = seed, bytearray()
    for _ in range(16):
        state = (state * 214013 + 2531011) % (1 << 32)
        key.append(state >> 16 & 0xFF)
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")


def check_distributions(files: Distributions) -> None:
    """Raise :class:`MissingModel` for counts or mean lengths that cannot be used."""
    _weights(files.counts[SOURCE], tuple(sorted(files.counts.items())), tuple(sorted(files.lambdas.items())))


@functools.lru_cache(maxsize=8)
def _weights(
    source: ModelFile, counts: tuple[tuple[str, ModelFile], ...], lambdas: tuple[tuple[str, ModelFile], ...]
) -> dict[str, Weights]:
    by_corpus, mean_lengths = dict(counts), dict(lambdas)
    source_share = _shares(source)
    weights = {}
    for target in TARGETS:
        if target not in by_corpus:
            continue
        share = _shares(by_corpus[target])
        if share.shape != source_share.shape:
            raise MissingModel(
                f"{by_corpus[target].path}: {len(share)} buckets, {source.path} has {len(source_share)}. Give both of "
                "one run of prep_artifacts.py."
            )
        log_ratio = np.log(share + FLOOR) - np.log(source_share + FLOOR)
        lengths = None
        if target in mean_lengths and SOURCE in mean_lengths:
            lengths = float(_load(mean_lengths[target], 0)), float(_load(mean_lengths[SOURCE], 0))
        weights[target] = Weights(log_ratio, lengths)
    return weights


def _shares(file: ModelFile) -> npt.NDArray[np.float64]:
    counts = _load(file, 1)
    total = counts.sum()
    if not total > 0:
        raise MissingModel(f"{file.path}: counts of nothing. Make it again with prep_artifacts.py.")
    return np.asarray(counts / total, np.float64)


def _load(file: ModelFile, dimensions: int) -> npt.NDArray[np.float64 | np.int64]:
    try:
        found = np.load(file.path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MissingModel(f"{file.path}: no array of numpy ({error}). Expected counts or a mean length.") from error
    if found.ndim != dimensions or found.dtype.kind not in "iuf" or found.size == 0:
        raise MissingModel(f"{file.path}: {found.dtype} in {found.ndim} dimensions. Expected counts or a mean length.")
    return np.asarray(found)


def _length_correction(length: int, target: float, source: float) -> float:
    return math.log(_poisson(length, target) + FLOOR) - math.log(_poisson(length, source) + FLOOR)


def _poisson(count: int, mean: float) -> float:
    if not mean > 0:
        return float(count == 0)
    return math.exp(count * math.log(mean) - math.lgamma(count + 1) - mean)
