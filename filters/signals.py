"""The quality signals of RedPajama-V2: what can be measured of a text, one by one, for others to filter by.

Source: RedPajama-Data, app/src/core/quality_signals (branch main). ``_signals.c`` measures all that need the text only;
here they are put together with those that need lists, models or what CCNet found. A signal whose list or model is not
given is absent. Oddities of the published code are kept: capitalised stop words do not count, overlapping top n-grams
count twice, accented words have no letter, entries of the bad words with punctuation never match.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from filters._signals import Table, signals_json
from filters.language import load_lid
from filters.signals_dsir import Distributions, importance_scores
from filters.signals_lists import BAD_WORD_LANGUAGES, BadWords, bad_words, domain_category, stop_words
from filters.wikiref import OTHER
from redpajama_data.document import Drop
from redpajama_data.models.model_file import ModelFile

LINES_MAX = 1_000_000  # of a text: a line takes 450 bytes of memory while it is measured
PRECISION = 8  # decimals of every score, as published

BUCKETS = {"head": 0.0, "middle": 1.0, "tail": 2.0}
_CCNET_NUMBERS = ("length", "original_length", "nlines", "original_nlines", "language_score", "perplexity")

CCNET_SIGNALS = (*(f"ccnet_{name}" for name in _CCNET_NUMBERS), "ccnet_bucket")
"""What CCNet found, from the fields of the same names of the meta."""

TEXT_SIGNALS = (
    "rps_doc_curly_bracket", "rps_doc_lorem_ipsum",
    "rps_doc_frac_chars_dupe_10grams", "rps_doc_frac_chars_dupe_5grams", "rps_doc_frac_chars_dupe_6grams",
    "rps_doc_frac_chars_dupe_7grams", "rps_doc_frac_chars_dupe_8grams", "rps_doc_frac_chars_dupe_9grams",
    "rps_doc_frac_chars_top_2gram", "rps_doc_frac_chars_top_3gram", "rps_doc_frac_chars_top_4gram",
    "rps_doc_frac_all_caps_words", "rps_doc_frac_lines_end_with_ellipsis", "rps_doc_frac_no_alph_words",
    "rps_doc_frac_unique_words", "rps_doc_mean_word_length", "rps_doc_num_sentences",
    "rps_doc_symbol_to_word_ratio", "rps_doc_unigram_entropy", "rps_doc_word_count",
)  # fmt: skip
"""One score a document, from the text alone."""

LINE_SIGNALS = (
    "rps_lines_ending_with_terminal_punctution_mark", "rps_lines_javascript_counts", "rps_lines_num_words",
    "rps_lines_numerical_chars_fraction", "rps_lines_start_with_bulletpoint", "rps_lines_uppercase_letter_fraction",
)  # fmt: skip
"""One score a line, from the text alone."""

VALUE_SIGNALS = frozenset(CCNET_SIGNALS + TEXT_SIGNALS)
"""What :func:`signal_values` knows."""

CLASSIFIERS = ("palm", "wikipedia", "wikiref")  # in the order of their signals

Signals = dict[str, list[tuple[int, int, int | float | None]]]
Words = Literal["regex", "re"]

_USUAL_URL = re.compile(r"https?://([A-Za-z0-9._-]+)[/?#]")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Signals).decode


@dataclass(frozen=True)
class SignalSources:
    """The lists and models that are there; what is not gives no signal.

    ``bad_words`` are files by language, None without a folder of them; ``domains`` as of
    :func:`filters.signals_lists.domain_files`; ``classifiers`` fastText models by language and name (one of
    :data:`CLASSIFIERS`); ``distributions`` of DSIR by language.
    """

    stop_words: ModelFile | None = None
    bad_words: Mapping[str, ModelFile] | None = None
    domains: tuple[tuple[str, ModelFile], ...] = ()
    classifiers: Mapping[str, Mapping[str, ModelFile]] = field(default_factory=dict)
    distributions: Mapping[str, Distributions] = field(default_factory=dict)


NOTHING = SignalSources()
_EMPTY_LIST = BadWords(Table(()), Table(()), Table(()))


def signals_object(
    text: str,
    meta: Mapping[str, Any],
    *,
    sources: SignalSources,
    language: str,
    words: Words,
    max_lines: int = LINES_MAX,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """All signals of a document as a JSON object, ``{name: [[start, end, score], ...], ...}`` in the published order,
    between ``before`` and ``after``.

    ``start`` and ``end`` are offsets in ``text`` (code points); a signal of the document has one triple. ``language``
    is that of a document whose meta names none: it chooses the lists and models. ``words`` says by whose ``\\w`` raw
    words are split: the ``regex`` library's (NLTK's tokenizer since 3.10, and the published code does not pin NLTK) or
    that of Python's ``re`` (NLTK before, with which the data of 2023 was published). They differ in marks, fractions
    and circled letters. Raises :class:`ValueError` for a text of 2**28 characters or more, or of more than
    ``max_lines`` lines.
    """
    found = meta.get("language")
    language = found if isinstance(found, str) and found else language
    length = len(text)
    ccnet = _members({name: [(0, length, value)] for name, value in ccnet_values(meta).items()})
    models = _members(dict(_model_signals(text, language, sources)))
    return signals_json(
        text,
        None if sources.stop_words is None else stop_words(sources.stop_words, language),
        *_bad_words(sources, language),
        before + b"{" + ccnet + (b"," if ccnet else b""),
        _domain_member(meta, length, sources),
        (b"," if models else b"") + models + b"}" + after,
        True,
        max_lines,
        words == "regex",
    )


def quality_signals(
    text: str,
    meta: Mapping[str, Any] | None = None,
    *,
    sources: SignalSources = NOTHING,
    language: str = "en",
    words: Words = "regex",
) -> Signals:
    """:func:`signals_object` as Python data."""
    return _decode(signals_object(text, meta or {}, sources=sources, language=language, words=words))


def signal_values(text: str, meta: Mapping[str, Any], names: Collection[str]) -> dict[str, float | None]:
    """The document's scores of the signals ``names`` (of :data:`VALUE_SIGNALS`); None where there is none.

    The text is measured only if a name needs it. Raises :class:`KeyError` for a name that is no such signal.
    """
    values: dict[str, float | None] = {}
    if any(name.startswith("rps_") for name in names):
        measured = _decode(signals_json(text, None, None, None, None, b"{", b"", b"}", False, 0, True))
        values = {name: triples[0][2] for name, triples in measured.items()}
    values |= dict.fromkeys(CCNET_SIGNALS) | ccnet_values(meta)
    return {name: values[name] for name in names}


def max_characters(text: str, *, limit: int) -> Drop | None:
    """Texts of more characters than the memory of a task is meant for."""
    return Drop("max_characters", len(text), limit) if len(text) > limit else None


def max_lines(text: str, *, limit: int) -> Drop | None:
    """Texts of so many lines that their signals would be many times as large as they are."""
    if len(text) <= limit:
        return None
    lines = text.count("\n") + (not text.endswith("\n"))
    return Drop("max_lines", lines, limit) if lines > limit else None


def ccnet_values(meta: Mapping[str, Any]) -> dict[str, float | None]:
    """What CCNet found, from the meta; fields that it has not (or not as numbers) are absent.

    The bucket is 0 for head, 1 for middle, 2 for tail, and None for any other.
    """
    values: dict[str, float | None] = {}
    for name in _CCNET_NUMBERS:
        value = meta.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            values[f"ccnet_{name}"] = float(value)
    if isinstance(bucket := meta.get("bucket"), str):
        values["ccnet_bucket"] = BUCKETS.get(bucket)
    return values


def source_domain(meta: Mapping[str, Any]) -> str | None:
    """The domain a document is from: ``source_domain``, or that of ``url`` as CCNet takes it (with its port)."""
    domain = meta.get("source_domain")
    if isinstance(domain, str):
        return domain
    url = meta.get("url")
    if not isinstance(url, str):
        return None
    if (usual := _USUAL_URL.match(url)) is not None:  # nearly all, at a tenth of the time
        return usual[1]
    try:
        return urlsplit(url).netloc or None
    except ValueError:  # brackets that are no IPv6 address
        return None


def _members(signals: Mapping[str, Any]) -> bytes:
    return _encode(signals)[1:-1]


def _bad_words(sources: SignalSources, language: str) -> tuple[Any, Any, Any]:
    if sources.bad_words is None:
        return None, None, None
    if language in sources.bad_words:
        return bad_words(sources.bad_words[language])  # words, phrases, starts
    return (None, None, None) if language in BAD_WORD_LANGUAGES else _EMPTY_LIST


def _domain_member(meta: Mapping[str, Any], length: int, sources: SignalSources) -> bytes:
    domain = source_domain(meta) if sources.domains else None
    if domain is None:
        return b""
    found = domain_category(domain, sources.domains)
    return _members({"rps_doc_ut1_blacklist": [(0, length, found)]}) + b","


def _model_signals(text: str, language: str, sources: SignalSources) -> Iterator[tuple[str, Any]]:
    models = sources.classifiers.get(language, {})
    for name in CLASSIFIERS:
        if name in models:
            yield f"rps_doc_ml_{name}_score", [(0, len(text), classifier_score(text, models[name]))]
    if language in sources.distributions:
        for name, score in importance_scores(text, sources.distributions[language]).items():
            yield f"rps_doc_{name}", [(0, len(text), score)]


def classifier_score(text: str, model: ModelFile) -> float | None:
    """The probability, by a fastText classifier, that a text is no ordinary page (8 decimals); None for an empty text.

    It may reach -0.00001 or 1.00001, as fastText rounds. Lone surrogates are shown to the model as "?".
    Raises :class:`redpajama_data.errors.MissingModel`.
    """
    if not text:
        return None
    line = " ".join(text.splitlines()).strip()
    try:
        found = load_lid(model).predict(line)
    except UnicodeEncodeError:
        found = load_lid(model).predict(line.encode("utf-8", "replace").decode("utf-8"))
    if found is None:
        return None
    label, probability = found
    return round(1 - probability if label == OTHER else probability, PRECISION)
